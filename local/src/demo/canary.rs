//! Looks at the alias, the deployment and the frozen stage, as they really are.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::traffic::{Answers, Traffic};
use super::{DemoError, Stage};

/// The alias: its version, and the version that gets a share besides.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alias {
    pub(crate) version: String,
    pub(crate) shared_with: Option<(String, f64)>,
}

pub(crate) async fn alias(stage: &Stage<'_>) -> Result<Alias, DemoError> {
    let input = json!({ "FunctionName": stage.installed.function, "Name": stage.installed.alias });
    let answer = stage.running.call("lambda", "GetAlias", input).await?;
    let weights = answer
        .pointer("/RoutingConfig/AdditionalVersionWeights")
        .and_then(Value::as_object);
    Ok(Alias {
        version: answer
            .get("FunctionVersion")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        shared_with: weights
            .and_then(|weights| weights.iter().next())
            .and_then(|(version, weight)| Some((version.clone(), weight.as_f64()?))),
    })
}

/// What was served while two versions shared the alias.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The newer version's share, from 0 to 1.
    pub(crate) weight: f64,
    before: BTreeMap<String, Answers>,
    during: BTreeMap<String, Answers>,
}

impl Shared {
    /// How many requests the version served in that time.
    pub(crate) fn served(&self, version: &str) -> u64 {
        let of = |counts: &BTreeMap<String, Answers>| counts.get(version).map_or(0, |answers| answers.served);
        of(&self.during).saturating_sub(of(&self.before))
    }
}

/// Notes in `shared` what is served while the alias has two versions; ends only where it cannot be asked.
pub(crate) async fn watch(stage: &Stage<'_>, traffic: &Traffic, shared: &mut Option<Shared>) -> DemoError {
    loop {
        // Counted first: what is counted was served before the alias was seen to be shared still.
        let counts = traffic.by_version();
        match alias(stage).await {
            Ok(Alias {
                shared_with: Some((_, weight)),
                ..
            }) => {
                let shared = shared.get_or_insert_with(|| Shared {
                    weight,
                    before: traffic.by_version(),
                    during: BTreeMap::new(),
                });
                shared.during = counts;
            }
            Ok(_) => {}
            Err(error) => return error,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The group's newest deployment.
pub(crate) async fn newest_deployment(stage: &Stage<'_>) -> Result<Option<Value>, DemoError> {
    let group = format!("{}-{}", stage.installed.function, stage.installed.alias);
    let input = json!({ "applicationName": stage.installed.function, "deploymentGroupName": group });
    let answer = stage.running.call("codedeploy", "ListDeployments", input).await?;
    let Some(id) = answer.pointer("/deployments/0").and_then(Value::as_str) else {
        return Ok(None);
    };
    let answer = stage
        .running
        .call("codedeploy", "GetDeployment", json!({ "deploymentId": id }))
        .await?;
    Ok(answer.get("deploymentInfo").cloned())
}

/// Why the stage's inbound transition is disabled, if it is.
pub(crate) async fn frozen(stage: &Stage<'_>, name: &str) -> Result<Option<String>, DemoError> {
    let answer = stage
        .running
        .call(
            "codepipeline",
            "GetPipelineState",
            json!({ "name": stage.installed.pipeline }),
        )
        .await?;
    let state = answer
        .get("stageStates")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut state = state.filter(|state| state.get("stageName").and_then(Value::as_str) == Some(name));
    let transition = state.next().and_then(|state| state.get("inboundTransitionState"));
    let enabled = transition
        .and_then(|t| t.get("enabled"))
        .and_then(Value::as_bool)
        .unwrap_or(true);
    let reason = transition
        .and_then(|t| t.get("disabledReason"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    Ok((!enabled).then(|| reason.to_owned()))
}
