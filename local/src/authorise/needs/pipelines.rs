//! CodePipeline and CodeBuild.

use super::{Call, Needed};

pub(super) fn codepipeline(call: &Call<'_>) -> Vec<Needed> {
    let pipeline = call
        .text("pipelineName")
        .or_else(|| call.text("name"))
        .or_else(|| call.input["pipeline"]["name"].as_str());
    let stage = call.text("stageName");
    let resource = match call.operation {
        // Jobs have no resource type.
        "PutJobSuccessResult"
        | "PutJobFailureResult"
        | "AcknowledgeJob"
        | "GetJobDetails"
        | "ListPipelines" => None,
        "PutApprovalResult"
        | "OverrideStageCondition"
        | "DisableStageTransition"
        | "EnableStageTransition"
        | "RetryStageExecution"
        | "RollbackStage" => pipeline.zip(stage).map(|(pipeline, stage)| {
            let action = call
                .text("actionName")
                .filter(|_| call.operation == "PutApprovalResult");
            match action {
                Some(action) => format!("{pipeline}/{stage}/{action}"),
                None => format!("{pipeline}/{stage}"),
            }
        }),
        _ => pipeline.map(str::to_owned),
    };
    let tagged = call.text("resourceArn").map(str::to_owned);
    call.own(resource.map(|it| call.arn(&it)).or(tagged).into_iter().collect())
}

pub(super) fn codebuild(call: &Call<'_>) -> Vec<Needed> {
    let project = |name: &str| call.arn_of(name, |name| format!("project/{name}"));
    // A build's id is `project:uuid`; its ARN ends in it.
    let of_build = |id: &str| {
        let id = id.rsplit_once("build/").map_or(id, |(_, id)| id);
        project(id.split(':').next().unwrap_or(id))
    };
    let resources = match call.operation {
        "BatchGetBuilds" | "BatchDeleteBuilds" => call.texts("ids").into_iter().map(of_build).collect(),
        "StopBuild" | "RetryBuild" => call.text("id").map(of_build).into_iter().collect(),
        "BatchGetProjects" => call.texts("names").into_iter().map(project).collect(),
        "CreateProject" | "UpdateProject" | "DeleteProject" => {
            call.text("name").map(project).into_iter().collect()
        }
        _ => call.text("projectName").map(project).into_iter().collect(),
    };
    call.own(resources)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::of;
    use super::*;

    const PREFIX: &str = "arn:aws:codepipeline:us-east-1:123456789012:";

    #[test]
    fn each_level_of_a_pipeline_is_a_resource() {
        let input =
            json!({"pipelineName": "p", "stageName": "Approval", "actionName": "Approve", "name": "p"});
        for (operation, rest) in [
            ("PutApprovalResult", "p/Approval/Approve"),
            ("DisableStageTransition", "p/Approval"),
            ("StartPipelineExecution", "p"),
        ] {
            assert_eq!(
                of(codepipeline, "codepipeline", operation, &input)[0].1,
                [format!("{PREFIX}{rest}")]
            );
        }
        assert_eq!(
            of(
                codepipeline,
                "codepipeline",
                "PutJobSuccessResult",
                &json!({"jobId": "1"})
            )[0]
            .1,
            ["*"]
        );
    }

    #[test]
    fn a_build_is_its_projects() {
        let input = json!({"ids": ["app:0-1", "arn:aws:codebuild:us-east-1:123456789012:build/other:2-3"]});
        let project = |name: &str| format!("arn:aws:codebuild:us-east-1:123456789012:project/{name}");
        assert_eq!(
            of(codebuild, "codebuild", "BatchGetBuilds", &input)[0].1,
            [project("app"), project("other")]
        );
    }
}
