//! Every metric, by name. Label sets are closed: accounts, vendors, routes, outcomes and reasons, never a number, an id or a
//! path.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use outdial_core::{DecodedRecord, Error, Timestamp};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::accounts::Account;

use super::sightings::{DriftLog, is_plain_name};

/// Most names of unknown fields that become labels of their own; the rest are counted as `other`.
const UNKNOWN_FIELD_LIMIT: usize = 200;

/// The ends of records of pushes, and of fetches of tokens, as labels.
const RECORD_RESULTS: [&str; 4] = ["stored", "duplicate", "quarantined", "refused"];
const FETCH_OUTCOMES: [&str; 3] = ["ok", "refused", "failed"];

/// What was new in records of a sync.
const SYNC_RESULTS: [&str; 4] = ["new", "updated", "duplicate", "unreadable"];

/// Seconds, from a store's answer to a slow vendor's.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Every metric.
#[expect(missing_docs, reason = "each metric is explained by its help text below")]
pub struct Metrics {
    registry: Registry,
    unknown_fields: Mutex<HashSet<(String, String)>>,
    pub drift: DriftLog,
    pub http_requests: IntCounterVec,
    pub http_duration: HistogramVec,
    pub auth_failures: IntCounterVec,
    pub upstream_requests: IntCounterVec,
    pub upstream_duration: HistogramVec,
    pub upstream_held_back: IntCounterVec,
    pub upstream_circuit: IntGaugeVec,
    pub upstream_retries: IntCounterVec,
    pub searches_shared: IntCounterVec,
    pub token_fetches: IntCounterVec,
    pub token_budget: IntGaugeVec,
    pub push_bodies: IntCounterVec,
    pub push_records: IntCounterVec,
    pub push_proofs: IntCounterVec,
    pub push_duration: HistogramVec,
    pub quarantine_steps: IntCounterVec,
    field_warnings: IntCounterVec,
    pub last_push_age: GaugeVec,
    pub roster_uploads: IntCounterVec,
    pub roster_entries: IntCounterVec,
    pub store_mode: IntGaugeVec,
    pub durability_level: IntGaugeVec,
    pub spool_records: IntGauge,
    pub log_trimmed_position: IntGauge,
    pub event_streams: IntGauge,
    pub subscriptions: IntGaugeVec,
    pub subscriptions_disabled: IntCounterVec,
    pub delivery_attempts: IntCounterVec,
    pub delivery_latency: Histogram,
    pub delivery_backlog: Gauge,
    pub deliveries_dead: IntCounter,
    pub deliveries_missed: IntCounter,
    pub shed: IntCounterVec,
    sync_lag: GaugeVec,
    sync_records: IntCounterVec,
    sync_runs: IntCounterVec,
    pub panics: IntGauge,
    unknown_vendor_field: IntCounterVec,
}

/// Registers metrics one by one and keeps the first failure.
struct Registrar {
    registry: Registry,
}

impl Registrar {
    fn add<T: prometheus::core::Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<T>,
    ) -> prometheus::Result<T> {
        let metric = made?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    fn seconds(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels))
    }
}

impl Metrics {
    /// All metrics in a registry of their own, so that several gateways can live in one process.
    ///
    /// # Errors
    /// `Internal` when two metrics have one name.
    pub fn new() -> Result<Self, Error> {
        Self::register().map_err(|error| {
            Error::new(outdial_core::ErrorClass::Internal, "internal", "The metrics could not be registered.")
                .with_detail(error.to_string())
        })
    }

