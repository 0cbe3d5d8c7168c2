//! A Redis of a test's own: a child process in a temporary directory, which syncs every write.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::waiting::eventually;

/// How long a connection to our own machine may take.
const CONNECT: Duration = Duration::from_millis(200);

/// A running Redis; it ends with the value.
pub struct RedisServer {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no `redis-server`, or it does not start.
    pub async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        // The port is free now; nobody else on this machine asks for one by number.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let settings = [
            ("--port", address.port().to_string()),
            ("--bind", address.ip().to_string()),
            ("--dir", directory.path().display().to_string()),
            ("--save", String::new()),
            ("--appendonly", "yes".to_owned()),
            ("--appendfsync", "always".to_owned()),
            ("--maxmemory-policy", "noeviction".to_owned()),
        ];
        let mut command = Command::new("redis-server");
        for (name, value) in &settings {
            command.args([*name, value.as_str()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("these tests need redis-server on the path");
        let server = Self { child, address, _directory: directory };
        eventually("redis-server takes connections", async || {
            TcpStream::connect_timeout(&address, CONNECT).ok()
        })
        .await;
        server
    }

    /// Where it is, for `store.url`.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It has nothing to save: the directory goes with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
