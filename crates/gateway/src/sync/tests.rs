//! Windows, proofs and ranges, without a store.

use std::time::Duration;

use outdial_core::{ErrorClass, Timestamp};
use outdial_store::HOUR_MILLIS;

use super::{
    coverage::CoverageRequest,
    progress::{Progress, Rules, Walk},
    tally::{HourProof, Tally, WholeWalk},
};
use crate::{
    account_sync::{SyncConfig, SyncState, Trouble},
    params::Params,
};

const MINUTE: i64 = 60_000;
/// Half past some hour.
const START: i64 = 470_000 * HOUR_MILLIS + 30 * MINUTE;
const RULES: Rules = Rules {
    config: SyncConfig { interval: Duration::from_secs(5 * 60), lookback: Duration::from_secs(15 * 60) },
    retention: 7 * 24 * HOUR_MILLIS,
};

fn hour(after_start: i64) -> i64 {
    470_000 + after_start
}

/// Walks what is next to its end.
fn walk(progress: &mut Progress, now: i64, trouble: Option<Trouble>) -> Walk {
    let walk = progress.next_walk(now, &RULES, trouble);
    progress.finish(&walk, now, &RULES.config);
    walk
}

fn window(walk: &Walk) -> (i64, i64) {
    ((walk.from - START) / MINUTE, (walk.to - START) / MINUTE)
}

#[test]
fn the_first_window_is_the_lookback_and_the_next_one_overlaps_it() {
    let mut progress = Progress::begin(START, &RULES.config);
    assert_eq!(progress.seen().state, SyncState::Waiting);
    assert_eq!(window(&walk(&mut progress, START, None)), (-15, 0));
    assert_eq!(progress.seen().state, SyncState::Ok);
    assert_eq!(progress.wait(START + 4 * MINUTE, &RULES.config), Some(MINUTE));
    assert_eq!(progress.wait(START + 5 * MINUTE, &RULES.config), None);
    assert_eq!(window(&walk(&mut progress, START + 5 * MINUTE, None)), (-15, 5));
    assert_eq!(window(&walk(&mut progress, START + 10 * MINUTE, None)), (-10, 10));
}

#[test]
fn an_hour_is_walked_whole_once_when_it_is_over_for_the_lookback() {
    let mut progress = Progress::begin(START, &RULES.config);
    let mut whole = Vec::new();
    for minute in (0..=180).step_by(5) {
        let walk = walk(&mut progress, START + minute * MINUTE, None);
        whole.extend(walk.whole_hours().map(|hour| (hour, walk.settles(hour, &RULES.config), minute)));
        let from = (walk.from - START) / MINUTE;
        assert!(from <= (minute - 20).max(-15), "at {minute} from {from}");
    }
    let settled: Vec<_> = whole.iter().filter(|(_, settles, _)| *settles).collect();
    // The first hour began before the first window did.
    assert_eq!(settled, [&(hour(1), true, 105), &(hour(2), true, 165)]);
    assert_eq!(whole, [(hour(1), true, 105), (hour(2), true, 165)], "no hour is walked whole for nothing");
}

#[test]
fn a_day_later_the_last_day_is_swept() {
    let mut progress = Progress::begin(START, &RULES.config);
    let mut sweeps = Vec::new();
    for minute in (0..=50 * 60).step_by(5) {
        let walk = walk(&mut progress, START + minute * MINUTE, None);
        if walk.sweeps {
            assert!(walk.whole_hours().count() >= 24);
            sweeps.push((minute, window(&walk).0));
        }
    }
    assert_eq!(sweeps, [(24 * 60, -90), (48 * 60, 23 * 60 - 30)]);
}

#[test]
fn a_gap_is_walked_in_several_windows_without_a_hole() {
    let mut progress = Progress::begin(START, &RULES.config);
    walk(&mut progress, START, None);
    let now = START + 3 * 24 * HOUR_MILLIS;
    let mut covered = START - 15 * MINUTE;
    for step in 0.. {
        let walk = walk(&mut progress, now, None);
        assert!(walk.from <= covered && walk.to > covered && step < 6, "{walk:?}");
        covered = walk.to;
        if covered == now {
            break;
        }
        assert_eq!(progress.wait(now, &RULES.config), None, "what is left is not waited for");
    }
    assert!(progress.next_walk(now + 1, &RULES, None).from > now - HOUR_MILLIS, "the sweep is done too");
}

