//! Real events, awkward ones, and arbitrary JSON.

use proptest::prelude::{Strategy, any, proptest};
use serde_json::json;

use super::*;
use crate::codebuild::BuildEvent;
use crate::codedeploy::DeploymentEvent;
use crate::s3;

fn fixture(text: &str) -> PipelineEvent {
    PipelineEvent::parse(serde_json::from_str(text).unwrap()).unwrap()
}

#[test]
fn a_run_with_a_float_version_is_read() {
    let event = fixture(include_str!("../../../../events/track-run/run-started.json"));
    assert_eq!(
        event.change,
        Change::Run {
            state: State::InProgress
        }
    );
    assert_eq!(
        (event.pipeline.as_str(), event.attempt),
        ("lambda-function-staging-pipeline", 1)
    );
    assert_eq!(event.at, Some("2026-03-02T09:15:04Z".parse().unwrap()));
}

#[test]
fn a_retried_stage_names_its_attempt() {
    let event = fixture(include_str!(
        "../../../../events/track-run/stage-failed-second-attempt.json"
    ));
    assert!(
        matches!(event.change, Change::Stage { ref stage, state: State::Failed } if stage.as_str() == "Build")
    );
    assert_eq!(event.attempt, 2);
}

#[test]
fn an_approval_with_a_string_version_is_read() {
    let event = fixture(include_str!("../../../../events/track-run/approval-started.json"));
    let Change::Action {
        stage,
        action,
        category,
        state,
        ..
    } = event.change
    else {
        panic!()
    };
    assert_eq!(
        (stage.as_str(), action.as_str(), category.as_str()),
        ("Approval", "ManualApproval", "Approval")
    );
    assert_eq!(state, State::InProgress);
}

#[test]
fn a_failed_action_names_its_build() {
    let event = fixture(include_str!("../../../../events/track-run/action-failed.json"));
    let Change::Action {
        id, external, state, ..
    } = event.change
    else {
        panic!()
    };
    assert_eq!(id.as_deref(), Some("47f821c5-a902-4c2d-ae61-b6b2c36d1d45"));
    assert_eq!(
        external.as_deref(),
        Some("lambda-function-staging-build:8745a7a9-c340-456a-9166-edf953571bea")
    );
    assert_eq!(state, State::Failed);
}

#[test]
fn an_unknown_state_and_unknown_fields_are_kept_and_passed_over() {
    let event = fixture(include_str!(
        "../../../../events/track-run/run-in-unknown-state.json"
    ));
    assert_eq!(
        event.change,
        Change::Run {
            state: State::Other("HIBERNATING".to_owned())
        }
    );
}

#[test]
fn what_a_decision_needs_is_named_when_it_is_missing() {
    let without = |field: &str| {
        let mut event = json!({"source": "aws.codepipeline",
            "detail-type": "CodePipeline Stage Execution State Change",
            "detail": {"pipeline": "p", "execution-id": "0f1e", "stage": "Build", "state": "FAILED"}});
        event["detail"].as_object_mut().unwrap().remove(field);
        PipelineEvent::parse(event).unwrap_err().to_string()
    };
    for field in ["pipeline", "execution-id", "stage", "state"] {
        assert!(without(field).contains(field), "{}", without(field));
    }
}

#[test]
fn an_event_of_another_source_is_refused_by_name() {
    let event = json!({"source": "aws.ec2", "detail-type": "x\r\n", "detail": {}});
    let error = PipelineEvent::parse(event).unwrap_err();
    assert!(matches!(error, EventError::Foreign { .. }));
    assert!(!error.to_string().contains(['\r', '\n']));
}

#[test]
fn a_nesting_bomb_is_an_error() {
    let bomb = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wrapped = json!({"Type": "Notification", "Message": bomb});
    assert!(matches!(s3::parse(wrapped).unwrap_err(), EventError::Json { .. }));
    // Within the parser's limit, and still nothing that is handled here.
    let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
    let event = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": serde_json::from_str::<Value>(&deep).unwrap()});
    assert!(s3::parse(event).is_err());
}

#[test]
fn an_event_of_a_megabyte_is_read() {
    let event = json!({"source": "aws.codepipeline", "detail-type": "CodePipeline Pipeline Execution State Change",
        "detail": {"pipeline": "p", "execution-id": "0f1e", "state": "STARTED", "more": "x".repeat(1024 * 1024)}});
    assert!(PipelineEvent::parse(event).is_ok());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = proptest::prop_oneof![
        proptest::prelude::Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        proptest::sample::select(vec![
            "aws.s3",
            "aws.codepipeline",
            "aws.codebuild",
            "aws.codedeploy",
            "aws:sqs",
            "aws:sns",
            "Notification",
            "Object Created",
            "CodePipeline Action Execution State Change",
            "CodeBuild Build State Change",
            "CodeDeploy Deployment State-change Notification",
            "ObjectCreated:Put",
            "STARTED",
        ])
        .prop_map(Value::from),
    ];
    let field = proptest::sample::select(vec![
        "source",
        "detail-type",
        "detail",
        "bucket",
        "object",
        "name",
        "key",
        "Records",
        "s3",
        "Sns",
        "Message",
        "Type",
        "eventSource",
        "EventSource",
        "eventName",
        "body",
        "messageId",
        "state",
        "pipeline",
        "execution-id",
        "stage",
        "action",
        "type",
        "time",
        "sequencer",
        "deploymentId",
        "build-id",
    ]);
    leaf.prop_recursive(6, 60, 6, move |inner| {
        proptest::prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(field.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_a_parser_panic(event in any_json()) {
        let _ = s3::parse(event.clone());
        if let Ok(envelope) = Envelope::parse(event) {
            let _ = PipelineEvent::of(&envelope);
            let _ = BuildEvent::of(&envelope);
            let _ = DeploymentEvent::of(&envelope);
        }
    }

    #[test]
    fn no_text_within_a_message_makes_a_parser_panic(text in any::<String>()) {
        let _ = s3::parse(json!({"Type": "Notification", "Message": text.clone()}));
        let _ = s3::parse(json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": text}]}));
    }
}
