//! What one trial of rollbacks needs for itself: a function, an alias, a deployment group, an alarm.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::rollback_cloud::{RollbackCloud, SLOW};
use crate::world::until;

/// One function with three versions of different code, the alias `live` on the first, and a deployment group
/// that lists one alarm.
pub(crate) struct Group {
    cloud: Arc<RollbackCloud>,
    pub(crate) function: String,
    /// The group's name.
    pub(crate) name: String,
    pub(crate) alarm: String,
}

impl Group {
    /// Everything as usual.
    pub(crate) async fn new(cloud: &Arc<RollbackCloud>) -> Self {
        Self::of(cloud, "", json!({})).await
    }

    /// The events of its alarm are held back.
    pub(crate) async fn held(cloud: &Arc<RollbackCloud>) -> Self {
        Self::of(cloud, "held-", json!({})).await
    }

    /// `more` are members of `CreateDeploymentGroup`.
    pub(crate) async fn of(cloud: &Arc<RollbackCloud>, infix: &str, more: Value) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let function = format!("{}-{}", cloud.installed.function, &id[..12]);
        let alarm = format!("{}-{infix}{}", cloud.installed.function, &id[..12]);
        cloud.make_alarm(&alarm, json!([])).await;
        let group = Self {
            cloud: cloud.clone(),
            name: format!("{function}-live"),
            function,
            alarm,
        };
        group.make_function().await;
        let mut input = json!({
            "applicationName": cloud.installed.function, "deploymentGroupName": group.name,
            "serviceRoleArn": "arn:aws:iam::123456789012:role/deploy",
            "deploymentConfigName": SLOW,
            "alarmConfiguration": { "enabled": false, "alarms": [{ "name": group.alarm }] },
            "autoRollbackConfiguration": {
                "enabled": true, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"],
            },
        });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        cloud.call("codedeploy", "CreateDeploymentGroup", input).await;
        group
    }

    async fn make_function(&self) {
        let name = &self.function;
        let input = json!({
            "FunctionName": name, "Runtime": "nodejs20.x", "Handler": "index.handler",
            "Role": "arn:aws:iam::123456789012:role/trial", "Code": { "ZipFile": code(1) }, "Publish": true,
        });
        self.cloud.call("lambda", "CreateFunction", input).await;
        for version in [2, 3] {
            let input = json!({ "FunctionName": name, "ZipFile": code(version), "Publish": true });
            self.cloud.call("lambda", "UpdateFunctionCode", input).await;
        }
        let input = json!({ "FunctionName": name, "Name": "live", "FunctionVersion": "1" });
        self.cloud.call("lambda", "CreateAlias", input).await;
    }

    /// Begins a deployment; `more` are members of `CreateDeployment`.
    pub(crate) async fn deploy(&self, from: u32, to: u32, config: &str, more: Value) -> String {
        let spec = json!({
            "version": 0.0,
            "Resources": [{ "f": { "Type": "AWS::Lambda::Function", "Properties": {
                "Name": self.function, "Alias": "live",
                "CurrentVersion": from.to_string(), "TargetVersion": to.to_string(),
            }}}],
        });
        let mut input = json!({
            "applicationName": self.cloud.installed.function, "deploymentGroupName": self.name,
            "deploymentConfigName": config,
            "revision": { "revisionType": "AppSpecContent", "appSpecContent": { "content": spec.to_string() } },
        });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = self.cloud.call("codedeploy", "CreateDeployment", input).await;
        answer["deploymentId"].as_str().unwrap().to_owned()
    }

    /// Begins a deployment that no trial sees the end of, and waits until it has traffic.
    pub(crate) async fn in_flight(&self, from: u32, to: u32) -> String {
        let id = self.deploy(from, to, SLOW, json!({})).await;
        until("the canary's traffic", async || {
            let (_, weights) = self.alias().await;
            weights.is_object().then_some(())
        })
        .await;
        id
    }

    /// Deploys all at once, and waits for success.
    pub(crate) async fn deployed(&self, from: u32, to: u32) -> String {
        let config = "CodeDeployDefault.LambdaAllAtOnce";
        let id = self.deploy(from, to, config, json!({})).await;
        self.until_status(&id, "Succeeded").await;
        id
    }

    pub(crate) async fn status(&self, deployment: &str) -> String {
        let input = json!({ "deploymentId": deployment });
        let answer = self.cloud.call("codedeploy", "GetDeployment", input).await;
        answer["deploymentInfo"]["status"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn until_status(&self, deployment: &str, wanted: &str) {
        let what = format!("status {wanted} of deployment {deployment}");
        until(&what, async || {
            (self.status(deployment).await == wanted).then_some(())
        })
        .await;
    }

    /// The alias: its version, and the shares of others (null where there are none).
    pub(crate) async fn alias(&self) -> (String, Value) {
        let input = json!({ "FunctionName": self.function, "Name": "live" });
        let alias = self.cloud.call("lambda", "GetAlias", input).await;
        let weights = alias["RoutingConfig"]["AdditionalVersionWeights"].clone();
        let is_empty = weights.as_object().is_none_or(serde_json::Map::is_empty);
        (
            alias["FunctionVersion"].as_str().unwrap().to_owned(),
            if is_empty { Value::Null } else { weights },
        )
    }

    /// Waits until all traffic is on this version.
    pub(crate) async fn until_alias(&self, version: &str) {
        until(&format!("version {version} alone behind the alias"), async || {
            (self.alias().await == (version.to_owned(), Value::Null)).then_some(())
        })
        .await;
    }

    /// The group's deployments.
    pub(crate) async fn deployments(&self) -> Vec<String> {
        let input = json!({
            "applicationName": self.cloud.installed.function, "deploymentGroupName": self.name,
        });
        let answer = self.cloud.call("codedeploy", "ListDeployments", input).await;
        let ids = answer["deployments"].as_array().unwrap();
        ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// The alarm goes red, and its event reaches roll-back by the rule of the template (if it is not held).
    pub(crate) async fn alarm(&self) {
        self.cloud.set_alarm(&self.alarm, "ALARM").await;
    }

    /// Hands the held event over, as a late delivery would; answers what roll-back made of it.
    pub(crate) async fn hand_over(&self) -> Value {
        let event = self.cloud.raised(&self.alarm).await;
        self.cloud.invoke(&event).await
    }

    /// Waits until none of its deployments is under way.
    pub(crate) async fn until_free(&self) {
        until("the group to be free", async || {
            let mut under_way = 0;
            for id in &self.deployments().await {
                under_way += usize::from(self.status(id).await == "InProgress");
            }
            (under_way == 0).then_some(())
        })
        .await;
    }

    /// Ends what is under way, so that nothing goes on behind the next trial's back.
    pub(crate) async fn stop(&self, deployment: &str) {
        let input = json!({ "deploymentId": deployment, "autoRollbackEnabled": true });
        self.cloud.call("codedeploy", "StopDeployment", input).await;
        self.until_status(deployment, "Stopped").await;
    }
}

/// The code of a version, zipped, in Base64.
fn code(version: u32) -> String {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("index.js", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(format!("exports.handler = async () => {version};\n").as_bytes())
        .unwrap();
    STANDARD.encode(zip.finish().unwrap().into_inner())
}
