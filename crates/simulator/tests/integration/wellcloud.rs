//! WellCloud's addresses: tokens and both forms of the roster upload.

use outdial_simulator::{Simulator, UploadForm};
use serde_json::Value;

use crate::client::{
    client, config, file_upload, file_upload_as, json_upload, json_upload_as, roster, status, wellcloud_token,
};

const GOOD: &str = "appId=demo-app&appSecret=demo-app-secret&type=tenant";
const UTF8_JSON: &str = "application/json;charset=utf-8";
const SAMPLE: &str = include_str!("../../../../tests/fixtures/wellcloud-roster.sample.txt");

#[tokio::test]
async fn a_token_needs_the_right_application_and_the_right_content_type() {
    let simulator = Simulator::start(config()).await.unwrap();
    assert_eq!(status(wellcloud_token(&simulator, GOOD, "application/json")).await, 500);
    assert_eq!(status(wellcloud_token(&simulator, GOOD, "application/x-www-form-urlencoded")).await, 500);
    for query in [
        "appId=demo-app&appSecret=wrong&type=tenant",
        "appId=wrong&appSecret=demo-app-secret&type=tenant",
        "type=tenant",
    ] {
        assert_eq!(status(wellcloud_token(&simulator, query, UTF8_JSON)).await, 425, "{query}");
    }
    let answer = wellcloud_token(&simulator, GOOD, "application/json; charset=UTF-8").send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let token = answer["token"].as_str().unwrap();
    assert!(token.len() == 8 && token.bytes().all(|byte| byte.is_ascii_digit()), "{token}");
    let stats = simulator.control().stats().wellcloud;
    assert_eq!((stats.token_fetches, stats.token_refusals), (6, 5));
}

#[tokio::test]
async fn calls_without_a_good_bare_token_are_refused() {
    let simulator = Simulator::start(config()).await.unwrap();
    let answer: Value =
        wellcloud_token(&simulator, GOOD, UTF8_JSON).send().await.unwrap().json().await.unwrap();
    let token = answer["token"].as_str().unwrap();
    let upload = |authorization: Option<String>| {
        let url = format!("{}/v1/rosterinfo/create/c1", simulator.wellcloud_base_url());
        let request = client().post(url).header("Content-Type", UTF8_JSON);
        let request = request.body(r#"[{"rosterId":"1","prdType":"E","number":"123456"}]"#);
        match authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        }
    };
    assert_eq!(status(upload(None)).await, 403);
    assert_eq!(status(upload(Some("00000000".to_owned()))).await, 401);
    assert_eq!(status(upload(Some(format!("Bearer {token}")))).await, 401);
    assert_eq!(status(upload(Some(token.to_owned()))).await, 200);
    simulator.control().expire_tokens();
    assert_eq!(status(upload(Some(token.to_owned()))).await, 401);
    assert_eq!(simulator.control().uploads().len(), 1, "refused before the roster was read");
    assert_eq!(simulator.control().stats().wellcloud.unauthenticated, 4);
}

#[tokio::test]
async fn a_roster_file_is_taken_and_shown_as_it_was_received() {
    let simulator = Simulator::start(config()).await.unwrap();
    assert_eq!(status(file_upload(&simulator, "c1", "Names.TXT", SAMPLE)).await, 200);
    let uploads = simulator.control().uploads();
    let [upload] = uploads.as_slice() else { panic!("{uploads:?}") };
    assert_eq!((upload.form, upload.campaign.as_str()), (UploadForm::File, "c1"));
    assert_eq!((upload.status, upload.taken, upload.bytes, upload.count), (200, true, SAMPLE.len(), 3));
    assert_eq!(upload.entry_ids, ["12345", "12345", "12346"]);
    assert_eq!(upload.numbers, ["17412345678", "17412345678", "17412345679"]);
    assert_eq!(upload.details[2].customer_id.as_deref(), Some("a02"));
    assert_eq!(upload.details[2].user_data["name"], "张三");
    let stats = simulator.control().stats().wellcloud;
    assert_eq!((stats.uploads, stats.uploads_taken, stats.entries), (1, 1, 3));
}

