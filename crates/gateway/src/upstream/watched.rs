//! Connections that tell when the other side has ended them. awc keeps that to itself: a chunked body that was cut off looks
//! to it like one that is whole.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use actix_rt::net::{ActixStream, Ready};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

thread_local! {
    /// Whether a connection of this thread was found to be ended. Whoever polls one exchange asks before and after.
    static ENDED: Cell<bool> = const { Cell::new(false) };
}

/// Polls something, and answers whether a connection was found to be ended meanwhile.
pub(super) fn watch<T>(poll: impl FnOnce() -> T) -> (T, bool) {
    ENDED.set(false);
    let polled = poll();
    (polled, ENDED.get())
}

/// A connection that is watched.
#[derive(Debug)]
pub(super) struct Watched(pub(super) TcpStream);

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let polled = Pin::new(&mut self.0).poll_read(context, buffer);
        match &polled {
            Poll::Ready(Ok(())) if room > 0 && buffer.filled().len() == before => ENDED.set(true),
            Poll::Ready(Err(_)) => ENDED.set(true),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

impl ActixStream for Watched {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.0, context)
    }

    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.0, context)
    }
}
