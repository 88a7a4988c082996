//! Rules and their targets: what is kept, and the operations that change it.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use signalbox_local_core::AwsError;
use tokio_util::sync::CancellationToken;

use crate::delivery::Delivery;
use crate::schedule::Schedule;
use crate::target::{self, Target};
use crate::{EventBridgeEngine, Pattern, lock};

pub(crate) struct Rule {
    name: String,
    arn: String,
    event_pattern: Option<(String, Pattern)>,
    schedule: Option<(String, Schedule)>,
    state: String,
    description: Option<String>,
    role_arn: Option<String>,
    tags: IndexMap<String, String>,
    /// By id: as it was put, and as it is used.
    targets: IndexMap<String, (Value, Target)>,
    /// Ends the schedule that runs for this rule.
    ticking: CancellationToken,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRule {
    name: String,
    schedule_expression: Option<String>,
    event_pattern: Option<String>,
    state: Option<String>,
    description: Option<String>,
    role_arn: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

impl Rule {
    fn enabled(&self) -> bool {
        self.state != "DISABLED"
    }

    pub(crate) fn matches(&self, event: &Value) -> bool {
        self.enabled()
            && self
                .event_pattern
                .as_ref()
                .is_some_and(|(_, pattern)| pattern.matches(event))
    }

    /// One delivery for each target, as they are now.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = Delivery> + '_ {
        self.targets.values().map(|(_, target)| Delivery {
            rule_arn: self.arn.clone(),
            rule_name: self.name.clone(),
            target: target.clone(),
        })
    }

    fn describe(&self) -> Value {
        let mut described = Map::new();
        let mut put = |member: &str, value: Option<&String>| {
            if let Some(value) = value {
                described.insert(member.to_owned(), Value::from(value.as_str()));
            }
        };
        put("Name", Some(&self.name));
        put("Arn", Some(&self.arn));
        put("State", Some(&self.state));
        put("EventPattern", self.event_pattern.as_ref().map(|(text, _)| text));
        put("ScheduleExpression", self.schedule.as_ref().map(|(text, _)| text));
        put("Description", self.description.as_ref());
        put("RoleArn", self.role_arn.as_ref());
        put("EventBusName", Some(&"default".to_owned()));
        Value::Object(described)
    }
}

fn text<'v>(input: &'v Value, member: &str) -> &'v str {
    input.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'v>(input: &'v Value, member: &str) -> impl Iterator<Item = &'v str> {
    input
        .get(member)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn no_rule(name: &str) -> AwsError {
    AwsError::new(
        "ResourceNotFoundException",
        format!("Rule {name} does not exist on EventBus default."),
    )
}

/// A page of a list: its `NextToken` is the place where the next one begins.
fn page(input: &Value, member: &str, all: &[Value]) -> Result<Value, AwsError> {
    let start = match input.get("NextToken").and_then(Value::as_str) {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .ok()
            .filter(|start| *start <= all.len())
            .ok_or_else(|| AwsError::validation("Parameter NextToken is not valid."))?,
    };
    let limit = input
        .get("Limit")
        .and_then(Value::as_u64)
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(100);
    let end = all.len().min(start.saturating_add(limit));
    let mut answer = json!({ member: all[start..end] });
    if end < all.len() {
        answer["NextToken"] = Value::from(end.to_string());
    }
    Ok(answer)
}