    #[rustfmt::skip]
    fn register() -> prometheus::Result<Self> {
        let to = Registrar { registry: Registry::new() };
        #[cfg(target_os = "linux")]
        to.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let build_info = to.gauges("outdial_build_info", "1, with the version of this build.", &["version"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            unknown_fields: Mutex::default(),
            drift: DriftLog::default(),
            http_requests: to.counter("outdial_http_requests_total", "Requests answered.", &["port", "route", "method", "status"])?,
            http_duration: to.seconds("outdial_http_request_duration_seconds", "Time from the head of a request to the head of its answer.", &["port", "route"])?,
            auth_failures: to.counter("outdial_auth_failures_total", "Bearer tokens refused, by reason.", &["reason"])?,
            upstream_requests: to.counter("outdial_upstream_requests_total", "Calls to vendors, by what came of them.", &["account", "vendor", "operation", "outcome"])?,
            upstream_duration: to.seconds("outdial_upstream_request_duration_seconds", "Time of a call to a vendor, the answer's body included.", &["account", "vendor", "operation"])?,
            upstream_held_back: to.counter("outdial_upstream_held_back_total", "Calls that were not made, by reason: busy, paused by the vendor, circuit open.", &["account", "vendor", "reason"])?,
            upstream_circuit: to.gauges("outdial_upstream_circuit_state", "1 for the state of this replica's circuit: closed, open or half_open.", &["account", "vendor", "state"])?,
            upstream_retries: to.counter("outdial_upstream_retries_total", "Calls repeated by us, and those whose repetition the budget forbade.", &["account", "vendor", "reason", "outcome"])?,
            searches_shared: to.counter("outdial_upstream_searches_shared_total", "Searches that were answered by another one's call.", &["account", "vendor"])?,
            token_fetches: to.counter("outdial_token_fetches_total", "Tokens fetched from vendors.", &["account", "vendor", "outcome"])?,
            token_budget: to.gauges("outdial_token_budget_remaining", "Token fetches left in the vendor's window before we stop.", &["account", "vendor"])?,
            push_bodies: to.counter("outdial_push_bodies_total", "Pushes, by how they ended.", &["account", "vendor", "result"])?,
            push_records: to.counter("outdial_push_records_total", "Records of pushes, by how they ended.", &["account", "vendor", "result"])?,
            push_proofs: to.counter("outdial_push_proofs_total", "Pushes verified, by the secret's place in the configuration and the rule that fitted.", &["account", "secret", "proof"])?,
            push_duration: to.seconds("outdial_push_duration_seconds", "Time from the complete body of a push to its reply.", &["vendor"])?,
            quarantine_steps: to.counter("outdial_quarantine_steps_total", "What people did with items in quarantine.", &["account", "vendor", "step"])?,
            field_warnings: to.counter("outdial_vendor_field_warnings_total", "Documented fields whose value could not be used.", &["vendor", "field", "code"])?,
            last_push_age: to.add(GaugeVec::new(Opts::new("outdial_last_push_age_seconds", "Time since the last push that is known of."), &["account", "vendor"]))?,
            roster_uploads: to.counter("outdial_roster_uploads_total", "Rosters, by how their upload ended.", &["account", "vendor", "status"])?,
            roster_entries: to.counter("outdial_roster_entries_total", "Entries of rosters, by how they ended.", &["account", "vendor", "result"])?,
            store_mode: to.gauges("outdial_store_mode", "1 for where appends go now.", &["mode"])?,
            durability_level: to.gauges("outdial_durability_level", "1 for how far an acknowledged push is safe.", &["level"])?,
            spool_records: to.gauge("outdial_spool_records", "Records waiting in the spool.")?,
            log_trimmed_position: to.gauge("outdial_log_trimmed_position", "The last position of the log that was trimmed.")?,
            event_streams: to.gauge("outdial_event_streams", "Open streams of events.")?,
            subscriptions: to.gauges("outdial_subscriptions", "Subscriptions, by status.", &["status"])?,
            subscriptions_disabled: to.counter("outdial_subscriptions_disabled_total", "Subscriptions that the gateway stopped, by reason.", &["reason"])?,
            delivery_attempts: to.counter("outdial_delivery_attempts_total", "Requests to subscribers, by what came of them.", &["outcome"])?,
            delivery_latency: to.add(Histogram::with_opts(HistogramOpts::new("outdial_delivery_latency_seconds", "Time from an event's append to its delivery at the first attempt.").buckets(SECONDS.to_vec())))?,
            delivery_backlog: to.add(Gauge::new("outdial_delivery_backlog_seconds", "Age of the oldest event that a subscription of this replica has not been sent."))?,
            deliveries_dead: to.add(IntCounter::new("outdial_deliveries_exhausted_total", "Events whose delivery was given up after all attempts."))?,
            deliveries_missed: to.add(IntCounter::new("outdial_delivery_gaps_total", "Times that events were trimmed from the log before a subscription had them."))?,
            shed: to.counter("outdial_shed_total", "Requests refused because there was too much at once.", &["port", "reason"])?,
            sync_lag: to.add(GaugeVec::new(Opts::new("outdial_sync_lag_seconds", "Time since the end of the last window of calls that was searched through."), &["account", "vendor"]))?,
            sync_records: to.counter("outdial_sync_records_total", "Records that the search on the timer found, by what was new in them.", &["account", "vendor", "result"])?,
            sync_runs: to.counter("outdial_sync_runs_total", "Runs of the search on the timer, by how they ended.", &["account", "vendor", "result"])?,
            panics: to.gauge("outdial_handler_panics", "Handlers that panicked; each is a fault of ours.")?,
            unknown_vendor_field: to.counter("outdial_unknown_vendor_field_total", "Fields that no document of the vendor has.", &["vendor", "field"])?,
            registry: to.registry,
        })
    }

