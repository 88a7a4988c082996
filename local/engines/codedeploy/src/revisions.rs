//! Revisions: the AppSpecs that an application knows.

use indexmap::IndexMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use signalbox_local_core::AwsError;

use crate::CodeDeployEngine;
use crate::applications::application_name;
use crate::input::{optional, page};

/// By what identifies them.
#[derive(Default)]
pub(crate) struct Revisions(IndexMap<String, Revision>);

struct Revision {
    location: Value,
    description: Option<String>,
    registered: f64,
    first_used: Option<f64>,
    last_used: Option<f64>,
    groups: Vec<String>,
}

fn invalid(reason: &str) -> AwsError {
    AwsError::new(
        "InvalidRevisionException",
        format!("The revision was specified in an invalid format: {reason}."),
    )
}

/// The member that holds a revision's content.
fn content_member(kind: &str) -> Option<&'static str> {
    match kind {
        "AppSpecContent" => Some("appSpecContent"),
        "String" => Some("string"),
        _ => None,
    }
}

/// The revision with its digest, and what identifies it.
fn identify(revision: &Value) -> Result<(String, Value), AwsError> {
    let kind = optional(revision, "revisionType").ok_or_else(|| invalid("it lacks revisionType"))?;
    let mut location = revision.clone();
    if let Some(member) = content_member(kind) {
        let part = revision
            .get(member)
            .ok_or_else(|| invalid(&format!("a revision of type {kind} needs {member}")))?;
        let given = optional(part, "sha256");
        let digest = match (optional(part, "content"), given) {
            (Some(content), given) => {
                let digest = hex::encode(Sha256::digest(content));
                if given.is_some_and(|given| !given.eq_ignore_ascii_case(&digest)) {
                    return Err(invalid("sha256 is not that of the content"));
                }
                digest
            }
            (None, Some(given)) => given.to_ascii_lowercase(),
            (None, None) => return Err(invalid(&format!("{member} needs content or sha256"))),
        };
        location[member]["sha256"] = Value::from(digest.as_str());
        return Ok((digest, location));
    }
    if kind == "S3" {
        let part = revision
            .get("s3Location")
            .ok_or_else(|| invalid("a revision of type S3 needs s3Location"))?;
        let (Some(bucket), Some(key)) = (optional(part, "bucket"), optional(part, "key")) else {
            return Err(invalid("s3Location needs bucket and key"));
        };
        let version = optional(part, "version").unwrap_or_default();
        return Ok((format!("s3://{bucket}/{key}?{version}"), location));
    }
    Err(invalid(&format!("{kind} is no source of a Lambda deployment")))
}

impl Revisions {
    fn register(
        &mut self,
        key: String,
        location: Value,
        description: Option<&str>,
        now: f64,
    ) -> &mut Revision {
        let revision = self.0.entry(key).or_insert_with(|| Revision {
            location: location.clone(),
            description: None,
            registered: now,
            first_used: None,
            last_used: None,
            groups: Vec::new(),
        });
        // A revision may first be named by its digest alone.
        if location.to_string().len() > revision.location.to_string().len() {
            revision.location = location;
        }
        if let Some(description) = description {
            revision.description = Some(description.to_owned());
        }
        revision
    }

    pub(crate) fn used(&mut self, revision: &Value, group: &str, now: f64) -> Result<(), AwsError> {
        let (key, location) = identify(revision)?;
        let revision = self.register(key, location, None, now);
        revision.first_used.get_or_insert(now);
        revision.last_used = Some(now);
        if !revision.groups.iter().any(|one| one == group) {
            revision.groups.push(group.to_owned());
        }
        Ok(())
    }

    /// The revision in full, where only its digest was given.
    pub(crate) fn complete(&self, revision: &Value) -> Result<Value, AwsError> {
        let (key, location) = identify(revision)?;
        let content = |location: &Value| {
            let member = content_member(optional(location, "revisionType")?)?;
            location
                .get(member)
                .and_then(|part| optional(part, "content"))
                .map(str::to_owned)
        };
        if optional(&location, "revisionType") == Some("S3") || content(&location).is_some() {
            return Ok(location);
        }
        let known = self
            .0
            .get(&key)
            .filter(|known| content(&known.location).is_some());
        known
            .map(|known| known.location.clone())
            .ok_or_else(not_registered)
    }
}

