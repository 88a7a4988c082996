//! Versions, aliases, configuration: Lambda's rules and words.

use crate::support::{Lambda, ROLE, zipped};
use serde_json::{Value, json};
use signalbox_local_core::{Cloud as _, Engine as _};

fn handler(answer: &str) -> String {
    format!("exports.handler = async () => '{answer}';")
}

fn code(name: &str, answer: &str) -> Value {
    json!({ "FunctionName": name, "ZipFile": zipped(&[("index.js", &handler(answer), 0o644)]) })
}

#[tokio::test]
async fn a_version_is_published_only_when_something_changed() {
    let lambda = Lambda::new();
    let created = lambda.node("f", &handler("one")).await;
    assert_eq!(
        (&created["Version"], &created["State"]),
        (&json!("$LATEST"), &json!("Active"))
    );
    assert_eq!(created["LastUpdateStatus"], "Successful");
    let modified = created["LastModified"].as_str().unwrap();
    assert!(
        modified.ends_with("+0000") && modified.len() == "2026-01-01T00:00:00.000+0000".len(),
        "{modified}"
    );
    let name = json!({ "FunctionName": "f" });
    let one = lambda.call("PublishVersion", name.clone()).await;
    assert_eq!(
        one["FunctionArn"],
        "arn:aws:lambda:us-east-1:123456789012:function:f:1"
    );
    assert_eq!(
        lambda.call("PublishVersion", name.clone()).await,
        one,
        "unchanged: the same version again"
    );

    let updated = lambda.call("UpdateFunctionCode", code("f", "two")).await;
    assert_ne!(updated["CodeSha256"], created["CodeSha256"]);
    assert_ne!(updated["RevisionId"], created["RevisionId"]);
    let refused = lambda
        .ask(
            "PublishVersion",
            json!({ "FunctionName": "f", "CodeSha256": created["CodeSha256"] }),
        )
        .await
        .unwrap_err();
    assert!(refused.message.contains("different from current CodeSHA256"));
    let stale = lambda
        .ask(
            "PublishVersion",
            json!({ "FunctionName": "f", "RevisionId": created["RevisionId"] }),
        )
        .await
        .unwrap_err();
    assert_eq!(
        (stale.code.as_str(), stale.status),
        ("PreconditionFailedException", 412)
    );
    assert_eq!(lambda.call("PublishVersion", name.clone()).await["Version"], "2");
    lambda
        .call(
            "UpdateFunctionConfiguration",
            json!({ "FunctionName": "f", "MemorySize": 256 }),
        )
        .await;
    let three = lambda
        .call(
            "PublishVersion",
            json!({ "FunctionName": "f", "Description": "third" }),
        )
        .await;
    assert_eq!(
        (&three["Version"], &three["Description"]),
        (&json!("3"), &json!("third"))
    );

    for (qualifier, expected) in [("1", "one"), ("2", "two"), ("$LATEST", "two")] {
        assert_eq!(
            lambda.invoke(&format!("f:{qualifier}"), json!({})).await.1,
            expected
        );
    }
    // Numbers are never given twice.
    lambda
        .call("DeleteFunction", json!({ "FunctionName": "f", "Qualifier": "3" }))
        .await;
    assert_eq!(lambda.call("PublishVersion", name.clone()).await["Version"], "4");
    let listed = lambda.call("ListVersionsByFunction", name).await;
    let numbers: Vec<&str> = listed["Versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["Version"].as_str().unwrap())
        .collect();
    assert_eq!(numbers, ["$LATEST", "1", "2", "4"]);
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn changed_code_runs_in_new_processes() {
    let lambda = Lambda::new();
    lambda.node("f", &handler("old")).await;
    assert_eq!(lambda.invoke("f", json!({})).await.1, "old");
    lambda.call("UpdateFunctionCode", code("f", "new")).await;
    assert_eq!(lambda.invoke("f", json!({})).await.1, "new");
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn an_alias_spreads_invocations_by_weight() {
    let lambda = Lambda::new();
    lambda
        .node(
            "f",
            "exports.handler = async (event, context) => context.functionVersion;",
        )
        .await;
    lambda
        .call("PublishVersion", json!({ "FunctionName": "f" }))
        .await;
    lambda
        .call(
            "UpdateFunctionConfiguration",
            json!({ "FunctionName": "f", "MemorySize": 256 }),
        )
        .await;
    lambda
        .call("PublishVersion", json!({ "FunctionName": "f" }))
        .await;
    lambda
        .call(
            "CreateAlias",
            json!({
                "FunctionName": "f", "Name": "live", "FunctionVersion": "1",
                "RoutingConfig": { "AdditionalVersionWeights": { "2": 0.3 } },
            }),
        )
        .await;
    let mut to_new = 0;
    for _ in 0..300 {
        let (answer, payload) = lambda.invoke("f:live", json!({})).await;
        assert_eq!(
            answer["ExecutedVersion"], payload,
            "the version that ran is the one that is told"
        );
        to_new += i32::from(payload == "2");
    }
    // Five standard deviations around 90.
    assert!(
        (50..=130).contains(&to_new),
        "{to_new} of 300 went to the new version"
    );

    let done = json!({
        "FunctionName": "f", "Name": "live", "FunctionVersion": "2", "RoutingConfig": { "AdditionalVersionWeights": {} },
    });
    let alias = lambda.call("UpdateAlias", done).await;
    assert!(alias.get("RoutingConfig").is_none());
    for _ in 0..20 {
        assert_eq!(lambda.invoke("f:live", json!({})).await.1, "2");
    }
    let configuration = lambda
        .call(
            "GetFunctionConfiguration",
            json!({ "FunctionName": "f", "Qualifier": "live" }),
        )
        .await;
    assert_eq!(configuration["Version"], "2");
    assert_eq!(
        configuration["FunctionArn"],
        "arn:aws:lambda:us-east-1:123456789012:function:f:live"
    );
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn aliases_lead_only_to_what_exists_and_hold_it() {
    let lambda = Lambda::new();
    lambda.node("f", &handler("x")).await;
    lambda
        .call("PublishVersion", json!({ "FunctionName": "f" }))
        .await;
    let alias = |version: &str, weights: Value| {
        json!({
            "FunctionName": "f", "Name": "live", "FunctionVersion": version,
            "RoutingConfig": { "AdditionalVersionWeights": weights },
        })
    };
    for (input, code) in [
        (alias("9", json!({})), "ResourceNotFoundException"),
        (alias("1", json!({ "9": 0.1 })), "ResourceNotFoundException"),
        (alias("1", json!({ "1": 0.1 })), "InvalidParameterValueException"),
        (
            alias("1", json!({ "$LATEST": 0.1 })),
            "InvalidParameterValueException",
        ),
    ] {
        assert_eq!(lambda.ask("CreateAlias", input).await.unwrap_err().code, code);
    }
    lambda.call("CreateAlias", alias("1", json!({}))).await;
    let again = lambda
        .ask("CreateAlias", alias("1", json!({})))
        .await
        .unwrap_err();
    assert_eq!(
        (again.code.as_str(), again.status),
        ("ResourceConflictException", 409)
    );
    let held = lambda
        .ask("DeleteFunction", json!({ "FunctionName": "f", "Qualifier": "1" }))
        .await
        .unwrap_err();
    assert!(
        held.code == "ResourceConflictException" && held.message.contains("[live]"),
        "{held}"
    );
    lambda
        .call("DeleteAlias", json!({ "FunctionName": "f", "Name": "live" }))
        .await;
    lambda
        .call("DeleteFunction", json!({ "FunctionName": "f", "Qualifier": "1" }))
        .await;

    let missing = lambda
        .ask("Invoke", json!({ "FunctionName": "f:live" }))
        .await
        .unwrap_err();
    assert_eq!(
        (missing.code.as_str(), missing.status),
        ("ResourceNotFoundException", 404)
    );
    assert_eq!(
        missing.message,
        "Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:live"
    );
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn code_comes_from_a_version_of_an_object() {
    let lambda = Lambda::new();
    let bytes = |answer: &str| {
        let zip = zipped(&[("index.js", &handler(answer), 0o644)]);
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, zip).unwrap()
    };
    let first = lambda
        .cloud
        .put_object("code", "f.zip", bytes("first"))
        .await
        .unwrap();
    lambda
        .cloud
        .put_object("code", "f.zip", bytes("second"))
        .await
        .unwrap();
    let input = |key: &str, version: Option<String>| {
        let mut code = json!({ "S3Bucket": "code", "S3Key": key });
        if let Some(version) = version {
            code["S3ObjectVersion"] = json!(version);
        }
        json!({
            "FunctionName": "f", "Runtime": "nodejs22.x", "Handler": "index.handler", "Role": ROLE, "Timeout": 20,
            "Code": code, "Tags": { "team": "a" }, "Publish": true,
        })
    };
    let missing = lambda
        .ask("CreateFunction", input("none.zip", None))
        .await
        .unwrap_err();
    assert!(missing.message.contains("S3 Error Code: NoSuchKey"), "{missing}");
    assert_eq!(
        lambda.call("CreateFunction", input("f.zip", first)).await["Version"],
        "1"
    );
    assert_eq!(lambda.invoke("f", json!({})).await.1, "first");
    let shown = lambda.call("GetFunction", json!({ "FunctionName": "f" })).await;
    assert_eq!(shown["Tags"]["team"], "a");
    let location = shown["Code"]["Location"]
        .as_str()
        .unwrap()
        .strip_prefix("file://")
        .unwrap();
    assert_eq!(std::fs::read(location).unwrap(), bytes("first"));
    let exists = lambda
        .ask("CreateFunction", input("f.zip", None))
        .await
        .unwrap_err();
    assert_eq!(exists.status, 409);
    lambda
        .call("DeleteFunction", json!({ "FunctionName": "f" }))
        .await;
    assert_eq!(
        lambda
            .ask("GetFunction", json!({ "FunctionName": "f" }))
            .await
            .unwrap_err()
            .status,
        404
    );
    lambda.engine.shutdown().await;
}

#[tokio::test]
async fn tags_and_the_account_are_shown() {
    let lambda = Lambda::new();
    let arn = lambda.node("f", &handler("x")).await["FunctionArn"].clone();
    lambda
        .call(
            "TagResource",
            json!({ "Resource": arn, "Tags": { "a": "1", "b": "2" } }),
        )
        .await;
    lambda
        .call("UntagResource", json!({ "Resource": arn, "TagKeys": ["a"] }))
        .await;
    assert_eq!(
        lambda.call("ListTags", json!({ "Resource": arn })).await,
        json!({ "Tags": { "b": "2" } })
    );
    lambda
        .call(
            "PutFunctionConcurrency",
            json!({ "FunctionName": "f", "ReservedConcurrentExecutions": 50 }),
        )
        .await;
    let limits = lambda.call("GetAccountSettings", json!({})).await;
    assert_eq!(limits["AccountLimit"]["UnreservedConcurrentExecutions"], 950);
    assert_eq!(limits["AccountUsage"]["FunctionCount"], 1);
    let too_much = json!({ "FunctionName": "f", "ReservedConcurrentExecutions": 901 });
    assert!(
        lambda
            .ask("PutFunctionConcurrency", too_much)
            .await
            .unwrap_err()
            .message
            .contains("[100]")
    );
    lambda.engine.shutdown().await;
}
