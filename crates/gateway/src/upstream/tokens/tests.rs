//! The budget of fetches, by a clock of the test's.

use std::collections::BTreeMap;

use outdial_core::ManualClock;
use outdial_store::StoreSettings;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, FixedEnvironment};

const NOW: Timestamp = Timestamp::from_millis(1_795_248_000_000);

const CONFIG: &str = r#"
    [store]
    url = "sqlite:unused.db"
    [[auth.issuers]]
    issuer = "https://issuer.test"
    audience = "tests"
    hs256_secret = "a secret of more than thirty-two bytes"
    [[accounts]]
    id = "ic-1"
    vendor = "icsoc"
    base_url = "http://127.0.0.1:1"
    token_url = "http://127.0.0.1:1"
    client_id = "client"
    client_secret = "secret"
    push_token = "0123456789abcdef0123456789abcdef"
    push_secrets = ["0123456789abcdef0123456789abcdef"]
"#;

#[tokio::test]
async fn after_a_hundred_fetches_in_a_day_there_are_no_more() {
    let (folder, clock) = (TempDir::new().unwrap(), Arc::new(ManualClock::new(NOW)));
    let config = Config::parse(CONFIG, &FixedEnvironment(BTreeMap::new())).unwrap();
    let account = config.accounts.get("ic-1").unwrap();
    let store = outdial_store::open(StoreSettings {
        url: SecretString::from(format!("sqlite:{}", folder.path().join("outdial.db").display())),
        ..config.store.settings(Arc::clone(&clock) as Arc<_>)
    });
    let metrics = Arc::new(Metrics::new().unwrap());
    // Two replicas count in one store.
    let store = store.await.unwrap();
    let ledger = || Ledger::new(Arc::clone(&store), Arc::clone(&clock) as Arc<_>, Arc::clone(&metrics));
    let replicas = [ledger(), ledger()];
    for n in 0..100 {
        clock.advance(60_000);
        replicas[n % 2].count_fetch(account).await.unwrap().unwrap();
    }
    assert_eq!(replicas[0].fetches_left(account).await.unwrap(), Some(0));
    for replica in &replicas {
        let refused = replica.count_fetch(account).await.unwrap().unwrap_err();
        assert_eq!((refused.class, refused.code), (ErrorClass::RateLimited, "upstream-rate-limited"));
        // The first fetch was 99 minutes ago.
        assert_eq!(refused.retry_after, Some(DAY - Duration::from_secs(99 * 60)));
    }
    // The window slides: one after the other is free again.
    clock.advance(millis(DAY) - 99 * 60_000);
    replicas[0].count_fetch(account).await.unwrap().unwrap();
    replicas[1].count_fetch(account).await.unwrap().unwrap_err();
    clock.advance(60_000);
    replicas[1].count_fetch(account).await.unwrap().unwrap();
    assert_eq!(metrics.token_budget.with_label_values(&["ic-1", "icsoc"]).get(), 0);
}
