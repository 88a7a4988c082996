//! Users: requests to the alias, all the while a version goes out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use signalbox_local_core::{Caller, Cloud};
use tokio::task::{JoinHandle, JoinSet};

use super::Stage;
use crate::cloud::LocalCloud;

/// Between two requests: about 30 a second, enough for a canary of a tenth to be seen.
const PAUSE: Duration = Duration::from_millis(33);

/// Requests under way at once; slow answers must not pile up.
const AT_ONCE: usize = 16;

/// What one version answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) served: u64,
    pub(crate) failed: u64,
}

type Counts = Arc<Mutex<BTreeMap<String, Answers>>>;

/// Requests until it is dropped.
pub(crate) struct Traffic {
    counts: Counts,
    task: JoinHandle<()>,
}

impl Traffic {
    pub(crate) fn start(stage: &Stage<'_>) -> Self {
        let counts = Counts::default();
        let task = tokio::spawn(requests(
            stage.running.cloud.clone(),
            stage.installed.function.clone(),
            stage.installed.alias.clone(),
            counts.clone(),
        ));
        Self { counts, task }
    }

    /// What each version answered so far.
    pub(crate) fn by_version(&self) -> BTreeMap<String, Answers> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn requests(cloud: Arc<LocalCloud>, function: String, alias: String, counts: Counts) {
    let mut under_way = JoinSet::new();
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        while under_way.len() >= AT_ONCE {
            under_way.join_next().await;
        }
        let (cloud, counts) = (cloud.clone(), counts.clone());
        let input = json!({
            "FunctionName": function, "Qualifier": alias,
            "Payload": base64(br#"{"action":"list"}"#),
        });
        under_way.spawn(async move {
            let Ok(answer) = cloud.call(&Caller::Admin, "lambda", "Invoke", input).await else {
                return;
            };
            let version = answer
                .get("ExecutedVersion")
                .and_then(|v| v.as_str())
                .unwrap_or("?")
                .to_owned();
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            let answers = counts.entry(version).or_default();
            if answer.get("FunctionError").is_some_and(|error| !error.is_null()) {
                answers.failed += 1;
            } else {
                answers.served += 1;
            }
        });
        while under_way.try_join_next().is_some() {}
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
