//! A subscriber on a socket of its own, that does to each connection what the test says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// `POST /in HTTP/1.1`
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// One connection to the subscriber.
pub struct Connection {
    /// 0 for the first.
    pub number: usize,
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Connection {
    /// Reads one request; `None` when there is none any more.
    pub fn read(&mut self) -> Option<Received> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            self.reader.read_line(&mut header).ok().filter(|count| *count > 0)?;
            match header.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
                None => break,
            }
        }
        let mut request = Received { line: line.trim_end().to_owned(), headers, body: Vec::new() };
        let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        request.body = vec![0; length];
        self.reader.read_exact(&mut request.body).ok()?;
        self.received.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Writes; answers whether the other side still took it.
    pub fn write(&mut self, text: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(text.as_ref()).is_ok()
    }

    /// Writes the same until the other side takes no more.
    pub fn write_on(&mut self, text: &[u8]) {
        while self.write(text) {}
    }
}

/// The subscriber.
pub struct Subscriber {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<Mutex<usize>>,
}

impl Subscriber {
    /// Treats each connection so, on a thread of its own.
    pub fn start(treat: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (treat, log, count) = (Arc::new(treat), Arc::clone(&received), Arc::clone(&connections));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let reader = BufReader::new(stream.try_clone().unwrap());
                let number = {
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    *count - 1
                };
                let connection = Connection { number, stream, reader, received: Arc::clone(&log) };
                let treat = Arc::clone(&treat);
                thread::spawn(move || treat(connection));
            }
        });
        Self { address, received, connections }
    }

    /// Gives every request this answer.
    pub fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::start(move |mut connection| {
            while connection.read().is_some() {
                connection.write(&answer);
            }
        })
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}
