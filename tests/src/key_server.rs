//! An issuer's own server: it answers every request with the document it was given, and counts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A running server; it ends with the value.
pub struct KeyServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    document: Arc<Mutex<String>>,
    task: JoinHandle<()>,
}

impl KeyServer {
    /// Serves a document.
    ///
    /// # Panics
    /// When there is no port to be had.
    #[expect(clippy::disallowed_methods, reason = "it is aborted when the value is dropped")]
    pub async fn start(document: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, document) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(document)));
        let (counted, served) = (Arc::clone(&asked), Arc::clone(&document));
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let text = served.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Who goes away in the middle is not our concern.
                let _ = answer(connection, &text).await;
            }
        });
        Self { address, asked, document, task }
    }

    /// The document's address.
    pub fn url(&self) -> String {
        format!("http://{}/keys.json", self.address)
    }

    /// Another document from now on.
    pub fn serve(&self, document: String) {
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = document;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut connection: TcpStream, document: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut chunk = [0; 1_024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match connection.read(&mut chunk).await? {
            0 => return Ok(()),
            read => head.extend_from_slice(&chunk[..read]),
        }
    }
    let length = document.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{document}"
    );
    connection.write_all(answer.as_bytes()).await?;
    connection.shutdown().await
}
