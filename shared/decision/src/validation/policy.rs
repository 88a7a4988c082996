//! How an application is validated: one document, read whole, sensible where it says nothing.
//!
//! ```json
//! {
//!   "version": 1,
//!   "warm_up_requests": 5,
//!   "invocation": [{ "payload": { "action": "create", "data": { "name": "test" } }, "answer": { "ok": true } }],
//!   "error_handling": [{ "payload": { "action": "no-such-action" }, "refusal": "answer" }],
//!   "performance": {
//!     "requests": 20, "p50_ms": 1000, "p95_ms": 3000, "p99_ms": 10000,
//!     "compare_with_live": true, "max_regression_percent": 100, "max_regression_ms": 100
//!   },
//!   "load": { "concurrency": 10, "requests": 50, "max_error_percent": 1, "max_throttles": 0 },
//!   "logs": { "must_not_appear": ["ERROR", "Task timed out"], "must_appear": [] },
//!   "canary": {
//!     "alpha": 0.01, "min_samples": 20, "min_error_increase_percent": 1,
//!     "min_slowdown_percent": 50, "min_slowdown_ms": 100, "wait_seconds": 60,
//!     "custom_metrics": [{
//!       "namespace": "Shop", "name": "OrdersLost", "dimensions": { "Version": "{version}" },
//!       "kind": "count", "worse": "higher", "min_change_percent": 10
//!     }]
//!   },
//!   "inconclusive": "fail"
//! }
//! ```
//!
//! Only `version` is required. A field that is not known, and a value that is out of its range, is a mistake;
//! with a mistake there is no policy, and no version passes. Durations are in milliseconds (`…_ms`) unless
//! the name says seconds, shares in percent.

use std::collections::BTreeMap;

use serde_json::{Value, json};

mod read;

pub use read::Mistakes;

/// The longest document: what a standard parameter of Parameter Store takes (bytes).
pub const MAX_BYTES: usize = 4096;

/// The most requests that the performance check or the load check may make of a version.
pub const MAX_REQUESTS: u32 = 1000;

/// How an application is validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Requests at a time to a new version before it is measured, so that as many of its environments are warm;
    /// 0: none.
    pub warm_up_requests: u32,
    /// What must be served; at least one. The first is what the other checks send too.
    pub invocation: Vec<Request>,
    /// What must be refused.
    pub error_handling: Vec<BadRequest>,
    /// What durations may be.
    pub performance: Performance,
    /// How much is asked at a time, and what may go wrong.
    pub load: Load,
    /// What the log must hold and must not.
    pub logs: LogRules,
    /// When the new version counts as worse than the old one.
    pub canary: Canary,
    /// What becomes of a version that there is too little to judge by.
    pub inconclusive: Inconclusive,
}

/// A request that must be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What is sent.
    pub payload: Value,
    /// What the answer must hold: every field that is named here, with the same value. `None`: anything but a
    /// refusal.
    pub answer: Option<Value>,
}

/// A request that must be refused.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRequest {
    /// What is sent.
    pub payload: Value,
    /// How it must be refused.
    pub refusal: Refusal,
}

/// How a function says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// By an answer that says so: a status of 4xx, `ok: false`, or an `error`.
    Answer,
    /// By an answer with a `statusCode` from 400 to 499.
    Status4xx,
    /// By a function error: it throws.
    FunctionError,
    /// By either.
    Any,
}

/// What durations may be (milliseconds).
#[derive(Debug, Clone, PartialEq)]
pub struct Performance {
    /// Requests one after the other, to each version. At the default `alpha` the medians can be compared from 5 on,
    /// the 95th percentiles from about 80, the 99th from about 450; fewer could show no difference, and the evidence
    /// says so.
    pub requests: u32,
    /// The bound of the median.
    pub p50_ms: f64,
    /// The bound of the 95th percentile.
    pub p95_ms: f64,
    /// The bound of the 99th percentile.
    pub p99_ms: f64,
    /// Whether the live version is asked the same, and its durations are compared.
    pub compare_with_live: bool,
    /// By how much a percentile may be above the live version's (percent) …
    pub max_regression_percent: f64,
    /// … or by how many milliseconds, whichever is more.
    pub max_regression_ms: f64,
}

