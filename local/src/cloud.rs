//! The local cloud: how engines, the emulator and the gateway reach each other.

mod emulator;
mod filter;
mod queues;
mod topics;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::{Account, AwsError, AwsEvent, Caller, Clock, Cloud, Engine, StoredObject};
use signalbox_local_wire::{Model, Models};
use uuid::Uuid;

use crate::authorise::{self, Needed, Policies, Usage};
use crate::faults::Faults;
use crate::inbox::Inbox;
use crate::storage::{self, Storage};

pub(crate) use emulator::{Emulator, HOP_BY_HOP, client as emulator_client};

/// The caller with which services put events of AWS's own sources on the bus.
const INTERNAL: &str = "aws.internal";

/// A session of a role: whom a pair of credentials speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    role_arn: String,
    name: String,
}

/// The engines, the emulator, and what connects them.
pub struct LocalCloud {
    account: Account,
    clock: Clock,
    work_dir: PathBuf,
    models: Arc<Models>,
    emulator: Emulator,
    engines: OnceLock<Vec<Arc<dyn Engine>>>,
    endpoint: OnceLock<String>,
    sessions: Mutex<HashMap<String, Session>>,
    policies: Policies,
    inbox: Inbox,
    storage: Storage,
    faults: Arc<Faults>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LocalCloud {
    /// A cloud without engines yet. `emulator_url` is where moto, or another emulator, answers.
    #[must_use]
    pub fn new(
        account: Account,
        clock: Clock,
        work_dir: &Path,
        models: Arc<Models>,
        emulator_url: &str,
    ) -> Arc<Self> {
        Arc::new(Self {
            emulator: Emulator::new(emulator_url, &account.region),
            policies: Policies::new(&account.id),
            account,
            clock,
            work_dir: work_dir.to_owned(),
            models,
            engines: OnceLock::new(),
            endpoint: OnceLock::new(),
            sessions: Mutex::default(),
            inbox: Inbox::default(),
            storage: Storage::default(),
            faults: Arc::default(),
        })
    }

    /// Registers the engines, which were made with this cloud; once.
    pub fn register(&self, engines: Vec<Arc<dyn Engine>>) {
        if self.engines.set(engines).is_err() {
            tracing::warn!("engines were registered twice; the first set stays");
        }
    }

    /// Ends every engine, newest first.
    pub async fn shutdown(&self) {
        for engine in self.engines.get().into_iter().flatten().rev() {
            engine.shutdown().await;
        }
    }

    /// Mail that topics sent.
    #[must_use]
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Which calls fail on purpose.
    #[must_use]
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// AWS's service models.
    #[must_use]
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Every permission that a role's session asked for so far, and whether it was allowed.
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        self.policies.usage()
    }

    /// What roles may do.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The engine of a service (botocore's name), where there is one.
    pub(crate) fn engine(&self, service: &str) -> Option<&Arc<dyn Engine>> {
        self.engines
            .get()?
            .iter()
            .find(|engine| engine.service() == service)
    }

    /// What each engine has: the service (botocore's name) and its operations, as AWS spells them.
    #[must_use]
    pub fn operations(&self) -> Vec<(&'static str, &'static [&'static str])> {
        let engines = self.engines.get().into_iter().flatten();
        engines
            .map(|engine| (engine.service(), engine.operations()))
            .collect()
    }

    pub(crate) fn engine_services(&self) -> Vec<&'static str> {
        self.engines
            .get()
            .into_iter()
            .flatten()
            .map(|engine| engine.service())
            .collect()
    }

    pub(crate) fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The gateway's address, once it listens.
    pub(crate) fn set_endpoint(&self, url: String) {
        self.emulator.set_host(url.trim_start_matches("http://"));
        if self.endpoint.set(url).is_err() {
            tracing::warn!("a second gateway serves this cloud; processes keep the first one's address");
        }
    }

    /// Whom an access key id speaks for. Keys that this cloud did not issue are the person's: the AWS
    /// CLI works with any.
    pub(crate) fn caller_of(&self, access_key_id: Option<&str>) -> Caller {
        let session = access_key_id.and_then(|key| lock(&self.sessions).get(key).cloned());
        session.map_or(Caller::Admin, |session| Caller::Role {
            arn: session.role_arn,
            session: session.name,
        })
    }

    /// Loads a model off the async threads: it is a megabyte of JSON.
    pub(crate) async fn model(&self, service: &str) -> Result<Arc<Model>, AwsError> {
        let (models, name) = (Arc::clone(&self.models), service.to_owned());
        let loaded = tokio::task::spawn_blocking(move || models.get(&name)).await;
        loaded
            .map_err(|error| AwsError::internal(error.to_string()))?
            .map_err(|error| AwsError::internal(error.to_string()))
    }

    /// Refuses what the caller's role does not allow, and remembers what was asked.
    async fn authorise(
        &self,
        caller: &Caller,
        service: &str,
        operation: &str,
        input: &Value,
    ) -> Result<(), AwsError> {
        if !matches!(caller, Caller::Role { .. }) {
            return Ok(());
        }
        let needed = authorise::needed(self, service, operation, input).await;
        self.authorise_needed(caller, &needed)
    }