fn not_registered() -> AwsError {
    AwsError::new(
        "RevisionDoesNotExistException",
        "The named revision does not exist with the IAM user or AWS account.",
    )
}

fn revision(input: &Value) -> Result<&Value, AwsError> {
    input
        .get("revision")
        .ok_or_else(|| AwsError::new("RevisionRequiredException", "The revision ID was not specified."))
}

/// As lists show it: by its digest, without its content.
fn without_content(location: &Value) -> Value {
    let mut short = location.clone();
    for member in ["appSpecContent", "string"] {
        if let Some(part) = short.get_mut(member).and_then(Value::as_object_mut) {
            part.remove("content");
        }
    }
    short
}

impl CodeDeployEngine {
    /// The AppSpec's text, from wherever the (complete) revision says.
    pub(crate) async fn appspec_content(&self, revision: &Value) -> Result<String, AwsError> {
        if let Some(location) = revision
            .get("s3Location")
            .filter(|_| optional(revision, "revisionType") == Some("S3"))
        {
            let text = |member: &str| optional(location, member).unwrap_or_default();
            let object = self
                .cloud
                .get_object(text("bucket"), text("key"), optional(location, "version"))
                .await;
            let object = object.map_err(|error| {
                AwsError::new(
                    "RevisionDoesNotExistException",
                    format!("The revision could not be read: {error}"),
                )
            })?;
            return String::from_utf8(object.bytes).map_err(|_| invalid("the AppSpec is not UTF-8"));
        }
        let part = ["appSpecContent", "string"]
            .iter()
            .find_map(|member| revision.get(*member));
        Ok(part
            .and_then(|part| optional(part, "content"))
            .unwrap_or_default()
            .to_owned())
    }

    pub(crate) fn register_revision(&self, input: &Value) -> Result<Value, AwsError> {
        let (key, location) = identify(revision(input)?)?;
        let now = self.cloud.clock().epoch_seconds();
        self.state().application_mut(input)?.revisions.register(
            key,
            location,
            optional(input, "description"),
            now,
        );
        Ok(json!({}))
    }

    pub(crate) fn get_revision(&self, input: &Value) -> Result<Value, AwsError> {
        let (key, _) = identify(revision(input)?)?;
        let state = self.state();
        let known = state
            .application(input)?
            .revisions
            .0
            .get(&key)
            .ok_or_else(not_registered)?;
        let mut info = json!({"deploymentGroups": known.groups, "registerTime": known.registered});
        for (member, time) in [
            ("firstUsedTime", known.first_used),
            ("lastUsedTime", known.last_used),
        ] {
            if let Some(time) = time {
                info[member] = Value::from(time);
            }
        }
        if let Some(description) = &known.description {
            info["description"] = Value::from(description.as_str());
        }
        Ok(
            json!({"applicationName": application_name(input)?, "revision": known.location, "revisionInfo": info}),
        )
    }

    pub(crate) fn list_revisions(&self, input: &Value) -> Result<Value, AwsError> {
        let state = self.state();
        let mut all: Vec<&Revision> = state.application(input)?.revisions.0.values().collect();
        match optional(input, "deployed") {
            Some("include") => all.retain(|one| !one.groups.is_empty()),
            Some("exclude") => all.retain(|one| one.groups.is_empty()),
            _ => {}
        }
        if let Some(bucket) = optional(input, "s3Bucket") {
            let prefix = optional(input, "s3KeyPrefix").unwrap_or_default();
            all.retain(|one| {
                one.location.get("s3Location").is_some_and(|location| {
                    optional(location, "bucket") == Some(bucket)
                        && optional(location, "key").is_some_and(|key| key.starts_with(prefix))
                })
            });
        }
        let time = |one: &Revision| match optional(input, "sortBy") {
            Some("firstUsedTime") => one.first_used.unwrap_or_default(),
            Some("lastUsedTime") => one.last_used.unwrap_or_default(),
            _ => one.registered,
        };
        all.sort_by(|one, other| time(one).total_cmp(&time(other)));
        if optional(input, "sortOrder") == Some("descending") {
            all.reverse();
        }
        let all: Vec<Value> = all
            .into_iter()
            .map(|one| without_content(&one.location))
            .collect();
        page(input, "revisions", &all)
    }
}
