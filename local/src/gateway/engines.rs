//! Requests to the engines: understood, authorised and validated by the service's model, performed,
//! and checked by the model again.

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use serde_json::Value;
use signalbox_local_core::{AwsError, Caller, Engine};
use signalbox_local_wire::{
    Decoded, Model, Protocol, Unlisted, check_output, decode, encode, lists_error, validate,
};
use uuid::Uuid;

use crate::cloud::LocalCloud;

/// How many of an output's faults are named.
const NAMED: usize = 10;

pub(super) async fn handle(
    cloud: &LocalCloud,
    engine: &dyn Engine,
    caller: &Caller,
    parts: &Parts,
    body: &[u8],
) -> Response {
    let protocol = Protocol::detect(parts);
    let request_id = Uuid::new_v4().to_string();
    let model = match cloud.model(engine.service()).await {
        Ok(model) => model,
        Err(error) => {
            return super::reply::plain(
                http::StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain; charset=utf-8",
                error.message,
            );
        }
    };
    let decoded = match decode(&model, parts, body) {
        Ok(decoded) => decoded,
        Err(error) => return encode(&model, "", Err(&error), protocol, &request_id).map(Body::from),
    };
    let operation = decoded.operation.clone();
    let outcome = perform(cloud, engine, caller, &model, decoded).await;
    if let Err(error) = &outcome {
        tracing::debug!(service = engine.service(), operation, %error, "refused");
        note_unlisted(cloud, &model, &operation, error);
    }
    encode(&model, &operation, outcome.as_ref(), protocol, &request_id).map(Body::from)
}

/// The error goes out as it is, for whoever called to see; the suite fails at its end for every one that AWS could
/// not give. Faults that a rule injects are answered before an engine is asked, and so never come here.
fn note_unlisted(cloud: &LocalCloud, model: &Model, operation: &str, error: &AwsError) {
    if lists_error(model, operation, &error.code) {
        return;
    }
    let service = model.service();
    tracing::error!(
        service,
        operation,
        code = error.code,
        "an engine's error is not one that AWS's model lists"
    );
    cloud.models().note_unlisted(Unlisted {
        service: service.to_owned(),
        operation: operation.to_owned(),
        code: error.code.clone(),
    });
}

async fn perform(
    cloud: &LocalCloud,
    engine: &dyn Engine,
    caller: &Caller,
    model: &Model,
    decoded: Decoded,
) -> Result<Value, AwsError> {
    let Decoded {
        operation,
        input,
        protocol,
    } = decoded;
    let service = engine.service();
    cloud.authorise_as(caller, service, &operation, &input).await?;
    validate(model, &operation, &input, protocol)?;
    if !engine.operations().contains(&operation.as_str()) {
        return Err(AwsError::unknown_operation(service, &operation));
    }
    let output = engine.call(caller, &operation, input).await?;
    let faults = check_output(model, &operation, &output);
    if faults.is_empty() {
        return Ok(output);
    }
    let named = faults
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("; ");
    let message = format!("the {service} engine's answer to {operation} leaves the service model: {named}");
    tracing::error!(
        service,
        operation,
        message,
        "an engine's answer is not one that AWS could give"
    );
    // Not 500: SDKs would try again, and hide for seconds what will not change.
    Err(AwsError::internal(message).with_status(501))
}
