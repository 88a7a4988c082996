//! What is attached to a function or an alias: asynchronous invocation's settings, and function URLs.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::{Account, AwsError, Clock};

use crate::errors;
use crate::functions::Function;
use crate::reference::{LATEST, Reference, arn, qualified_arn};

/// Lambda's defaults: two retries, six hours.
const RETRIES: u32 = 2;
const AGE_SECONDS: u32 = 21_600;

/// How asynchronous invocations of one qualifier are handled.
#[derive(Clone)]
pub(crate) struct EventInvokeConfig {
    retries: Option<u32>,
    age_seconds: Option<u32>,
    /// ARNs of the destinations.
    on_success: Option<String>,
    on_failure: Option<String>,
    modified: Timestamp,
}

/// Input of `PutFunctionEventInvokeConfig` and `UpdateFunctionEventInvokeConfig`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EventInvokeInput {
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u32>,
    destination_config: Option<DestinationInput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationInput {
    on_success: Option<Destination>,
    on_failure: Option<Destination>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    destination: Option<String>,
}

impl Destination {
    fn arn(self) -> Option<String> {
        self.destination.filter(|arn| !arn.is_empty())
    }
}

/// What holds for an asynchronous invocation, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) retries: u32,
    pub(crate) age_seconds: u32,
    pub(crate) on_success: Option<String>,
    pub(crate) on_failure: Option<String>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            retries: RETRIES,
            age_seconds: AGE_SECONDS,
            on_success: None,
            on_failure: None,
        }
    }
}

impl EventInvokeConfig {
    fn describe(&self, account: &Account, function: &str, qualifier: &str) -> Value {
        json!({
            "LastModified": Clock::to_epoch_seconds(self.modified),
            "FunctionArn": qualified_arn(account, function, qualifier),
            "MaximumRetryAttempts": self.retries.unwrap_or(RETRIES),
            "MaximumEventAgeInSeconds": self.age_seconds.unwrap_or(AGE_SECONDS),
            "DestinationConfig": {
                "OnSuccess": destination(self.on_success.as_deref()),
                "OnFailure": destination(self.on_failure.as_deref()),
            },
        })
    }
}

fn destination(arn: Option<&str>) -> Value {
    arn.map_or_else(|| json!({}), |arn| json!({ "Destination": arn }))
}

fn key(reference: &Reference) -> String {
    reference.qualifier.clone().unwrap_or_else(|| LATEST.to_owned())
}

impl Function {
    /// How asynchronous invocations under this qualifier are handled.
    pub(crate) fn delivery(&self, qualifier: Option<&str>) -> Delivery {
        let Some(config) = self.event_configs.get(qualifier.unwrap_or(LATEST)) else {
            return Delivery::default();
        };
        Delivery {
            retries: config.retries.unwrap_or(RETRIES),
            age_seconds: config.age_seconds.unwrap_or(AGE_SECONDS),
            on_success: config.on_success.clone(),
            on_failure: config.on_failure.clone(),
        }
    }

    /// `keep`: members that the request does not name stay as they are (Update), else they go (Put).
    pub(crate) fn set_event_config(
        &mut self,
        account: &Account,
        reference: &Reference,
        input: EventInvokeInput,
        keep: bool,
        now: Timestamp,
    ) -> Result<Value, AwsError> {
        self.check_qualifier(account, reference)?;
        let key = key(reference);
        let old = if keep {
            Some(self.event_config(account, reference)?.clone())
        } else {
            None
        };
        let (on_success, on_failure) = match input.destination_config {
            Some(given) => (
                Some(given.on_success.and_then(Destination::arn)),
                Some(given.on_failure.and_then(Destination::arn)),
            ),
            None => (None, None),
        };
        let old = old.as_ref();
        let config = EventInvokeConfig {
            retries: input
                .maximum_retry_attempts
                .or_else(|| old.and_then(|old| old.retries)),
            age_seconds: input
                .maximum_event_age_in_seconds
                .or_else(|| old.and_then(|old| old.age_seconds)),
            on_success: on_success.unwrap_or_else(|| old.and_then(|old| old.on_success.clone())),
            on_failure: on_failure.unwrap_or_else(|| old.and_then(|old| old.on_failure.clone())),
            modified: now,
        };
        let shown = config.describe(account, &self.name, &key);
        self.event_configs.insert(key, config);
        Ok(shown)
    }

    fn event_config(&self, account: &Account, reference: &Reference) -> Result<&EventInvokeConfig, AwsError> {
        let key = key(reference);
        self.event_configs.get(&key).ok_or_else(|| {
            errors::not_found(format!(
                "The function {} doesn't have an EventInvokeConfig",
                qualified_arn(account, &self.name, &key)
            ))
        })
    }

