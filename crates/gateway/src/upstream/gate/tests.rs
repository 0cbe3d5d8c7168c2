//! A gate over an embedded store.

use futures_util::FutureExt;
use outdial_core::{ManualClock, SecretString, Timestamp};
use outdial_store::{Store, StoreSettings};
use tempfile::TempDir;

use super::*;
use crate::tasks::Tasks;

const HOUR: Duration = Duration::from_secs(3_600);

struct Scene {
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    _folder: TempDir,
}

/// An embedded store.
pub(super) async fn open_store(folder: &TempDir) -> Arc<dyn Store> {
    let settings = StoreSettings {
        url: SecretString::from(format!("sqlite:{}", folder.path().join("outdial.db").display())),
        prefix: "outdial".into(),
        spool_dir: None,
        spool_max_bytes: 1,
        retention: HOUR,
        min_replicas: 0,
        allow_relaxed: false,
        clock: Arc::new(ManualClock::new(Timestamp::from_millis(0))),
    };
    outdial_store::open(settings).await.unwrap()
}

async fn scene(max_rps: f64, max_concurrency: usize) -> Scene {
    let folder = TempDir::new().unwrap();
    let store = open_store(&folder).await;
    let tasks = Tasks::new(tokio::runtime::Handle::current());
    let turns = Arc::new(CountedTurns::new(store, tasks, "a".into()));
    let limits = UpstreamLimits { max_rps, max_concurrency, timeout: HOUR };
    let metrics = Arc::new(Metrics::new().unwrap());
    let vendor = VendorId::from("icsoc".to_owned());
    let gate = Gate::new("ic-1".parse().unwrap(), &vendor, &limits, turns, Arc::clone(&metrics));
    Scene { gate: Arc::new(gate), metrics, _folder: folder }
}

fn within(millis: u64) -> CallTimes {
    let begin_by = Instant::now() + Duration::from_millis(millis);
    CallTimes { begin_by, end_by: begin_by + HOUR }
}

impl Scene {
    async fn turn(&self, priority: Priority, millis: u64) -> Result<Turn, Error> {
        self.gate.turn(priority, within(millis)).await
    }

    async fn interactive(&self) -> Turn {
        self.turn(Priority::Interactive, 30_000).await.unwrap()
    }

    fn held_back(&self, reason: &str) -> u64 {
        self.metrics.upstream_held_back.with_label_values(&["ic-1", "icsoc", reason]).get()
    }
}

#[tokio::test]
async fn a_turn_that_comes_too_late_is_refused() {
    let scene = scene(1_000.0, 1).await;
    let held = scene.interactive().await;
    let refused = scene.turn(Priority::Interactive, 20).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (ErrorClass::RateLimited, "upstream-rate-limited"));
    assert_eq!((refused.retry_after, scene.held_back("busy")), (Some(PAUSE.0), 1));
    drop(held);
    drop(scene.interactive().await);
}

#[tokio::test]
async fn a_turn_that_is_there_is_had_at_once() {
    let scene = scene(1_000.0, 1).await;
    let at_once = |priority| scene.gate.turn(priority, within(30_000)).now_or_never();
    for priority in [Priority::Interactive, Priority::Background] {
        assert!(at_once(priority).unwrap().is_ok());
    }
    let held = at_once(Priority::Interactive).unwrap().unwrap();
    assert!(at_once(Priority::Interactive).is_none(), "the slot is taken");
    drop(held);
}

#[tokio::test]
async fn nobody_passes_those_who_wait() {
    let scene = scene(1_000.0, 1).await;
    let held = scene.interactive().await;
    let mut first = Box::pin(scene.interactive());
    assert!(futures_util::poll!(&mut first).is_pending());
    drop(held);
    for priority in [Priority::Interactive, Priority::Background] {
        let newcomer = scene.gate.turn(priority, within(30_000)).now_or_never();
        assert!(newcomer.is_none(), "the slot is free, and another one waits for it");
    }
    drop(first.await);
}

