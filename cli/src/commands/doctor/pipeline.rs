//! The pipeline: its source is the bucket, start-run may override its revision, and nothing polls.

use std::collections::HashMap;

use aws_sdk_codepipeline::types::{ActionCategory, ActionDeclaration, PipelineDeclaration};
use signalbox_bootstrap::aws_failure;

use super::Patient;
use super::check::Check;
use super::finding::Finding;
use super::stack::Standing;

const CHECK: Check = Check::Pipeline;

pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let name = patient.pipeline.as_str();
    let answer = aws_sdk_codepipeline::Client::new(patient.cloud.sdk())
        .get_pipeline()
        .name(name)
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let fix = "Make the pipeline (templates/pipeline/), or give the stack's parameter PipelineName its name.";
            return vec![Finding::failed(CHECK, name, &aws_failure(&error), fix)];
        }
    };
    let Some(declaration) = answer.pipeline() else {
        return vec![Finding::unknown(
            CHECK,
            name,
            "CodePipeline answers no declaration",
        )];
    };
    let action = patient.deployed.variable("start-run", "SOURCE_ACTION_NAME");
    let expected = Expected {
        source_action: action.unwrap_or_else(|| "Source".to_owned()),
        bucket: patient.bucket.clone(),
        prefix: patient.prefix.clone(),
        branch: patient.branch().map(|branch| branch.as_str().to_owned()),
        release_stage: patient.deployed.variable("roll-back", "RELEASE_STAGE"),
        timeout_minutes: patient
            .deployed
            .variable("request-approval", "APPROVAL_TIMEOUT_MINUTES")
            .and_then(|minutes| minutes.parse().ok()),
        answered: answered(patient).await,
    };
    let mut findings = judge(declaration, &expected);
    if findings.is_empty() {
        findings.push(Finding::sound(CHECK, name, "it is as the functions expect it"));
    }
    findings
}

/// What the functions were told about it.
#[derive(Debug, Clone)]
struct Expected {
    source_action: String,
    bucket: String,
    prefix: String,
    branch: Option<String>,
    release_stage: Option<String>,
    timeout_minutes: Option<i32>,
    /// Stage and action whose approval may be answered; `*` is any.
    answered: Option<(String, String)>,
}

/// As the stack was told. Where it cannot be asked, other findings say so.
async fn answered(patient: &Patient<'_>) -> Option<(String, String)> {
    let parameters = Standing::read(patient).await.ok()?.parameters;
    let named = |name: &str| parameters.get(name).cloned();
    Some((named("ApprovalStageName")?, named("ApprovalActionName")?))
}

fn judge(pipeline: &PipelineDeclaration, expected: &Expected) -> Vec<Finding> {
    let name = pipeline.name();
    let wrong = |text: String, fix: String| Finding::wrong(CHECK, name, text, fix);
    let staged = || {
        let stages = pipeline.stages().iter();
        stages.flat_map(|stage| stage.actions().iter().map(move |action| (stage.name(), action)))
    };
    let mut actions = staged().map(|(_, action)| action);
    let mut findings = Vec::new();
    match actions.find(|action| action.name() == expected.source_action) {
        Some(source) => findings.extend(of_source(name, source, expected)),
        None => findings.push(wrong(
            format!("it has no source action {}", expected.source_action),
            "Give the stack's parameter SourceActionName the action's name.".to_owned(),
        )),
    }
    if let Some(stage) = &expected.release_stage
        && !pipeline.stages().iter().any(|it| it.name() == stage)
    {
        findings.push(wrong(
            format!("it has no stage {stage}, so that a rollback freezes nothing"),
            "Give the stack's parameter ReleaseStageName the stage's name.".to_owned(),
        ));
    }
    let approvals = staged().filter(|(_, action)| {
        let kind = action.action_type_id();
        kind.is_some_and(|kind| kind.category() == &ActionCategory::Approval)
    });
    for (stage, action) in approvals {
        let fits = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        if let Some((of_stage, of_action)) = &expected.answered
            && !(fits(of_stage, stage) && fits(of_action, action.name()))
        {
            findings.push(wrong(
                format!(
                    "an answer to its approval {stage}/{} would be refused: only {of_stage}/{of_action} may be answered",
                    action.name()
                ),
                "Give the stack's parameters ApprovalStageName and ApprovalActionName the names, or * for several."
                    .to_owned(),
            ));
        }
        // Seven days, where the action says nothing.
        let waits = action.timeout_in_minutes().unwrap_or(10_080);
        if let Some(minutes) = expected.timeout_minutes.filter(|minutes| *minutes != waits) {
            findings.push(Finding::doubtful(
                CHECK,
                name,
                format!(
                    "its action {} waits {waits} minutes, and links live {minutes}",
                    action.name()
                ),
                format!(
                    "Give the stack's parameter ApprovalTimeoutMinutes {waits}, or the action {minutes}."
                ),
            ));
        }
    }
    findings
}

