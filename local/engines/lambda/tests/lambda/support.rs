//! A local Lambda over real Node.js processes, and what the tests ask of it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: what fails here fails the test"
)]

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signalbox_local_core::testing::{Recorded, TestCloud};
use signalbox_local_core::{Account, AwsError, AwsEvent, Caller, Clock, Cloud, Engine as _, StoredObject};
use signalbox_local_lambda::{LambdaEngine, Options};
use zip::write::SimpleFileOptions;

pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/function";

/// A test cloud whose configured minutes pass in milliseconds, since processes know no virtual time.
struct FastCloud {
    inner: Arc<TestCloud>,
    clock: Clock,
}

#[async_trait]
impl Cloud for FastCloud {
    async fn call(
        &self,
        caller: &Caller,
        service: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, AwsError> {
        self.inner.call(caller, service, operation, input).await
    }
    async fn emit(&self, event: AwsEvent) {
        self.inner.emit(event).await;
    }
    async fn get_object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<StoredObject, AwsError> {
        self.inner.get_object(bucket, key, version).await
    }
    async fn put_object(&self, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<Option<String>, AwsError> {
        self.inner.put_object(bucket, key, bytes).await
    }
    fn clock(&self) -> &Clock {
        &self.clock
    }
    fn account(&self) -> &Account {
        self.inner.account()
    }
    fn endpoint(&self) -> String {
        self.inner.endpoint()
    }
    fn work_dir(&self) -> &Path {
        self.inner.work_dir()
    }
    fn credentials_for(&self, role_arn: &str, session: &str) -> (String, String, String) {
        self.inner.credentials_for(role_arn, session)
    }
}

pub(crate) struct Lambda {
    pub(crate) engine: Arc<LambdaEngine>,
    pub(crate) cloud: Arc<TestCloud>,
    pub(crate) directory: tempfile::TempDir,
}

impl Lambda {
    pub(crate) fn new() -> Self {
        Self::scaled(1.0)
    }

    pub(crate) fn scaled(scale: f64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cloud = TestCloud::new(directory.path());
        let fast = Arc::new(FastCloud {
            inner: cloud.clone(),
            clock: Clock::new(scale),
        });
        let options = Options {
            binaries: directory.path().join("binaries"),
            node: node(),
            log_dir: directory.path().join("logs"),
        };
        let engine = LambdaEngine::new(fast, options);
        cloud.register(vec![engine.clone()]);
        Self {
            engine,
            cloud,
            directory,
        }
    }

    pub(crate) async fn ask(&self, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.engine.call(&Caller::Admin, operation, input).await
    }

    pub(crate) async fn call(&self, operation: &str, input: Value) -> Value {
        self.call_as(&Caller::Admin, operation, input).await
    }

    pub(crate) async fn call_as(&self, caller: &Caller, operation: &str, input: Value) -> Value {
        self.engine.call(caller, operation, input).await.unwrap()
    }

    /// A Node.js function of one file.
    pub(crate) async fn node(&self, name: &str, code: &str) -> Value {
        self.node_with(name, code, json!({})).await
    }

    pub(crate) async fn node_with(&self, name: &str, code: &str, more: Value) -> Value {
        let mut input = json!({
            "FunctionName": name, "Runtime": "nodejs22.x", "Handler": "index.handler", "Role": ROLE, "Timeout": 20,
            "Code": { "ZipFile": zipped(&[("index.js", code, 0o644)]) },
        });
        for (member, value) in more.as_object().unwrap() {
            input[member] = value.clone();
        }
        self.call("CreateFunction", input).await
    }

    /// Invokes and waits; the answer and its payload.
    pub(crate) async fn invoke(&self, name: &str, payload: Value) -> (Value, Value) {
        let input =
            json!({ "FunctionName": name, "Payload": encode(&payload.to_string()), "LogType": "Tail" });
        let answer = self.call("Invoke", input).await;
        let payload = decode_json(&answer["Payload"]);
        (answer, payload)
    }

    /// Polls until the emulated services were asked something; fails after ten seconds.
    pub(crate) async fn recorded(
        &self,
        service: &str,
        operation: &str,
        found: impl Fn(&Recorded) -> bool,
    ) -> Recorded {
        for _ in 0..1000 {
            let calls = self.cloud.calls();
            let hit = calls
                .into_iter()
                .find(|c| c.service == service && c.operation == operation && found(c));
            if let Some(call) = hit {
                return call;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no {service} {operation}; seen: {:?}", self.cloud.calls());
    }
}

pub(crate) fn node() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|directory| directory.join("node"))
        .find(|path| path.is_file())
        .unwrap()
}

pub(crate) fn zipped(files: &[(&str, &str, u32)]) -> String {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text, mode) in files {
        writer
            .start_file(*name, SimpleFileOptions::default().unix_permissions(*mode))
            .unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    STANDARD.encode(writer.finish().unwrap().into_inner())
}

pub(crate) fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

pub(crate) fn decode(value: &Value) -> String {
    String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap()
}

pub(crate) fn decode_json(value: &Value) -> Value {
    serde_json::from_str(&decode(value)).unwrap()
}

/// True while a process with that id exists and is not a zombie.
pub(crate) fn runs(pid: &Value) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}
