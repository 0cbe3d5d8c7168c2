//! How fast a roster file is read, validated and encoded for the vendor, beside what only splitting it into lines and
//! fields takes on the same core in the same run.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to a person and may stop")]

use std::{hint::black_box, time::Instant};

use outdial_core::Vendor;
use outdial_gateway::{
    config::{Config, FixedEnvironment},
    rosters::{Format, Intake, Options, Reader},
};

const ROWS: usize = 180_000;
const ROUNDS: usize = 15;
const CHUNK: usize = 64 * 1024;

const CONFIG: &str = r#"
[[auth.issuers]]
issuer = "bench"
audience = "bench"
hs256_secret = "0123456789abcdef0123456789abcdef"
[[accounts]]
id = "wc"
vendor = "wellcloud"
token = "bench"
push_token = "0123456789abcdef"
"#;

/// About ten megabytes: an id, a number, a product type, a customer id and a name.
fn csv() -> Vec<u8> {
    let mut text = String::from("entry_id,number,product_type,customer_id,user_data.name\n");
    for n in 0..ROWS {
        text.push_str(&format!("entry-{n:07},139{n:08},6666,customer-{n:06},张三{n:04}\n"));
    }
    text.into_bytes()
}

/// WellCloud's own columns.
fn columns() -> Vec<u8> {
    let mut text = String::new();
    for n in 0..ROWS {
        text.push_str(&format!("entry-{n:07},6666,139{n:08},customer-{n:06},name:张三{n:04}\n"));
    }
    text.into_bytes()
}

fn encode(vendor: &dyn Vendor, content_type: &str, body: &[u8]) -> u64 {
    let encoder = vendor.roster_encoder("campaign").unwrap();
    let mut intake = Intake::new(encoder, Options::default(), 1_000_000);
    let mut reader = Reader::new(Format::parse(Some(content_type), None).unwrap());
    for chunk in body.chunks(CHUNK) {
        reader.feed(chunk, &mut intake).unwrap();
    }
    reader.finish(&mut intake).unwrap();
    let prepared = intake.finish().unwrap();
    assert_eq!(prepared.received, u64::try_from(ROWS).unwrap());
    prepared.parts.iter().map(|part| part.bytes).sum()
}

/// The floor: UTF-8 checked, lines and fields found, nothing done with them.
fn split_only(body: &[u8]) -> usize {
    let text = std::str::from_utf8(body).unwrap();
    text.lines().map(|line| line.split(',').count()).sum()
}

/// The median of some rounds, in seconds.
fn median(mut run: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[ROUNDS / 2]
}

fn main() {
    let config = Config::parse(CONFIG, &FixedEnvironment::default()).unwrap();
    let account = config.accounts.get("wc").unwrap();
    println!("| roster of {ROWS} rows, one core | MB/s | of splitting only |");
    println!("|---|---:|---:|");
    for (name, content_type, body) in [
        ("CSV with a header", "text/csv", csv()),
        ("WellCloud's columns", "text/csv; header=absent", columns()),
    ] {
        let megabytes = f64::from(u32::try_from(body.len()).unwrap()) / 1e6;
        let floor = median(|| {
            black_box(split_only(black_box(&body)));
        });
        let ours = median(|| {
            black_box(encode(&*account.vendor, content_type, black_box(&body)));
        });
        println!("| {name}, {megabytes:.1} MB | {:.0} | {:.2} |", megabytes / ours, floor / ours);
    }
}
