//! `tail`: follows the events, and goes on where it was after a break.

use std::time::Duration;

use reqwest::Method;

use crate::{
    api::{Api, query},
    arguments::TailOptions,
    failure::Failure,
    output,
};

/// How long to wait before a broken stream is opened again.
const RECONNECT: Duration = Duration::from_secs(3);

/// Prints the JSON of each event, one a line.
pub async fn run(options: &TailOptions) -> Result<(), Failure> {
    let api = Api::new(&options.gateway)?;
    let after = options.after.map(|after| after.to_string());
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    pairs.extend(options.accounts.iter().map(|account| ("account", account.as_str())));
    pairs.extend(options.types.iter().map(|name| ("type", name.as_str())));
    pairs.extend(after.as_deref().map(|after| ("after", after)));
    let path = format!("/v1/events{}", query(&pairs));
    let mut follower = Follower { left: options.count, last_id: None };
    let mut connected = false;
    loop {
        let mut request = api.request(Method::GET, &path).header("accept", "text/event-stream");
        if let Some(id) = &follower.last_id {
            request = request.header("last-event-id", id);
        }
        match api.send(request).await {
            Ok(response) => {
                connected = true;
                if follower.follow(response).await? {
                    return Ok(());
                }
            }
            // The first failure is the caller's to know; later ones are a gateway that restarts.
            Err(failure) if !connected => return Err(failure),
            Err(failure) => eprintln!("{failure}"),
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

struct Follower {
    left: Option<u64>,
    last_id: Option<String>,
}

impl Follower {
    /// Prints events until the stream breaks. Answers whether as many were printed as were wanted.
    async fn follow(&mut self, mut response: reqwest::Response) -> Result<bool, Failure> {
        let mut pending = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.windows(2).position(|pair| pair == b"\n\n") {
                let frame: Vec<u8> = pending.drain(..end + 2).collect();
                if self.take(&String::from_utf8_lossy(&frame))? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn take(&mut self, frame: &str) -> Result<bool, Failure> {
        let field = |name: &str| {
            frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
        };
        let (id, name, data) = (field("id"), field("event"), field("data"));
        let Some(data) = data else { return Ok(false) };
        match id {
            Some(id) => self.last_id = Some(id),
            None => {
                eprintln!("{}: {data}", name.unwrap_or_default());
                return Ok(false);
            }
        }
        output::line(data)?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            return Ok(*left == 0);
        }
        Ok(false)
    }
}
