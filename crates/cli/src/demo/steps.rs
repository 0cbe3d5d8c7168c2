//! The steps of the demo, in order.

use std::time::Duration;

use outdial_simulator::{Faults, Vendor};
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::setup::Running;
use crate::{
    api::Api, arguments::GatewayOptions, failure::Failure, records::print_record,
    rosters::show as show_roster, token::now,
};

/// ICSOC calls that only the search knows.
const SEARCHED_CALLS: usize = 120;
/// ICSOC calls that are pushed.
const PUSHED_CALLS: usize = 80;
/// Records of one page of the walk.
const PAGE: usize = 50;
/// Hours of the vendor that the demo lets pass: the first attempt and two more.
const HOURS: usize = 6;
/// Every so-many-th result of the first hour is broken, so that the quarantine has something to show.
const BROKEN_EVERY: u32 = 1_000;
/// How long to wait for the last event.
const EVENTS_LIMIT: Duration = Duration::from_secs(20);

/// The demo's steps over a running gateway.
pub struct Steps<'a> {
    /// The gateway and the vendors.
    pub running: &'a Running,
    /// A client of the gateway.
    pub api: Api,
    /// The campaign of this start.
    pub campaign: String,
    entries: u32,
}

/// What the follower of the stream counted.
#[derive(Clone, Copy, Default)]
pub struct EventCounts {
    created: u64,
    updated: u64,
    rosters: u64,
}

impl<'a> Steps<'a> {
    /// Prepares the steps.
    pub fn begin(running: &'a Running, entries: u32) -> Result<Self, Failure> {
        let options = GatewayOptions { url: running.api_url(), token: running.token.clone() };
        let api = Api::new(&options)?;
        // Every start has a campaign of its own, so that its numbers add up by themselves.
        let campaign = format!("demo{}", now().as_secs());
        Ok(Self { running, api, campaign, entries })
    }

    fn heading(title: &str) {
        println!("\n── {title} {}", "─".repeat(76_usize.saturating_sub(title.chars().count())));
    }

    fn repeat(&self, line: &str) {
        let url = self.running.api_url();
        println!("   $ curl -sS -H \"Authorization: Bearer $TOKEN\" {}", line.replace("{url}", &url));
    }

