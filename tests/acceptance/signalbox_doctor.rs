//! `signalbox doctor` against a cloud of its own: an installed environment is sound, and each planted fault is
//! found, with its fix.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{
    BucketVersioningStatus, EventBridgeConfiguration, NotificationConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    VersioningConfiguration,
};
use serde_json::{Value, json};
use signalbox_local::install::{self, Installed, Plan};
use signalbox_local::running::{Options, Running};
use tokio::process::Command;

use crate::privileges;
use crate::signalbox::ended;
use crate::world::{ANN, BEN, ON_CALL, TEAM, World};

/// A cloud with a whole production environment in it.
struct Hospital {
    running: Running,
    installed: Installed,
}

/// What is found, other than sound: `check subject: text` with the fix.
type Findings = BTreeMap<String, String>;

impl Hospital {
    async fn open(world: &World) -> Self {
        let options = Options {
            scale: 30.0,
            ..Options::default()
        };
        let paths = world.running.paths.clone();
        let running = Running::start(paths, &options, &|_| ()).await.unwrap();
        privileges::watch(&running);
        let plan = Plan {
            environment: "production".to_owned(),
            approvers: vec![ANN.to_owned(), BEN.to_owned()],
            watcher: TEAM.to_owned(),
        };
        let installed = install::install(&running, &plan).await.unwrap();
        install::deploy_first_version(&running, &installed).await.unwrap();
        let hospital = Self { running, installed };
        hospital.subscribe_on_call().await;
        hospital
    }

    /// As an operator does after installing.
    async fn subscribe_on_call(&self) -> Value {
        let topic = &self.installed.alert_topic;
        let input = json!({ "TopicArn": topic, "Protocol": "email", "Endpoint": ON_CALL });
        self.call("sns", "Subscribe", input).await["SubscriptionArn"].clone()
    }

    /// Runs the doctor; answers its exit code and what is not sound.
    async fn doctor(&self) -> (i32, Findings) {
        let mut command = Command::new(self.running.paths.binaries.join("signalbox"));
        command
            .args(["doctor", "production", "--json"])
            .arg(format!("--local={}", self.running.url()))
            .env_clear()
            .kill_on_drop(true);
        let output = ended(&mut command).await;
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let findings = report["findings"].as_array().unwrap();
        assert!(findings.len() > 20, "too little was looked at: {findings:#?}");
        let code = output.status.code().unwrap_or(-1);
        assert_eq!(report["sound"], code == 0);
        let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        let unsound = findings
            .iter()
            .filter(|finding| finding["verdict"] != "sound")
            .map(|finding| {
                let what = format!(
                    "{} {} {}: {}",
                    text(finding, "verdict"),
                    text(finding, "check"),
                    text(finding, "subject"),
                    text(finding, "text")
                );
                (what, text(finding, "fix"))
            });
        (code, unsound.collect())
    }

    /// The doctor finds just this one fault, and how to mend it.
    async fn finds(&self, what: &str, fix: &str) {
        self.finds_and_ends(7, what, fix).await;
    }

    /// The doctor finds just this one doubt, which makes nothing unwell, and how to mend it.
    async fn doubts(&self, what: &str, fix: &str) {
        self.finds_and_ends(0, what, fix).await;
    }

    async fn finds_and_ends(&self, expected: i32, what: &str, fix: &str) {
        let (code, found) = self.doctor().await;
        assert_eq!(code, expected, "{what}: {found:#?}");
        let only = found.iter().next().filter(|_| found.len() == 1);
        let (text, said) = only.unwrap_or_else(|| panic!("{what} alone is to be found: {found:#?}"));
        assert!(text.contains(what), "{what} is not in {text}");
        assert!(said.contains(fix), "{fix} is not in {said}");
    }

    async fn is_sound(&self, what: &str) {
        let (code, found) = self.doctor().await;
        assert_eq!((code, found), (0, Findings::new()), "{what}");
    }

    async fn call(&self, service: &str, operation: &str, input: Value) -> Value {
        let answer = self.running.call(service, operation, input).await;
        answer.unwrap_or_else(|error| panic!("{service} {operation}: {error:?}"))
    }

    async fn set_versioning(&self, status: BucketVersioningStatus) {
        let configuration = VersioningConfiguration::builder().status(status).build();
        let request = self.running.s3().put_bucket_versioning();
        let request = request.bucket(&self.installed.source_bucket);
        request
            .versioning_configuration(configuration)
            .send()
            .await
            .unwrap();
    }