    pub(crate) fn show_event_config(
        &self,
        account: &Account,
        reference: &Reference,
    ) -> Result<Value, AwsError> {
        Ok(self
            .event_config(account, reference)?
            .describe(account, &self.name, &key(reference)))
    }

    pub(crate) fn delete_event_config(
        &mut self,
        account: &Account,
        reference: &Reference,
    ) -> Result<(), AwsError> {
        self.event_config(account, reference)?;
        self.event_configs.remove(&key(reference));
        Ok(())
    }

    pub(crate) fn list_event_configs(&self, account: &Account) -> Vec<Value> {
        self.event_configs
            .iter()
            .map(|(key, config)| config.describe(account, &self.name, key))
            .collect()
    }
}

/// A function URL.
pub(crate) struct UrlConfig {
    /// `NONE` or `AWS_IAM`.
    pub(crate) auth_type: String,
    cors: Option<Value>,
    invoke_mode: String,
    created: Timestamp,
    modified: Timestamp,
}

/// Input of `CreateFunctionUrlConfig` and `UpdateFunctionUrlConfig`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UrlInput {
    auth_type: Option<String>,
    cors: Option<Value>,
    invoke_mode: Option<String>,
}

impl UrlConfig {
    /// The members of the answers; `modified` only where the operation has that member.
    fn describe(&self, endpoint: &str, account: &Account, reference: &Reference, modified: bool) -> Value {
        let Reference { name, qualifier } = reference;
        let (path, function_arn) = match qualifier {
            None => (name.clone(), arn(account, name)),
            Some(alias) => (format!("{name}:{alias}"), qualified_arn(account, name, alias)),
        };
        let mut shown = json!({
            "FunctionUrl": format!("{}/lambda-url/{path}/", endpoint.trim_end_matches('/')),
            "FunctionArn": function_arn,
            "AuthType": self.auth_type,
            "CreationTime": self.created.to_string(),
            "InvokeMode": self.invoke_mode,
        });
        if let Some(cors) = &self.cors {
            shown["Cors"] = cors.clone();
        }
        if modified {
            shown["LastModifiedTime"] = json!(self.modified.to_string());
        }
        shown
    }
}

fn no_url() -> AwsError {
    errors::not_found("The resource you requested does not exist.")
}

fn url_key(reference: &Reference) -> String {
    reference.qualifier.clone().unwrap_or_default()
}

fn check_mode(mode: &str) -> Result<(), AwsError> {
    if mode == "RESPONSE_STREAM" {
        return Err(errors::invalid(
            "The local cloud's function URLs do not stream; use InvokeMode BUFFERED.",
        ));
    }
    Ok(())
}

impl Function {
    pub(crate) fn create_url(
        &mut self,
        endpoint: &str,
        account: &Account,
        reference: &Reference,
        input: UrlInput,
        now: Timestamp,
    ) -> Result<Value, AwsError> {
        self.check_qualifier(account, reference)?;
        if self.urls.contains_key(&url_key(reference)) {
            return Err(errors::conflict(format!(
                "Failed to create function url config for [functionArn = {}]. Error message: FunctionUrlConfig \
                 exists for this Lambda function",
                reference.arn(account)
            )));
        }
        let invoke_mode = input.invoke_mode.unwrap_or_else(|| "BUFFERED".to_owned());
        check_mode(&invoke_mode)?;
        let config = UrlConfig {
            auth_type: input
                .auth_type
                .ok_or_else(|| errors::invalid("AuthType is required."))?,
            cors: input.cors,
            invoke_mode,
            created: now,
            modified: now,
        };
        let shown = config.describe(endpoint, account, reference, false);
        self.urls.insert(url_key(reference), config);
        Ok(shown)
    }

    pub(crate) fn update_url(
        &mut self,
        endpoint: &str,
        account: &Account,
        reference: &Reference,
        input: UrlInput,
        now: Timestamp,
    ) -> Result<Value, AwsError> {
        let config = self.urls.get_mut(&url_key(reference)).ok_or_else(no_url)?;
        if let Some(mode) = input.invoke_mode {
            check_mode(&mode)?;
            config.invoke_mode = mode;
        }
        if let Some(auth_type) = input.auth_type {
            config.auth_type = auth_type;
        }
        if let Some(cors) = input.cors {
            config.cors = Some(cors);
        }
        config.modified = now;
        Ok(config.describe(endpoint, account, reference, true))
    }

    pub(crate) fn show_url(
        &self,
        endpoint: &str,
        account: &Account,
        reference: &Reference,
    ) -> Result<Value, AwsError> {
        let config = self.urls.get(&url_key(reference)).ok_or_else(no_url)?;
        Ok(config.describe(endpoint, account, reference, true))
    }

    pub(crate) fn delete_url(&mut self, reference: &Reference) -> Result<(), AwsError> {
        self.urls
            .remove(&url_key(reference))
            .map(|_| ())
            .ok_or_else(no_url)
    }
}