#[tokio::test]
async fn who_waits_gets_the_slot_that_becomes_free() {
    let scene = scene(1_000.0, 1).await;
    let held = scene.interactive().await;
    let next = async {
        for _ in 0..20 {
            scene.interactive().await.end(Ending::Answered);
        }
    };
    let release = async { drop(held) };
    tokio::join!(next, release);
}

#[tokio::test]
async fn the_rate_holds_calls_back() {
    let scene = scene(8.0, 10).await;
    drop((scene.interactive().await, scene.interactive().await));
    let begin = Instant::now();
    let refused = scene.turn(Priority::Interactive, 30).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::RateLimited);

    drop(scene.interactive().await);
    assert!(begin.elapsed() > Duration::from_millis(200));
}

#[tokio::test]
async fn a_call_that_is_made_again_counts_again() {
    let scene = scene(8.0, 1).await;
    let begin = Instant::now();
    let mut turn = scene.interactive().await;
    assert!(turn.renew(within(30_000)).await, "its own slot does not stand in its way");
    assert!(begin.elapsed() < Duration::from_millis(200));
    assert!(!turn.renew(within(30)).await, "two calls of this quarter of a second were made");
    assert!(turn.renew(within(30_000)).await);
    assert!(begin.elapsed() > Duration::from_millis(200));
    assert!(scene.turn(Priority::Interactive, 300).await.is_err(), "it has the slot");
    drop(turn);
    drop(scene.interactive().await);
}

#[tokio::test]
async fn the_background_leaves_room() {
    let scene = scene(1_000.0, 4).await;
    let background = [
        scene.turn(Priority::Background, 30_000).await.unwrap(),
        scene.turn(Priority::Background, 30_000).await.unwrap(),
    ];
    assert!(scene.turn(Priority::Background, 30).await.is_err(), "half of the slots");
    let interactive = [scene.interactive().await, scene.interactive().await];
    // Both wait, the background for longer.
    let order = Mutex::new(Vec::new());
    let wait = async |priority, name| {
        let turn = scene.turn(priority, 30_000).await.unwrap();
        order.lock().unwrap().push(name);
        drop(turn);
    };
    let release = async {
        tokio::task::yield_now().await;
        drop(background);
    };
    tokio::join!(
        wait(Priority::Background, "background"),
        wait(Priority::Interactive, "one"),
        wait(Priority::Interactive, "two"),
        release
    );
    drop(interactive);
    assert_eq!(*order.lock().unwrap(), ["one", "two", "background"]);
}

#[tokio::test]
async fn failures_in_a_row_open_the_circuit() {
    let scene = scene(1_000.0, 10).await;
    for ending in [Ending::Failed, Ending::Failed, Ending::Failed, Ending::Failed, Ending::Answered] {
        scene.interactive().await.end(ending);
    }
    for _ in 0..5 {
        assert_eq!(scene.gate.circuit_word(), "closed");
        scene.interactive().await.end(Ending::Failed);
    }
    assert_eq!((scene.gate.circuit_word(), scene.gate.is_failing()), ("open", true));
    let refused = scene.turn(Priority::Interactive, 30_000).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (ErrorClass::Unavailable, "upstream-unavailable"));
    assert!(refused.retry_after.is_some_and(|wait| wait > PAUSE.0 && wait < PAUSE.1), "{refused:?}");
    assert_eq!(scene.held_back("circuit_open"), 1);
    let shown =
        |state: &str| scene.metrics.upstream_circuit.with_label_values(&["ic-1", "icsoc", state]).get();
    assert_eq!([shown("closed"), shown("open"), shown("half_open")], [0, 1, 0]);
}

#[tokio::test]
async fn a_call_that_is_given_up_teaches_nothing() {
    let scene = scene(1_000.0, 10).await;
    for _ in 0..20 {
        drop(scene.interactive().await);
    }
    assert_eq!((scene.gate.circuit_word(), scene.gate.is_failing()), ("closed", false));
}

