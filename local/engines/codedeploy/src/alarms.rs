//! The alarms that a deployment watches.

use serde_json::{Value, json};

use crate::CodeDeployEngine;
use crate::run::{End, Plan};

impl CodeDeployEngine {
    /// Stops the deployment where one of its alarms is in ALARM.
    pub(crate) async fn check_alarms(&self, plan: &Plan) -> Result<(), End> {
        let names = plan.alarms.names();
        if !plan.alarms.enabled || names.is_empty() {
            return Ok(());
        }
        let query = json!({"AlarmNames": names, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]});
        let described = match self.call_as_service("cloudwatch", "DescribeAlarms", query).await {
            Ok(described) => described,
            Err(_) if plan.alarms.ignore_poll_alarm_failure => return Ok(()),
            Err(error) => {
                let code = if error.code.contains("AccessDenied") {
                    "IAM_ROLE_PERMISSIONS"
                } else {
                    "INTERNAL_ERROR"
                };
                return Err(End::failed(
                    code,
                    format!("The state of the alarms could not be retrieved from CloudWatch: {error}"),
                ));
            }
        };
        let active: Vec<&str> = ["MetricAlarms", "CompositeAlarms"]
            .into_iter()
            .filter_map(|member| described.get(member)?.as_array())
            .flatten()
            .filter(|alarm| alarm.get("StateValue").and_then(Value::as_str) == Some("ALARM"))
            .filter_map(|alarm| alarm.get("AlarmName")?.as_str())
            .collect();
        if active.is_empty() {
            return Ok(());
        }
        Err(End::Alarm(format!(
            "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and the affected \
             deployments have been stopped. Activated alarms: <{}>",
            active.join(", ")
        )))
    }
}
