//! Calls a running gateway through the generated client: a roster goes up once, and everything can be read again.

use std::{collections::HashMap, env, error::Error, io::Write};

use outdial_client::{
    apis::{
        Error as ApiError, accounts_api, call_records_api,
        configuration::Configuration,
        events_api, quarantine_api,
        rosters_api::{self, UploadRosterError},
    },
    models::{Roster, RosterEntry, RosterRequest},
};

const ACCOUNT: &str = "wc-1";
const CAMPAIGN: &str = "generated-client";

fn request(numbers: &[&str]) -> RosterRequest {
    let entry = |(at, number): (usize, &&str)| RosterEntry {
        user_data: Some(Some(HashMap::from([("name".to_owned(), "张三".to_owned())]))),
        ..RosterEntry::new(format!("g-{at}"), (*number).to_owned())
    };
    RosterRequest::new(numbers.iter().enumerate().map(entry).collect())
}

type Uploaded = Result<Roster, ApiError<UploadRosterError>>;

async fn upload(gateway: &Configuration, numbers: &[&str], dry_run: bool, key: Option<&str>) -> Uploaded {
    let roster = request(numbers);
    let dry_run = dry_run.then_some(true);
    rosters_api::upload_roster(gateway, ACCOUNT, CAMPAIGN, roster, None, None, dry_run, key, None, None).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let gateway = Configuration {
        base_path: env::var("GATEWAY")?,
        bearer_access_token: Some(env::var("TOKEN")?),
        ..Configuration::default()
    };
    let accounts = accounts_api::list_accounts(&gateway, None).await?;
    assert!(accounts.data.iter().any(|account| account.id == ACCOUNT && account.capabilities.roster_upload));

    let numbers = ["13977000001", "13977000002"];
    let plan = upload(&gateway, &numbers, true, None).await?;
    assert_eq!((plan.id, plan.received), (None, 2));
    let made = upload(&gateway, &numbers, false, Some("generated-1")).await?;
    let again = upload(&gateway, &numbers, false, Some("generated-1")).await?;
    assert_eq!((made.accepted, &made), (2, &again), "the key's first answer again");
    let id = made.id.clone().ok_or("a roster that was sent has an id")?;
    let kept = rosters_api::get_roster(&gateway, &id, None).await?;
    assert!(kept.entries.as_ref().is_some_and(|entries| entries.waiting == 2));
    assert_eq!(Roster { entries: None, ..kept }, made);

    match upload(&gateway, &["12"], false, None).await {
        Err(ApiError::ResponseError(refused)) => {
            assert_eq!(refused.status.as_u16(), 422);
            let problem: serde_json::Value = serde_json::from_str(&refused.content)?;
            assert_eq!(problem["errors"][0]["code"], "invalid-number");
        }
        other => return Err(format!("a bad number was not refused: {other:?}").into()),
    }

    let summary = call_records_api::get_campaign_summary(&gateway, ACCOUNT, CAMPAIGN, None).await?;
    assert_eq!((summary.entries.uploaded, summary.entries.waiting), (2, 2));
    let events = events_api::list_events(&gateway, None, None, None, None, None, Some(1000), None).await?;
    let items = quarantine_api::list_quarantined_items(&gateway, None, None, None, None, None).await?;
    assert!(!events.data.is_empty() && !items.data.is_empty());
    writeln!(std::io::stdout(), "{} events, {} items in quarantine", events.data.len(), items.data.len())?;
    Ok(())
}
