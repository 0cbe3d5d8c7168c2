//! A subscriber to events, over a bare socket, so that it can do everything that subscribers do: answer, refuse, hang, die and
//! come back.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// What came in one request.
#[derive(Clone, Debug)]
pub struct Received {
    /// Path and query.
    pub target: String,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    /// As it came.
    pub body: Vec<u8>,
}

impl Received {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The events of the body: one, or a list.
    pub fn events(&self) -> Vec<Value> {
        match self.json() {
            Value::Array(events) => events,
            event => vec![event],
        }
    }
}

/// What a subscriber does with a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Answers with a status, and these header lines.
    Answer(u16, &'static str),
    /// Takes everything, but slowly.
    Late(Duration),
    /// Takes the request and says nothing.
    Hang,
    /// Ends the connection.
    Reset,
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    messages: HashSet<String>,
    behaviour: Option<Behaviour>,
    /// By what stands in a body.
    exceptions: Vec<(String, Behaviour)>,
}

/// A subscriber; it ends with the value.
pub struct Subscriber {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

impl Subscriber {
    /// Starts one that takes everything.
    #[expect(clippy::disallowed_methods, reason = "it is aborted when the value is dropped")]
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, serving }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it does from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = Some(behaviour);
    }

    /// What it does with a body that holds a text; nothing else changes.
    pub fn behave_with(&self, text: &str, behaviour: Behaviour) {
        self.state().exceptions.push((text.to_owned(), behaviour));
    }

    /// Takes everything from now on.
    pub fn recover(&self) {
        let mut state = self.state();
        state.behaviour = None;
        state.exceptions.clear();
    }

    /// Ends all its connections and takes no more.
    pub fn kill(&self) {
        self.serving.abort();
    }

    /// Takes connections again where it took them before.
    #[expect(clippy::disallowed_methods, reason = "it is aborted when the value is dropped")]
    pub async fn restart(&mut self) {
        self.serving.abort();
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = tokio::spawn(serve(listener, Arc::clone(&self.state)));
    }

    /// Everything that came, whatever it was answered.
    pub fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.state().received.len()
    }

    /// How many different messages came, by their `webhook-id`.
    pub fn messages(&self) -> usize {
        self.state().messages.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    // The connections go with the set, and the set with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, state: Arc<Mutex<State>>) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    while let Some(received) = read(&mut stream).await {
        let behaviour = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let text = String::from_utf8_lossy(&received.body);
            let exception = state.exceptions.iter().find(|(part, _)| text.contains(part.as_str()));
            let behaviour =
                exception.map(|(_, behaviour)| behaviour.clone()).or_else(|| state.behaviour.clone());
            let behaviour = behaviour.unwrap_or(Behaviour::Answer(204, ""));
            state.messages.extend(received.headers.get("webhook-id").cloned());
            state.received.push(received);
            behaviour
        };
        let (status, headers) = match behaviour {
            Behaviour::Answer(status, headers) => (status, headers),
            Behaviour::Late(delay) => {
                tokio::time::sleep(delay).await;
                (204, "")
            }
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Reset => return,
        };
        let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n{headers}\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let target = line.split_whitespace().nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { target, headers, body })
}
