//! Services of the emulator that keep things: tables, secrets, keys, parameters, logs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Call, Needed};
use crate::cloud::LocalCloud;

/// Asks the emulator, past all checks.
async fn ask(cloud: &LocalCloud, service: &str, operation: &str, input: Value) -> Value {
    match cloud.model(service).await {
        // What the emulator does not know, the call itself will be told.
        Ok(model) => cloud
            .emulator()
            .call(&model, operation, &input)
            .await
            .unwrap_or(Value::Null),
        Err(_) => Value::Null,
    }
}

const LEADING_KEYS: &str = "dynamodb:leadingkeys";

pub(super) async fn dynamodb(cloud: &LocalCloud, call: &Call<'_>) -> Vec<Needed> {
    let table = |name: &str| call.arn_of(name, |name| format!("table/{name}"));
    // Each item of a transaction needs the permission of its own operation.
    if let "TransactWriteItems" | "TransactGetItems" = call.operation {
        let mut all = Vec::new();
        for item in call.input["TransactItems"].as_array().into_iter().flatten() {
            for (kind, request) in item.as_object().into_iter().flatten() {
                let action = match kind.as_str() {
                    "Put" => "PutItem",
                    "Update" => "UpdateItem",
                    "Delete" => "DeleteItem",
                    "ConditionCheck" => "ConditionCheckItem",
                    _ => "GetItem",
                };
                let name = request["TableName"].as_str().unwrap_or_default();
                let keys = leading_keys(cloud, name, std::slice::from_ref(request)).await;
                all.push(Needed::new(&call.action(action), &table(name)).with(LEADING_KEYS, keys));
            }
        }
        return all;
    }
    if let "BatchGetItem" | "BatchWriteItem" = call.operation {
        let mut all = Vec::new();
        for (name, requests) in call.input["RequestItems"].as_object().into_iter().flatten() {
            let requests: Vec<Value> = match requests {
                Value::Array(items) => items
                    .iter()
                    .flat_map(|item| {
                        item.as_object()
                            .into_iter()
                            .flatten()
                            .map(|(_, request)| request.clone())
                    })
                    .collect(),
                get => get["Keys"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|key| json!({"Key": key}))
                    .collect(),
            };
            let keys = leading_keys(cloud, name, &requests).await;
            all.push(Needed::new(&call.action(call.operation), &table(name)).with(LEADING_KEYS, keys));
        }
        return all;
    }
    let Some(name) = call.text("TableName") else {
        return call.own(Vec::new());
    };
    let resource = match call.text("IndexName") {
        Some(index) => format!("{}/index/{index}", table(name)),
        None => table(name),
    };
    let keys = leading_keys(cloud, name, std::slice::from_ref(call.input)).await;
    vec![Needed::new(&call.action(call.operation), &resource).with(LEADING_KEYS, keys)]
}

/// The partition keys that requests touch. Found out only where a policy asks for them, since it takes
/// the table's schema.
async fn leading_keys(cloud: &LocalCloud, table: &str, requests: &[Value]) -> Vec<String> {
    if !cloud.policies().ask_for(LEADING_KEYS) {
        return Vec::new();
    }
    let described = ask(cloud, "dynamodb", "DescribeTable", json!({"TableName": table})).await;
    let schema = described["Table"]["KeySchema"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let hash = schema
        .iter()
        .find(|key| key["KeyType"] == "HASH")
        .and_then(|key| key["AttributeName"].as_str());
    let Some(hash) = hash else { return Vec::new() };
    let keys: BTreeSet<String> = requests
        .iter()
        .filter_map(|request| leading_key(request, hash))
        .collect();
    keys.into_iter().collect()
}

fn scalar(attribute: &Value) -> Option<String> {
    ["S", "N", "B"]
        .iter()
        .find_map(|kind| attribute[*kind].as_str())
        .map(str::to_owned)
}

fn leading_key(request: &Value, hash: &str) -> Option<String> {
    if let Some(key) = scalar(&request["Key"][hash]).or_else(|| scalar(&request["Item"][hash])) {
        return Some(key);
    }
    // A query: `hash = :value`, or `#name = :value`.
    let expression = request["KeyConditionExpression"].as_str()?;
    let names = &request["ExpressionAttributeNames"];
    expression
        .split(" AND ")
        .flat_map(|part| part.split(" and "))
        .find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let name = name.trim().trim_start_matches('(');
            let name = names[name].as_str().unwrap_or(name);
            let value = value.trim().trim_end_matches(')');
            (name == hash).then(|| scalar(&request["ExpressionAttributeValues"][value]))?
        })
}

