//! Delivers events to the receiver at WEBHOOK_URL as the gateway does, for readers that are not ours: one event, a list of
//! them, one event while two secrets are alive, and one by a secret that was made here. Writes a line of JSON for each path
//! with the secrets and the number of deliveries and events that are to be found there.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Write},
    sync::Arc,
};

use outdial_core::{
    Clock, EventData, EventDraft, Position, RosterEvent, SystemClock, VendorId, event_type::ROSTER_ACCEPTED,
};
use outdial_gateway::{
    delivery::{
        sender::{Form, Outgoing, Sender},
        signature::{SigningKey, generate_secret},
        target::Target,
    },
    egress::{AllowEntry, Egress, EgressConfig},
};
use serde_json::json;

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The longest there is: 64 bytes.
const NEW: &str =
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";

fn event(number: u64) -> Result<(String, String), Box<dyn Error>> {
    let draft = EventDraft {
        id: format!("evt_{number:032x}"),
        event_type: ROSTER_ACCEPTED.to_owned(),
        account: Some("wc-1".parse()?),
        vendor: Some(VendorId::new("wellcloud")),
        campaign_id: Some("秋季回访".to_owned()),
        subject: format!("ros_{number}"),
        time: SystemClock.now(),
        occurred_at: None,
        data: EventData::Roster(RosterEvent {
            roster_id: format!("ros_{number}"),
            campaign_id: "秋季回访".to_owned(),
            attempt: 1,
            status: "accepted".to_owned(),
            received: number,
            accepted: number,
            rejected: 0,
        }),
    };
    let text = draft.to_json(Position(1_700_000_000_000_000 + number))?;
    Ok((draft.id, text))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let receiver = std::env::var("WEBHOOK_URL")?;
    let egress = Arc::new(Egress::new(&EgressConfig { allow: vec![AllowEntry::parse("127.0.0.1")?] }));
    let sender = Sender::start(1, Arc::clone(&egress), std::time::Duration::from_secs(15))?;
    let generated = generate_secret()?;
    let (first, one) = event(1)?;
    let list = [event(2)?.1, event(3)?.1, event(4)?.1].join(",");
    for (path, id, form, body, secrets, events) in [
        ("/one", first.as_str(), Form::Event, one.clone(), vec![OLD], 1),
        ("/batch", "dlv_batch", Form::Batch, format!("[{list}]"), vec![OLD], 3),
        ("/rotated", &first, Form::Event, one.clone(), vec![NEW, OLD], 1),
        ("/generated", &first, Form::Event, one, vec![&generated], 1),
    ] {
        let target = Target::new(&egress, "sub_1", &format!("{receiver}{path}?of=tests"), &BTreeMap::new())?;
        let keys = secrets.iter().map(|text| SigningKey::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let outgoing = Outgoing { id, body: body.into(), form, keys: &keys };
        let sent = sender.send(&target, outgoing, SystemClock.now()).await;
        if sent.error.is_some() {
            return Err(format!("{path}: {sent:?}").into());
        }
        let expected = json!({ "path": path, "secrets": secrets, "deliveries": 1, "events": events });
        writeln!(io::stdout(), "{expected}")?;
    }
    Ok(())
}
