//! A little push receiver on a raw socket, so that it can answer as badly as a test wants.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::Instant,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// How a push is answered.
#[derive(Clone, Copy)]
pub enum Answer {
    /// Status and body.
    Full(u16, &'static str),
    /// A status 200 whose promised body does not come.
    Cut,
}

/// What both vendors take for success.
pub const TAKEN: Answer = Answer::Full(200, r#"{"code":0,"message":"ok"}"#);

/// A push that came in.
#[derive(Clone)]
pub struct Received {
    pub body: String,
    pub at: Instant,
}

/// Listens until it is dropped.
pub struct Receiver {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    count: watch::Receiver<usize>,
    _task: AbortOnDropHandle<()>,
}

impl Receiver {
    /// Answers the nth push, from 0, with `answer(n)`.
    pub async fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/push/account/secret", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let (count_sender, count) = watch::channel(0);
        let (log, tracker) = (received.clone(), TaskTracker::new());
        let task = tracker.spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let body = read_request(&mut socket).await;
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(Received { body, at: Instant::now() });
                    log.len()
                };
                write_answer(&mut socket, answer(number - 1)).await;
                count_sender.send_replace(number);
            }
        });
        Self { url, received, count, _task: AbortOnDropHandle::new(task) }
    }

    /// Takes everything.
    pub async fn taking() -> Self {
        Self::start(|_| TAKEN).await
    }

    /// Waits for `count` pushes in all.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        self.count.clone().wait_for(|received| *received >= count).await.unwrap();
        self.received()
    }

    /// What came in so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The bodies that came in so far.
    pub fn bodies(&self) -> Vec<String> {
        self.received().into_iter().map(|received| received.body).collect()
    }
}

async fn read_request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
            assert!(head.starts_with("post /push/account/secret http/1.1"), "{head}");
            assert!(head.contains("content-type: application/json"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let length: usize = length.parse().unwrap();
            let mut body = bytes.split_off(end + 4);
            let read = body.len();
            body.resize(length, 0);
            socket.read_exact(&mut body[read..]).await.unwrap();
            return String::from_utf8(body).unwrap();
        }
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "a request without an end");
    }
}

async fn write_answer(socket: &mut TcpStream, answer: Answer) {
    let (status, promised, body) = match answer {
        Answer::Full(status, body) => (status, body.len(), body),
        Answer::Cut => (200, 25, r#"{"code":0"#),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {promised}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
}