    /// As `authorise`, where the needed permissions are known already.
    pub(crate) fn authorise_needed(&self, caller: &Caller, needed: &[Needed]) -> Result<(), AwsError> {
        self.policies.check(caller, needed, &self.account)
    }

    /// As `authorise`, with the error as the service itself words it.
    pub(crate) async fn authorise_as(
        &self,
        caller: &Caller,
        service: &str,
        operation: &str,
        input: &Value,
    ) -> Result<(), AwsError> {
        let worded = |error: AwsError| match service {
            "sns" => AwsError {
                code: "AuthorizationError".to_owned(),
                status: 403,
                ..error
            },
            "cloudformation" | "iam" | "sts" | "s3" => AwsError {
                code: "AccessDenied".to_owned(),
                status: 403,
                ..error
            },
            "lambda" => error.with_status(403),
            _ => error,
        };
        self.authorise(caller, service, operation, input)
            .await
            .map_err(worded)
    }

    /// What the emulator lacks, checked before it is asked. `Some` answers in its stead.
    pub(crate) fn before(
        &self,
        caller: &Caller,
        service: &str,
        operation: &str,
        input: &Value,
    ) -> Result<Option<Value>, AwsError> {
        match (service, operation) {
            ("sns", "Publish" | "PublishBatch") => topics::check_limits(operation, input).map(|()| None),
            ("sts", "GetCallerIdentity") => {
                let arn = caller.display_arn(&self.account.id);
                let user = match caller {
                    Caller::Role { session, .. } => format!("AROALOCAL:{session}"),
                    Caller::Admin | Caller::Service { .. } => "AIDALOCAL".to_owned(),
                };
                Ok(Some(
                    json!({"UserId": user, "Account": self.account.id, "Arn": arn}),
                ))
            }
            _ => Ok(None),
        }
    }

    /// What follows from a call that the emulator has performed.
    pub(crate) async fn after(&self, service: &str, operation: &str, input: &Value, output: &Value) {
        match service {
            "iam" => self.policies.observe(operation, input, output),
            "sns" => topics::deliver(self, operation, input, output).await,
            "s3" => storage::after_call(self, operation, input, output).await,
            "sqs" if operation == "SendMessage" => queues::measure(self, input).await,
            "sts" if operation == "AssumeRole" => self.remember_assumed(input, output),
            _ => {}
        }
    }

    fn remember_assumed(&self, input: &Value, output: &Value) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let (Some(key), Some(role_arn), Some(name)) = (
            text(&output["Credentials"]["AccessKeyId"]),
            text(&input["RoleArn"]),
            text(&input["RoleSessionName"]),
        ) {
            lock(&self.sessions).insert(key, Session { role_arn, name });
        }
    }

    /// Calls the emulator in process.
    pub(crate) async fn call_emulator(
        &self,
        caller: &Caller,
        service: &str,
        operation: &str,
        input: &Value,
    ) -> Result<Value, AwsError> {
        if let Some(answer) = self.before(caller, service, operation, input)? {
            return Ok(answer);
        }
        let model = self.model(service).await?;
        let output = self.emulator.call(&model, operation, input).await?;
        self.after(service, operation, input, &output).await;
        Ok(output)
    }
}

#[async_trait]
impl Cloud for LocalCloud {
    async fn call(
        &self,
        caller: &Caller,
        service: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, AwsError> {
        self.authorise_as(caller, service, operation, &input).await?;
        match self.engine(service) {
            Some(engine) => engine.call(caller, operation, input).await,
            // Boxed: a publication may invoke a function, which is a call again.
            None => Box::pin(self.call_emulator(caller, service, operation, &input)).await,
        }
    }

    async fn emit(&self, event: AwsEvent) {
        let Some(engine) = self.engine("events") else {
            return;
        };
        let entry = json!({
            "Source": event.source,
            "DetailType": event.detail_type,
            "Resources": event.resources,
            "Detail": event.detail.to_string(),
        });
        let put = engine
            .call(
                &Caller::service(INTERNAL),
                "PutEvents",
                json!({"Entries": [entry]}),
            )
            .await;
        if let Err(error) = put {
            tracing::error!(event.source, event.detail_type, %error, "an event could not be put on the bus");
        }
    }

    async fn get_object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<StoredObject, AwsError> {
        storage::get_object(self, bucket, key, version).await
    }

    async fn put_object(&self, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<Option<String>, AwsError> {
        storage::put_object(self, bucket, key, bytes).await
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn endpoint(&self) -> String {
        // Before the gateway listens nothing that would need it can run.
        self.endpoint.get().cloned().unwrap_or_default()
    }

    fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    fn credentials_for(&self, role_arn: &str, session: &str) -> (String, String, String) {
        let random = || Uuid::new_v4().simple().to_string().to_uppercase();
        let key: String = format!("ASIA{}", random()).chars().take(20).collect();
        let name = session.to_owned();
        lock(&self.sessions).insert(
            key.clone(),
            Session {
                role_arn: role_arn.to_owned(),
                name,
            },
        );
        (
            key,
            format!("local{}", random()),
            format!("local-session-{}", random()),
        )
    }
}