    /// Says what runs where, and gives the token.
    pub async fn introduce(&self) -> Result<(), Failure> {
        Self::heading("Outdial");
        println!(
            "API      {}   (the contract for people: {}/docs)",
            self.running.api_url(),
            self.running.api_url()
        );
        println!("metrics  {}/metrics", self.running.admin_url());
        println!(
            "vendors  {}   (simulated; what they did: {}/_sim/stats)",
            self.running.vendors_url(),
            self.running.vendors_url()
        );
        println!("\nA token for everything, for twelve hours:\n");
        println!("export TOKEN={}", self.running.token);
        Self::heading("1. The accounts");
        let accounts = self.api.get("/v1/accounts").await?;
        for account in accounts["data"].as_array().into_iter().flatten() {
            let text = |name: &str| account[name].as_str().unwrap_or("-");
            let can: Vec<&str> = account["capabilities"]
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(_, can)| can.as_bool() == Some(true))
                .map(|(name, _)| name.as_str())
                .collect();
            println!("{:<8} {:<10} {:<4} {}", text("id"), text("vendor"), text("state"), can.join(", "));
        }
        self.repeat("{url}/v1/accounts");
        Ok(())
    }

    /// Follows the stream of events in the background from now on.
    pub fn follow_events(&self) -> JoinHandle<EventCounts> {
        let api = self.api.clone();
        let campaign_events = api.request(Method::GET, "/v1/events").header("accept", "text/event-stream");
        #[expect(
            clippy::disallowed_methods,
            reason = "the demo has no tracker; it waits for this task itself"
        )]
        tokio::spawn(async move {
            let mut counts = EventCounts::default();
            let Ok(mut stream) = api.send(campaign_events).await else { return counts };
            let mut pending = String::new();
            // The demo says when no more events come; a silent stream ends the count.
            while let Ok(Ok(Some(chunk))) = tokio::time::timeout(Duration::from_secs(2), stream.chunk()).await
            {
                pending.push_str(&String::from_utf8_lossy(&chunk));
                while let Some(end) = pending.find('\n') {
                    let line: String = pending.drain(..=end).collect();
                    match line.trim_end().strip_prefix("event: io.outdial.") {
                        Some("call-record.created") => counts.created += 1,
                        Some("call-record.updated") => counts.updated += 1,
                        Some(other) if other.starts_with("roster.") => counts.rosters += 1,
                        _ => {}
                    }
                }
            }
            counts
        })
    }

    /// Uploads the sample roster and shows the receipt.
    pub async fn upload_roster(&self) -> Result<(), Failure> {
        Self::heading("2. A roster goes up");
        let path = format!("/v1/accounts/wc-demo/campaigns/{}/rosters", self.campaign);
        let request = self
            .api
            .request(Method::POST, &path)
            .header("content-type", "text/csv")
            .header("idempotency-key", format!("{}-roster", self.campaign))
            .body(sample_roster(self.entries));
        let roster: Value = self.api.send(request).await?.json().await?;
        show_roster(&roster);
        self.repeat(&format!("-X POST -H 'Content-Type: text/csv' --data-binary @roster.csv {{url}}{path}"));
        let id = roster["id"].as_str().unwrap_or_default();
        self.repeat(&format!("{{url}}/v1/rosters/{id}"));
        Ok(())
    }

    /// Lets the vendors dial and push.
    pub async fn receive_pushes(&self) -> Result<(), Failure> {
        Self::heading("3. The vendors call and push what came of it");
        let control = self.running.control();
        control.seed_calls(SEARCHED_CALLS);
        let running = self.running;
        control.set_push_urls(Some(running.wellcloud_push_url.clone()), Some(running.icsoc_push_url.clone()));
        control.set_faults(Faults {
            vendor: Some(Vendor::Wellcloud),
            duplicate_pushes: true,
            broken_rows: BROKEN_EVERY,
            ..Faults::default()
        });
        for hour in 1..=HOURS {
            let results = control.flush_hour();
            if hour == 1 {
                control.seed_calls(PUSHED_CALLS);
            }
            control.settled().await;
            let note = if hour == 1 { ", each push twice, and some results broken on purpose" } else { "" };
            println!("hour {hour}: {results} results of WellCloud{note}");
            control.set_faults(Faults::default());
            if control.stats().wellcloud.held == 0 {
                break;
            }
        }
        println!(
            "ICSOC: {PUSHED_CALLS} calls pushed, signed and encrypted; {SEARCHED_CALLS} more are left to its search"
        );
        println!("   $ curl -sS {}/metrics | grep outdial_push", self.running.admin_url());
        Ok(())
    }

    /// Walks ICSOC's search page by page.
    pub async fn walk_search(&self) -> Result<(), Failure> {
        Self::heading("4. A walk through ICSOC's search");
        let first = format!("/v1/call-records?account=ic-demo&source=vendor&limit={PAGE}");
        let mut cursor: Option<String> = None;
        let (mut pages, mut records) = (0, 0);
        loop {
            let path = match &cursor {
                Some(cursor) => format!("{first}&cursor={cursor}"),
                None => first.clone(),
            };
            let page = self.api.get(&path).await?;
            pages += 1;
            records += page["data"].as_array().map_or(0, Vec::len);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        println!("{records} records on {pages} pages; the marks of the vendor stay behind our cursor");
        self.repeat(&format!("'{{url}}{first}'"));
        println!(
            "the gateway walks it by itself every five minutes, and says which hours are proved to be whole:"
        );
        self.repeat("{url}/v1/accounts/ic-demo/coverage");
        Ok(())
    }

    /// Shows records of both vendors in one list.
    pub async fn list_records(&self) -> Result<(), Failure> {
        Self::heading("5. Both vendors in one list, newest first");
        let path = "/v1/call-records?source=store&disposition=connected&limit=8";
        let page = self.api.get(path).await?;
        page["data"].as_array().into_iter().flatten().try_for_each(print_record)?;
        self.repeat(&format!("'{{url}}{path}'"));
        self.repeat("-H 'Accept: text/csv' '{url}/v1/call-records?source=store' > records.csv");
        Ok(())
    }

    /// Shows what the follower counted.
    pub async fn show_events(&self, follower: JoinHandle<EventCounts>) -> Result<(), Failure> {
        Self::heading("6. The events, as every service can follow them");
        let counted = tokio::time::timeout(EVENTS_LIMIT, follower).await;
        let counts =
            counted.ok().and_then(Result::ok).ok_or_else(|| Failure::new("the stream did not end"))?;
        let EventCounts { created, updated, rosters } = counts;
        println!(
            "followed live: {created} call-record.created, {updated} call-record.updated, {rosters} roster events"
        );
        self.repeat("-N -H 'Accept: text/event-stream' '{url}/v1/events?after=0'");
        self.repeat(&format!("'{{url}}/v1/events?campaign_id={}&limit=5'", self.campaign));
        println!("or sent to a service that listens, signed, such as one at port 9000:");
        self.repeat(
            "-X POST -H 'Content-Type: application/json' --data '{\"url\":\"http://127.0.0.1:9000/\"}' {url}/v1/subscriptions",
        );
        Ok(())
    }

    /// Shows what could not be read.
    pub async fn show_quarantine(&self) -> Result<(), Failure> {
        Self::heading("7. The quarantine: authentic, but unreadable");
        let page = self.api.get("/v1/quarantine?limit=3").await?;
        for item in page["data"].as_array().into_iter().flatten() {
            let reason = &item["reason"];
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            println!(
                "{}  {}  {}: {}",
                text(&item["id"]),
                text(&item["account"]),
                text(&reason["code"]),
                text(&reason["detail"])
            );
        }
        self.repeat("{url}/v1/quarantine");
        Ok(())
    }
}

/// A roster of names and ages; every fiftieth entry has an agent and so travels by the vendor's other form.
fn sample_roster(entries: u32) -> String {
    let names = ["张三", "李四", "王五", "赵六", "孙七", "周八"];
    let mut text =
        String::from("entry_id,number,product_type,agent,customer_id,user_data.name,user_data.age\n");
    for (n, name) in (1..=entries).zip(names.iter().cycle()) {
        let number = 13_300_000_000_u64 + u64::from(n);
        let (agent, user_data) = if n % 50 == 0 {
            ("5902@ocm.test", ",".to_owned())
        } else {
            ("", format!("{name},{}", 20 + n % 50))
        };
        text.push_str(&format!("entry-{n},{number},6666,{agent},customer-{n},{user_data}\n"));
    }
    text
}