    async fn set_events(&self, on: bool) {
        let events = on.then(|| EventBridgeConfiguration::builder().build());
        let configuration = NotificationConfiguration::builder()
            .set_event_bridge_configuration(events)
            .build();
        let request = self.running.s3().put_bucket_notification_configuration();
        let request = request.bucket(&self.installed.source_bucket);
        request
            .notification_configuration(configuration)
            .send()
            .await
            .unwrap();
    }

    /// The topic for requests, and the subscriptions to it.
    async fn approvals(&self) -> (String, Vec<Value>) {
        let topic = "arn:aws:sns:us-east-1:123456789012:signalbox-production-approvals";
        let answer = self
            .call("sns", "ListSubscriptionsByTopic", json!({ "TopicArn": topic }))
            .await;
        (
            topic.to_owned(),
            answer["Subscriptions"].as_array().unwrap().clone(),
        )
    }
}

pub(crate) async fn doctor_finds_each_planted_fault_and_nothing_else(world: &World) {
    let hospital = Hospital::open(world).await;
    hospital.is_sound("what was just installed").await;

    bucket_faults(&hospital).await;
    rule_faults(&hospital).await;
    approval_faults(&hospital).await;
    alert_faults(&hospital).await;
    alarm_faults(&hospital).await;
    pipeline_faults(&hospital).await;
    secret_faults(&hospital).await;

    hospital.is_sound("everything has been mended").await;
    what_is_gone_is_found(&hospital).await;
    hospital.running.shut_down().await;
}

async fn bucket_faults(hospital: &Hospital) {
    hospital.set_versioning(BucketVersioningStatus::Suspended).await;
    hospital
        .finds(
            "wrong bucket-versions lambda-artifacts-production",
            "put-bucket-versioning",
        )
        .await;
    hospital.set_versioning(BucketVersioningStatus::Enabled).await;

    hospital.set_events(false).await;
    hospital
        .finds(
            "wrong bucket-events lambda-artifacts-production",
            "EventBridgeConfiguration",
        )
        .await;
    hospital.set_events(true).await;

    // A key of the account's own that the stack was not told of.
    let key = hospital.call("kms", "CreateKey", json!({})).await;
    let arn = key["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    let by_default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(&arn)
        .build()
        .unwrap();
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default)
        .build();
    let configuration = ServerSideEncryptionConfiguration::builder()
        .rules(rule)
        .build()
        .unwrap();
    let (s3, bucket) = (hospital.running.s3(), &hospital.installed.source_bucket);
    let request = s3.put_bucket_encryption().bucket(bucket);
    let request = request.server_side_encryption_configuration(configuration);
    request.send().await.unwrap();
    hospital
        .finds(&format!("wrong keys {arn}"), &format!("SourceKeyArn={arn}"))
        .await;
    s3.delete_bucket_encryption().bucket(bucket).send().await.unwrap();
}

async fn rule_faults(hospital: &Hospital) {
    let name = "signalbox-production-package-uploaded";
    hospital
        .call("events", "DisableRule", json!({ "Name": name }))
        .await;
    hospital
        .finds(&format!("wrong rules {name}"), "enable-rule")
        .await;
    hospital
        .call("events", "EnableRule", json!({ "Name": name }))
        .await;

    // Whoever removes the permission leaves the rule aimed at a function that it may not invoke.
    let function = "signalbox-production-start-run";
    let policy = hospital
        .call("lambda", "GetPolicy", json!({ "FunctionName": function }))
        .await;
    let policy: Value = serde_json::from_str(policy["Policy"].as_str().unwrap()).unwrap();
    let statement = &policy["Statement"][0];
    let id = statement["Sid"].as_str().unwrap();
    hospital
        .call(
            "lambda",
            "RemovePermission",
            json!({ "FunctionName": function, "StatementId": id }),
        )
        .await;
    hospital
        .finds(
            &format!("wrong rules {name}: it may not invoke"),
            "add-permission",
        )
        .await;
    hospital
        .call(
            "lambda",
            "AddPermission",
            json!({
                "FunctionName": function, "StatementId": id, "Action": "lambda:InvokeFunction",
                "Principal": "events.amazonaws.com",
                "SourceArn": format!("arn:aws:events:us-east-1:123456789012:rule/{name}"),
            }),
        )
        .await;
}

