//! The forms in which a roster may come, and what each of them cannot say.

use std::collections::BTreeSet;

use encoding_rs::GBK;
use outdial_simulator::UploadForm;
use outdial_tests::{
    gateway::TestGateway,
    on_every_store,
    secrets::number,
    setup::{Backend, Setup},
};
use serde_json::json;

use crate::uploads::{
    CAMPAIGN, COLUMNS, CSV, JSON, NDJSON, csv, kept, only_upload, summary, target, upload, upload_count,
    upload_entries,
};

on_every_store!(every_form_says_the_same, two_hundred_thousand_rows_arrive_once_each);

async fn start() -> TestGateway {
    TestGateway::start(Setup::new(Backend::Sqlite)).await
}

/// The media type and the body of a form with files.
fn form(files: &[(&str, &str, &str)]) -> (&'static str, String) {
    let mut body = String::new();
    for (disposition, content_type, text) in files {
        body.push_str(&format!(
            "--cut\r\nContent-Disposition: form-data; {disposition}\r\n{content_type}\r\n{text}\r\n"
        ));
    }
    ("multipart/form-data; boundary=cut", format!("{body}--cut--\r\n"))
}

async fn every_form_says_the_same(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let (first, second) = (number(1), number(2));
    let json_entries = format!(
        r#"{{"entry_id":"e-1","number":"{first}","product_type":"6666","customer_id":"c-1","user_data":{{"name":"张三","age":"26"}}}}
           {{"entry_id":"e-2","number":"{second}"}}"#
    );
    let lines: Vec<&str> = json_entries.lines().map(str::trim).collect();
    let rows = format!("e-1,6666,{first},c-1,name:张三|age:26\r\ne-2,,{second}\r\n");
    let table = format!(
        "number,entry_id,user_data.age,product_type,user_data.name,customer_id\n{first},e-1,26,6666,张三,c-1\n{second},e-2,,,,\n"
    );
    let (form_type, csv_form) = form(&[("name=\"any\"; filename=\"a.csv\"", "", &table)]);
    let (_, txt_form) =
        form(&[("name=\"file\"; filename=\"a.txt\"", "Content-Type: application/octet-stream\r\n", &rows)]);
    let forms = [
        (JSON, format!(r#"{{"entries":[{}]}}"#, lines.join(","))),
        (NDJSON, lines.join("\n")),
        (CSV, table.clone()),
        (CSV, table.replace('\n', "\r\n")),
        (COLUMNS, rows),
        (form_type, csv_form),
        (form_type, txt_form),
    ];
    for (at, (content_type, body)) in forms.into_iter().enumerate() {
        let answer = upload(&gateway.client(), "", content_type, body).await;
        let roster = answer.expect(201);
        assert_eq!((&roster["status"], &roster["accepted"]), (&json!("accepted"), &json!(2)), "form {at}");
        let location = format!("/v1/rosters/{}", roster["id"].as_str().unwrap());
        assert_eq!(answer.header("location"), Some(location.as_str()));
        assert_eq!(kept(&gateway.client(), &roster).await, roster);
    }
    let uploads = gateway.control().uploads();
    assert_eq!(uploads.len(), 7);
    let first_upload = &uploads[0];
    assert_eq!(first_upload.entry_ids, ["e-1", "e-2"]);
    assert_eq!(first_upload.numbers, [first, second]);
    assert_eq!(first_upload.details[0].user_data["name"], "张三");
    assert_eq!(first_upload.details[0].customer_id.as_deref(), Some("c-1"));
    let products: Vec<&str> = first_upload.details.iter().map(|entry| entry.product_type.as_str()).collect();
    assert_eq!(products, ["6666", "S"], "an entry without a product type gets the account's");
    for (at, upload) in uploads.iter().enumerate() {
        assert_eq!(upload.campaign, CAMPAIGN);
        assert_eq!(
            (&upload.entry_ids, &upload.numbers),
            (&first_upload.entry_ids, &first_upload.numbers),
            "{at}"
        );
        assert_eq!(upload.details, first_upload.details, "form {at}");
    }
    gateway.finish().await;
}

async fn two_hundred_thousand_rows_arrive_once_each(store: Backend) {
    const ROWS: usize = 200_000;
    let gateway = TestGateway::start(Setup::new(store)).await;
    let note = "n".repeat(60);
    let rows: String = (0..ROWS).map(|row| format!("entry-{row:07},{},{note}\n", number(row))).collect();
    let answer = upload(&gateway.client(), "", CSV, format!("entry_id,number,user_data.note\n{rows}")).await;
    let roster = answer.expect(201);
    assert_eq!(roster["accepted"], ROWS);
    let parts = roster["parts"].as_array().unwrap();
    assert!(parts.len() > 1, "{} bytes went in one part", parts[0]["bytes"]);
    assert!(parts.iter().all(|part| part["bytes"].as_u64().unwrap() <= 10_000_000), "{parts:?}");
    let uploads = gateway.control().uploads();
    assert_eq!(uploads.len(), parts.len());
    for (upload, part) in uploads.iter().zip(parts) {
        assert!(upload.taken && part["status"] == "accepted");
        assert_eq!(
            (part["entries"].as_u64(), part["bytes"].as_u64()),
            (u64::try_from(upload.count).ok(), u64::try_from(upload.bytes).ok(),)
        );
    }
    let sent: Vec<(&String, &String)> =
        uploads.iter().flat_map(|upload| upload.entry_ids.iter().zip(&upload.numbers)).collect();
    assert_eq!(sent.len(), ROWS);
    assert!(sent.iter().enumerate().all(|(row, (id, sent_number))| {
        **id == format!("entry-{row:07}") && **sent_number == number(row)
    }));
    assert_eq!(summary(&gateway).await["entries"]["uploaded"], ROWS);
    gateway.finish().await;
}

#[tokio::test]
async fn gbk_is_read_where_it_is_named_and_refused_with_the_line_where_it_is_not() {
    let gateway = start().await;
    let client = gateway.client();
    let text = format!("entry_id,number,user_data.name\ne-1,{},plain\ne-2,{},张三\n", number(1), number(2));
    let bytes = GBK.encode(&text).0.into_owned();
    for charset in ["gbk", "GB2312", "gb18030"] {
        upload(&client, "", &format!("text/csv; charset={charset}"), bytes.clone()).await.expect(201);
    }
    for upload in gateway.control().uploads() {
        assert_eq!(upload.details[1].user_data["name"], "张三");
    }
    let problem = upload(&client, "", CSV, bytes).await.expect_problem(400, "invalid-body");
    assert_eq!(problem["errors"][0]["line"], 3, "{problem:#}");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("charset=gbk"), "{problem:#}");
    upload(&client, "", "text/csv; charset=latin1", csv(1))
        .await
        .expect_problem(415, "unsupported-media-type");
    assert_eq!(upload_count(&gateway), 3);
    gateway.finish().await;
}

#[tokio::test]
async fn a_comma_never_shifts_a_column() {
    let gateway = start().await;
    let client = gateway.client();
    // As user data it could only go by file, which has no way to write a comma.
    let quoted = format!("entry_id,number,user_data.name\ne-1,{},\"Li, Lei\"\n", number(1));
    let problem = upload(&client, "", CSV, quoted).await.expect_problem(422, "roster-rejected");
    let fault = &problem["errors"][0];
    assert_eq!((&fault["line"], &fault["entry_id"]), (&json!(2), &json!("e-1")), "{problem:#}");
    assert!(fault["code"].as_str().unwrap().starts_with("separator-in-"), "{problem:#}");
    // Unquoted it is one field more.
    let unquoted = format!("entry_id,number,user_data.name\ne-1,{},Li, Lei\n", number(1));
    let problem = upload(&client, "", CSV, unquoted).await.expect_problem(422, "roster-rejected");
    assert_eq!(problem["errors"][0]["code"], "wrong-field-count");
    for (row, code) in [("c-1,name:Li, Lei", "wrong-field-count"), ("c,1", "bad-user-data")] {
        let row = format!("e-1,S,{},{row}\n", number(1));
        let problem = upload(&client, "", COLUMNS, row).await.expect_problem(422, "roster-rejected");
        assert_eq!((&problem["errors"][0]["code"], &problem["errors"][0]["line"]), (&json!(code), &json!(1)));
    }
    assert_eq!(upload_count(&gateway), 0);
    // Without user data the JSON form can carry it.
    let entry = json!([{ "entry_id": "e-1", "number": number(1), "customer_id": "Li, Lei" }]);
    let roster = upload_entries(&client, "", entry).await.expect(201);
    assert_eq!(roster["parts"][0]["form"], "json");
    let sent = only_upload(&gateway);
    assert_eq!(sent.form, UploadForm::Json);
    assert_eq!(sent.details[0].customer_id.as_deref(), Some("Li, Lei"));
    gateway.finish().await;
}

#[tokio::test]
async fn an_agent_goes_by_json_and_never_with_user_data() {
    let gateway = start().await;
    let client = gateway.client();
    let both = json!([
        { "entry_id": "e-1", "number": number(1) },
        { "entry_id": "e-2", "number": number(2), "agent": "5902@ocm.test", "user_data": { "k": "v" } },
    ]);
    let problem = upload_entries(&client, "", both).await.expect_problem(422, "roster-rejected");
    assert_eq!(problem["errors"][0]["pointer"], "/entries/1");
    assert_eq!(problem["errors"][0]["code"], "agent-with-user-data");
    assert_eq!(upload_count(&gateway), 0, "one bad entry holds back the others");
    let mixed = json!([
        { "entry_id": "e-1", "number": number(1), "user_data": { "k": "v" } },
        { "entry_id": "e-2", "number": number(2), "agent": "5902@ocm.test" },
        { "entry_id": "e-3", "number": number(3) },
    ]);
    let roster = upload_entries(&client, "", mixed).await.expect(201);
    let forms: BTreeSet<&str> =
        roster["parts"].as_array().unwrap().iter().filter_map(|part| part["form"].as_str()).collect();
    assert_eq!(forms, BTreeSet::from(["file", "json"]));
    let uploads = gateway.control().uploads();
    let by_json = uploads.iter().find(|upload| upload.form == UploadForm::Json).unwrap();
    assert_eq!(by_json.entry_ids, ["e-2"]);
    assert_eq!(by_json.details[0].agent.as_deref(), Some("5902@ocm.test"));
    let by_file = uploads.iter().find(|upload| upload.form == UploadForm::File).unwrap();
    assert_eq!(by_file.entry_ids, ["e-1", "e-3"]);
    gateway.finish().await;
}

#[tokio::test]
async fn bodies_that_cannot_be_read_send_nothing() {
    let gateway = start().await;
    let client = gateway.client();
    let entry = format!(r#"{{"entry_id":"e-1","number":"{}"}}"#, number(1));
    let invalid = [
        (JSON, "{".to_owned()),
        (JSON, format!(r#"{{"entries":[{entry}]}} and more"#)),
        (JSON, format!(r#"{{"entries":[{entry}"#)),
        (JSON, format!("[{entry}]")),
        (JSON, format!(r#"{{"entries":[{entry}],"more":1}}"#)),
        (JSON, String::new()),
        (CSV, format!("entry_id,number,what\ne-1,{},x\n", number(1))),
        (CSV, "entry_id\ne-1\n".to_owned()),
        (CSV, format!("entry_id,number\ne-1,\"{}\n", number(1))),
        (CSV, format!("e-1,S,{}\n", number(1))),
    ];
    for (content_type, body) in invalid {
        upload(&client, "", content_type, body).await.expect_problem(400, "invalid-body");
    }
    let two = form(&[
        ("name=\"a\"; filename=\"a.csv\"", "", &csv(1)),
        ("name=\"b\"; filename=\"b.csv\"", "", &csv(1)),
    ]);
    let nameless = form(&[("name=\"a\"", "Content-Type: text/csv\r\n", &csv(1))]);
    for (content_type, body) in [two, nameless, form(&[])] {
        upload(&client, "", content_type, body).await.expect_problem(400, "invalid-body");
    }
    for content_type in ["text/plain", "application/xml", "application/json; charset=gbk"] {
        upload(&client, "", content_type, csv(1)).await.expect_problem(415, "unsupported-media-type");
    }
    let zipped =
        client.post(&target(CAMPAIGN, ""), CSV, csv(1)).header("content-encoding", "gzip").send().await;
    zipped.expect_problem(415, "unsupported-media-type");
    assert_eq!(upload_count(&gateway), 0);
    gateway.finish().await;
}

#[tokio::test]
async fn sizes_are_bounded() {
    let setup =
        Setup::new(Backend::Sqlite).set("ROSTERS__MAX_BYTES", "2KiB").set("ROSTERS__MAX_ENTRIES", "50");
    let gateway = TestGateway::start(setup).await;
    let client = gateway.client();
    upload(&client, "", CSV, csv(50)).await.expect(201);
    let problem = upload(&client, "", CSV, csv(51)).await.expect_problem(413, "body-too-large");
    assert_eq!(problem["errors"][0]["line"], 52, "{problem:#}");
    upload(&client, "", CSV, csv(50) + &"\n".repeat(2_048)).await.expect_problem(413, "body-too-large");
    let long = json!([{ "entry_id": "e-1", "number": number(1), "customer_id": "c".repeat(1_900) }]);
    upload_entries(&client, "", long).await.expect(201);
    assert_eq!(upload_count(&gateway), 2);
    gateway.finish().await;

    let gateway = start().await;
    let long = json!([{ "entry_id": "e-1", "number": number(1), "customer_id": "c".repeat(4_097) }]);
    let problem = upload_entries(&gateway.client(), "", long).await.expect_problem(422, "roster-rejected");
    assert_eq!(problem["errors"][0]["code"], "field-too-long");
    gateway.finish().await;
}
