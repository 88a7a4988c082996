//! One invocation: place, process, answer, and what is recorded about it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use signalbox_local_core::{Account, AwsError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Options;
use crate::environment::{Ending, Environment, Host, Request, StartError};
use crate::errors;
use crate::functions::{Registry, Target};
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::reference::Reference;
use crate::stats::Stats;

/// How long a process may take to ask for more work after its answer, before it is given up.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// What the engine's operations and background work share.
pub(crate) struct Service {
    pub(crate) host: Host,
    pub(crate) options: Options,
    registry: Mutex<Registry>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) metrics: Metrics,
    pub(crate) stats: Stats,
    pub(crate) stop: CancellationToken,
}

/// One invocation to perform.
#[derive(Clone)]
pub(crate) struct Invocation {
    pub(crate) reference: Reference,
    pub(crate) request_id: String,
    pub(crate) client_context: Option<String>,
    pub(crate) payload: Bytes,
}

/// How it ended.
pub(crate) struct Outcome {
    pub(crate) version: String,
    pub(crate) payload: Bytes,
    /// The function failed, by itself or with its process.
    pub(crate) failed: bool,
    pub(crate) log_tail: Vec<u8>,
}

/// Uniform in [0, 1).
fn draw() -> f64 {
    // The low half of a random UUID: 32 bits that its format leaves free.
    let (_, low) = Uuid::new_v4().as_u64_pair();
    let [.., a, b, c, d] = low.to_be_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}

impl Service {
    pub(crate) fn new(host: Host, options: Options, metrics: Metrics, stop: CancellationToken) -> Self {
        let account = host.cloud.account().clone();
        Self {
            host,
            options,
            registry: Mutex::new(Registry::new(account)),
            pool: Arc::default(),
            metrics,
            stats: Stats::default(),
            stop,
        }
    }

    /// Never held over an await.
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn account(&self) -> &Account {
        self.host.cloud.account()
    }

    /// Runs an invocation to its end, even if whoever asked for it goes away.
    pub(crate) async fn run(self: &Arc<Self>, invocation: Invocation) -> Result<Outcome, AwsError> {
        let service = self.clone();
        let task = self.host.tasks.spawn(async move {
            let performed = service
                .stop
                .run_until_cancelled(Box::pin(service.perform(invocation)))
                .await;
            performed.unwrap_or_else(|| Err(AwsError::internal("the local cloud is being shut down")))
        });
        task.await
            .unwrap_or_else(|error| Err(AwsError::internal(format!("an invocation failed: {error}"))))
    }

    async fn perform(self: &Arc<Self>, invocation: Invocation) -> Result<Outcome, AwsError> {
        let (target, reserved, reserved_total) = {
            let registry = self.registry();
            let reserved = registry.get(&invocation.reference)?.reserved;
            (
                registry.target(&invocation.reference, draw())?,
                reserved,
                registry.reserved_total(),
            )
        };
        let function = target.version.function.as_str();
        let permit = match self.pool.acquire(function, reserved, reserved_total) {
            Ok(permit) => permit,
            Err(reason) => {
                self.metrics.throttled(&target, self.pool.running(function));
                return Err(errors::throttled(reason));
            }
        };
        let mut environment = match self.pool.take(&target.version) {
            Some(environment) => environment,
            None => match Environment::start(&self.host, target.version.clone()).await {
                Ok(environment) => environment,
                Err(error) => {
                    return Ok(self.not_started(&target, &invocation.request_id, &error, permit.concurrent));
                }
            },
        };
        let ending = environment
            .invoke(Request {
                request_id: invocation.request_id.clone(),
                invoked_arn: target.invoked_arn.clone(),
                client_context: invocation.client_context,
                payload: invocation.payload,
            })
            .await;
        let rss_kib = environment.peak_rss_kib();
        self.record(&target, &ending, rss_kib, permit.concurrent);
        report(&environment, &ending, &invocation.request_id, rss_kib);
        let log_tail = environment.journal.tail();
        // The place is free before the answer is known: who invokes next, one after the other, finds it.
        drop(permit);
        self.put_back(environment, ending.idle);
        Ok(Outcome {
            version: target.version.number.clone(),
            payload: ending.payload,
            failed: ending.failed,
            log_tail,
        })
    }

    fn not_started(&self, target: &Target, request_id: &str, error: &StartError, concurrent: u32) -> Outcome {
        tracing::warn!(function = %target.version.function, %error, "a function's process could not be started");
        self.metrics.invoked(target, true, 0.0, concurrent);
        self.stats.invoked(&target.version.function, true, None);
        Outcome {
            version: target.version.number.clone(),
            payload: error.payload(request_id),
            failed: true,
            log_tail: error.to_string().into_bytes(),
        }
    }

    fn record(&self, target: &Target, ending: &Ending, rss_kib: Option<u64>, concurrent: u32) {
        let function = &target.version.function;
        self.metrics
            .invoked(target, ending.failed, milliseconds(ending.duration), concurrent);
        self.stats.invoked(function, ending.failed, rss_kib);
        if let Some(init) = ending.init {
            self.stats.started(function, milliseconds(init));
        }
    }

    /// Keeps the environment for the next invocation, as soon as its process asks for it.
    fn put_back(self: &Arc<Self>, mut environment: Environment, idle: bool) {
        if idle {
            self.keep(environment);
        } else if environment.is_alive() {
            let service = self.clone();
            self.host.tasks.spawn(async move {
                let settled = environment.settled(Instant::now() + SETTLE_LIMIT);
                if service.stop.run_until_cancelled(settled).await == Some(true) {
                    service.keep(environment);
                }
            });
        }
    }

    fn keep(&self, environment: Environment) {
        let version = environment.version.clone();
        let of_use = self
            .registry()
            .functions
            .get(&version.function)
            .is_some_and(|found| found.uses(&version));
        if of_use {
            self.pool.put(environment);
        }
    }

    /// Ends idle processes of versions that changed or are gone.
    pub(crate) fn discard_stale(&self) {
        let current: std::collections::HashSet<String> = {
            let registry = self.registry();
            let versions = registry
                .functions
                .values()
                .flat_map(|f| std::iter::once(&f.latest).chain(f.published.values()));
            versions.map(|version| version.revision.clone()).collect()
        };
        self.pool.retain(|version| current.contains(&version.revision));
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The lines that Lambda writes after an invocation.
fn report(environment: &Environment, ending: &Ending, request_id: &str, rss_kib: Option<u64>) {
    let journal = &environment.journal;
    journal.line(&format!("END RequestId: {request_id}"));
    let duration = milliseconds(ending.duration);
    let mut line = format!(
        "REPORT RequestId: {request_id}\tDuration: {duration:.2} ms\tBilled Duration: {:.0} ms\tMemory Size: {} MB\t",
        duration.ceil(),
        environment.version.settings.memory_mb
    );
    if let Some(kib) = rss_kib {
        line.push_str(&format!("Max Memory Used: {} MB\t", kib.div_ceil(1024)));
    }
    if let Some(init) = ending.init {
        line.push_str(&format!("Init Duration: {:.2} ms\t", milliseconds(init)));
    }
    if let Some(status) = ending.status {
        line.push_str(&format!("Status: {status}"));
    }
    journal.line(line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_evenly() {
        let below = (0..20_000).map(|_| draw()).filter(|draw| *draw < 0.1).count();
        // Ten standard deviations around 2,000.
        assert!((1_575..=2_425).contains(&below), "{below}");
        assert!((0..1000).all(|_| (0.0..1.0).contains(&draw())));
    }
}
