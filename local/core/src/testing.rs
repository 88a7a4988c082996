//! A cloud without a network, for tests of one engine or of several together.
//!
//! It holds real engines, keeps objects in memory, and remembers what was emitted and what was asked
//! of services that no engine of the test serves. It decides nothing: assertions belong on what the
//! engine under test did.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::{Account, AwsError, AwsEvent, Caller, Clock, Cloud, Engine, StoredObject};

/// A call to a service that no engine of the test serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Botocore's name of the service.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// Its input.
    pub input: Value,
}

type Answer = dyn Fn(&Recorded) -> Result<Value, AwsError> + Send + Sync;

/// See the module.
pub struct TestCloud {
    account: Account,
    clock: Clock,
    work_dir: PathBuf,
    engines: OnceLock<Vec<Arc<dyn Engine>>>,
    answer: Box<Answer>,
    calls: Mutex<Vec<Recorded>>,
    events: Mutex<Vec<AwsEvent>>,
    objects: Mutex<HashMap<(String, String), Vec<StoredObject>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestCloud {
    /// A cloud in which every service without an engine answers `{}`.
    #[must_use]
    pub fn new(work_dir: &Path) -> Arc<Self> {
        Self::answering(work_dir, |_| Ok(json!({})))
    }

    /// A cloud in which services without an engine answer what `answer` says.
    #[must_use]
    pub fn answering(
        work_dir: &Path,
        answer: impl Fn(&Recorded) -> Result<Value, AwsError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            account: Account::default(),
            clock: Clock::new(1.0),
            work_dir: work_dir.to_owned(),
            engines: OnceLock::new(),
            answer: Box::new(answer),
            calls: Mutex::default(),
            events: Mutex::default(),
            objects: Mutex::default(),
        })
    }

    /// Registers the engines; once.
    pub fn register(&self, engines: Vec<Arc<dyn Engine>>) {
        let _ = self.engines.set(engines);
    }

    /// Calls to services without an engine, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Recorded> {
        lock(&self.calls).clone()
    }

    /// Emitted events, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<AwsEvent> {
        lock(&self.events).clone()
    }
}

#[async_trait]
impl Cloud for TestCloud {
    async fn call(
        &self,
        caller: &Caller,
        service: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, AwsError> {
        let engine = self
            .engines
            .get()
            .and_then(|all| all.iter().find(|e| e.service() == service).cloned());
        if let Some(engine) = engine {
            return engine.call(caller, operation, input).await;
        }
        let recorded = Recorded {
            service: service.to_owned(),
            operation: operation.to_owned(),
            input,
        };
        lock(&self.calls).push(recorded.clone());
        (self.answer)(&recorded)
    }

    async fn emit(&self, event: AwsEvent) {
        lock(&self.events).push(event);
    }

    async fn get_object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<StoredObject, AwsError> {
        let objects = lock(&self.objects);
        let versions = objects.get(&(bucket.to_owned(), key.to_owned())).ok_or_else(|| {
            AwsError::new("NoSuchKey", "The specified key does not exist.").with_status(404)
        })?;
        match version {
            None => versions.last(),
            Some(id) => versions
                .iter()
                .find(|object| object.version_id.as_deref() == Some(id)),
        }
        .cloned()
        .ok_or_else(|| {
            AwsError::new("NoSuchVersion", "The specified version does not exist.").with_status(404)
        })
    }

    async fn put_object(&self, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<Option<String>, AwsError> {
        let mut objects = lock(&self.objects);
        let versions = objects.entry((bucket.to_owned(), key.to_owned())).or_default();
        let version_id = Some(format!("v{}", versions.len() + 1));
        versions.push(StoredObject {
            bytes,
            version_id: version_id.clone(),
            metadata: Vec::new(),
        });
        Ok(version_id)
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn endpoint(&self) -> String {
        "http://127.0.0.1:9".to_owned()
    }

    fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    fn credentials_for(&self, role_arn: &str, session: &str) -> (String, String, String) {
        (format!("KEY-{session}"), "secret".to_owned(), role_arn.to_owned())
    }
}
