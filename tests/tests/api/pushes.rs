//! From a vendor's push to records and events: nothing is lost, nothing comes twice, and the sums are right.

use std::collections::{BTreeMap, BTreeSet};

use outdial_simulator::{Faults, Generation};
use outdial_tests::{
    gateway::TestGateway,
    on_every_store,
    schema::assert_fits,
    secrets::number,
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
    waiting::{eventually, soon},
};
use serde_json::{Value, json};

use crate::{
    bodies::{call, envelope, head, reset, result, results},
    pages::{events, quarantined, record_events, stored},
    uploads::{CAMPAIGN, CSV, csv, summary, upload},
};

on_every_store!(
    hours_of_wellcloud_end_as_records_events_and_sums,
    calls_of_icsoc_end_as_records_and_events,
    ten_equal_pushes_make_one_event_each,
    what_changed_is_a_revision_and_what_is_missing_overwrites_nothing,
    what_is_known_stays_known_over_a_restart,
    every_record_of_a_body_ends_as_exactly_one_thing
);

/// Records by how they ended, as the metrics have them.
async fn counts(gateway: &TestGateway, account: &str) -> BTreeMap<&'static str, f64> {
    let account = format!("account=\"{account}\"");
    let mut counts = BTreeMap::new();
    for result in ["stored", "duplicate", "quarantined", "refused"] {
        let labels = [account.as_str(), &format!("result=\"{result}\"")];
        counts.insert(result, gateway.metric("outdial_push_records_total", &labels).await);
    }
    counts
}