#[test]
fn records_that_may_have_expired_are_not_searched_for() {
    let mut progress = Progress::begin(START, &RULES.config);
    walk(&mut progress, START, None);
    let now = START + 30 * 24 * HOUR_MILLIS;
    assert_eq!(progress.next_walk(now, &RULES, None).from, now - RULES.retention + HOUR_MILLIS);
    let short = Rules { retention: 4 * MINUTE, ..RULES };
    assert_eq!(progress.next_walk(now, &short, None).from, now - 3 * MINUTE, "less than the lookback");
    let walk = progress.next_walk(now, &RULES, None);
    progress.walk = Some(walk.clone());
    progress.drop_expired_walk(now + HOUR_MILLIS, &RULES);
    assert_eq!(progress.walk, Some(walk));
    progress.drop_expired_walk(now + HOUR_MILLIS + 1, &RULES);
    assert_eq!(progress.walk, None);
}

#[test]
fn a_time_of_trouble_is_walked_from_before_its_start() {
    let mut progress = Progress::begin(START, &RULES.config);
    walk(&mut progress, START, None);
    let now = START + 5 * MINUTE;
    let trouble = Trouble { since: START - 40 * MINUTE, until: START + 2 * MINUTE };
    let made_up = progress.next_walk(now, &RULES, Some(trouble));
    assert_eq!(window(&made_up), (-55, 5));
    assert_eq!(made_up.relieve(trouble, &RULES), None);
    let lasting = Trouble { until: now + 1, ..trouble };
    assert_eq!(made_up.relieve(lasting, &RULES), Some(Trouble { since: now, until: now + 1 }));
    let long_ago = Trouble { since: now - 60 * HOUR_MILLIS, until: START };
    let first = progress.next_walk(now, &RULES, Some(long_ago));
    assert_eq!(first.relieve(long_ago, &RULES), Some(Trouble { since: first.to, until: START }));
    assert_eq!(trouble.and(Some(long_ago)), Trouble { since: long_ago.since, until: trouble.until });
}

#[test]
fn trouble_that_was_not_known_when_a_walk_was_planned_is_left_to_the_next() {
    let mut progress = Progress::begin(START, &RULES.config);
    walk(&mut progress, START, None);
    let now = START + 5 * MINUTE;
    let planned = progress.next_walk(now, &RULES, None);
    let reported_late = Trouble { since: START - 40 * MINUTE, until: START + 2 * MINUTE };
    assert_eq!(planned.relieve(reported_late, &RULES), Some(reported_late));
    let still_there = Trouble { until: now + 1, ..reported_late };
    assert_eq!(planned.relieve(still_there, &RULES), Some(still_there));
    let within = Trouble { since: START, ..reported_late };
    assert_eq!(planned.relieve(within, &RULES), None);
    let ages_ago = Trouble { since: now - 2 * RULES.retention, until: START };
    let oldest = progress.next_walk(now, &RULES, Some(ages_ago));
    assert_eq!(oldest.relieve(ages_ago, &RULES), Some(Trouble { since: oldest.to, until: START }));
}

#[test]
fn a_clock_that_was_ahead_hides_no_gap() {
    let mut progress = Progress::begin(START, &RULES.config);
    assert!(walk(&mut progress, START + 24 * HOUR_MILLIS, None).sweeps);
    let swept = walk(&mut progress, START + HOUR_MILLIS, None);
    assert!(swept.sweeps && window(&swept).0 < -23 * 60, "{swept:?}");
    let after_a_pause = progress.next_walk(START + 4 * HOUR_MILLIS, &RULES, None);
    assert!(window(&after_a_pause).0 <= 45 && !after_a_pause.sweeps, "{after_a_pause:?}");
}

#[test]
fn failures_are_waited_out_ever_longer_and_a_refused_mark_is_given_up() {
    let mut progress = Progress::begin(START, &RULES.config);
    progress.walk = Some(Walk { mark: Some("m".into()), ..progress.next_walk(START, &RULES, None) });
    let waits: Vec<i64> = (0..4)
        .map(|_| {
            progress.fail(ErrorClass::Unavailable, START, &RULES.config);
            progress.wait(START, &RULES.config).unwrap() / MINUTE
        })
        .collect();
    assert_eq!(waits, [5, 10, 10, 10]);
    assert_eq!(progress.seen().state, SyncState::Failing);
    assert_eq!(progress.walk.as_ref().unwrap().mark.as_deref(), Some("m"), "the vendor was away, no more");
    for _ in 0..3 {
        assert_eq!(progress.walk.as_ref().unwrap().mark.as_deref(), Some("m"));
        progress.fail(ErrorClass::Protocol, START, &RULES.config);
    }
    let walk = progress.walk.as_ref().unwrap();
    assert_eq!((walk.mark.as_deref(), walk.from, walk.refusals), (None, START - 15 * MINUTE, 0));
}

