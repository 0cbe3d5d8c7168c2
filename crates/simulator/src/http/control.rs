//! The control over HTTP: `/_sim/*`. JSON both ways; a mistake is answered 4xx with `{"error"}`.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /_sim/stats` | | [`Stats`](crate::Stats) |
//! | `GET /_sim/uploads` | | array of [`Upload`](crate::Upload) |
//! | `GET /_sim/calls` | | array of ICSOC call ids |
//! | `GET /_sim/searches` | | array of [`SearchSeen`](crate::SearchSeen) |
//! | `POST /_sim/faults` | [`Faults`](crate::Faults) | `{"ok":true}` |
//! | `POST /_sim/push-urls` | `{"wellcloud"?: string\|null, "icsoc"?: string\|null}`; left out: as it was | `{"ok":true}` |
//! | `POST /_sim/seed-calls` | `{"count": int}` | `{"calls": [call id]}` |
//! | `POST /_sim/push-again` | `{"call_id": string}` | `{"ok":true}`, or 404 |
//! | `POST /_sim/flush-hour` | | `{"records": int}` queued |
//! | `POST /_sim/expire-tokens` | | `{"ok":true}` |

use std::sync::Arc;

use actix_web::http::Method;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::json;

use super::{Call, Reply};
use crate::{control::Control, world::World};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PushUrls {
    #[serde(default, deserialize_with = "present")]
    wellcloud: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    icsoc: Option<Option<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedCalls {
    count: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PushAgain {
    call_id: String,
}

/// Tells a member that is null from one that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Answers a control request.
pub(crate) fn answer(world: &Arc<World>, call: &Call) -> Reply {
    let control = Control::new(world.clone());
    let expected = match call.tail.as_str() {
        "stats" | "uploads" | "calls" | "searches" => Method::GET,
        "faults" | "push-urls" | "seed-calls" | "push-again" | "flush-hour" | "expire-tokens" => Method::POST,
        _ => return mistake(404, "no such control"),
    };
    if call.method != expected {
        return mistake(405, &format!("{expected} expected"));
    }
    carry_out(world, &control, call).unwrap_or_else(|reply| reply)
}

fn carry_out(world: &World, control: &Control, call: &Call) -> Result<Reply, Reply> {
    let done = Reply::value(200, &json!({"ok": true}));
    Ok(match call.tail.as_str() {
        "stats" => Reply::value(200, &control.stats()),
        "uploads" => Reply::value(200, &control.uploads()),
        "calls" => Reply::value(200, &control.call_ids()),
        "searches" => Reply::value(200, &control.searches()),
        "faults" => match control.set_faults(read(call)?) {
            true => done,
            false => return Err(mistake(409, "too many scopes of faults")),
        },
        "push-urls" => {
            let urls: PushUrls = read(call)?;
            if let Some(url) = urls.wellcloud {
                world.wellcloud.pusher.set_url(url);
            }
            if let Some(url) = urls.icsoc {
                world.icsoc.pusher.set_url(url);
            }
            done
        }
        "seed-calls" => {
            let SeedCalls { count } = read(call)?;
            Reply::value(200, &json!({"calls": control.seed_calls(count)}))
        }
        "push-again" => {
            let PushAgain { call_id } = read(call)?;
            match control.push_icsoc_again(&call_id) {
                true => done,
                false => return Err(mistake(404, "no such call, or no push URL")),
            }
        }
        "flush-hour" => Reply::value(200, &json!({"records": control.flush_hour()})),
        "expire-tokens" => {
            control.expire_tokens();
            done
        }
        _ => return Err(mistake(404, "no such control")),
    })
}

fn read<T: DeserializeOwned>(call: &Call) -> Result<T, Reply> {
    serde_json::from_slice(&call.body).map_err(|error| mistake(400, &error.to_string()))
}

fn mistake(status: u16, error: &str) -> Reply {
    Reply::value(status, &json!({"error": error}))
}
