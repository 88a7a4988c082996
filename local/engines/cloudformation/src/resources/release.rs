//! CodeDeploy, CodePipeline and CodeBuild. Their APIs write the properties' names with a small first
//! letter; that is nearly all there is to it.

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::shape::{booleans, lower_camel, numbers, required, set, subset, tag_list};
use super::{Context, Kind, Made};

/// Tags of CodeDeploy keep their capitals.
fn with_tags(mut input: Value, properties: &Value) -> Value {
    if properties.get("Tags").is_some() {
        set(&mut input, "tags", tag_list(properties));
    }
    input
}

pub(super) struct Application;

#[async_trait]
impl Kind for Application {
    fn replacing(&self) -> &'static [&'static str] {
        &["ApplicationName", "ComputePlatform"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("ApplicationName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "ApplicationName", 100);
        let mut input = with_tags(
            lower_camel(&subset(properties, &["ComputePlatform"]), &[]),
            properties,
        );
        set(&mut input, "applicationName", name.clone());
        cx.call("codedeploy", "CreateApplication", input).await?;
        Ok(Made::new(name))
    }

    async fn update(&self, _: &Context<'_>, made: &Made, _: &Value, _: &Value) -> Result<Made, AwsError> {
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call(
            "codedeploy",
            "DeleteApplication",
            json!({ "applicationName": made.physical }),
        )
        .await?;
        Ok(())
    }
}

pub(super) struct DeploymentConfig;

#[async_trait]
impl Kind for DeploymentConfig {
    fn replacing(&self) -> &'static [&'static str] {
        &["*"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("DeploymentConfigName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "DeploymentConfigName", 100);
        let mut input = lower_camel(properties, &[]);
        set(&mut input, "deploymentConfigName", name.clone());
        let counted = [
            "canaryInterval",
            "canaryPercentage",
            "linearInterval",
            "linearPercentage",
            "value",
        ];
        numbers(&mut input, &counted);
        cx.call("codedeploy", "CreateDeploymentConfig", input).await?;
        Ok(Made::new(name))
    }

    async fn update(&self, _: &Context<'_>, made: &Made, _: &Value, _: &Value) -> Result<Made, AwsError> {
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        let input = json!({ "deploymentConfigName": made.physical });
        cx.call("codedeploy", "DeleteDeploymentConfig", input).await?;
        Ok(())
    }
}

pub(super) struct DeploymentGroup;

const GROUP: &[&str] = &[
    "AlarmConfiguration",
    "ApplicationName",
    "AutoRollbackConfiguration",
    "DeploymentConfigName",
    "DeploymentStyle",
    "ServiceRoleArn",
    "TriggerConfigurations",
];

fn group(properties: &Value) -> Value {
    let mut input = lower_camel(&subset(properties, GROUP), &[]);
    booleans(&mut input, &["enabled", "ignorePollAlarmFailure"]);
    input
}

#[async_trait]
impl Kind for DeploymentGroup {
    fn replacing(&self) -> &'static [&'static str] {
        &["ApplicationName", "DeploymentGroupName"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("DeploymentGroupName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "DeploymentGroupName", 100);
        let mut input = with_tags(group(properties), properties);
        set(&mut input, "deploymentGroupName", name.clone());
        cx.call("codedeploy", "CreateDeploymentGroup", input).await?;
        Ok(Made::new(name))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let mut input = group(after);
        set(&mut input, "currentDeploymentGroupName", made.physical.clone());
        cx.call("codedeploy", "UpdateDeploymentGroup", input).await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, properties: &Value) -> Result<(), AwsError> {
        let application = required(properties, "ApplicationName")?;
        let input = json!({ "applicationName": application, "deploymentGroupName": made.physical });
        cx.call("codedeploy", "DeleteDeploymentGroup", input).await?;
        Ok(())
    }
}

pub(super) struct Pipeline;

const PIPELINE: &[&str] = &[
    "ArtifactStore",
    "ArtifactStores",
    "ExecutionMode",
    "PipelineType",
    "RoleArn",
    "Stages",
    "Triggers",
    "Variables",
];

fn pipeline(name: &str, properties: &Value) -> Value {
    let mut pipeline = lower_camel(&subset(properties, PIPELINE), &["Configuration"]);
    set(&mut pipeline, "name", name);
    numbers(&mut pipeline, &["runOrder", "timeoutInMinutes"]);
    pipeline
}

#[async_trait]
impl Kind for Pipeline {
    fn replacing(&self) -> &'static [&'static str] {
        &["Name"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("Name")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "Name", 100);
        let tags = lower_camel(&tag_list(properties), &[]);
        let input = json!({ "pipeline": pipeline(&name, properties), "tags": tags });
        cx.call("codepipeline", "CreatePipeline", input).await?;
        Ok(Made::new(name).with("Version", "1"))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let input = json!({ "pipeline": pipeline(&made.physical, after) });
        let answer = cx.call("codepipeline", "UpdatePipeline", input).await?;
        let version = answer.pointer("/pipeline/version").map(ToString::to_string);
        Ok(Made::new(made.physical.clone()).with("Version", version.unwrap_or_else(|| "1".to_owned())))
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("codepipeline", "DeletePipeline", json!({ "name": made.physical }))
            .await?;
        Ok(())
    }
}

pub(super) struct Project;

fn project(name: &str, properties: &Value) -> Value {
    let mut input = lower_camel(properties, &[]);
    if let Value::Object(map) = &mut input {
        // Of CloudFormation's own making.
        map.remove("triggers");
        map.remove("visibility");
        for source in ["source", "secondarySources"] {
            if let Some(source) = map.get_mut(source) {
                rename_buildspec(source);
            }
        }
    }
    set(&mut input, "name", name);
    numbers(
        &mut input,
        &[
            "autoRetryLimit",
            "concurrentBuildLimit",
            "gitCloneDepth",
            "queuedTimeoutInMinutes",
            "timeoutInMinutes",
        ],
    );
    booleans(
        &mut input,
        &[
            "badgeEnabled",
            "encryptionDisabled",
            "insecureSsl",
            "overrideArtifactName",
            "privilegedMode",
            "reportBuildStatus",
        ],
    );
    input
}

fn rename_buildspec(source: &mut Value) {
    match source {
        Value::Array(items) => items.iter_mut().for_each(rename_buildspec),
        Value::Object(map) => {
            if let Some(spec) = map.remove("buildSpec") {
                map.insert("buildspec".to_owned(), spec);
            }
        }
        _ => {}
    }
}

#[async_trait]
impl Kind for Project {
    fn replacing(&self) -> &'static [&'static str] {
        &["Name"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("Name")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "Name", 255);
        cx.call("codebuild", "CreateProject", project(&name, properties))
            .await?;
        let arn = cx.account().arn("codebuild", &format!("project/{name}"));
        Ok(Made::new(name).with("Arn", arn))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        _: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        cx.call("codebuild", "UpdateProject", project(&made.physical, after))
            .await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, _: &Value) -> Result<(), AwsError> {
        cx.call("codebuild", "DeleteProject", json!({ "name": made.physical }))
            .await?;
        Ok(())
    }
}
