//! What the gateway costs a call that it passes on, beside nginx with `proxy_pass`: the same stored answers of a third nginx, the
//! same load, in turns. Upstream, proxies and load share the machine's cores. And what a page of call records costs that is
//! searched at the vendor, read, normalized and written anew, beside passing its bytes on.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark talks to a person and may stop"
)]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use outdial_tests::{
    child::GatewayProcess,
    repository,
    setup::{Backend, ICSOC, Setup, WELLCLOUD, World},
    tokens::{ALL_SCOPES, token},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(500);
const ROUND: Duration = Duration::from_secs(3);
/// Records of a page.
const RECORDS: usize = 100;
const NGINX: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// An nginx of its own, which ends with the value.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _place: TempDir,
}

impl Nginx {
    /// Starts one with these workers and this inside of `http`; `{place}` is its directory.
    async fn start(workers: usize, files: &[(&str, &str)], inside: &str) -> Self {
        let place = TempDir::new().unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = place.path().display().to_string();
        for (name, text) in files {
            fs::write(place.path().join(name), text).unwrap();
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path}/{kind};"))
            .concat();
        let config = format!(
            "worker_processes {workers}; daemon off; pid {path}/pid; error_log {path}/errors crit;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; {temporary} keepalive_requests 1000000000; keepalive_timeout 1h;\n{} }}\n",
            inside.replace("{place}", &path).replace("{address}", &address.to_string())
        );
        let file = place.path().join("nginx.conf");
        fs::write(&file, config).unwrap();
        let child = NGINX.iter().find_map(|program| spawn(program, &file));
        let child =
            child.expect("nginx is missing, and nothing is measured without it: run scripts/setup bench");
        let nginx = Self { child, address, _place: place };
        nginx.await_ready().await;
        nginx
    }

    async fn await_ready(&self) {
        let begun = Instant::now();
        while TcpStream::connect(self.address).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "nginx does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn spawn(program: &str, config: &Path) -> Option<Child> {
    Command::new(program).arg("-c").arg(config).stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers go with it when it is asked, and stay when it is killed.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// A stored answer of a kilobyte.
fn stored_answer() -> String {
    let mut answer = json!({ "code": 0, "message": "ok", "data": { "text": "" } });
    let missing = 1_024 - answer.to_string().len();
    answer["data"]["text"] = Value::from("x".repeat(missing));
    answer.to_string()
}

/// A page of the vendor's search: the one of the documents, with more calls, its fields in the documents' order and without
/// the white space.
fn stored_page() -> String {
    let sample = repository::read("tests/fixtures/icsoc-search-response.sample.json");
    let compact = sample.lines().map(str::trim).collect::<String>().replace("\": ", "\":");
    let (_, results) = compact.split_once("\"results\":[").unwrap();
    let (one, _) = results.split_once("],\"searchAfter\"").unwrap();
    let id = |n: usize| format!("678005666654{n:07}");
    let records: Vec<String> = (0..RECORDS).map(|n| one.replace("6780056666542059520", &id(n))).collect();
    let page = compact.replacen(one, &records.join(","), 1);
    let page = page.replace("6780056666542059520", &id(RECORDS - 1));
    let read: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(read["data"]["results"].as_array().unwrap().len(), RECORDS);
    page
}

/// What was measured: answers a second, and the 99th percentile of their time in milliseconds.
#[derive(Clone, Copy)]
struct Measured {
    rate: f64,
    p99: f64,
}

/// One way to ask: the requests of connection `n`.
struct Way {
    address: SocketAddr,
    request: Box<dyn Fn(usize) -> String>,
}

impl Way {
    async fn measure(&self, connections: usize) -> Measured {
        let begin = Instant::now() + WARM_UP;
        let mut asking = JoinSet::new();
        for n in 0..connections {
            asking.spawn(ask(self.address, (self.request)(n), begin));
        }
        let mut times: Vec<f64> = asking.join_all().await.into_iter().flatten().collect();
        times.sort_by(f64::total_cmp);
        let count = f64::from(u32::try_from(times.len()).unwrap());
        Measured { rate: count / ROUND.as_secs_f64(), p99: times[times.len() * 99 / 100] }
    }
}

/// Asks again and again over one connection. Answers the milliseconds of each answer within the round.
async fn ask(address: SocketAddr, request: String, begin: Instant) -> Vec<f64> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut buffer, mut times) = (Vec::with_capacity(256 * 1024), Vec::new());
    loop {
        let asked = Instant::now();
        if asked >= begin + ROUND {
            return times;
        }
        stream.write_all(request.as_bytes()).await.unwrap();
        buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|length| buffer.len() < length) {
            assert!(stream.read_buf(&mut buffer).await.unwrap() > 0, "the connection ended");
            whole = whole.or_else(|| whole_length(&buffer));
        }
        if asked >= begin {
            times.push(asked.elapsed().as_secs_f64() * 1e3);
        }
    }
}