pub(super) async fn secretsmanager(cloud: &LocalCloud, call: &Call<'_>) -> Vec<Needed> {
    if call.operation == "CreateSecret" {
        // The suffix is not drawn yet; policies end in `-*` or `-??????`.
        let arn = call
            .text("Name")
            .map(|name| call.arn(&format!("secret:{name}-000000")));
        return call.own(arn.into_iter().collect());
    }
    let Some(id) = call.text("SecretId") else {
        return call.own(Vec::new());
    };
    // A name, or an ARN without its suffix, means the whole ARN.
    let described = ask(cloud, "secretsmanager", "DescribeSecret", json!({"SecretId": id})).await;
    let arn = described["ARN"].as_str().map(str::to_owned);
    call.own(vec![arn.unwrap_or_else(|| {
        call.arn_of(id, |name| format!("secret:{name}-000000"))
    })])
}

pub(super) async fn kms(cloud: &LocalCloud, call: &Call<'_>) -> Vec<Needed> {
    let Some(id) = call.text("KeyId") else {
        // A symmetric ciphertext names its key, which only the service can read.
        let any = if call.operation == "Decrypt" {
            vec![call.arn("key/*")]
        } else {
            Vec::new()
        };
        return call.own(any);
    };
    let arn = if id.contains("alias/") {
        let described = ask(cloud, "kms", "DescribeKey", json!({"KeyId": id})).await;
        described["KeyMetadata"]["Arn"].as_str().map(str::to_owned)
    } else {
        None
    };
    call.own(vec![
        arn.unwrap_or_else(|| call.arn_of(id, |id| format!("key/{id}"))),
    ])
}

pub(super) fn ssm(call: &Call<'_>) -> Vec<Needed> {
    let parameter = |name: &str| {
        let name = name.trim_start_matches('/').to_owned();
        call.arn_of(&name, |name| format!("parameter/{name}"))
    };
    let mut names = call.texts("Names");
    names.extend(call.text("Name"));
    names.extend(call.text("Path"));
    call.own(names.into_iter().map(parameter).collect())
}

pub(super) fn logs(call: &Call<'_>) -> Vec<Needed> {
    // CloudWatch Logs' ARNs of groups end in `:*` in policies.
    let group = |name: &str| {
        let arn = call.arn_of(name, |name| format!("log-group:{name}"));
        if arn.ends_with(":*") {
            arn
        } else {
            format!("{arn}:*")
        }
    };
    let mut groups = call.texts("logGroupNames");
    groups.extend(call.texts("logGroupIdentifiers"));
    groups.extend(
        call.text("logGroupName")
            .or_else(|| call.text("logGroupIdentifier")),
    );
    let on_stream = matches!(
        call.operation,
        "PutLogEvents" | "GetLogEvents" | "DeleteLogStream"
    );
    match (call.text("logStreamName"), groups.first()) {
        (Some(stream), Some(name)) if on_stream => {
            let arn = group(name);
            let arn = format!("{}:log-stream:{stream}", arn.trim_end_matches(":*"));
            call.own(vec![arn])
        }
        _ if call.operation == "DescribeLogGroups" => call.own(vec![call.arn("log-group::log-stream:")]),
        _ => call.own(groups.into_iter().map(group).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::of;
    use super::*;

    #[test]
    fn log_groups_and_streams() {
        let group = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/f";
        let input = json!({"logGroupName": "/aws/lambda/f", "logStreamName": "s"});
        assert_eq!(
            of(logs, "logs", "FilterLogEvents", &input)[0].1,
            [format!("{group}:*")]
        );
        assert_eq!(
            of(logs, "logs", "PutLogEvents", &input)[0].1,
            [format!("{group}:log-stream:s")]
        );
        let by_arn = json!({"logGroupIdentifier": group});
        assert_eq!(
            of(logs, "logs", "FilterLogEvents", &by_arn)[0].1,
            [format!("{group}:*")]
        );
    }

    #[test]
    fn parameters_lose_their_first_slash() {
        let resource = "arn:aws:ssm:us-east-1:123456789012:parameter/a/b";
        assert_eq!(
            of(ssm, "ssm", "GetParameters", &json!({"Names": ["/a/b"]}))[0].1,
            [resource]
        );
    }

    #[test]
    fn the_leading_key_is_found_in_every_kind_of_request() {
        let run = Some("run#1".to_owned());
        assert_eq!(leading_key(&json!({"Key": {"pk": {"S": "run#1"}}}), "pk"), run);
        assert_eq!(
            leading_key(&json!({"Item": {"pk": {"S": "run#1"}, "x": {"N": "1"}}}), "pk"),
            run
        );
        let query = json!({
            "KeyConditionExpression": "#p = :p AND begins_with(sk, :s)",
            "ExpressionAttributeNames": {"#p": "pk"},
            "ExpressionAttributeValues": {":p": {"S": "run#1"}, ":s": {"S": "x"}},
        });
        assert_eq!(leading_key(&query, "pk"), run);
        assert_eq!(
            leading_key(&json!({"KeyConditionExpression": "sk = :s"}), "pk"),
            None
        );
    }
}
