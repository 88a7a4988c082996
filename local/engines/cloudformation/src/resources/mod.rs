//! How resources are made, changed and deleted: a small module for each service.
//!
//! Properties mostly bear the names of the API's members, so that most of a module is its list of them.
//! What a property's change means ([`Recreation`]) is AWS's documented "Update requires".

mod alias;
mod cloudwatch;
mod code;
mod dynamodb;
mod events;
mod function;
mod iam;
mod keys;
mod lambda;
mod logs;
mod messaging;
mod policies;
mod release;
mod s3;
mod shape;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::{Account, AwsError, Caller, Cloud};
use uuid::Uuid;

/// What AWS documents as "Update requires".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recreation {
    Never,
    Always,
}

impl Recreation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Never => "Never",
            Self::Always => "Always",
        }
    }
}

/// A physical resource: what `Ref` and `Fn::GetAtt` say of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Made {
    pub(crate) physical: String,
    pub(crate) attributes: BTreeMap<String, Value>,
}

impl Made {
    fn new(physical: impl Into<String>) -> Self {
        Self {
            physical: physical.into(),
            attributes: BTreeMap::new(),
        }
    }

    fn with(mut self, attribute: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(attribute.to_owned(), value.into());
        self
    }
}

/// What a module needs to know besides the properties.
pub(crate) struct Context<'a> {
    pub(crate) cloud: &'a dyn Cloud,
    pub(crate) stack_name: &'a str,
    pub(crate) logical: &'a str,
    pub(crate) update_policy: &'a Value,
    /// The operation takes something back: what it does must not need anybody's approval again.
    pub(crate) undoing: bool,
    pub(crate) cancelled: &'a (dyn Fn() -> bool + Sync),
    /// What local code paths are relative to.
    pub(crate) project_root: &'a Path,
}

impl Context<'_> {
    async fn call(&self, service: &str, operation: &str, input: Value) -> Result<Value, AwsError> {
        let caller = Caller::service("cloudformation.amazonaws.com");
        self.cloud.call(&caller, service, operation, input).await
    }

    fn account(&self) -> &Account {
        self.cloud.account()
    }

    /// `stack-LogicalId-RANDOM`, as CloudFormation names what the template does not name.
    fn generated(&self, longest: usize) -> String {
        let random: String = Uuid::new_v4()
            .simple()
            .to_string()
            .to_uppercase()
            .chars()
            .take(12)
            .collect();
        let room = longest.saturating_sub(random.len() + 1);
        let front: String = format!("{}-{}", self.stack_name, self.logical)
            .chars()
            .take(room)
            .collect();
        format!("{front}-{random}")
    }

    /// The name that a property gives, or a generated one.
    fn name(&self, properties: &Value, property: &str, longest: usize) -> String {
        shape::text(properties, property).unwrap_or_else(|| self.generated(longest))
    }
}

/// A resource type.
#[async_trait]
pub(crate) trait Kind: Send + Sync {
    /// Properties whose change replaces the resource; `*` means every one.
    fn replacing(&self) -> &'static [&'static str];

    /// The property that names the resource, where a name can only be taken once.
    fn naming(&self) -> Option<&'static str> {
        None
    }

    /// Makes one.
    ///
    /// # Errors
    /// What the service answers.
    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError>;

    /// Changes one in place.
    ///
    /// # Errors
    /// What the service answers.
    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError>;

    /// Deletes one. That it is not there any more is no error; [`absent`] decides.
    ///
    /// # Errors
    /// What the service answers.
    async fn delete(&self, cx: &Context<'_>, made: &Made, properties: &Value) -> Result<(), AwsError>;
}

const KINDS: &[(&str, &dyn Kind)] = &[
    (
        "AWS::CloudFormation::WaitConditionHandle",
        &keys::WaitConditionHandle,
    ),
    ("AWS::CloudWatch::Alarm", &cloudwatch::Alarm),
    ("AWS::CloudWatch::CompositeAlarm", &cloudwatch::CompositeAlarm),
    ("AWS::CodeBuild::Project", &release::Project),
    ("AWS::CodeDeploy::Application", &release::Application),
    ("AWS::CodeDeploy::DeploymentConfig", &release::DeploymentConfig),
    ("AWS::CodeDeploy::DeploymentGroup", &release::DeploymentGroup),
    ("AWS::CodePipeline::Pipeline", &release::Pipeline),
    ("AWS::DynamoDB::Table", &dynamodb::Table),
    ("AWS::Events::Rule", &events::Rule),
    ("AWS::IAM::ManagedPolicy", &policies::ManagedPolicy),
    ("AWS::IAM::Policy", &policies::Policy),
    ("AWS::IAM::Role", &iam::Role),
    ("AWS::KMS::Alias", &keys::Alias),
    ("AWS::KMS::Key", &keys::Key),
    ("AWS::Lambda::Alias", &alias::Alias),
    ("AWS::Lambda::EventInvokeConfig", &lambda::EventInvokeConfig),
    ("AWS::Lambda::Function", &function::Function),
    ("AWS::Lambda::Permission", &lambda::Permission),
    ("AWS::Lambda::Url", &lambda::Url),
    ("AWS::Lambda::Version", &lambda::Version),
    ("AWS::Logs::LogGroup", &logs::LogGroup),
    ("AWS::S3::Bucket", &s3::Bucket),
    ("AWS::S3::BucketPolicy", &s3::BucketPolicy),
    ("AWS::SNS::Subscription", &messaging::Subscription),
    ("AWS::SNS::Topic", &messaging::Topic),
    ("AWS::SNS::TopicPolicy", &messaging::TopicPolicy),
    ("AWS::SQS::Queue", &messaging::Queue),
    ("AWS::SQS::QueuePolicy", &messaging::QueuePolicy),
    ("AWS::SSM::Parameter", &keys::Parameter),
    ("AWS::SecretsManager::Secret", &keys::Secret),
];

/// The type of that name.
///
/// # Errors
/// `ValidationError` that names the type and why it cannot be made here.
pub(crate) fn kind(name: &str) -> Result<&'static dyn Kind, AwsError> {
    if let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == name) {
        return Ok(*kind);
    }
    Err(crate::invalid(if name == "AWS::Lambda::EventSourceMapping" {
        "AWS::Lambda::EventSourceMapping: the local cloud polls no queues or streams for functions; invoke the function \
         through a rule, a topic or its URL instead"
            .to_owned()
    } else {
        format!("Unrecognized resource types: [{name}]. The local cloud does not make this type")
    }))
}

/// What a change of that property means.
pub(crate) fn recreation(kind_name: &str, property: &str) -> Recreation {
    match kind(kind_name) {
        Ok(kind)
            if kind
                .replacing()
                .iter()
                .any(|name| *name == "*" || *name == property) =>
        {
            Recreation::Always
        }
        _ => Recreation::Never,
    }
}

/// Whether an error says that what was to be deleted is not there.
pub(crate) fn absent(error: &AwsError) -> bool {
    ["NotFound", "NoSuch", "DoesNotExist", "NonExistent", "NotExist"]
        .iter()
        .any(|part| error.code.contains(part))
}

/// The member of an answer, or what it surely is.
fn answered(answer: &Value, member: &str, otherwise: impl FnOnce() -> String) -> Value {
    answer
        .get(member)
        .and_then(Value::as_str)
        .map_or_else(|| json!(otherwise()), |text| json!(text))
}