fn of_source(name: &str, source: &ActionDeclaration, expected: &Expected) -> Vec<Finding> {
    let none = HashMap::new();
    let configuration = source.configuration().unwrap_or(&none);
    let of = |key: &str| configuration.get(key).map(String::as_str);
    let mut findings = Vec::new();
    let mut wrong = |text: String, fix: &str| findings.push(Finding::wrong(CHECK, name, text, fix));
    if of("S3Bucket") != Some(expected.bucket.as_str()) {
        wrong(
            format!(
                "its source is bucket {}, and uploads go to {}",
                of("S3Bucket").unwrap_or("(none)"),
                expected.bucket
            ),
            "Give the source action S3Bucket, or the stack's parameter SourceBucketName, the other's name.",
        );
    }
    if of("AllowOverrideForS3ObjectKey") != Some("true") {
        wrong(
            "its source action does not let start-run name the object, so that StartPipelineExecution is refused"
                .to_owned(),
            "Set AllowOverrideForS3ObjectKey to true in the source action's configuration.",
        );
    }
    if of("PollForSourceChanges") != Some("false") {
        wrong(
            "it polls, so that an upload starts two runs, one of them not pinned to its version".to_owned(),
            "Set PollForSourceChanges to false in the source action's configuration.",
        );
    }
    let key = of("S3ObjectKey").unwrap_or_default();
    if !key.starts_with(&expected.prefix) {
        let branch = expected.branch.as_deref().unwrap_or("BRANCH");
        findings.push(Finding::doubtful(
            CHECK,
            name,
            format!("a run that is started by hand takes {key}, which is no upload's key"),
            format!(
                "Set S3ObjectKey to {}{branch}/lambda-function.zip in the source action's configuration.",
                expected.prefix
            ),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use aws_sdk_codepipeline::types::{ActionOwner, ActionTypeId, StageDeclaration};

    use super::super::finding::Verdict;
    use super::*;

    fn expected() -> Expected {
        Expected {
            source_action: "Source".to_owned(),
            bucket: "packages".to_owned(),
            prefix: "source/".to_owned(),
            branch: Some("main".to_owned()),
            release_stage: Some("Release".to_owned()),
            timeout_minutes: Some(10_080),
            answered: Some(("*".to_owned(), "Approve".to_owned())),
        }
    }

    fn action(name: &str, category: ActionCategory, configuration: &[(&str, &str)]) -> ActionDeclaration {
        let kind = ActionTypeId::builder()
            .category(category)
            .owner(ActionOwner::Aws)
            .provider("p")
            .version("1")
            .build()
            .unwrap();
        let pairs = configuration
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        ActionDeclaration::builder()
            .name(name)
            .action_type_id(kind)
            .set_configuration(Some(pairs.collect()))
            .build()
            .unwrap()
    }

    fn pipeline(configuration: &[(&str, &str)]) -> PipelineDeclaration {
        let stage = |name: &str, action: ActionDeclaration| {
            StageDeclaration::builder()
                .name(name)
                .actions(action)
                .build()
                .unwrap()
        };
        PipelineDeclaration::builder()
            .name("p")
            .role_arn("r")
            .stages(stage(
                "Source",
                action("Source", ActionCategory::Source, configuration),
            ))
            .stages(stage("Release", action("Approve", ActionCategory::Approval, &[])))
            .build()
            .unwrap()
    }

    const SOUND: [(&str, &str); 4] = [
        ("S3Bucket", "packages"),
        ("S3ObjectKey", "source/main/lambda-function.zip"),
        ("PollForSourceChanges", "false"),
        ("AllowOverrideForS3ObjectKey", "true"),
    ];

    #[test]
    fn a_sound_pipeline_has_no_finding() {
        assert_eq!(judge(&pipeline(&SOUND), &expected()), []);
    }

    #[test]
    fn each_mistake_is_found() {
        for (key, value, words) in [
            ("S3Bucket", "others", "bucket others"),
            ("PollForSourceChanges", "true", "it polls"),
            (
                "AllowOverrideForS3ObjectKey",
                "false",
                "does not let start-run name",
            ),
            ("S3ObjectKey", "app.zip", "takes app.zip"),
        ] {
            let changed = SOUND.map(|(name, sound)| (name, if name == key { value } else { sound }));
            let found = judge(&pipeline(&changed), &expected());
            assert_eq!(found.len(), 1, "{key}: {found:?}");
            assert!(found[0].text.contains(words), "{found:?}");
        }
        let other = Expected {
            source_action: "Code".to_owned(),
            release_stage: Some("Deploy".to_owned()),
            timeout_minutes: Some(60),
            ..expected()
        };
        let found = judge(&pipeline(&SOUND), &other);
        let verdicts: Vec<Verdict> = found.iter().map(|one| one.verdict).collect();
        assert_eq!(
            verdicts,
            [Verdict::Wrong, Verdict::Wrong, Verdict::Doubtful],
            "{found:?}"
        );
        for (stage, action) in [("Approval", "*"), ("*", "Sign")] {
            let other = Expected {
                answered: Some((stage.to_owned(), action.to_owned())),
                ..expected()
            };
            let found = judge(&pipeline(&SOUND), &other);
            assert!(
                found.len() == 1 && found[0].text.contains("Release/Approve would be refused"),
                "{found:?}"
            );
        }
    }
}
