//! A version's configuration: read from requests, checked, shown.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use signalbox_local_core::AwsError;

use crate::errors::invalid;

/// Lambda's defaults.
const TIMEOUT_SECONDS: u32 = 3;
const MEMORY_MB: u32 = 128;
/// Lambda's limit for names and values of all environment variables together.
const ENVIRONMENT_LIMIT: usize = 4096;
/// Names that Lambda sets itself and lets nobody change.
const RESERVED: [&str; 20] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
];

/// What `CreateFunction` and `UpdateFunctionConfiguration` have in common.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Change {
    runtime: Option<String>,
    role: Option<String>,
    handler: Option<String>,
    description: Option<String>,
    timeout: Option<u32>,
    memory_size: Option<u32>,
    environment: Option<EnvironmentInput>,
    dead_letter_config: Option<DeadLetterInput>,
    tracing_config: Option<TracingInput>,
    architectures: Option<Vec<String>>,
    ephemeral_storage: Option<EphemeralInput>,
    logging_config: Option<Map<String, Value>>,
    vpc_config: Option<Map<String, Value>>,
    layers: Option<Vec<String>>,
    #[serde(rename = "KMSKeyArn")]
    kms_key_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EnvironmentInput {
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetterInput {
    target_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TracingInput {
    mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EphemeralInput {
    size: u32,
}

/// How a version's process is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// An executable named `bootstrap`.
    Provided,
    /// Our own client of the Runtime API, run by Node.js.
    Node,
}

/// A version's configuration. No `Debug`: environments hold secrets.
#[derive(Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) runtime: Runtime,
    pub(crate) runtime_name: Option<String>,
    pub(crate) role: String,
    pub(crate) handler: Option<String>,
    pub(crate) description: String,
    pub(crate) timeout_seconds: u32,
    pub(crate) memory_mb: u32,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) dead_letter: Option<String>,
    tracing_mode: String,
    architectures: Vec<String>,
    ephemeral_mb: u32,
    logging: Map<String, Value>,
    vpc: Option<Map<String, Value>>,
    kms_key_arn: Option<String>,
}

impl Settings {
    /// A new function's configuration. `binary`: the code is one of this workspace's binaries, which
    /// needs no runtime's name.
    pub(crate) fn new(change: Change, binary: bool) -> Result<Self, AwsError> {
        let role = change.role.clone().ok_or_else(|| invalid("Role is required."))?;
        if !binary {
            if change.runtime.is_none() {
                return Err(invalid(
                    "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
                ));
            }
            if change.handler.is_none() {
                return Err(invalid(
                    "Handler is a mandatory parameter for functions created with deployment packages.",
                ));
            }
        }
        let mut settings = Self {
            runtime: Runtime::Provided,
            runtime_name: None,
            role,
            handler: None,
            description: String::new(),
            timeout_seconds: TIMEOUT_SECONDS,
            memory_mb: MEMORY_MB,
            environment: BTreeMap::new(),
            dead_letter: None,
            tracing_mode: "PassThrough".to_owned(),
            architectures: vec!["x86_64".to_owned()],
            ephemeral_mb: 512,
            logging: Map::new(),
            vpc: None,
            kms_key_arn: None,
        };
        settings.apply(change)?;
        Ok(settings)
    }

    /// Takes over what a request names and leaves the rest.
    pub(crate) fn apply(&mut self, change: Change) -> Result<(), AwsError> {
        if let Some(name) = change.runtime {
            self.runtime = runtime(&name)?;
            self.runtime_name = Some(name);
        }
        if let Some(role) = change.role {
            self.role = role;
        }
        if let Some(handler) = change.handler {
            self.handler = Some(handler);
        }
        if let Some(description) = change.description {
            self.description = description;
        }
        if let Some(timeout) = change.timeout {
            self.timeout_seconds = timeout;
        }
        if let Some(memory) = change.memory_size {
            self.memory_mb = memory;
        }
        if let Some(environment) = change.environment {
            check_environment(&environment.variables)?;
            self.environment = environment.variables;
        }
        if let Some(dead_letter) = change.dead_letter_config {
            self.dead_letter = dead_letter.target_arn.filter(|arn| !arn.is_empty());
        }
        if let Some(mode) = change.tracing_config.and_then(|tracing| tracing.mode) {
            self.tracing_mode = mode;
        }
        if let Some(architectures) = change.architectures.filter(|all| !all.is_empty()) {
            self.architectures = architectures;
        }
        if let Some(ephemeral) = change.ephemeral_storage {
            self.ephemeral_mb = ephemeral.size;
        }
        if let Some(logging) = change.logging_config {
            self.logging = logging;
        }
        if let Some(vpc) = change.vpc_config {
            self.vpc = Some(vpc);
        }
        if let Some(key) = change.kms_key_arn {
            self.kms_key_arn = Some(key).filter(|key| !key.is_empty());
        }
        if change.layers.is_some_and(|layers| !layers.is_empty()) {
            return Err(invalid(
                "The local cloud has no layers; put what they hold into the package.",
            ));
        }
        Ok(())
    }

    /// Where the function's log lines go.
    pub(crate) fn log_group(&self, function: &str) -> String {
        match self.logging.get("LogGroup").and_then(Value::as_str) {
            Some(group) => group.to_owned(),
            None => format!("/aws/lambda/{function}"),
        }
    }

