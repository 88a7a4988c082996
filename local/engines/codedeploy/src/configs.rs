//! Deployment configurations: how traffic goes from one version to the other.

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::input::{page, required};
use crate::{CodeDeployEngine, State, new_id};

/// AWS: 48 hours of shifting at most.
const LONGEST_SHIFT: Duration = Duration::from_hours(48);
const PREDEFINED: &str = "CodeDeployDefault.";
pub(crate) const ALL_AT_ONCE: &str = "CodeDeployDefault.LambdaAllAtOnce";

/// How traffic is shifted. Percentages are those of the new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shift {
    AllAtOnce,
    Canary { percentage: u32, interval_minutes: u64 },
    Linear { percentage: u32, interval_minutes: u64 },
}

/// One step: the new version's share until `pause` has passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) percentage: u32,
    pub(crate) pause: Duration,
}

impl Shift {
    /// The steps before everything goes to the new version.
    pub(crate) fn steps(self) -> Vec<Step> {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        match self {
            Self::AllAtOnce => Vec::new(),
            Self::Canary {
                percentage,
                interval_minutes,
            } => {
                vec![Step {
                    percentage,
                    pause: minutes(interval_minutes),
                }]
            }
            Self::Linear {
                percentage,
                interval_minutes,
            } => (1..)
                .map(|step| step * percentage)
                .take_while(|share| *share < 100)
                .map(|share| Step {
                    percentage: share,
                    pause: minutes(interval_minutes),
                })
                .collect(),
        }
    }

    fn describe(self) -> Value {
        match self {
            Self::AllAtOnce => json!({"type": "AllAtOnce"}),
            Self::Canary {
                percentage,
                interval_minutes,
            } => json!({
                "type": "TimeBasedCanary",
                "timeBasedCanary": {"canaryPercentage": percentage, "canaryInterval": interval_minutes},
            }),
            Self::Linear {
                percentage,
                interval_minutes,
            } => json!({
                "type": "TimeBasedLinear",
                "timeBasedLinear": {"linearPercentage": percentage, "linearInterval": interval_minutes},
            }),
        }
    }

    fn parse(routing: Option<&Value>) -> Option<Self> {
        let routing = routing?;
        let numbers = |shape: &str, percentage: &str, interval: &str| {
            let shape = routing.get(shape)?;
            let percentage = u32::try_from(shape.get(percentage)?.as_u64()?).ok()?;
            let interval = shape.get(interval)?.as_u64()?;
            ((1..100).contains(&percentage) && interval >= 1).then_some((percentage, interval))
        };
        let shift = match routing.get("type")?.as_str()? {
            "AllAtOnce" => Self::AllAtOnce,
            "TimeBasedCanary" => {
                let (percentage, interval_minutes) =
                    numbers("timeBasedCanary", "canaryPercentage", "canaryInterval")?;
                Self::Canary {
                    percentage,
                    interval_minutes,
                }
            }
            "TimeBasedLinear" => {
                let (percentage, interval_minutes) =
                    numbers("timeBasedLinear", "linearPercentage", "linearInterval")?;
                Self::Linear {
                    percentage,
                    interval_minutes,
                }
            }
            _ => return None,
        };
        let total = shift
            .steps()
            .iter()
            .fold(Duration::ZERO, |total, step| total.saturating_add(step.pause));
        (total <= LONGEST_SHIFT).then_some(shift)
    }
}

struct Config {
    id: String,
    shift: Shift,
    created: f64,
}

/// AWS's own, and those that were created.
pub(crate) struct Configs(IndexMap<String, Config>);

impl Default for Configs {
    fn default() -> Self {
        let mut all = IndexMap::new();
        let mut add = |name: String, shift: Shift| {
            all.insert(
                name,
                Config {
                    id: new_id(),
                    shift,
                    created: 0.0,
                },
            );
        };
        add(ALL_AT_ONCE.to_owned(), Shift::AllAtOnce);
        for interval_minutes in [5, 10, 15, 30] {
            let shift = Shift::Canary {
                percentage: 10,
                interval_minutes,
            };
            add(
                format!("{PREDEFINED}LambdaCanary10Percent{interval_minutes}Minutes"),
                shift,
            );
        }
        for interval_minutes in [1, 2, 3, 10] {
            let unit = if interval_minutes == 1 {
                "Minute"
            } else {
                "Minutes"
            };
            let shift = Shift::Linear {
                percentage: 10,
                interval_minutes,
            };
            add(
                format!("{PREDEFINED}LambdaLinear10PercentEvery{interval_minutes}{unit}"),
                shift,
            );
        }
        Self(all)
    }
}

impl Configs {
    pub(crate) fn shift(&self, name: &str) -> Result<Shift, AwsError> {
        self.0
            .get(name)
            .map(|config| config.shift)
            .ok_or_else(|| missing(name))
    }
}