#[tokio::test]
async fn an_older_call_that_fails_does_not_count_against_the_probe() {
    let scene = scene(1_000.0, 10).await;
    let older = scene.interactive().await;
    for _ in 0..5 {
        scene.interactive().await.end(Ending::Failed);
    }
    // As if the pause were over and the probe under way.
    let probe = {
        let mut state = scene.gate.state();
        state.circuit.begin()
    };
    assert!(probe);
    older.end(Ending::Failed);
    assert_eq!(scene.gate.circuit_word(), "half_open");
    scene.gate.learn(Ending::Answered, true);
    assert_eq!(scene.gate.circuit_word(), "closed");
}

#[tokio::test]
async fn calls_pass_by_unseen_only_while_nothing_speaks_against_them() {
    let scene = scene(1_000.0, 10).await;
    let is_alert = || scene.gate.is_alert.load(Ordering::Acquire);
    let end = async |ending| scene.interactive().await.end(ending);
    end(Ending::Answered).await;
    assert!(!is_alert());
    end(Ending::Failed).await;
    assert!(is_alert(), "a failure is remembered until a success");
    end(Ending::Answered).await;
    assert!(!is_alert());
    for _ in 0..4 {
        end(Ending::Failed).await;
    }
    end(Ending::Answered).await;
    end(Ending::Failed).await;
    assert_eq!((scene.gate.circuit_word(), is_alert()), ("closed", true), "only failures in a row open it");
    end(Ending::Limited(Some(Duration::from_secs(1)))).await;
    assert!(is_alert() && scene.turn(Priority::Interactive, 20).await.is_err());
    drop(scene.interactive().await);
    assert!(!is_alert(), "the pause is over");
}

#[tokio::test]
async fn one_of_two_who_get_a_slot_is_the_probe() {
    let scene = scene(1_000.0, 1).await;
    for _ in 0..5 {
        scene.interactive().await.end(Ending::Failed);
    }
    // As if the pause were over and the probe of the other line under way.
    assert!(scene.gate.state().circuit.begin());
    for _ in 0..3 {
        // The slot is given back each time, beside the test.
        let slot = loop {
            match scene.gate.turns.take(Priority::Interactive.share(), HOUR).await {
                Ok(slot) => break slot,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let refused = scene.gate.begin(slot, Priority::Interactive).unwrap_err();
        assert_eq!(refused, Refusal::CircuitOpen(PROBE_WAIT));
    }
}

#[tokio::test]
async fn a_vendor_that_asks_for_it_is_spared() {
    let scene = scene(1_000.0, 10).await;
    scene.interactive().await.end(Ending::Limited(Some(Duration::from_secs(40))));
    let begin = Instant::now();
    let refused = scene.turn(Priority::Interactive, 20_000).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (ErrorClass::RateLimited, "upstream-rate-limited"));
    assert!(refused.retry_after.is_some_and(|wait| wait > Duration::from_secs(35)), "{refused:?}");
    assert!(begin.elapsed() < Duration::from_secs(10), "there is no use in waiting");
    assert_eq!((scene.held_back("paused"), scene.gate.circuit_word()), (1, "closed"));
}

#[tokio::test]
async fn a_short_pause_is_waited_for() {
    let scene = scene(1_000.0, 10).await;
    scene.interactive().await.end(Ending::Limited(None));
    let begin = Instant::now();
    drop(scene.interactive().await);
    assert!(begin.elapsed() > Duration::from_millis(900));
}

#[test]
fn pauses_are_bounded() {
    assert_eq!(clamp_pause(None), Duration::from_secs(1));
    assert_eq!(clamp_pause(Some(Duration::ZERO)), Duration::from_secs(1));
    assert_eq!(clamp_pause(Some(HOUR * 1_000)), HOUR);
}

#[test]
fn a_limit_per_second_is_calls_of_a_period() {
    let of = |max_rps| turn_limits(&UpstreamLimits { max_rps, max_concurrency: 1, timeout: HOUR });
    let shown = |max_rps| (of(max_rps).calls, of(max_rps).period);
    assert_eq!(shown(50.0), (12, Duration::from_micros(244_800)));
    assert_eq!(shown(2.5), (1, Duration::from_millis(408)));
    assert_eq!(shown(0.1), (1, Duration::from_millis(10_200)));
    assert_eq!(shown(5_000.0), (1_000, Duration::from_millis(204)));
}