fn sum(object: &Value) -> u64 {
    object.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

async fn hours_of_wellcloud_end_as_records_events_and_sums(store: Backend) {
    const ENTRIES: usize = 600;
    let setup = Setup::new(store).vendors(|vendors| vendors.wellcloud.dialled_share = 0.8);
    let gateway = TestGateway::start(setup).await;
    upload(&gateway.client(), "", CSV, csv(ENTRIES)).await.expect(201);
    gateway.connect_pushes();
    let mut pushed = 0;
    for _ in 0..4 {
        pushed += gateway.control().flush_hour();
        soon("the hour is pushed", gateway.control().settled()).await;
    }
    let stats = gateway.control().stats().wellcloud;
    assert_eq!((stats.push.refused, stats.held), (0, 0));

    let records = stored(&gateway).await;
    assert_eq!(records.len(), pushed);
    let ids: BTreeSet<&str> = records.iter().filter_map(|record| record["id"].as_str()).collect();
    assert_eq!(ids.len(), pushed, "no record twice");
    for record in &records {
        let entry = record["roster_entry_id"].as_str().unwrap();
        let index = entry.strip_prefix("e-").unwrap().parse().unwrap();
        assert_eq!(record["called"], number(index), "the number that WellCloud leaves out is the entry's");
        assert_eq!((&record["campaign_id"], &record["revision"]), (&json!(CAMPAIGN), &json!(1)));
    }

    let events = record_events(&gateway).await;
    let subjects: BTreeSet<&str> = events.iter().filter_map(|event| event["subject"].as_str()).collect();
    let call_ids: BTreeSet<&str> = records.iter().filter_map(|record| record["call_id"].as_str()).collect();
    assert_eq!((events.len(), &subjects), (pushed, &call_ids), "one event each");

    let entries_of = |records: &mut dyn Iterator<Item = &Value>| -> BTreeSet<String> {
        records.map(|record| record["roster_entry_id"].as_str().unwrap().to_owned()).collect()
    };
    let with_result = entries_of(&mut records.iter());
    let dialled = entries_of(&mut records.iter().filter(|record| record["disposition"] != "not_dialled"));
    let sums = summary(&gateway).await;
    let entries = json!({
        "uploaded": ENTRIES, "with_result": with_result.len(), "dialled": dialled.len(), "waiting": stats.waiting,
    });
    assert_eq!(sums["entries"], entries);
    assert_eq!(with_result.len() + usize::try_from(stats.waiting).unwrap(), ENTRIES);
    let total = u64::try_from(pushed).unwrap();
    let counted: u64 =
        sums["counts"].as_array().unwrap().iter().map(|count| count["records"].as_u64().unwrap()).sum();
    assert_eq!((sums["records"].as_u64(), counted), (Some(total), total));
    assert_eq!((sum(&sums["by_outcome"]), sum(&sums["by_round"])), (total, total));
    assert!(sums["by_round"]["3"].as_u64() > Some(0), "some were called three times: {sums:#}");
    let counts = counts(&gateway, WELLCLOUD).await;
    assert_eq!(counts.values().sum::<f64>(), f64::from(u32::try_from(pushed).unwrap()));
    gateway.finish().await;
}

async fn calls_of_icsoc_end_as_records_and_events(store: Backend) {
    for encrypt in [false, true] {
        let setup = Setup::new(store).vendors(|vendors| {
            vendors.icsoc.calls = 0;
            vendors.icsoc.encrypt = encrypt;
        });
        let gateway = TestGateway::start(setup).await;
        gateway.connect_pushes();
        let calls: BTreeSet<String> = gateway.control().seed_calls(40).into_iter().collect();
        soon("the calls are pushed", gateway.control().settled()).await;
        let stats = gateway.control().stats().icsoc.push;
        assert_eq!((stats.records_acknowledged, stats.refused), (40, 0), "encrypt: {encrypt}");
        let records = stored(&gateway).await;
        let found: BTreeSet<String> =
            records.iter().map(|record| record["call_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!((records.len(), found), (40, calls));
        assert!(records.iter().all(|record| record["received_via"] == "push" && record["account"] == ICSOC));
        assert_eq!(record_events(&gateway).await.len(), 40);
        let account = gateway.client().read("/v1/accounts/ic-1").await;
        assert!(account["last_push_at"].is_string(), "{account:#}");
        gateway.finish().await;
    }
}

async fn ten_equal_pushes_make_one_event_each(store: Backend) {
    const RECORDS: usize = 100;
    let gateway = TestGateway::start(Setup::new(store)).await;
    let mut pushes = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (url, body) = (gateway.push_url(WELLCLOUD), results(RECORDS));
        pushes.spawn(async move {
            let request = outdial_tests::client::http_client().post(url).body(body);
            request.send().await.unwrap().json::<Value>().await.unwrap()
        });
    }
    let (mut stored_count, mut duplicates) = (0, 0);
    for reply in pushes.join_all().await {
        assert_eq!((&reply["code"], &reply["quarantined"]), (&json!(0), &json!(0)));
        stored_count += reply["stored"].as_u64().unwrap();
        duplicates += reply["duplicate"].as_u64().unwrap();
    }
    assert_eq!(stored_count + duplicates, 1_000);
    // A Redis that answers too late is asked again, and then says that it has the record already.
    assert!(
        stored_count == 100 || store == Backend::Redis && stored_count < 100,
        "{stored_count} were stored"
    );
    let events = record_events(&gateway).await;
    assert_eq!(events.len(), RECORDS);
    assert!(events.iter().all(|event| event["type"] == "io.outdial.call-record.created"));
    assert!(stored(&gateway).await.iter().all(|record| record["revision"] == 1));
    gateway.finish().await;
}

async fn what_changed_is_a_revision_and_what_is_missing_overwrites_nothing(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let first = result(7);
    let mut changed = first.clone();
    changed["state"] = json!(-3);
    changed["msg"] = json!(-3);
    changed["failMsg"] = json!("线路异常");
    let mut shorter = changed.clone();
    shorter.as_object_mut().unwrap().remove("agent");
    let mut replies = Vec::new();
    for body in [&first, &first, &changed, &changed, &shorter, &shorter] {
        let reply = gateway.push(WELLCLOUD, json!([body]).to_string()).await;
        replies.push((reply.body["stored"].as_u64().unwrap(), reply.body["duplicate"].as_u64().unwrap()));
    }
    assert_eq!(replies, [(1, 0), (0, 1), (1, 0), (0, 1), (1, 0), (0, 1)]);
    let record = gateway.client().read(&format!("/v1/call-records/{WELLCLOUD}/call-00007")).await;
    assert_eq!((&record["revision"], &record["agent"]["id"]), (&json!(3), &json!("5902@ocm.test")));
    assert_eq!(record["vendor_codes"]["outcome"], "-3");
    let events = record_events(&gateway).await;
    let seen: Vec<(&str, u64)> = events
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["data"]["revision"].as_u64().unwrap()))
        .collect();
    let (created, updated) = ("io.outdial.call-record.created", "io.outdial.call-record.updated");
    assert_eq!(seen, [(created, 1), (updated, 2), (updated, 3)]);
    let ids: BTreeSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), 3);
    gateway.finish().await;
}

