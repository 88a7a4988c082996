//! Tags of applications and groups.

use indexmap::IndexMap;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::input::{required, texts};
use crate::{CodeDeployEngine, State};

fn pairs(tags: Option<&Value>) -> impl Iterator<Item = (String, String)> + '_ {
    let text = |tag: &Value, member: &str| {
        tag.get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    tags.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(move |tag| (text(tag, "Key"), text(tag, "Value")))
}

impl State {
    pub(crate) fn add_tags(&mut self, arn: String, tags: Option<&Value>) {
        self.tags.entry(arn).or_default().extend(pairs(tags));
    }

    fn tags_of(&mut self, input: &Value) -> Result<&mut IndexMap<String, String>, AwsError> {
        let arn = required(input, "ResourceArn", "ResourceArnRequiredException")?;
        let missing = if arn.contains(":application:") {
            AwsError::new(
                "ApplicationDoesNotExistException",
                format!("No application found for ARN: {arn}"),
            )
        } else if arn.contains(":deploymentgroup:") {
            AwsError::new(
                "DeploymentGroupDoesNotExistException",
                format!("No deployment group found for ARN: {arn}"),
            )
        } else {
            AwsError::new(
                "ArnNotSupportedException",
                format!("The specified ARN is not supported: {arn}"),
            )
        };
        self.tags.get_mut(arn).ok_or(missing)
    }
}

impl CodeDeployEngine {
    pub(crate) fn tag_resource(&self, input: &Value) -> Result<Value, AwsError> {
        self.state().tags_of(input)?.extend(pairs(input.get("Tags")));
        Ok(json!({}))
    }

    pub(crate) fn untag_resource(&self, input: &Value) -> Result<Value, AwsError> {
        let mut state = self.state();
        let tags = state.tags_of(input)?;
        for key in texts(input, "TagKeys") {
            tags.shift_remove(key);
        }
        Ok(json!({}))
    }

    pub(crate) fn list_tags(&self, input: &Value) -> Result<Value, AwsError> {
        let mut state = self.state();
        let tags: Vec<Value> = state
            .tags_of(input)?
            .iter()
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect();
        Ok(json!({"Tags": tags}))
    }
}
