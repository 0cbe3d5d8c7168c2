//! What the running program needs: time to start, memory at rest, and memory for a large roster.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to a person and may stop")]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use outdial_simulator::{Simulator, SimulatorConfig};
use reqwest::Client;

const ROWS: usize = 180_000;
const STARTS: usize = 9;
const READY_LIMIT: Duration = Duration::from_secs(20);

/// Three ports that were free a moment ago.
fn free_ports() -> [SocketAddr; 3] {
    let listeners = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

fn write_config(directory: &Path, ports: [SocketAddr; 3], simulator: &Simulator) -> String {
    let path = directory.join("outdial.toml");
    let [api, push, admin] = ports;
    let (base, token) = (simulator.wellcloud_base_url(), simulator.wellcloud_token_url());
    let text = format!(
        r#"
[listen]
api = "{api}"
push = "{push}"
admin = "{admin}"
[http]
drain = "0s"
[store]
url = "sqlite:{}"
[log]
level = "error"
[[auth.issuers]]
issuer = "bench"
audience = "bench"
hs256_secret = "0123456789abcdef0123456789abcdef"
[[accounts]]
id = "wc"
vendor = "wellcloud"
base_url = "{base}"
token_url = "{token}"
app_id = "demo-app"
app_secret = "demo-app-secret"
push_token = "0123456789abcdef"
"#,
        directory.join("outdial.db").display()
    );
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn outdial(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outdial"));
    command.args(arguments);
    command
}

/// Starts the gateway. Answers it, and how many milliseconds it took to be ready.
async fn start(client: &Client, config: &str, admin: SocketAddr) -> (Child, f64) {
    let started = Instant::now();
    let child = outdial(&["serve", "--config", config]).stdout(Stdio::null()).spawn().unwrap();
    while started.elapsed() < READY_LIMIT {
        let answer = client.get(format!("http://{admin}/readyz")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return (child, started.elapsed().as_secs_f64() * 1e3);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic_not_ready(child)
}

fn panic_not_ready(mut child: Child) -> ! {
    let _ = child.kill();
    unreachable!("the gateway did not become ready")
}

/// A line of `/proc/PID/status`, in megabytes.
fn memory(child: &Child, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    let kilobytes: f64 = found.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1_024.0 / 1e6
}

fn roster() -> Vec<u8> {
    let mut text = String::from("entry_id,number,product_type,customer_id,user_data.name\n");
    for n in 0..ROWS {
        text.push_str(&format!("entry-{n:07},139{n:08},6666,customer-{n:06},张三{n:04}\n"));
    }
    text.into_bytes()
}

fn stop(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(SimulatorConfig::default()).await.unwrap();
    let ports = free_ports();
    let config = write_config(directory.path(), ports, &simulator);
    let client = Client::builder().no_proxy().build().unwrap();
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let (child, millis) = start(&client, &config, ports[2]).await;
        starts.push(millis);
        stop(child);
    }
    starts.sort_by(f64::total_cmp);
    let (child, _) = start(&client, &config, ports[2]).await;
    let idle = memory(&child, "VmRSS");
    let token = outdial(&["token", "--config", &config]).output().unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let body = roster();
    let megabytes = f64::from(u32::try_from(body.len()).unwrap()) / 1e6;
    let before = memory(&child, "VmHWM");
    let url = format!("http://{}/v1/accounts/wc/campaigns/bench/rosters", ports[0]);
    let uploaded = Instant::now();
    let request = client.post(url).bearer_auth(token).header("content-type", "text/csv").body(body);
    let status = request.send().await.unwrap().status();
    let seconds = uploaded.elapsed().as_secs_f64();
    let peak = memory(&child, "VmHWM");
    stop(child);
    assert_eq!(status.as_u16(), 201);
    println!("| the process, embedded store | |");
    println!("|---|---:|");
    println!("| start to ready, median of {STARTS} | {:.0} ms |", starts[STARTS / 2]);
    println!("| resident memory at rest | {idle:.0} MB |");
    println!("| roster of {megabytes:.1} MB, {ROWS} entries: from request to receipt | {seconds:.2} s |");
    println!("| … and what it raised the peak memory by | {:.0} MB |", peak - before);
}