async fn what_is_known_stays_known_over_a_restart(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let before = gateway.push(WELLCLOUD, results(50)).await.body;
    assert_eq!(before["stored"], 50);
    gateway.push(ICSOC, envelope("1", &call("6811535818021285888"))).await;
    let (records, known) = (stored(&gateway).await, events(&gateway).await);
    let gateway = gateway.restart().await;
    assert_eq!((stored(&gateway).await, events(&gateway).await), (records, known.clone()));
    // What this process has not seen itself, it learns from the store.
    for account in [WELLCLOUD, ICSOC] {
        let label = format!("account=\"{account}\"");
        eventually("the last push is known again", async || {
            let (_, text) = gateway.ask_admin("/metrics").await;
            let mut lines = text.lines().filter(|line| line.contains(&label));
            lines.find(|line| line.starts_with("outdial_last_push_age_seconds{")).map(str::to_owned)
        })
        .await;
        let shown = gateway.client().read(&format!("/v1/accounts/{account}")).await;
        assert!(shown["last_push_at"].is_string(), "{account}");
    }
    let again = gateway.push(WELLCLOUD, results(51)).await.body;
    assert_eq!((&again["stored"], &again["duplicate"]), (&json!(1), &json!(50)));
    gateway.push(ICSOC, envelope("1", &call("6811535818021285888"))).await;
    assert_eq!(events(&gateway).await.len(), known.len() + 1);
    gateway.finish().await;
}

/// received = stored + duplicate + quarantined + refused, whatever the vendors send.
async fn every_record_of_a_body_ends_as_exactly_one_thing(store: Backend) {
    let setup = Setup::new(store).vendors(|vendors| {
        vendors.wellcloud.generation = Generation::New;
        vendors.icsoc.calls = 0;
    });
    let gateway = TestGateway::start(setup).await;
    upload(&gateway.client(), "", CSV, csv(1_500)).await.expect(201);
    gateway.connect_pushes();
    gateway.control().set_faults(Faults {
        duplicate_pushes: true,
        reorder_pushes: true,
        broken_rows: 7,
        ..Faults::default()
    });
    let mut pushed = 0;
    for _ in 0..3 {
        pushed += gateway.control().flush_hour();
        soon("the hour is pushed", gateway.control().settled()).await;
    }
    let calls = gateway.control().seed_calls(35).len();
    soon("the calls are pushed", gateway.control().settled()).await;
    let stats = gateway.control().stats();
    assert_eq!((stats.wellcloud.push.refused, stats.icsoc.push.refused), (0, 0));

    for (account, sent, push) in
        [(WELLCLOUD, pushed, &stats.wellcloud.push), (ICSOC, calls, &stats.icsoc.push)]
    {
        let counts = counts(&gateway, account).await;
        let received = f64::from(u32::try_from(2 * sent).unwrap());
        assert_eq!(counts.values().sum::<f64>(), received, "{account}: {counts:?}");
        let records = stored(&gateway).await.iter().filter(|record| record["account"] == account).count();
        // A Redis that answers too late is asked again, and then says that it has the record already.
        let stored_once = f64::from(u32::try_from(records).unwrap());
        assert!(counts["stored"] == stored_once || store == Backend::Redis && counts["stored"] < stored_once);
        assert_eq!(u64::try_from(records).unwrap(), push.records_sent, "{account}");
        assert!(counts["quarantined"] > 0.0 && counts["refused"] == 0.0);
        let kept = quarantined(&gateway).await.iter().filter(|item| item["account"] == account).count();
        assert!(kept > 0 && f64::from(u32::try_from(kept).unwrap()) <= counts["quarantined"]);
    }
    let bodies = gateway.metric("outdial_push_bodies_total", &["result=\"taken\""]).await;
    let acknowledged = stats.wellcloud.push.acknowledged + stats.icsoc.push.acknowledged;
    assert_eq!(bodies, f64::from(u32::try_from(acknowledged).unwrap()));
    gateway.finish().await;
}

#[tokio::test]
async fn who_resets_the_connection_has_pushed_all_the_same() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let body = results(200);
    let request = head(&gateway.push_url(WELLCLOUD), body.len()) + &body;
    reset(gateway.push_port(), request.as_bytes()).await;
    // The reset may overtake the body; the vendor's next attempt then finds nothing or everything.
    let reply = gateway.push(WELLCLOUD, body).await.body;
    let taken = (reply["stored"].as_u64().unwrap(), reply["duplicate"].as_u64().unwrap());
    assert!([(200, 0), (0, 200)].contains(&taken), "{taken:?}");
    let records = eventually("all records are there", async || {
        Some(stored(&gateway).await).filter(|records| records.len() == 200)
    });
    assert_eq!(records.await.len(), record_events(&gateway).await.len());
    gateway.finish().await;
}

#[tokio::test]
async fn the_samples_of_the_documents_are_read() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    for name in ["wellcloud-result-push", "wellcloud-result-push-newer"] {
        let body = outdial_tests::repository::read(format!("tests/fixtures/{name}.sample.json"));
        let count = serde_json::from_str::<Vec<Value>>(&body).unwrap().len();
        let reply = gateway.push(WELLCLOUD, body).await;
        assert_eq!((reply.status, &reply.body["stored"]), (200, &json!(count)), "{name}");
    }
    for record in stored(&gateway).await {
        assert_fits("CallRecord", &record);
    }
    gateway.finish().await;
}
