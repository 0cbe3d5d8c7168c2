//! A Redis server of one test: a child process with a folder and a port of its own.

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// The server is killed when its standard input ends, so that it does not outlive a test that was killed itself.
const GUARD: &str = r#"redis-server "$@" >server.log 2>&1 & pid=$!
echo $pid
cat >/dev/null
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null"#;

/// What every server of the tests is started with, unless a test says otherwise.
const SETTINGS: &[&str] =
    &["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--repl-diskless-sync-delay", "0"];

/// A Redis server, killed when dropped.
pub struct RedisServer {
    folder: TempDir,
    port: u16,
    file: Option<PathBuf>,
    settings: Vec<String>,
    guard: Option<(Child, u32)>,
}

impl RedisServer {
    /// A server that keeps what it acknowledges.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with settings after, and so above, those of every server.
    pub fn start_with(settings: &[&str]) -> Self {
        // The port was free a moment ago; where another process has taken it meanwhile, another one is.
        for _ in 0..10 {
            let mut server = Self::prepare(settings);
            if server.try_run() {
                return server;
            }
        }
        panic!("no port stays free");
    }

    /// A server that is not there yet.
    pub fn prepare(settings: &[&str]) -> Self {
        let settings = SETTINGS.iter().chain(settings).map(|one| (*one).to_owned()).collect();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder: tempfile::tempdir().unwrap(), port, file: None, settings, guard: None }
    }

    /// A sentinel that watches over one server.
    pub fn start_sentinel(service: &str, primary: SocketAddr) -> Self {
        let mut sentinel = Self::prepare(&[]);
        let file = sentinel.folder.path().join("sentinel.conf");
        let monitor = format!("sentinel monitor {service} {} {} 1\n", primary.ip(), primary.port());
        std::fs::write(&file, monitor).unwrap();
        sentinel.settings = vec!["--sentinel".into()];
        sentinel.file = Some(file);
        sentinel.run();
        sentinel
    }

    /// Starts the process, and waits until it takes connections and has read its data.
    pub fn run(&mut self) {
        assert!(self.try_run(), "someone else listens on port {}", self.port);
    }

    /// Answers `false` when someone else listens on its port: then an answer to `PING` is not its own.
    fn try_run(&mut self) -> bool {
        assert!(self.guard.is_none(), "it runs already");
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .args(&self.file)
            .args(["--port", &self.port.to_string()])
            .args(["--unixsocket", "redis.sock", "--bind", "127.0.0.1", "--dir"])
            .arg(self.folder.path())
            .args(&self.settings)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut first_line = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
        self.guard = Some((guard, first_line.trim().parse().unwrap()));
        let read_log = || std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        for _ in 0..1_000 {
            let log = read_log();
            if log.contains("Failed listening on port") {
                if let Some((mut guard, _)) = self.guard.take() {
                    drop(guard.stdin.take());
                    guard.wait().unwrap();
                }
                return false;
            }
            let is_up = log.contains("Ready to accept connections") || log.contains("Sentinel ID is");
            if is_up && self.command("PING").is_some_and(|answer| !answer.starts_with("-LOADING")) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = read_log();
        panic!("redis-server is needed by these tests and did not start: {log}");
    }

    /// Kills it as a power cut would, but for the page cache.
    pub fn kill(&mut self) {
        if let Some((mut guard, pid)) = self.guard.take() {
            signal(pid, "KILL");
            drop(guard.stdin.take());
            guard.wait().unwrap();
        }
    }

    /// Stops it from doing anything; its connections stay.
    pub fn freeze(&self) {
        signal(self.pid(), "STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        signal(self.pid(), "CONT");
    }

    fn pid(&self) -> u32 {
        self.guard.as_ref().expect("it does not run").1
    }

    /// Sends one command, and gives what comes back first.
    pub fn command(&self, line: &str) -> Option<String> {
        use std::io::Write;
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        let mut answer = vec![0; 64 * 1024];
        let length = stream.read(&mut answer).ok()?;
        answer.truncate(length);
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Changes a setting at run time.
    pub fn configure(&self, name: &str, value: &str) {
        let answer = self.command(&format!("CONFIG SET {name} {value}"));
        assert_eq!(answer.as_deref(), Some("+OK\r\n"), "{name}");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Over TCP.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Over the socket in its folder.
    pub fn socket_url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name}");
}
