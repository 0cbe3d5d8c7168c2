//! A Redis of a test's own: a child process in a temporary directory, which syncs every write.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tempfile::TempDir;

use crate::waiting::eventually;

/// How long a connection to our own machine may take.
const CONNECT: Duration = Duration::from_millis(200);

/// What keeps a Redis from losing what it was given.
pub const SAFE: [(&str, &str); 4] = [
    ("--save", ""),
    ("--appendonly", "yes"),
    ("--appendfsync", "always"),
    ("--maxmemory-policy", "noeviction"),
];

/// A Redis that can be killed and started again; it ends with the value.
pub struct RedisServer {
    child: Mutex<Child>,
    settings: Vec<(&'static str, &'static str)>,
    address: SocketAddr,
    directory: TempDir,
}

impl RedisServer {
    /// Starts one that is safe.
    ///
    /// # Panics
    /// When there is no `redis-server`, or it does not start.
    pub async fn start() -> Self {
        Self::start_with(&SAFE).await
    }

    /// Starts one with these settings.
    ///
    /// # Panics
    /// When there is no `redis-server`, or it does not start.
    pub async fn start_with(settings: &[(&'static str, &'static str)]) -> Self {
        let directory = TempDir::new().unwrap();
        // The port is free now; nobody else on this machine asks for one by number.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let child = Mutex::new(run(settings, address, &directory));
        let server = Self { child, settings: settings.to_vec(), address, directory };
        server.wait().await;
        server
    }

    async fn wait(&self) {
        eventually("redis-server takes connections", async || {
            TcpStream::connect_timeout(&self.address, CONNECT).ok()
        })
        .await;
    }

    /// Ends it at once, as the kernel does when memory runs out.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again with what it had written.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self) {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) =
            run(&self.settings, self.address, &self.directory);
        self.wait().await;
    }

    /// Where it is, for `store.url`.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It has nothing to save: the directory goes with it.
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn run(settings: &[(&'static str, &'static str)], address: SocketAddr, directory: &TempDir) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &address.port().to_string(), "--bind", &address.ip().to_string()]);
    command.arg("--dir").arg(directory.path());
    for (name, value) in settings {
        command.args([name, value]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("these tests need redis-server on the path")
}
