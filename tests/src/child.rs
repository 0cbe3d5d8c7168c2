//! A gateway in a process of its own, which can be killed.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    client::Client,
    gateway::{PushReply, push, push_url},
    setup::{ICSOC, WELLCLOUD, World},
    tokens::{ALL_SCOPES, token},
    waiting::eventually,
};

/// A running child; it is killed when the value goes.
pub struct GatewayProcess {
    child: Child,
    /// Where the API is.
    pub api: SocketAddr,
    push: SocketAddr,
}

impl GatewayProcess {
    /// Starts the program at `path`, which is the binary `gateway_process` of this package, in a world.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(path: &str, world: &World) -> Self {
        Self::start_later(path, world, Duration::ZERO)
    }

    /// Starts it so much later by its clock.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_later(path: &str, world: &World, later: Duration) -> Self {
        let config = world.path("outdial.toml");
        std::fs::write(&config, world.toml()).unwrap();
        let mut command = Command::new(path);
        command.arg(&config).arg(later.as_millis().to_string());
        command.envs(world.variables()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses: Value = serde_json::from_str(&line).expect("the child tells its addresses");
        let address = |port: &str| addresses[port].as_str().unwrap().parse().unwrap();
        Self { child, api: address("api"), push: address("push") }
    }

    /// Lets both vendors of the world push to it from now on.
    pub fn connect_pushes(&self, world: &World) {
        let url = |account| Some(push_url(self.push, account));
        world.vendors.control().set_push_urls(url(WELLCLOUD), url(ICSOC));
    }

    /// Pushes a body for an account as its vendor would.
    ///
    /// # Panics
    /// When there is no whole reply.
    pub async fn push(&self, account: &str, body: String) -> PushReply {
        push(&push_url(self.push, account), body).await
    }

    /// A caller with every scope for every account.
    pub fn client(&self) -> Client {
        Client::new(format!("http://{}", self.api), Some(token(ALL_SCOPES, &["*"])))
    }

    /// Memory that is its own now, in KiB.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Asks it to stop, as Kubernetes does, and waits. Answers whether it ended well.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub async fn terminate(mut self) -> bool {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let ended = eventually("the child ends", async || self.child.try_wait().unwrap()).await;
        ended.success()
    }

    /// Ends it at once, as the kernel does when memory runs out.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
