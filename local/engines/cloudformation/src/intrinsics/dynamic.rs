//! Dynamic references.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller, Cloud};

use crate::invalid;
use crate::parameters::scalar;

static DYNAMIC: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^}]+)\}\}").ok());

/// Replaces `{{resolve:ssm:…}}` and `{{resolve:secretsmanager:…}}`. Done right before a call, so that the
/// stack itself only ever keeps the reference.
///
/// # Errors
/// `ValidationError` naming the reference, never a value.
pub(crate) async fn resolve_dynamic(cloud: &dyn Cloud, value: &Value) -> Result<Value, AwsError> {
    let Some(regex) = DYNAMIC.as_ref() else {
        return Ok(value.clone());
    };
    let mut text = value.to_string();
    let found: Vec<(String, String, String)> = regex
        .captures_iter(&text)
        .map(|found| (found[0].to_owned(), found[1].to_owned(), found[2].to_owned()))
        .collect();
    if found.is_empty() {
        return Ok(value.clone());
    }
    let caller = Caller::service("cloudformation.amazonaws.com");
    for (whole, service, reference) in found {
        let failed = |why: &str| invalid(format!("Could not resolve {whole}: {why}"));
        let plain = if service == "secretsmanager" {
            secret(cloud, &caller, &reference)
                .await
                .map_err(|why| failed(&why))?
        } else {
            let input = json!({ "Name": reference, "WithDecryption": true });
            let answer = cloud
                .call(&caller, "ssm", "GetParameter", input)
                .await
                .map_err(|e| failed(&e.to_string()))?;
            let value = answer.pointer("/Parameter/Value").and_then(Value::as_str);
            value
                .map(str::to_owned)
                .ok_or_else(|| failed("the parameter has no value"))?
        };
        let escaped = Value::String(plain).to_string();
        text = text.replace(
            &whole,
            escaped
                .trim_start_matches('"')
                .strip_suffix('"')
                .unwrap_or_default(),
        );
    }
    Ok(serde_json::from_str(&text)?)
}

async fn secret(cloud: &dyn Cloud, caller: &Caller, reference: &str) -> Result<String, String> {
    let parts: Vec<&str> = reference.split(':').collect();
    let id_parts = if reference.starts_with("arn:") { 7 } else { 1 };
    let id = parts.get(..id_parts).unwrap_or_default().join(":");
    let part = |index: usize| {
        parts
            .get(id_parts + index)
            .copied()
            .filter(|text| !text.is_empty())
    };
    let mut input = json!({ "SecretId": id });
    if let Some(stage) = part(2) {
        input["VersionStage"] = json!(stage);
    }
    if let Some(version) = part(3) {
        input["VersionId"] = json!(version);
    }
    let answer = cloud
        .call(caller, "secretsmanager", "GetSecretValue", input)
        .await
        .map_err(|error| error.to_string())?;
    let text = answer
        .get("SecretString")
        .and_then(Value::as_str)
        .ok_or("the secret has no text")?;
    let Some(key) = part(1) else {
        return Ok(text.to_owned());
    };
    let parsed: Value = serde_json::from_str(text).map_err(|_| "the secret is not JSON".to_owned())?;
    parsed
        .get(key)
        .and_then(scalar)
        .ok_or_else(|| format!("the secret has no key {key}"))
}
