//! A vendor that does exactly what a test says, byte by byte, and the gateway in front of it.

use std::net::SocketAddr;

use outdial_tests::{
    gateway::TestGateway,
    setup::{Backend, Setup},
    waiting::soon,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Sends a request as it is, on a connection of its own that the other side has to close, and reads the reply.
pub async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    let _ = soon("the reply to a request as it is", stream.read_to_end(&mut reply)).await;
    String::from_utf8_lossy(&reply).into_owned()
}

/// Listens like a vendor.
pub struct RawVendor(TcpListener);

/// One connection to it, of which the head of a request was read.
pub struct RawCall {
    pub stream: TcpStream,
    /// The head, up to the empty line.
    pub head: String,
    /// What of the body came with the head.
    rest: Vec<u8>,
}

impl RawVendor {
    /// A vendor, and its base URL.
    pub async fn alone() -> (Self, String) {
        let vendor = Self(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let url = format!("http://{}/base", vendor.0.local_addr().unwrap());
        (vendor, url)
    }

    /// A gateway whose account at WellCloud has this vendor, below the path `/base`.
    pub async fn behind(setup: Setup) -> (Self, TestGateway) {
        let (vendor, url) = Self::alone().await;
        (vendor, TestGateway::start(setup.set("ACCOUNTS__0__BASE_URL", &url)).await)
    }

    /// The same with nothing special.
    pub async fn start() -> (Self, TestGateway) {
        Self::behind(Setup::new(Backend::Sqlite)).await
    }

    /// The next request on a new connection.
    pub async fn call(&self) -> RawCall {
        let (stream, _) = soon("somebody calls the vendor", self.0.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        RawCall::read(stream).await.expect("a request comes")
    }

    /// Whether nobody has called, or wants to.
    pub async fn is_left_alone(&self) -> bool {
        std::future::poll_fn(|context| std::task::Poll::Ready(self.0.poll_accept(context).is_pending())).await
    }

    /// Takes one call and hangs up.
    pub async fn hang_up(&self) {
        drop(self.call().await);
    }

    /// Takes one call and answers it.
    pub async fn answer(&self, bytes: &str) -> RawCall {
        let mut call = self.call().await;
        call.write(bytes.as_bytes()).await;
        call
    }
}

impl RawCall {
    async fn read(mut stream: TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = bytes.split_off(end + 4);
                return Some(Self { stream, head: String::from_utf8(bytes).unwrap(), rest });
            }
            let read = soon("a request comes", stream.read_buf(&mut bytes)).await.ok()?;
            if read == 0 {
                return None;
            }
        }
    }

    /// The next request on the same connection, if one comes.
    pub async fn next(self) -> Option<Self> {
        Self::read(self.stream).await
    }

    /// Method, target and version.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// So many bytes of the body.
    pub async fn body(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length {
            let read = soon("the body comes", self.stream.read_buf(&mut self.rest)).await.unwrap();
            assert!(read > 0, "the body ended after {} bytes", self.rest.len());
        }
        let behind = self.rest.split_off(length);
        std::mem::replace(&mut self.rest, behind)
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        soon("the vendor's bytes are taken", self.stream.write_all(bytes)).await.unwrap();
    }

    /// Waits until the gateway ends the connection.
    pub async fn ended(&mut self) {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match soon("the gateway ends its connection", self.stream.read(&mut bytes)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}