fn missing(name: &str) -> AwsError {
    AwsError::new(
        "DeploymentConfigDoesNotExistException",
        format!("No Deployment Configuration found for name: {name}"),
    )
}

fn config_name(input: &Value) -> Result<&str, AwsError> {
    required(
        input,
        "deploymentConfigName",
        "DeploymentConfigNameRequiredException",
    )
}

impl State {
    fn uses_config(&self, name: &str) -> bool {
        self.applications
            .values()
            .flat_map(|application| application.groups.values())
            .any(|group| group.config_name == name)
    }
}

impl CodeDeployEngine {
    pub(crate) fn create_config(&self, input: &Value) -> Result<Value, AwsError> {
        let name = config_name(input)?;
        if name.starts_with(PREDEFINED) {
            return Err(AwsError::new(
                "InvalidDeploymentConfigNameException",
                format!(
                    "The deployment configuration name {name} is invalid: names that start with {PREDEFINED} are AWS's own."
                ),
            ));
        }
        if input.get("computePlatform").and_then(Value::as_str) != Some("Lambda") {
            return Err(AwsError::new(
                "InvalidComputePlatformException",
                "The computePlatform is invalid: it must be Lambda.",
            ));
        }
        let shift = Shift::parse(input.get("trafficRoutingConfig")).ok_or_else(|| {
            AwsError::new(
                "InvalidTrafficRoutingConfigurationException",
                "The traffic routing configuration is invalid: it needs a type, a percentage of 1 to 99, an interval of at \
                 least one minute, and at most 2880 minutes in all.",
            )
        })?;
        let mut state = self.state();
        if state.configs.0.contains_key(name) {
            return Err(AwsError::new(
                "DeploymentConfigAlreadyExistsException",
                format!("Deployment Configuration already exists: {name}"),
            ));
        }
        let config = Config {
            id: new_id(),
            shift,
            created: self.cloud.clock().epoch_seconds(),
        };
        let id = config.id.clone();
        state.configs.0.insert(name.to_owned(), config);
        Ok(json!({"deploymentConfigId": id}))
    }

    pub(crate) fn get_config(&self, input: &Value) -> Result<Value, AwsError> {
        let name = config_name(input)?;
        let state = self.state();
        let config = state.configs.0.get(name).ok_or_else(|| missing(name))?;
        Ok(json!({"deploymentConfigInfo": {
            "deploymentConfigId": config.id,
            "deploymentConfigName": name,
            "createTime": config.created,
            "computePlatform": "Lambda",
            "trafficRoutingConfig": config.shift.describe(),
        }}))
    }

    pub(crate) fn list_configs(&self, input: &Value) -> Result<Value, AwsError> {
        let names: Vec<Value> = self
            .state()
            .configs
            .0
            .keys()
            .map(|name| Value::from(name.as_str()))
            .collect();
        page(input, "deploymentConfigsList", &names)
    }

    pub(crate) fn delete_config(&self, input: &Value) -> Result<Value, AwsError> {
        let name = config_name(input)?;
        let mut state = self.state();
        if name.starts_with(PREDEFINED) {
            return Err(AwsError::new(
                "InvalidOperationException",
                format!("Cannot delete default deployment config {name}"),
            ));
        }
        if state.uses_config(name) {
            return Err(AwsError::new(
                "DeploymentConfigInUseException",
                format!("The deployment configuration is still in use: {name}"),
            ));
        }
        state.configs.0.shift_remove(name);
        Ok(json!({}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(shift: Shift) -> Vec<u32> {
        shift.steps().iter().map(|step| step.percentage).collect()
    }

    #[test]
    fn steps_stop_short_of_everything() {
        assert_eq!(shares(Shift::AllAtOnce), Vec::<u32>::new());
        assert_eq!(
            shares(Shift::Canary {
                percentage: 10,
                interval_minutes: 5
            }),
            [10]
        );
        assert_eq!(
            shares(Shift::Linear {
                percentage: 10,
                interval_minutes: 1
            }),
            [10, 20, 30, 40, 50, 60, 70, 80, 90]
        );
        assert_eq!(
            shares(Shift::Linear {
                percentage: 30,
                interval_minutes: 1
            }),
            [30, 60, 90]
        );
    }

    #[test]
    fn senseless_routing_is_refused() {
        let canary = |percentage: u64, interval: u64| json!({"type": "TimeBasedCanary", "timeBasedCanary": {"canaryPercentage": percentage, "canaryInterval": interval}});
        assert!(Shift::parse(Some(&canary(5, 2_880))).is_some());
        for routing in [
            canary(0, 5),
            canary(100, 5),
            canary(5, 0),
            canary(5, 2_881),
            json!({"type": "TimeBasedLinear"}),
            json!({}),
        ] {
            assert_eq!(Shift::parse(Some(&routing)), None, "{routing}");
        }
    }
}
