//! The route that a request met, and its metrics: looked up once for each thread, because a lookup by labels is a good part of
//! what a small request costs.

use std::{
    cell::{OnceCell, RefCell},
    time::Duration,
};

use actix_web::http::StatusCode;
use prometheus::{Histogram, IntCounter};

use crate::telemetry::Metrics;

/// A route, on one thread.
pub struct Met {
    /// As the contract has it.
    pub pattern: &'static str,
    duration: OnceCell<Histogram>,
    /// By method and status. There are only as many as a route has answers.
    requests: RefCell<Vec<(&'static str, StatusCode, IntCounter)>>,
}

impl Met {
    /// A route that nobody met yet.
    pub fn new(pattern: &'static str) -> Self {
        Self { pattern, duration: OnceCell::new(), requests: RefCell::default() }
    }

    /// Counts a request of the API port that was answered.
    pub fn count(&self, metrics: &Metrics, method: &'static str, status: StatusCode, took: Duration) {
        let mut requests = self.requests.borrow_mut();
        match requests.iter().find(|(of, with, _)| (*of, *with) == (method, status)) {
            Some((_, _, counter)) => counter.inc(),
            None => {
                let labels = [API, self.pattern, method, status.as_str()];
                let counter = metrics.http_requests.with_label_values(&labels);
                counter.inc();
                requests.push((method, status, counter));
            }
        }
        let duration = || metrics.http_duration.with_label_values(&[API, self.pattern]);
        self.duration.get_or_init(duration).observe(took.as_secs_f64());
    }
}

/// The label of the API port.
pub const API: &str = "api";