/// The load check.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Requests at a time on the last of the ramp's steps.
    pub concurrency: u32,
    /// Requests altogether.
    pub requests: u32,
    /// Of all requests, at most this share may fail.
    pub max_error_percent: f64,
    /// At most so many requests may be throttled.
    pub max_throttles: u32,
}

/// What stands in the log since the deployment began. Texts, compared letter by letter.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRules {
    /// No line may hold one of these. Lines of the requests that the error-handling check sends do not count.
    pub must_not_appear: Vec<String>,
    /// For each of these, a line must hold it.
    pub must_appear: Vec<String>,
}

/// When the new version counts as worse than the old one: the difference is unlikely to be chance, *and* it
/// is large enough to matter.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    /// The chance of calling a version worse that is not, over all tests together.
    pub alpha: f64,
    /// With fewer invocations of either version nothing is said.
    pub min_samples: u64,
    /// A share of errors or throttles that is higher by less (percentage points) does not matter.
    pub min_error_increase_percent: f64,
    /// A percentile that is higher by less (percent) does not matter …
    pub min_slowdown_percent: f64,
    /// … nor one that is higher by fewer milliseconds.
    pub min_slowdown_ms: f64,
    /// How long metrics and logs are waited for, where there are too few yet.
    pub wait_seconds: u32,
    /// The application's own metrics.
    pub custom_metrics: Vec<CustomMetric>,
}

/// A metric of the application's own, which it publishes for each version.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomMetric {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions; `{version}` in a value stands for the version's number.
    pub dimensions: BTreeMap<String, String>,
    /// What it measures.
    pub kind: CustomKind,
    /// Which direction is the bad one.
    pub worse: Worse,
    /// A change by less (percent) does not matter.
    pub min_change_percent: f64,
}

/// What a metric measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomKind {
    /// How often something happened: its sum is compared as a share of the invocations.
    Count,
    /// How large something was: the averages of the minutes are compared by their median. From about six minutes of
    /// each version on (more, where `alpha` is smaller): fewer values cannot come to any significance, and the canary is
    /// inconclusive.
    Value,
}

/// The bad direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worse {
    /// More is worse.
    Higher,
    /// Less is worse.
    Lower,
}

/// What becomes of an inconclusive verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inconclusive {
    /// It does not pass.
    Fail,
    /// It passes, and is reported as what it is.
    Pass,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            warm_up_requests: 5,
            invocation: vec![Request {
                payload: json!({"action": "create", "data": {"name": "test"}}),
                answer: None,
            }],
            // Nothing that an application should serve: an unknown action, none, and no object at all.
            error_handling: [
                json!({"action": "signalbox-no-such-action"}),
                json!({}),
                json!({"action": "create", "data": "not an object"}),
                json!(["not", "an", "object"]),
            ]
            .map(|payload| BadRequest {
                payload,
                refusal: Refusal::Answer,
            })
            .into(),
            performance: Performance::default(),
            load: Load::default(),
            logs: LogRules::default(),
            canary: Canary::default(),
            inconclusive: Inconclusive::Fail,
        }
    }
}

impl Default for Performance {
    fn default() -> Self {
        Self {
            requests: 20,
            p50_ms: 1000.0,
            p95_ms: 3000.0,
            p99_ms: 10_000.0,
            compare_with_live: true,
            max_regression_percent: 100.0,
            max_regression_ms: 100.0,
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self {
            concurrency: 10,
            requests: 50,
            max_error_percent: 1.0,
            max_throttles: 0,
        }
    }
}

impl Default for LogRules {
    fn default() -> Self {
        Self {
            must_not_appear: ["ERROR", "Task timed out", "Runtime exited", "Unhandled"]
                .map(str::to_owned)
                .into(),
            must_appear: Vec::new(),
        }
    }
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            min_samples: 20,
            min_error_increase_percent: 1.0,
            min_slowdown_percent: 50.0,
            min_slowdown_ms: 100.0,
            wait_seconds: 60,
            custom_metrics: Vec::new(),
        }
    }
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// All of its mistakes at once, each with its place.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        read::policy(text)
    }

    /// What the checks send where any sound request does.
    #[must_use]
    pub fn sound(&self) -> Value {
        self.invocation
            .first()
            .map_or(Value::Null, |request| request.payload.clone())
    }
}