#[tokio::test]
async fn a_roster_file_that_is_not_to_the_letter_is_refused_and_not_dialled() {
    let simulator = Simulator::start(config()).await.unwrap();
    let refused = [
        (file_upload(&simulator, "c1", "names.txt", "1,S,174,a,k:v,more\n"), 500),
        (file_upload(&simulator, "c1", "names.txt", ""), 500),
        (file_upload(&simulator, "c1", "names.exe", SAMPLE), 500),
        (file_upload_as("Multipart/File", &simulator, "c1", "names.txt", SAMPLE), 500),
        (file_upload(&simulator, "", "names.txt", SAMPLE), 404),
    ];
    for (number, (request, expected)) in refused.into_iter().enumerate() {
        assert_eq!(status(request).await, expected, "{number}");
    }
    let stats = simulator.control().stats().wellcloud;
    assert_eq!((stats.uploads, stats.uploads_taken, stats.entries, stats.records), (5, 0, 0, 0));
}

#[tokio::test]
async fn a_roster_file_over_ten_megabytes_is_refused_and_one_below_is_not() {
    let simulator = Simulator::start(config()).await.unwrap();
    let head = "e,S,13300000000,,note:";
    let line = format!("{head}{}\n", "n".repeat(9_999 - head.len()));
    let fitting = line.repeat(1_000);
    assert_eq!(fitting.len(), 10_000_000);
    let over = fitting.replacen("e,", "ee,", 1);
    assert_eq!(status(file_upload(&simulator, "c1", "names.dat", &over)).await, 500);
    assert_eq!(status(file_upload(&simulator, "c1", "names.dat", &fitting)).await, 200);
    let taken: Vec<(bool, usize)> =
        simulator.control().uploads().iter().map(|upload| (upload.taken, upload.bytes)).collect();
    assert_eq!((taken[0].0, taken[1]), (false, (true, 10_000_000)));
}

#[tokio::test]
async fn the_json_form_carries_an_agent_and_nothing_undocumented() {
    let simulator = Simulator::start(config()).await.unwrap();
    let entry = r#"{"rosterId":"12345","prdType":"E","number":"123456","agent":"5001","customerId":"a01"}"#;
    assert_eq!(status(json_upload(&simulator, "c%201", &format!("[{entry}]"))).await, 200);
    let upload = simulator.control().uploads().remove(0);
    assert_eq!((upload.form, upload.campaign.as_str()), (UploadForm::Json, "c 1"));
    assert_eq!(upload.details[0].agent.as_deref(), Some("5001"));
    assert_eq!(upload.details[0].customer_id.as_deref(), Some("a01"));

    assert_eq!(status(json_upload(&simulator, "c1", entry)).await, 400);
    assert_eq!(status(json_upload(&simulator, "c1", r#"[{"rosterId":1}]"#)).await, 400);
    let plain = json_upload_as("text/plain", &simulator, "c1", &format!("[{entry}]"));
    assert_eq!(status(plain).await, 500);
    assert_eq!(simulator.control().stats().wellcloud.uploads_taken, 1);
}

#[tokio::test]
async fn what_is_no_address_is_not_found() {
    let simulator = Simulator::start(config()).await.unwrap();
    let base = format!("http://{}", simulator.address());
    for path in ["/", "/ocm", "/ocm/fileuploads", "/ocm/v1/rosterinfo/create", "/api/v2/cdr/search"] {
        assert_eq!(status(client().post(format!("{base}{path}"))).await, 404, "{path}");
    }
    let upload = file_upload(&simulator, "c1", "names.txt", &roster(1)).build().unwrap();
    let get = client().get(upload.url().clone()).header("Authorization", crate::client::FIXED_TOKEN);
    assert_eq!(status(get).await, 405);
}