impl EventBridgeEngine {
    pub(crate) fn put_rule(&self, input: Value) -> Result<Value, AwsError> {
        let put: PutRule = serde_json::from_value(input)?;
        if put.event_pattern.is_none() && put.schedule_expression.is_none() {
            return Err(AwsError::validation(
                "Parameter(s) EventPattern or ScheduleExpression must be specified.",
            ));
        }
        let event_pattern = match put.event_pattern {
            Some(text) => Some((text.clone(), Pattern::parse(&text)?)),
            None => None,
        };
        let schedule = match put.schedule_expression {
            Some(text) => {
                let schedule = Schedule::parse(&text)
                    .ok_or_else(|| AwsError::validation("Parameter ScheduleExpression is not valid."))?;
                Some((text, schedule))
            }
            None => None,
        };
        let arn = self.cloud.account().arn("events", &format!("rule/{}", put.name));
        let mut state = lock(&self.state);
        let previous = state.rules.get_mut(&put.name);
        let (targets, mut tags) = match previous {
            Some(rule) => {
                rule.ticking.cancel();
                (std::mem::take(&mut rule.targets), std::mem::take(&mut rule.tags))
            }
            None => (IndexMap::new(), IndexMap::new()),
        };
        // As in AWS, tags given with an existing rule are ignored.
        if tags.is_empty() {
            tags = put.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        }
        let rule = Rule {
            name: put.name.clone(),
            arn: arn.clone(),
            event_pattern,
            schedule,
            state: put.state.unwrap_or_else(|| "ENABLED".to_owned()),
            description: put.description,
            role_arn: put.role_arn,
            tags,
            targets,
            ticking: self.ended.child_token(),
        };
        self.start_ticking(&rule);
        state.rules.insert(put.name, rule);
        Ok(json!({"RuleArn": arn}))
    }

    /// Fires the rule's schedule until it is changed, disabled or deleted. Time between firings passes
    /// on the scaled clock; the events carry the wall clock's time.
    fn start_ticking(&self, rule: &Rule) {
        let (Some((_, schedule)), true, Some(engine)) = (&rule.schedule, rule.enabled(), self.this.upgrade())
        else {
            return;
        };
        let (schedule, name, arn, ticking) = (
            schedule.clone(),
            rule.name.clone(),
            rule.arn.clone(),
            rule.ticking.clone(),
        );
        self.spawn(async move {
            let clock = engine.cloud.clock().clone();
            let ticks = async {
                let mut at = clock.now();
                while let Some(next) = schedule.next_after(at) {
                    let pause = std::time::Duration::try_from(next.duration_since(at)).unwrap_or_default();
                    clock.sleep(pause).await;
                    engine.fire(&name, &arn);
                    at = next;
                }
            };
            let _ = ticking.run_until_cancelled(ticks).await;
        });
    }

    fn fire(&self, name: &str, arn: &str) {
        let time = self.cloud.clock().now();
        let event = self.event(
            "aws.events",
            "Scheduled Event",
            &[arn.to_owned()],
            &json!({}),
            time,
        );
        let deliveries: Vec<Delivery> = lock(&self.state)
            .rules
            .get(name)
            .map(|rule| rule.deliveries().collect())
            .unwrap_or_default();
        self.remember(event.clone());
        for delivery in deliveries {
            self.deliver(delivery, &event);
        }
    }

    pub(crate) fn delete_rule(&self, input: &Value) -> Result<Value, AwsError> {
        let name = text(input, "Name");
        let mut state = lock(&self.state);
        if let Some(rule) = state.rules.get(name) {
            if !rule.targets.is_empty() {
                return Err(AwsError::validation(
                    "Rule can't be deleted since it has targets.",
                ));
            }
            rule.ticking.cancel();
            state.rules.shift_remove(name);
        }
        Ok(json!({}))
    }

    pub(crate) fn describe_rule(&self, input: &Value) -> Result<Value, AwsError> {
        let name = text(input, "Name");
        lock(&self.state)
            .rules
            .get(name)
            .map(Rule::describe)
            .ok_or_else(|| no_rule(name))
    }

    pub(crate) fn list_rules(&self, input: &Value) -> Result<Value, AwsError> {
        let prefix = text(input, "NamePrefix");
        let state = lock(&self.state);
        let matching = state.rules.values().filter(|rule| rule.name.starts_with(prefix));
        page(input, "Rules", &matching.map(Rule::describe).collect::<Vec<_>>())
    }

    pub(crate) fn set_enabled(&self, input: &Value, enabled: bool) -> Result<Value, AwsError> {
        let name = text(input, "Name");
        let mut state = lock(&self.state);
        let rule = state.rules.get_mut(name).ok_or_else(|| no_rule(name))?;
        if rule.enabled() != enabled {
            rule.state = if enabled { "ENABLED" } else { "DISABLED" }.to_owned();
            rule.ticking.cancel();
            rule.ticking = self.ended.child_token();
            self.start_ticking(rule);
        }
        Ok(json!({}))
    }