    /// Shows the counters of an account that alerts look at, at 0: an increase from nothing at all is none.
    pub fn begin_account(&self, account: &Account) {
        let (id, vendor) = (account.id.as_str(), account.vendor.descriptor().vendor.as_str());
        if account.sync.is_some() {
            for result in SYNC_RESULTS {
                self.sync_records.with_label_values(&[id, vendor, result]);
            }
            self.sync_runs.with_label_values(&[id, vendor, "failed"]);
        }
        for result in RECORD_RESULTS {
            self.push_records.with_label_values(&[id, vendor, result]);
        }
        self.push_bodies.with_label_values(&[id, vendor, "not_authentic"]);
        for outcome in FETCH_OUTCOMES {
            self.token_fetches.with_label_values(&[id, vendor, outcome]);
        }
    }

    /// Counts records that a sync found.
    pub fn count_sync_records(&self, account: &Account, result: &str, count: u64) {
        let labels = [account.id.as_str(), account.vendor.descriptor().vendor.as_str(), result];
        self.sync_records.with_label_values(&labels).inc_by(count);
    }

    /// Counts a run of a sync.
    pub fn count_sync_run(&self, account: &Account, result: &str) {
        let labels = [account.id.as_str(), account.vendor.descriptor().vendor.as_str(), result];
        self.sync_runs.with_label_values(&labels).inc();
    }

    /// Shows how far a sync is behind.
    pub fn show_sync_lag(&self, account: &Account, now: Timestamp, through: Timestamp) {
        let labels = [account.id.as_str(), account.vendor.descriptor().vendor.as_str()];
        let seconds = i32::try_from((now.millis() - through.millis()).max(0) / 1_000).unwrap_or(i32::MAX);
        self.sync_lag.with_label_values(&labels).set(f64::from(seconds));
    }

    /// Counts what was odd about a record: fields that no document has, values and codes that could not be used.
    /// `raw` is the vendor's own JSON.
    pub fn count_oddities(&self, vendor: &str, decoded: &DecodedRecord<'_>, raw: &[u8]) {
        self.drift.note(decoded, raw);
        for field in &decoded.unknown_fields {
            self.count_unknown_field(vendor, field);
        }
        for warning in &decoded.warnings {
            self.field_warnings.with_label_values(&[vendor, warning.field, warning.code]).inc();
        }
    }

    /// Counts a field that no document of the vendor has. What vendors send becomes a label only if it is short and plain,
    /// and only while there are few of them.
    fn count_unknown_field(&self, vendor: &str, field: &str) {
        let is_name = is_plain_name(field);
        let key = (vendor.to_owned(), field.to_owned());
        let mut known = self.unknown_fields.lock().unwrap_or_else(PoisonError::into_inner);
        let counted =
            is_name && (known.contains(&key) || (known.len() < UNKNOWN_FIELD_LIMIT && known.insert(key)));
        let label = if counted { field } else { "other" };
        self.unknown_vendor_field.with_label_values(&[vendor, label]).inc();
    }

    /// Sets one of a closed set of words to 1 and the others to 0.
    pub fn show_word(gauges: &IntGaugeVec, words: &[&str], shown: &str) {
        for word in words {
            gauges.with_label_values(&[word]).set(i64::from(*word == shown));
        }
    }

    /// All metrics in the text format.
    ///
    /// # Errors
    /// `Internal` when they cannot be written.
    pub fn to_text(&self) -> Result<String, Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(|error| {
            Error::new(outdial_core::ErrorClass::Internal, "internal", "The metrics could not be written.")
                .with_detail(error.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_become_few_and_plain_labels() {
        let metrics = Metrics::new().unwrap();
        for n in 0..1_000 {
            let name: String = format!("{n:03}").bytes().map(|digit| char::from(digit + 49)).collect();
            metrics.count_unknown_field("icsoc", &name);
        }
        metrics.count_unknown_field("icsoc", "13312345678");
        metrics.count_unknown_field("icsoc", "a\"b");
        let text = metrics.to_text().unwrap();
        let series =
            text.lines().filter(|line| line.starts_with("outdial_unknown_vendor_field_total{")).count();
        assert_eq!(series, UNKNOWN_FIELD_LIMIT + 1);
        assert!(text.contains("field=\"other\",vendor=\"icsoc\"} 802"));
        assert!(!text.contains("13312345678"));
    }
}
