//! IAM policies beside roles: inline ones that several roles share, and managed ones.

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::iam::ignore_absent;
use super::shape::{document, merge, required, subset, texts};
use super::{Context, Kind, Made, answered};

pub(super) struct Policy;

/// Property, the API's word for it.
const HOLDERS: [(&str, &str); 3] = [("Roles", "Role"), ("Users", "User"), ("Groups", "Group")];

async fn put(cx: &Context<'_>, properties: &Value) -> Result<(), AwsError> {
    let name = required(properties, "PolicyName")?;
    let policy = document(properties.get("PolicyDocument").unwrap_or(&Value::Null));
    for (property, holder) in HOLDERS {
        for of in texts(properties, property) {
            let mut input = json!({ "PolicyName": name, "PolicyDocument": policy });
            merge(&mut input, json!({ format!("{holder}Name"): of }));
            cx.call("iam", &format!("Put{holder}Policy"), input).await?;
        }
    }
    Ok(())
}

/// Takes the policy from all holders but those in `kept`.
async fn remove(cx: &Context<'_>, properties: &Value, kept: &Value) -> Result<(), AwsError> {
    let name = required(properties, "PolicyName")?;
    for (property, holder) in HOLDERS {
        let kept = texts(kept, property);
        for of in texts(properties, property)
            .into_iter()
            .filter(|of| !kept.contains(of))
        {
            let mut input = json!({ "PolicyName": name });
            merge(&mut input, json!({ format!("{holder}Name"): of }));
            ignore_absent(cx.call("iam", &format!("Delete{holder}Policy"), input).await)?;
        }
    }
    Ok(())
}

#[async_trait]
impl Kind for Policy {
    /// AWS renames in place; here a new name is a new policy.
    fn replacing(&self) -> &'static [&'static str] {
        &["PolicyName"]
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        put(cx, properties).await?;
        Ok(Made::new(cx.generated(128)))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        put(cx, after).await?;
        remove(cx, before, after).await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, _: &Made, properties: &Value) -> Result<(), AwsError> {
        remove(cx, properties, &Value::Null).await
    }
}

pub(super) struct ManagedPolicy;

async fn attach(cx: &Context<'_>, arn: &str, before: &Value, after: &Value) -> Result<(), AwsError> {
    for (property, holder) in HOLDERS {
        let (old, new) = (texts(before, property), texts(after, property));
        let call = async |verb: &str, of: &String| {
            let mut input = json!({ "PolicyArn": arn });
            merge(&mut input, json!({ format!("{holder}Name"): of }));
            cx.call("iam", &format!("{verb}{holder}Policy"), input).await
        };
        for of in new.iter().filter(|of| !old.contains(of)) {
            call("Attach", of).await?;
        }
        for of in old.iter().filter(|of| !new.contains(of)) {
            ignore_absent(call("Detach", of).await)?;
        }
    }
    Ok(())
}

#[async_trait]
impl Kind for ManagedPolicy {
    fn replacing(&self) -> &'static [&'static str] {
        &["ManagedPolicyName", "Path", "Description"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("ManagedPolicyName")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "ManagedPolicyName", 128);
        let policy = document(properties.get("PolicyDocument").unwrap_or(&Value::Null));
        let mut input = json!({ "PolicyName": name, "PolicyDocument": policy });
        merge(&mut input, subset(properties, &["Description", "Path"]));
        let answer = cx.call("iam", "CreatePolicy", input).await?;
        let policy = answer.get("Policy").cloned().unwrap_or_default();
        let arn = answered(&policy, "Arn", || {
            format!("arn:aws:iam::{}:policy/{name}", cx.account().id)
        });
        let made = Made::new(arn.as_str().unwrap_or_default()).with("PolicyArn", arn.clone());
        attach(cx, &made.physical, &Value::Null, properties).await?;
        Ok(made)
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        if before.get("PolicyDocument") != after.get("PolicyDocument") {
            self.forget_oldest(cx, &made.physical).await?;
            let policy = document(after.get("PolicyDocument").unwrap_or(&Value::Null));
            let input = json!({ "PolicyArn": made.physical, "PolicyDocument": policy, "SetAsDefault": true });
            cx.call("iam", "CreatePolicyVersion", input).await?;
        }
        attach(cx, &made.physical, before, after).await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, properties: &Value) -> Result<(), AwsError> {
        attach(cx, &made.physical, properties, &Value::Null).await?;
        cx.call("iam", "DeletePolicy", json!({ "PolicyArn": made.physical }))
            .await?;
        Ok(())
    }
}

impl ManagedPolicy {
    /// IAM keeps five versions of a policy, and refuses a sixth.
    async fn forget_oldest(&self, cx: &Context<'_>, arn: &str) -> Result<(), AwsError> {
        let answer = cx
            .call("iam", "ListPolicyVersions", json!({ "PolicyArn": arn }))
            .await?;
        let versions = answer
            .get("Versions")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if versions.len() < 5 {
            return Ok(());
        }
        let superseded = versions
            .iter()
            .rev()
            .find(|one| one.get("IsDefaultVersion") != Some(&json!(true)));
        if let Some(id) = superseded.and_then(|one| one.get("VersionId")) {
            cx.call(
                "iam",
                "DeletePolicyVersion",
                json!({ "PolicyArn": arn, "VersionId": id }),
            )
            .await?;
        }
        Ok(())
    }
}
