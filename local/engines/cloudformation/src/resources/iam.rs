//! `AWS::IAM::Role`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::shape::{document, list, merge, numbers, set, subset, tag_list, text, texts};
use super::{Context, Kind, Made, answered};

/// The inline policies: name → document.
fn inline(properties: &Value) -> BTreeMap<String, String> {
    let policies = list(properties, "Policies");
    let entry = |policy: &Value| {
        Some((
            text(policy, "PolicyName")?,
            document(policy.get("PolicyDocument")?),
        ))
    };
    policies.iter().filter_map(entry).collect()
}

/// Brings a role's policies from what they were to what they are to be.
async fn policies(cx: &Context<'_>, role: &str, before: &Value, after: &Value) -> Result<(), AwsError> {
    let (old, new) = (inline(before), inline(after));
    for (name, policy) in new
        .iter()
        .filter(|(name, policy)| old.get(*name) != Some(*policy))
    {
        let input = json!({ "RoleName": role, "PolicyName": name, "PolicyDocument": policy });
        cx.call("iam", "PutRolePolicy", input).await?;
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        cx.call(
            "iam",
            "DeleteRolePolicy",
            json!({ "RoleName": role, "PolicyName": name }),
        )
        .await?;
    }
    let (old, new) = (
        texts(before, "ManagedPolicyArns"),
        texts(after, "ManagedPolicyArns"),
    );
    for arn in new.iter().filter(|arn| !old.contains(arn)) {
        cx.call(
            "iam",
            "AttachRolePolicy",
            json!({ "RoleName": role, "PolicyArn": arn }),
        )
        .await?;
    }
    for arn in old.iter().filter(|arn| !new.contains(arn)) {
        cx.call(
            "iam",
            "DetachRolePolicy",
            json!({ "RoleName": role, "PolicyArn": arn }),
        )
        .await?;
    }
    Ok(())
}

pub(super) struct Role;

#[async_trait]
impl Kind for Role {
    fn replacing(&self) -> &'static [&'static str] {
        &["RoleName", "Path"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("RoleName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "RoleName", 64);
        let mut input = json!({
            "RoleName": name,
            "AssumeRolePolicyDocument": document(properties.get("AssumeRolePolicyDocument").unwrap_or(&Value::Null)),
        });
        merge(
            &mut input,
            subset(
                properties,
                &["Description", "MaxSessionDuration", "Path", "PermissionsBoundary"],
            ),
        );
        numbers(&mut input, &["MaxSessionDuration"]);
        if properties.get("Tags").is_some() {
            set(&mut input, "Tags", tag_list(properties));
        }
        let answer = cx.call("iam", "CreateRole", input).await?;
        let role = answer.get("Role").cloned().unwrap_or_default();
        let path = text(properties, "Path").unwrap_or_else(|| "/".to_owned());
        let arn = answered(&role, "Arn", || {
            format!("arn:aws:iam::{}:role{path}{name}", cx.account().id)
        });
        let made = Made::new(name.clone())
            .with("Arn", arn)
            .with("RoleId", answered(&role, "RoleId", || name.clone()));
        if let Err(error) = policies(cx, &name, &Value::Null, properties).await {
            let _ = self.delete(cx, &made, properties).await;
            return Err(error);
        }
        Ok(made)
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        let role = made.physical.as_str();
        let trust = "AssumeRolePolicyDocument";
        if before.get(trust) != after.get(trust) {
            let policy = document(after.get(trust).unwrap_or(&Value::Null));
            cx.call(
                "iam",
                "UpdateAssumeRolePolicy",
                json!({ "RoleName": role, "PolicyDocument": policy }),
            )
            .await?;
        }
        let settings = |properties: &Value| subset(properties, &["Description", "MaxSessionDuration"]);
        if settings(before) != settings(after) {
            let mut input = settings(after);
            numbers(&mut input, &["MaxSessionDuration"]);
            set(&mut input, "RoleName", role);
            cx.call("iam", "UpdateRole", input).await?;
        }
        policies(cx, role, before, after).await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, properties: &Value) -> Result<(), AwsError> {
        let role = made.physical.as_str();
        for name in inline(properties).keys() {
            let input = json!({ "RoleName": role, "PolicyName": name });
            ignore_absent(cx.call("iam", "DeleteRolePolicy", input).await)?;
        }
        for arn in texts(properties, "ManagedPolicyArns") {
            let input = json!({ "RoleName": role, "PolicyArn": arn });
            ignore_absent(cx.call("iam", "DetachRolePolicy", input).await)?;
        }
        cx.call("iam", "DeleteRole", json!({ "RoleName": role })).await?;
        Ok(())
    }
}

/// What is not there need not be deleted.
pub(super) fn ignore_absent(result: Result<Value, AwsError>) -> Result<(), AwsError> {
    match result {
        Err(error) if !super::absent(&error) => Err(error),
        _ => Ok(()),
    }
}
