//! `roster check`, `roster upload` and `roster retry`.

use std::path::Path;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::Value;
use tokio::{fs::File, io::AsyncReadExt};

use crate::{
    api::{Api, query},
    arguments::{OnDuplicate, OnInvalid, RetryOptions, RosterCommand, RosterOptions},
    failure::Failure,
};

/// Bytes of a file that are read at once.
const CHUNK: usize = 64 * 1024;
/// Most refused entries that are shown.
const REJECTIONS_SHOWN: usize = 20;

/// Checks or uploads a roster.
pub async fn run(command: RosterCommand) -> Result<(), Failure> {
    match command {
        RosterCommand::Check(options) => send(&options, true).await,
        RosterCommand::Upload(options) => send(&options, false).await,
        RosterCommand::Retry(options) => retry(&options).await,
    }
}

async fn retry(options: &RetryOptions) -> Result<(), Failure> {
    let api = Api::new(&options.gateway)?;
    let path = format!("/v1/rosters/{}/retry", outdial_gateway::encode_path_segment(&options.id));
    let request = prepare(api.request(Method::POST, &path), options.responds_async, &options.idempotency_key);
    show(&api.send(request).await?.json().await?);
    Ok(())
}

/// Puts what an upload and a retry have in common on a request.
fn prepare(request: RequestBuilder, responds_async: bool, key: &Option<String>) -> RequestBuilder {
    let key = key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    eprintln!("Idempotency-Key {key}: give it again with --idempotency-key to repeat this safely.");
    let request = request.header("idempotency-key", key);
    if responds_async { request.header("prefer", "respond-async") } else { request }
}

async fn send(options: &RosterOptions, dry_run: bool) -> Result<(), Failure> {
    let api = Api::new(&options.gateway)?;
    let content_type = content_type(options)?;
    let on_invalid = if options.on_invalid == OnInvalid::Skip { "skip" } else { "reject" };
    let on_duplicate = match options.on_duplicate {
        OnDuplicate::Reject => "reject",
        OnDuplicate::Skip => "skip",
        OnDuplicate::Allow => "allow",
    };
    let mut pairs = vec![("on_invalid", on_invalid), ("on_duplicate", on_duplicate)];
    if dry_run {
        pairs.push(("dry_run", "true"));
    }
    let encode = outdial_gateway::encode_path_segment;
    let (account, campaign) = (encode(&options.account), encode(&options.campaign));
    let path = format!("/v1/accounts/{account}/campaigns/{campaign}/rosters{}", query(&pairs));
    let mut request = api.request(Method::POST, &path).header("content-type", content_type);
    if !dry_run {
        request = prepare(request, options.responds_async, &options.idempotency_key);
    }
    let (body, bar) = open(&options.file).await?;
    let response = api.send(request.body(body)).await;
    bar.finish_and_clear();
    show(&response?.json().await?);
    Ok(())
}

fn content_type(options: &RosterOptions) -> Result<String, Failure> {
    let ending = options.file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let header = if options.header_absent { "; header=absent" } else { "" };
    let charset = &options.charset;
    match ending.to_ascii_lowercase().as_str() {
        "json" => Ok("application/json".to_owned()),
        "ndjson" | "jsonl" => Ok(format!("application/x-ndjson; charset={charset}")),
        "csv" => Ok(format!("text/csv; charset={charset}{header}")),
        "txt" | "dat" => Ok(format!("text/csv; charset={charset}; header=absent")),
        _ => Err(Failure::new("the file ends in none of .csv, .txt, .dat, .ndjson, .jsonl and .json")),
    }
}

/// A file as a body, with a bar that shows how much of it was sent. The bar is hidden where nobody sees it.
async fn open(path: &Path) -> Result<(Body, ProgressBar), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    let file = File::open(path).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    let sent = bar.clone();
    let chunks = futures_util::stream::unfold(file, move |mut file| {
        let sent = sent.clone();
        async move {
            let mut chunk = vec![0; CHUNK];
            match file.read(&mut chunk).await {
                Ok(0) => None,
                Ok(read) => {
                    chunk.truncate(read);
                    sent.inc(u64::try_from(read).unwrap_or(0));
                    Some((Ok(Bytes::from(chunk)), file))
                }
                Err(error) => Some((Err(error), file)),
            }
        }
    });
    Ok((Body::wrap_stream(chunks), bar))
}

/// Shows a receipt.
pub fn show(roster: &Value) {
    let text = |name: &str| roster[name].as_str().unwrap_or("-").to_owned();
    println!("roster    {}", text("id"));
    println!("status    {}", text("status"));
    for name in ["received", "accepted", "rejected"] {
        println!("{name:<9} {}", roster[name]);
    }
    for part in roster["parts"].as_array().into_iter().flatten() {
        let word = |name: &str| part[name].as_str().unwrap_or("-");
        println!(
            "part {:<4} {:<4} {:>7} entries {:>10} bytes  {}",
            part["n"],
            word("form"),
            part["entries"],
            part["bytes"],
            word("status")
        );
    }
    let is_refused = |part: &Value| part["status"] == "refused";
    if roster["parts"].as_array().is_some_and(|parts| parts.iter().any(is_refused)) {
        println!("retry     outdial roster retry {}", text("id"));
    }
    let rejections = roster["rejections"].as_array().cloned().unwrap_or_default();
    for rejection in rejections.iter().take(REJECTIONS_SHOWN) {
        let place = match &rejection["line"] {
            Value::Number(line) => format!("line {line}"),
            _ => format!("entry {}", rejection["index"]),
        };
        println!("refused   {place}: {}", rejection["detail"].as_str().unwrap_or_default());
    }
    if rejections.len() > REJECTIONS_SHOWN {
        println!("refused   … {} in all", roster["rejections_total"]);
    }
}
