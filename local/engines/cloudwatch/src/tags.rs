//! Tags of alarms.

use indexmap::IndexMap;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::input::{list, optional, texts};
use crate::{CloudWatchEngine, State};

pub(crate) fn parse(input: &Value) -> IndexMap<String, String> {
    let text = |tag: &Value, member: &str| optional(tag, member).unwrap_or_default().to_owned();
    list(input, "Tags")
        .iter()
        .map(|tag| (text(tag, "Key"), text(tag, "Value")))
        .collect()
}

impl State {
    fn tags_of(&mut self, input: &Value) -> Result<&mut IndexMap<String, String>, AwsError> {
        let arn = optional(input, "ResourceARN").unwrap_or_default();
        self.alarms
            .values_mut()
            .find(|alarm| alarm.arn == arn)
            .map(|alarm| &mut alarm.tags)
            .ok_or_else(|| {
                AwsError::new("ResourceNotFoundException", format!("Unknown resource: {arn}"))
                    .with_status(404)
            })
    }
}

impl CloudWatchEngine {
    pub(crate) fn tag_resource(&self, input: &Value) -> Result<Value, AwsError> {
        self.state().tags_of(input)?.extend(parse(input));
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
