//! What asks for a validation: a CodeDeploy lifecycle hook, or a job of the pipeline.

use serde::Deserialize;
use serde_json::Value;
use signalbox_decision::names::DeploymentId;

use crate::envelope::{EventError, read};

/// Who waits for the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// CodeDeploy, between two steps of a deployment. The event does not say which hook fired, hence
    /// one function resource for each.
    Hook {
        /// The deployment.
        deployment: DeploymentId,
        /// What the report must name.
        hook_execution: String,
    },
    /// CodePipeline, in an Invoke action.
    Job {
        /// What the report must name.
        id: String,
        /// The action's `UserParameters`.
        parameters: Option<String>,
        /// Set where an earlier invocation asked to be called again.
        continuation: Option<String>,
    },
}

#[derive(Deserialize)]
struct Hook {
    #[serde(rename = "DeploymentId")]
    deployment: DeploymentId,
    #[serde(rename = "LifecycleEventHookExecutionId")]
    hook_execution: String,
}

#[derive(Deserialize)]
struct Job {
    id: String,
    #[serde(default)]
    data: JobData,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct JobData {
    #[serde(default)]
    action_configuration: ActionConfiguration,
    #[serde(default)]
    continuation_token: Option<String>,
}

#[derive(Deserialize, Default)]
struct ActionConfiguration {
    #[serde(default)]
    configuration: Configuration,
}

#[derive(Deserialize, Default)]
struct Configuration {
    #[serde(rename = "UserParameters", default)]
    user_parameters: Option<String>,
}

impl Asked {
    /// Reads either event.
    ///
    /// # Errors
    /// The field that is missing or malformed.
    pub fn parse(mut event: Value) -> Result<Self, EventError> {
        if let Some(job) = event.get_mut("CodePipeline.job") {
            let job: Job = read("CodePipeline job", "CodePipeline.job", job.take())?;
            return Ok(Self::Job {
                id: job.id,
                parameters: job.data.action_configuration.configuration.user_parameters,
                continuation: job.data.continuation_token,
            });
        }
        let hook: Hook = read("CodeDeploy hook event", "", event)?;
        Ok(Self::Hook {
            deployment: hook.deployment,
            hook_execution: hook.hook_execution,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example(text: &str) -> Asked {
        Asked::parse(serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn the_example_hooks_are_read() {
        let expected = Asked::Hook {
            deployment: DeploymentId::new("d-ABCDEF123").unwrap(),
            hook_execution: "eyJlbmNyeXB0ZWREYXRhIjoiY0hKbSJ9".to_owned(),
        };
        for text in [
            include_str!("../../../events/validate-deployment/before-traffic.json"),
            include_str!("../../../events/validate-deployment/hook-with-unknown-fields.json"),
        ] {
            assert_eq!(example(text), expected, "{text}");
        }
    }

    #[test]
    fn the_example_jobs_are_read() {
        for (text, parameters, continuation) in [
            (
                include_str!("../../../events/validate-deployment/pipeline-job.json"),
                Some("{\"alias\":\"live\"}"),
                None,
            ),
            (
                include_str!("../../../events/validate-deployment/pipeline-job-continued.json"),
                None,
                Some("part-2"),
            ),
        ] {
            let expected = Asked::Job {
                id: "11111111-abcd-1111-abcd-111111abcdef".to_owned(),
                parameters: parameters.map(str::to_owned),
                continuation: continuation.map(str::to_owned),
            };
            assert_eq!(example(text), expected);
        }
    }

    #[test]
    fn a_hook_names_its_deployment_and_execution() {
        let asked =
            Asked::parse(json!({"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "x", "New": 1}))
                .unwrap();
        assert!(
            matches!(asked, Asked::Hook { deployment, hook_execution } if deployment.as_str() == "d-1" && hook_execution == "x")
        );
    }

    #[test]
    fn a_job_may_have_neither_parameters_nor_a_token() {
        let asked = Asked::parse(json!({"CodePipeline.job": {"id": "11111111-abcd"}})).unwrap();
        assert!(matches!(
            asked,
            Asked::Job {
                parameters: None,
                continuation: None,
                ..
            }
        ));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Asked::parse(json!({"DeploymentId": "d-1"}))
            .unwrap_err()
            .to_string();
        assert!(error.contains("LifecycleEventHookExecutionId"), "{error}");
    }
}