    pub(crate) fn put_targets(&self, mut input: Value) -> Result<Value, AwsError> {
        let name = text(&input, "Rule").to_owned();
        let put = input
            .get_mut("Targets")
            .and_then(Value::as_array_mut)
            .map(std::mem::take)
            .unwrap_or_default();
        let targets = put
            .into_iter()
            .map(|raw| Ok((raw.clone(), target::parse(raw)?)))
            .collect::<Result<Vec<_>, AwsError>>()?;
        let mut state = lock(&self.state);
        let rule = state.rules.get_mut(&name).ok_or_else(|| no_rule(&name))?;
        for (raw, target) in targets {
            rule.targets.insert(target.id.clone(), (raw, target));
        }
        Ok(json!({"FailedEntryCount": 0, "FailedEntries": []}))
    }

    pub(crate) fn remove_targets(&self, input: &Value) -> Result<Value, AwsError> {
        let name = text(input, "Rule");
        let mut state = lock(&self.state);
        let rule = state.rules.get_mut(name).ok_or_else(|| no_rule(name))?;
        let mut failed = Vec::new();
        for id in texts(input, "Ids") {
            if rule.targets.shift_remove(id).is_none() {
                failed.push(json!({
                    "TargetId": id,
                    "ErrorCode": "ResourceNotFoundException",
                    "ErrorMessage": format!("Rule {name} does not have target {id}."),
                }));
            }
        }
        Ok(json!({"FailedEntryCount": failed.len(), "FailedEntries": failed}))
    }

    pub(crate) fn list_targets_by_rule(&self, input: &Value) -> Result<Value, AwsError> {
        let name = text(input, "Rule");
        let state = lock(&self.state);
        let rule = state.rules.get(name).ok_or_else(|| no_rule(name))?;
        let targets: Vec<Value> = rule.targets.values().map(|(raw, _)| raw.clone()).collect();
        page(input, "Targets", &targets)
    }

    pub(crate) fn list_rule_names_by_target(&self, input: &Value) -> Result<Value, AwsError> {
        let arn = text(input, "TargetArn");
        let state = lock(&self.state);
        let names: Vec<Value> = state
            .rules
            .values()
            .filter(|rule| rule.targets.values().any(|(_, target)| target.arn == arn))
            .map(|rule| Value::from(rule.name.as_str()))
            .collect();
        page(input, "RuleNames", &names)
    }

    fn with_tags<T>(
        &self,
        input: &Value,
        act: impl FnOnce(&mut IndexMap<String, String>) -> T,
    ) -> Result<T, AwsError> {
        let arn = text(input, "ResourceARN");
        let mut state = lock(&self.state);
        let rule = state
            .rules
            .values_mut()
            .find(|rule| rule.arn == arn)
            .ok_or_else(|| no_rule(arn.rsplit('/').next().unwrap_or(arn)))?;
        Ok(act(&mut rule.tags))
    }

    pub(crate) fn tag_resource(&self, input: &Value) -> Result<Value, AwsError> {
        let added: Vec<Tag> = serde_json::from_value(input.get("Tags").cloned().unwrap_or_default())?;
        self.with_tags(input, |tags| {
            tags.extend(added.into_iter().map(|tag| (tag.key, tag.value)));
        })?;
        Ok(json!({}))
    }

    pub(crate) fn untag_resource(&self, input: &Value) -> Result<Value, AwsError> {
        self.with_tags(input, |tags| {
            for key in texts(input, "TagKeys") {
                tags.shift_remove(key);
            }
        })?;
        Ok(json!({}))
    }

    pub(crate) fn list_tags(&self, input: &Value) -> Result<Value, AwsError> {
        let tags: Vec<Value> = self.with_tags(input, |tags| {
            tags.iter()
                .map(|(key, value)| json!({"Key": key, "Value": value}))
                .collect()
        })?;
        Ok(json!({"Tags": tags}))
    }
}
