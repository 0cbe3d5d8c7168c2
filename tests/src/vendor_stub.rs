//! A vendor over bare sockets, which does to each request what a test says: answers slowly, cuts, resets, says too much.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// What is done to a request, in order. After the last one the next request of the connection is read.
#[derive(Clone, Debug)]
pub enum Act {
    /// Reads the body, as long as it was announced.
    Read,
    /// Reads so many bytes a step, with a wait after each, until the body is whole.
    ReadSlowly(usize, Duration),
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Does nothing more, and keeps the connection.
    Hang,
    /// Ends the connection in good order.
    Close,
    /// Ends the connection with a reset.
    Reset,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When its head had come.
    pub at: Instant,
    /// Path and query.
    pub target: String,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    /// How many requests were under way then, this one included.
    pub under_way: usize,
    /// The body, once [`Act::Read`] has read it.
    pub body: Vec<u8>,
}

type Script = dyn Fn(&Seen) -> Vec<Act> + Send + Sync;

struct State {
    seen: Mutex<Vec<Seen>>,
    under_way: AtomicUsize,
    script: Mutex<Arc<Script>>,
}

/// A running one; it ends with the value.
pub struct VendorStub {
    address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

/// A whole answer of JSON.
pub fn json_answer(status: u16, body: &str) -> Act {
    answer(status, "content-type: application/json\r\n", body)
}

/// A whole answer with these header lines.
pub fn answer(status: u16, headers: &str, body: &str) -> Act {
    let length = body.len();
    Act::Send(
        format!("HTTP/1.1 {status} Said\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes(),
    )
}

/// ICSOC's page of a search that found nothing.
pub const EMPTY_PAGE: &str =
    r#"{"code":0,"message":"ok","request_id":"r-1","data":{"results":[],"searchAfter":null}}"#;

impl VendorStub {
    /// Starts one that does this to every request.
    ///
    /// # Panics
    /// When there is no port to be had.
    #[expect(clippy::disallowed_methods, reason = "it is aborted when the value is dropped")]
    pub async fn start(script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            seen: Mutex::default(),
            under_way: AtomicUsize::new(0),
            script: Mutex::new(Arc::new(script)),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, serving }
    }

    /// Does something else from now on.
    pub fn behave(&self, script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) {
        *self.state.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request that came.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen().clone()
    }
}

impl Drop for VendorStub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request as long as it lives.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move { converse(stream, &state).await });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, state: &State) -> Option<()> {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    loop {
        let (target, headers) = read_head(&mut stream).await?;
        let under_way = state.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        let counted = UnderWay(&state.under_way);
        let mut counted = Some(counted);
        let mut left = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let seen = Seen { at: Instant::now(), target, headers, under_way, body: Vec::new() };
        let number = {
            let mut all = state.seen();
            all.push(seen.clone());
            all.len() - 1
        };
        let script = Arc::clone(&state.script.lock().unwrap_or_else(PoisonError::into_inner));
        let acts = script(&seen);
        let last = acts.len();
        for (n, act) in acts.into_iter().enumerate() {
            if n + 1 == last {
                // It ends for whoever asked once the last byte has come, which may be before we go on here.
                drop(counted.take());
            }
            match act {
                Act::Read => {
                    let body = read_body(&mut stream, std::mem::take(&mut left)).await?;
                    state.seen()[number].body = body;
                }
                Act::ReadSlowly(step, wait) => {
                    while left > 0 {
                        let some = left.min(step);
                        read_body(&mut stream, some).await?;
                        left -= some;
                        tokio::time::sleep(wait).await;
                    }
                }
                Act::Send(bytes) => stream.write_all(&bytes).await.ok()?,
                Act::Wait(wait) => tokio::time::sleep(wait).await,
                Act::Hang => std::future::pending().await,
                Act::Close => {
                    stream.shutdown().await.ok()?;
                    return None;
                }
                Act::Reset => {
                    let socket = stream.into_inner();
                    let _ = socket.set_zero_linger();
                    return None;
                }
            }
        }
    }
}

async fn read_body(stream: &mut BufReader<TcpStream>, length: usize) -> Option<Vec<u8>> {
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok().map(|_| body)
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<(String, HashMap<String, String>)> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let target = line.split_whitespace().nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Some((target, headers)) };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}
