//! A TCP proxy that cuts connections on demand.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A proxy in front of one server; it ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    word: Arc<Mutex<Option<String>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let word = Arc::new(Mutex::new(None));
        let cut = Arc::clone(&word);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, Arc::clone(&cut)));
            }
        });
        Self { address, word, accepting }
    }

    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Lets the next request that holds a word through to the server, and cuts its connection before the answer.
    pub fn cut_after_next(&self, word: &str) {
        *self.word.lock().unwrap() = Some(word.to_owned());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(mut client: TcpStream, server: SocketAddr, cut: Arc<Mutex<Option<String>>>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut request, mut answer) = (vec![0; 1024 * 1024], vec![0; 1024 * 1024]);
    let mut is_last = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let seen = String::from_utf8_lossy(&request[..length]);
                let mut word = cut.lock().unwrap().take();
                if word.as_ref().is_some_and(|word| seen.contains(word)) {
                    is_last = true;
                    word = None;
                }
                if word.is_some() {
                    *cut.lock().unwrap() = word;
                }
                if server.write_all(&request[..length]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                if is_last || client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