fn tally(records: &[(&str, bool)]) -> Tally {
    let mut tally = Tally::default();
    for (campaign, is_differing) in records {
        tally.count(Some(campaign), *is_differing);
    }
    tally
}

#[test]
fn a_proof_is_of_the_last_whole_walk_and_differences_add_up() {
    let mut proof = HourProof::default();
    proof.add(&tally(&[("a", true)]), None);
    assert_eq!((proof.walked_at, proof.counts(None).unwrap().found), (None, 0));
    let whole = |begun_at| Some(WholeWalk { begun_at, unreadable: 0 });
    proof.add(&tally(&[("a", false), ("a", true), ("b", false)]), whole(5));
    let counts =
        |proof: &HourProof, campaign| proof.counts(campaign).map(|counts| (counts.found, counts.differing));
    assert_eq!(counts(&proof, None), Some((3, 2)));
    assert_eq!(counts(&proof, Some("a")), Some((2, 2)));
    assert_eq!(counts(&proof, Some("c")), Some((0, 0)));
    proof.add(&tally(&[("b", false)]), whole(4));
    assert_eq!((proof.walked_at, counts(&proof, None)), (Some(5), Some((3, 2))), "it came too late");
    proof.add(&tally(&[("b", false)]), whole(6));
    assert_eq!((counts(&proof, None), counts(&proof, Some("a"))), (Some((1, 2)), Some((0, 2))));
}

#[test]
fn only_so_many_campaigns_are_counted_by_name() {
    let names: Vec<String> = (0..51).map(|n| n.to_string()).collect();
    let records: Vec<(&str, bool)> = names.iter().map(|name| (name.as_str(), false)).collect();
    let mut proof = HourProof::default();
    proof.add(&tally(&records), Some(WholeWalk { begun_at: 1, unreadable: 0 }));
    assert_eq!(proof.counts(None).unwrap().found, 51);
    assert_eq!(proof.counts(Some("0")).unwrap().found, 1);
    assert_eq!(proof.counts(Some("50")), None, "it may be one of those without a name");
    let long = "x".repeat(200);
    assert!(tally(&[(&long, false)]).more);
}

#[test]
fn a_range_is_hours_and_has_an_end() {
    let read = |pairs: &[(&str, &str)]| {
        let owned = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut params = Params::new(owned.collect());
        let wanted = CoverageRequest::read(&mut params, Timestamp::from_millis(START));
        params.finish().map(|()| wanted).map_err(|error| error.places)
    };
    assert_eq!(read(&[]).unwrap().span(), (hour(-24), 25));
    let (ten, noon) = ("2026-11-21T10:00:00Z", "2026-11-21T12:00:00Z");
    let (first, hours) = read(&[("from", ten), ("to", noon)]).unwrap().span();
    assert_eq!((first * HOUR_MILLIS, hours), (Timestamp::parse(ten).unwrap().millis(), 2));
    assert_eq!(read(&[("from", ten), ("to", "2026-11-21T12:00:01Z")]).unwrap().span(), (first, 3));
    assert_eq!(read(&[("from", "2026-11-21T10:59:59Z"), ("to", noon)]).unwrap().span(), (first, 2));
    assert_eq!(read(&[("from", ten)]).unwrap().span(), (first, 24));
    assert_eq!(read(&[("to", noon)]).unwrap().span(), (first - 22, 24));
    assert_eq!(
        read(&[("from", "2026-11-01T00:00:00Z"), ("to", "2026-12-02T00:00:00Z")]).unwrap().span().1,
        744
    );
    for (from, to, code) in [
        (noon, noon, "before-start"),
        (noon, ten, "before-start"),
        ("2026-11-01T00:00:00Z", "2026-12-02T00:00:01Z", "too-far"),
        ("1969-12-31T23:00:00Z", "1970-01-01T12:00:00Z", "not-valid"),
    ] {
        assert_eq!(read(&[("from", from), ("to", to)]).unwrap_err()[0].code, code, "{from} {to}");
    }
}