    /// `Text` or `JSON`.
    pub(crate) fn log_format(&self) -> &str {
        self.logging
            .get("LogFormat")
            .and_then(Value::as_str)
            .unwrap_or("Text")
    }

    /// True where both may share an alias's traffic: Lambda demands one role and one dead-letter queue.
    pub(crate) fn may_share_alias(&self, other: &Self) -> bool {
        self.role == other.role && self.dead_letter == other.dead_letter
    }

    /// The members of `FunctionConfiguration` that come from the request.
    pub(crate) fn describe(&self, function: &str) -> Map<String, Value> {
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| {
            shown.insert(name.to_owned(), value);
        };
        if let Some(runtime) = &self.runtime_name {
            put("Runtime", json!(runtime));
        }
        put("Role", json!(self.role));
        if let Some(handler) = &self.handler {
            put("Handler", json!(handler));
        }
        put("Description", json!(self.description));
        put("Timeout", json!(self.timeout_seconds));
        put("MemorySize", json!(self.memory_mb));
        if !self.environment.is_empty() {
            put("Environment", json!({ "Variables": self.environment }));
        }
        if let Some(target) = &self.dead_letter {
            put("DeadLetterConfig", json!({ "TargetArn": target }));
        }
        put("TracingConfig", json!({ "Mode": self.tracing_mode }));
        put("PackageType", json!("Zip"));
        put("Architectures", json!(self.architectures));
        put("EphemeralStorage", json!({ "Size": self.ephemeral_mb }));
        put(
            "SnapStart",
            json!({ "ApplyOn": "None", "OptimizationStatus": "Off" }),
        );
        let mut logging = self.logging.clone();
        logging.entry("LogFormat").or_insert_with(|| json!("Text"));
        logging
            .entry("LogGroup")
            .or_insert_with(|| json!(format!("/aws/lambda/{function}")));
        put("LoggingConfig", Value::Object(logging));
        if let Some(vpc) = &self.vpc {
            let mut vpc = vpc.clone();
            vpc.entry("VpcId").or_insert_with(|| json!(""));
            put("VpcConfig", Value::Object(vpc));
        }
        if let Some(key) = &self.kms_key_arn {
            put("KMSKeyArn", json!(key));
        }
        shown
    }
}

fn runtime(name: &str) -> Result<Runtime, AwsError> {
    match name {
        "provided" | "provided.al2" | "provided.al2023" => Ok(Runtime::Provided),
        _ if name.starts_with("nodejs") && name.ends_with(".x") => Ok(Runtime::Node),
        _ => Err(invalid(format!(
            "The local cloud does not run {name}. It runs: provided, provided.al2, provided.al2023 (an executable \
             named bootstrap), and nodejs20.x, nodejs22.x, nodejs24.x and other nodejs*.x (with the Node.js of this \
             machine)."
        ))),
    }
}

fn check_environment(variables: &BTreeMap<String, String>) -> Result<(), AwsError> {
    let reserved: Vec<&str> = variables
        .keys()
        .map(String::as_str)
        .filter(|name| RESERVED.contains(name))
        .collect();
    if !reserved.is_empty() {
        return Err(invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided contains reserved keys that are currently not supported for modification. Reserved keys used \
             in this request: {}",
            reserved.join(", ")
        )));
    }
    let measured: usize = variables
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if measured > ENVIRONMENT_LIMIT {
        return Err(invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided exceeded the 4KB limit. Bytes measured: {measured}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(input: Value) -> Change {
        serde_json::from_value(input).unwrap()
    }

    fn role() -> &'static str {
        "arn:aws:iam::123456789012:role/r"
    }

    #[test]
    fn a_runtime_that_is_not_run_here_is_refused_by_name() {
        let refused = Settings::new(
            change(json!({ "Role": role(), "Runtime": "python3.12", "Handler": "a.b" })),
            false,
        );
        let error = refused.err().unwrap();
        assert_eq!(error.code, "InvalidParameterValueException");
        assert!(error.message.contains("python3.12") && error.message.contains("provided.al2023"));
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let mut settings = Settings::new(
            change(json!({
                "Role": role(), "Runtime": "nodejs22.x", "Handler": "index.handler", "Timeout": 9,
                "Environment": { "Variables": { "A": "1" } }, "DeadLetterConfig": { "TargetArn": "arn:q" },
            })),
            false,
        )
        .unwrap();
        settings.apply(change(json!({ "MemorySize": 256 }))).unwrap();
        assert_eq!((settings.timeout_seconds, settings.memory_mb), (9, 256));
        assert_eq!(settings.environment["A"], "1");
        settings
            .apply(change(
                json!({ "Environment": { "Variables": {} }, "DeadLetterConfig": { "TargetArn": "" } }),
            ))
            .unwrap();
        assert!(settings.environment.is_empty() && settings.dead_letter.is_none());
    }

    #[test]
    fn reserved_variables_and_too_many_of_them_are_refused() {
        let with = |variables: Value| {
            Settings::new(
                change(json!({ "Role": role(), "Environment": { "Variables": variables } })),
                true,
            )
            .err()
        };
        assert!(
            with(json!({ "AWS_REGION": "x" }))
                .unwrap()
                .message
                .contains("AWS_REGION")
        );
        assert!(
            with(json!({ "A": "x".repeat(4096) }))
                .unwrap()
                .message
                .contains("4KB")
        );
        assert!(with(json!({ "AWS_ENDPOINT_URL": "http://x" })).is_none());
    }
}