async fn approval_faults(hospital: &Hospital) {
    let name = "/signalbox/production/approval-policy";
    let sound = hospital
        .call("ssm", "GetParameter", json!({ "Name": name }))
        .await;
    let sound = sound["Parameter"]["Value"].as_str().unwrap().to_owned();
    let put = async |value: &str| {
        let input = json!({ "Name": name, "Type": "String", "Overwrite": true, "Value": value });
        hospital.call("ssm", "PutParameter", input).await;
    };
    put(r#"{"version":1,"approvers":[],"qorum":2}"#).await;
    hospital
        .finds(&format!("wrong approval-policy {name}"), "ApprovalPolicy")
        .await;
    put(&sound).await;

    let (topic, subscriptions) = hospital.approvals().await;
    let of_ben = subscriptions.iter().find(|one| one["Endpoint"] == BEN).unwrap();
    let unsubscribe = async |arn: &Value| {
        hospital
            .call("sns", "Unsubscribe", json!({ "SubscriptionArn": arn }))
            .await;
    };
    unsubscribe(&of_ben["SubscriptionArn"]).await;
    hospital
        .finds(&format!("{BEN} may approve and gets no request"), "sns subscribe")
        .await;
    let with_filter = json!({
        "TopicArn": topic, "Protocol": "email", "Endpoint": BEN,
        "Attributes": { "FilterPolicy": json!({ "approver": [BEN] }).to_string() },
    });
    hospital.call("sns", "Subscribe", with_filter).await;

    let to_all = json!({ "TopicArn": topic, "Protocol": "email", "Endpoint": "boss@example.com" });
    let subscribed = hospital.call("sns", "Subscribe", to_all).await;
    hospital
        .finds("boss@example.com (email) has no filter policy", "FilterPolicy")
        .await;
    unsubscribe(&subscribed["SubscriptionArn"]).await;
}

/// Of what the alarms on failed events tell, somebody hears, and CloudWatch can send it.
async fn alert_faults(hospital: &Hospital) {
    let topic = hospital.installed.alert_topic.as_str();
    let subscriptions = hospital
        .call("sns", "ListSubscriptionsByTopic", json!({ "TopicArn": topic }))
        .await;
    let arn = &subscriptions["Subscriptions"][0]["SubscriptionArn"];
    hospital
        .call("sns", "Unsubscribe", json!({ "SubscriptionArn": arn }))
        .await;
    hospital
        .doubts(
            &format!("doubtful subscriptions {topic}: nobody is told of events that could not be handled"),
            &format!("aws sns subscribe --topic-arn {topic}"),
        )
        .await;
    hospital.subscribe_on_call().await;

    let set_key = async |key: &str| {
        let input = json!({ "TopicArn": topic, "AttributeName": "KmsMasterKeyId", "AttributeValue": key });
        hospital.call("sns", "SetTopicAttributes", input).await;
    };
    // As the other topics have it.
    set_key("alias/aws/sns").await;
    hospital
        .finds(
            &format!("wrong keys {topic}: alias/aws/sns encrypts it, which CloudWatch may not use"),
            "--attribute-name KmsMasterKeyId",
        )
        .await;

    let key = hospital.call("kms", "CreateKey", json!({})).await;
    let key = key["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    set_key(&key).await;
    hospital
        .finds(
            &format!("wrong keys {key}: it encrypts topic {topic}"),
            r#""Principal":{"Service":"cloudwatch.amazonaws.com"}"#,
        )
        .await;
    let name = json!({ "KeyId": key, "PolicyName": "default" });
    let policy = hospital.call("kms", "GetKeyPolicy", name).await;
    let mut policy: Value = serde_json::from_str(policy["Policy"].as_str().unwrap()).unwrap();
    policy["Statement"].as_array_mut().unwrap().push(json!({
        "Effect": "Allow", "Principal": { "Service": "cloudwatch.amazonaws.com" },
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*",
    }));
    let input = json!({ "KeyId": key, "PolicyName": "default", "Policy": policy.to_string() });
    hospital.call("kms", "PutKeyPolicy", input).await;
    hospital.is_sound("a key that lets CloudWatch in").await;
    // The local KMS knows keys by their ids here.
    let id = key.rsplit('/').next().unwrap_or_default();
    hospital.call("kms", "DisableKey", json!({ "KeyId": id })).await;
    hospital
        .finds(&format!("wrong keys {key}: it is switched off"), "enable-key")
        .await;
    set_key("").await;
}

async fn alarm_faults(hospital: &Hospital) {
    let function = hospital.installed.function.as_str();
    let name = format!("{function}-blind");
    let dimension = |name: &str, value: &str| json!({ "Name": name, "Value": value });
    let alarm = json!({
        "AlarmName": name, "Namespace": "AWS/Lambda", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
        "Dimensions": [dimension("FunctionName", function), dimension("ExecutedVersion", "1")],
    });
    hospital.call("cloudwatch", "PutMetricAlarm", alarm).await;
    hospital
        .finds(
            &format!("wrong alarm-dimensions {name}: it never gets data"),
            "Resource=",
        )
        .await;
    hospital
        .call("cloudwatch", "DeleteAlarms", json!({ "AlarmNames": [name] }))
        .await;

    // A group may list alarms of any name and kind; roll-back hears of those whose names begin as it was told.
    let composite = "checkout-is-unwell";
    let rule = format!("ALARM(\"{function}-errors\")");
    let alarm = json!({ "AlarmName": composite, "AlarmRule": rule });
    hospital.call("cloudwatch", "PutCompositeAlarm", alarm).await;
    let (application, group) = (function, format!("{function}-live"));
    let names = json!({ "applicationName": application, "deploymentGroupName": group });
    let found = hospital.call("codedeploy", "GetDeploymentGroup", names).await;
    let sound = &found["deploymentGroupInfo"];
    let set = async |alarms: &Value, rollback: &Value| {
        let input = json!({
            "applicationName": application, "currentDeploymentGroupName": group,
            "alarmConfiguration": alarms, "autoRollbackConfiguration": rollback,
        });
        hospital.call("codedeploy", "UpdateDeploymentGroup", input).await;
    };
    let (alarms, rollback) = (&sound["alarmConfiguration"], &sound["autoRollbackConfiguration"]);
    assert_eq!(alarms["enabled"], false, "Signalbox acts, by default");
    let with = |name: &str| {
        let mut listed = alarms.clone();
        let all = listed["alarms"].as_array_mut().unwrap();
        all.push(json!({ "name": name }));
        listed
    };
    set(&with(composite), rollback).await;
    let what = format!("wrong deployment-group {group}: its alarm {composite} never reaches roll-back");
    hospital.finds(&what, "AlarmNamePrefix").await;
    let mut watched = with(composite);
    watched["enabled"] = json!(true);
    let mut on_alarm = rollback.clone();
    let events = on_alarm["events"].as_array_mut().unwrap();
    events.push(json!("DEPLOYMENT_STOP_ON_ALARM"));
    set(&watched, &on_alarm).await;
    hospital
        .is_sound("an alarm of another name that CodeDeploy acts on itself")
        .await;
    set(&with("never-made"), rollback).await;
    let what = format!("wrong deployment-group {group}: its alarm never-made is not there");
    hospital.finds(&what, "Deploy the application's stack").await;
    set(alarms, rollback).await;
    hospital
        .call("cloudwatch", "DeleteAlarms", json!({ "AlarmNames": [composite] }))
        .await;
}

async fn pipeline_faults(hospital: &Hospital) {
    let pipeline = hospital.installed.pipeline.as_str();
    let sound = hospital
        .call("codepipeline", "GetPipeline", json!({ "name": pipeline }))
        .await["pipeline"]
        .clone();
    let mut fixed = sound.clone();
    fixed["stages"][0]["actions"][0]["configuration"]["AllowOverrideForS3ObjectKey"] = json!("false");
    hospital
        .call("codepipeline", "UpdatePipeline", json!({ "pipeline": fixed }))
        .await;
    hospital
        .finds(
            &format!("wrong pipeline {pipeline}: its source action does not let start-run name the object"),
            "Set AllowOverrideForS3ObjectKey to true",
        )
        .await;
    hospital
        .call("codepipeline", "UpdatePipeline", json!({ "pipeline": sound }))
        .await;
}

async fn secret_faults(hospital: &Hospital) {
    let id = json!({ "SecretId": "signalbox-production-signing" });
    hospital.call("secretsmanager", "DeleteSecret", id.clone()).await;
    hospital
        .finds("it is about to be deleted", "restore-secret")
        .await;
    hospital.call("secretsmanager", "RestoreSecret", id).await;
}

/// Of what is gone, each is named; nothing else is lost sight of.
async fn what_is_gone_is_found(hospital: &Hospital) {
    hospital
        .call(
            "dynamodb",
            "DeleteTable",
            json!({ "TableName": hospital.installed.ledger_table }),
        )
        .await;
    hospital
        .finds(
            "wrong ledger signalbox-production-ledger: it is not there",
            "Deploy the stack again",
        )
        .await;
    let hook = "CodeDeployHook_signalbox-production-before-traffic";
    hospital
        .call("lambda", "DeleteFunction", json!({ "FunctionName": hook }))
        .await;
    let (code, found) = hospital.doctor().await;
    assert_eq!(code, 7);
    let is_named = found
        .keys()
        .any(|what| what.contains(&format!("wrong functions {hook}: it is not there")));
    assert!(is_named, "{found:#?}");
}
