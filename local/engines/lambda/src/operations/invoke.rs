//! `Invoke`: who may, how large, and whether anybody waits.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};
use uuid::Uuid;

use super::{Common, read};
use crate::errors;
use crate::invoke::{Invocation, Service};
use crate::policy::check_invoke;

/// Lambda's limits of a request's payload, in bytes.
pub(crate) const SYNC_LIMIT: usize = 6_291_456;
const ASYNC_LIMIT: usize = 1_048_576;
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InvokeInput {
    invocation_type: Option<String>,
    log_type: Option<String>,
    client_context: Option<String>,
    payload: Option<String>,
}

impl Service {
    pub(super) async fn invoke(self: &Arc<Self>, caller: &Caller, input: Value) -> Result<Value, AwsError> {
        let common: Common = read(&input)?;
        let request: InvokeInput = read(&input)?;
        let reference = common.reference()?;
        {
            let registry = self.registry();
            let function = registry.get(&reference)?;
            function.check_qualifier(self.account(), &reference)?;
            let policy = function
                .policies
                .get(reference.qualifier.as_deref().unwrap_or_default());
            check_invoke(policy, caller, &self.account().id, &reference.arn(self.account()))?;
        }
        let kind = request.invocation_type.as_deref().unwrap_or("RequestResponse");
        let payload = payload(
            request.payload.as_deref(),
            if kind == "Event" { ASYNC_LIMIT } else { SYNC_LIMIT },
        )?;
        let client_context = request
            .client_context
            .map(|text| {
                let bytes = STANDARD.decode(text).ok();
                bytes
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| errors::not_json("the client context is not base64-encoded JSON"))
            })
            .transpose()?;
        let invocation = Invocation {
            reference,
            request_id: Uuid::new_v4().to_string(),
            client_context,
            payload,
        };
        match kind {
            "DryRun" => Ok(json!({ "StatusCode": 204 })),
            "Event" => {
                self.enqueue(invocation);
                Ok(json!({ "StatusCode": 202 }))
            }
            _ => {
                let outcome = self.run(invocation).await?;
                let mut answer = json!({
                    "StatusCode": 200,
                    "ExecutedVersion": outcome.version,
                    "Payload": STANDARD.encode(&outcome.payload),
                });
                if outcome.failed {
                    answer["FunctionError"] = json!("Unhandled");
                }
                if request.log_type.as_deref() == Some("Tail") {
                    answer["LogResult"] = json!(STANDARD.encode(&outcome.log_tail));
                }
                Ok(answer)
            }
        }
    }
}

/// The payload's bytes: JSON of a size that the kind of invocation takes; none is an empty object.
fn payload(base64: Option<&str>, limit: usize) -> Result<Bytes, AwsError> {
    let bytes = STANDARD
        .decode(base64.unwrap_or_default())
        .map_err(|error| errors::not_json(&format!("the payload is not base64: {error}")))?;
    if bytes.len() > limit {
        return Err(errors::too_large(limit));
    }
    if bytes.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|error| errors::not_json(&error.to_string()))?;
    Ok(Bytes::from(bytes))
}