/// How long an answer is, once its head is there. It has to be a good one.
fn whole_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(buffer));
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    Some(head + length.expect("the answer has a length"))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures two ways in turns. Answers the medians, and that of the rounds' ratios.
async fn compare(ours: &Way, theirs: &Way, connections: usize) -> (Measured, Measured, f64) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let theirs = theirs.measure(connections).await;
        rounds.push((ours.measure(connections).await, theirs));
    }
    let of = |pick: fn(&(Measured, Measured)) -> Measured| Measured {
        rate: median(rounds.iter().map(|round| pick(round).rate)),
        p99: median(rounds.iter().map(|round| pick(round).p99)),
    };
    let ratio = median(rounds.iter().map(|(ours, theirs)| ours.rate / theirs.rate));
    (of(|round| round.0), of(|round| round.1), ratio)
}

async fn report(what: &str, ours: &Way, theirs: &Way, target: f64, target_later: &str) {
    for connections in [64, 8] {
        let (ours, theirs, ratio) = compare(ours, theirs, connections).await;
        let later = ours.p99 - theirs.p99;
        println!(
            "| {what}, {connections} connections | {:.0}/s, 99 % within {:.1} ms | {ratio:.2} of nginx's {:.0}/s [{target}], \
             {later:+.1} ms at the 99th percentile{target_later} |",
            ours.rate, ours.p99, theirs.rate
        );
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let files = [("stored.json", stored_answer()), ("search.json", stored_page())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    // A file is not served to POST, but as the page of that error it is.
    let upstream = Nginx::start(
        1,
        &files,
        "open_file_cache max=10 inactive=1h; open_file_cache_valid 1h; default_type application/json;\n\
         server { listen {address}; root {place};\n\
         location = /api/v1/cdr/search { error_page 405 =200 /search.json; return 405; } }",
    )
    .await;
    let inside = format!(
        "upstream stored {{ server {}; keepalive 256; keepalive_requests 1000000000; }}\n\
         server {{ listen {{address}}; location / {{ proxy_pass http://stored; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; }} }}",
        upstream.address
    );
    let proxy = Nginx::start(2, &[], &inside).await;
    let mut setup =
        Setup::new(Backend::Sqlite).set("HTTP__WORKERS", "2").set("ACCOUNTS__1__SYNC__ENABLED", "false");
    for account in 0..2 {
        setup = setup
            .set(&format!("ACCOUNTS__{account}__BASE_URL"), &format!("http://{}", upstream.address))
            .set(&format!("ACCOUNTS__{account}__MAX_RPS"), "100000")
            .set(&format!("ACCOUNTS__{account}__MAX_CONCURRENCY"), "1000");
    }
    let world = World::new(setup).await;
    let gateway = GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), &world);
    let authorization = format!("authorization: Bearer {}\r\n", token(ALL_SCOPES, &["*"]));
    let get = |path: String, headers: String| format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    println!("| beside nginx, all parties on the same cores, medians of {ROUNDS} rounds in turns | | |");
    println!("|---|---:|---|");
    let ours = {
        let headers = authorization.clone();
        let path = format!("/v1/accounts/{WELLCLOUD}/vendor/stored.json");
        Way { address: gateway.api, request: Box::new(move |_| get(path.clone(), headers.clone())) }
    };
    let theirs = Way {
        address: proxy.address,
        request: Box::new(move |_| get("/stored.json".to_owned(), String::new())),
    };
    let passed_on = "an answer of 1 KB passed on, with token, limits, metrics and JWT";
    report(passed_on, &ours, &theirs, 0.65, " [2]").await;
    // Searches of their own: identical ones under way at once would be made once.
    let ours = Way {
        address: gateway.api,
        request: Box::new(move |n| {
            let from = format!("2020-01-01T00:{:02}:{:02}Z", n / 60, n % 60);
            let path =
                format!("/v1/call-records?account={ICSOC}&source=vendor&limit={RECORDS}&started_from={from}");
            get(path, authorization.clone())
        }),
    };
    let theirs = Way {
        address: proxy.address,
        request: Box::new(|_| {
            let body = format!("{{\"perPage\":{RECORDS}}}");
            format!(
                "POST /api/v1/cdr/search HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
        }),
    };
    report("a page of 100 records searched at the vendor, normalized", &ours, &theirs, 0.2, "").await;
    assert!(gateway.terminate().await, "the gateway ends well");
}
