//! ICSOC's addresses: tokens and the search.

use outdial_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::{client, config, icsoc_fetch, icsoc_token, search, status};

const CLIENT: &str = "client_id=demo-client&client_secret=demo-client-secret";

#[tokio::test]
async fn all_three_grants_give_a_token_that_works() {
    let simulator = Simulator::start(config()).await.unwrap();
    let password =
        format!("grant_type=password&{CLIENT}&username=demo|1001&password=demo-password&scope=openid");
    let by_password: Value = icsoc_fetch(&simulator, &password).await.json().await.unwrap();
    assert_eq!((&by_password["expires_in"], &by_password["token_type"]), (&json!(86_400), &json!("Bearer")));
    let refresh_token = by_password["refresh_token"].as_str().unwrap();
    let refresh = format!("grant_type=refresh_token&{CLIENT}&refresh_token={refresh_token}");
    let by_refresh: Value = icsoc_fetch(&simulator, &refresh).await.json().await.unwrap();
    let by_client = client()
        .post(simulator.icsoc_token_url())
        .json(&json!({
            "grant_type": "client_credentials", "client_id": "demo-client", "client_secret": "demo-client-secret"
        }))
        .send()
        .await
        .unwrap();
    let by_client: Value = by_client.json().await.unwrap();
    assert!(by_client.get("refresh_token").is_none(), "an enterprise token is fetched anew");
    for answer in [by_password, by_refresh, by_client] {
        let token = answer["access_token"].as_str().unwrap();
        assert_eq!(status(search(&simulator, token, &json!({}))).await, 200);
    }
    assert_eq!(icsoc_fetch(&simulator, &refresh).await.status(), 400, "a refresh token is good once");
}

#[tokio::test]
async fn wrong_credentials_are_refused_in_oauths_words() {
    let simulator = Simulator::start(config()).await.unwrap();
    let cases = [
        ("grant_type=password&client_id=demo-client&client_secret=x".to_owned(), 401, "invalid_client"),
        (format!("grant_type=password&{CLIENT}&username=demo|1001&password=x"), 400, "invalid_grant"),
        (format!("grant_type=refresh_token&{CLIENT}&refresh_token=x"), 400, "invalid_grant"),
        (format!("grant_type=implicit&{CLIENT}"), 400, "unsupported_grant_type"),
        (CLIENT.to_owned(), 400, "invalid_request"),
        (format!("grant_type=client_credentials&{CLIENT}&scope=all"), 400, "invalid_scope"),
    ];
    for (form, expected, error) in cases {
        let answer = icsoc_fetch(&simulator, &form).await;
        assert_eq!(answer.status(), expected, "{form}");
        assert_eq!(answer.json::<Value>().await.unwrap()["error"], error, "{form}");
    }
    let stats = simulator.control().stats().icsoc;
    assert_eq!((stats.token_fetches, stats.token_refusals), (6, 6));
}

#[tokio::test]
async fn a_search_without_a_good_token_is_refused_with_invalid_token() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    simulator.control().expire_tokens();
    let answer = search(&simulator, &token, &json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"], "invalid_token");
    let bare = client().post(format!("{}/api/v1/cdr/search", simulator.icsoc_base_url())).body("{}");
    assert_eq!(status(bare).await, 401);
    let fresh = icsoc_token(&simulator).await;
    assert_eq!(status(search(&simulator, &fresh, &json!({}))).await, 200);
}

#[tokio::test]
async fn a_walk_along_the_marks_gives_every_call_once() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    let (mut ids, mut after) = (Vec::new(), Value::Null);
    loop {
        let body = json!({"perPage": 30, "searchAfter": after});
        let answer = search(&simulator, &token, &body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["code"], &answer["message"]), (&json!(0), &json!("操作成功")));
        assert_eq!(answer["request_id"].as_str().unwrap().len(), 32);
        let results = answer["data"]["results"].as_array().unwrap();
        ids.extend(results.iter().map(|result| result["callId"].as_str().unwrap().to_owned()));
        after = answer["data"]["searchAfter"].clone();
        if after.is_null() {
            assert!(results.is_empty(), "the last page still carries a mark");
            break;
        }
        assert_eq!(results.last().unwrap()["callId"], after);
    }
    assert_eq!(ids, simulator.control().call_ids());
    assert_eq!(ids.len(), 100);
}

#[tokio::test]
async fn a_search_by_get_takes_the_same_filters() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    let call_id = simulator.control().call_ids()[42].clone();
    let range = "%7B%22gte%22%3A%222021-03-23%2017%3A24%3A35%22%7D";
    let url = format!(
        "{}/api/v1/cdr/search?callId={call_id}&perPage=5&startTime={range}",
        simulator.icsoc_base_url()
    );
    let request = client().get(url).header("Authorization", format!("Bearer {token}"));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let results = answer["data"]["results"].as_array().unwrap();
    assert_eq!(results.len(), 1);
    assert_eq!(results[0]["callId"], call_id);
}

#[tokio::test]
async fn what_is_not_understood_is_a_code_inside_a_two_hundred() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    for body in [json!({"perPage": "many"}), json!({"callresult": 0}), json!({"searchAfter": "1"})] {
        let answer = search(&simulator, &token, &body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["code"].as_i64().unwrap() > 0 && answer["data"].is_null(), "{body}");
    }
    let plain = client()
        .post(format!("{}/api/v1/cdr/search", simulator.icsoc_base_url()))
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", "text/plain")
        .body("{}");
    assert!(plain.send().await.unwrap().json::<Value>().await.unwrap()["code"].as_i64().unwrap() > 0);
}

#[tokio::test]
async fn numbers_come_as_numbers_and_as_strings_unless_that_is_switched_off() {
    for mixed_types in [true, false] {
        let mut config = config();
        config.icsoc.mixed_types = mixed_types;
        let simulator = Simulator::start(config).await.unwrap();
        let token = icsoc_token(&simulator).await;
        let answer = search(&simulator, &token, &json!({"perPage": 100})).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let results = answer["data"]["results"].as_array().unwrap();
        let texts = results.iter().filter(|result| result["allSecs"].is_string()).count();
        let codes = results.iter().filter(|result| result["callresult"].is_i64()).count();
        assert_eq!((texts > 10, codes > 5), (mixed_types, mixed_types), "{texts} {codes}");
        assert!(results.iter().all(|result| result["callId"].is_string()));
    }
}
