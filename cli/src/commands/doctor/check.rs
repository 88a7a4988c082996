//! What the doctor looks at. A finding names one of these and the help lists all of them, so that none is forgotten.

use std::fmt;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// A check, by the name that findings have in text and in JSON. What is said of a variant here is its line of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Check {
    /// the stack's functions are there, and can run
    Functions,
    /// the deployment's hooks have names that CodeDeploy may call
    HookNames,
    /// the source bucket keeps versions
    BucketVersions,
    /// the source bucket sends its events to EventBridge
    BucketEvents,
    /// each is on, may invoke its function, and has a dead-letter queue
    Rules,
    /// the application's alarms watch what Lambda really emits
    AlarmDimensions,
    /// it is there, and so are its alarms, under names that reach roll-back
    DeploymentGroup,
    /// bucket's and topics' are on, granted; CloudWatch may use that of the alerts
    Keys,
    /// the signing secret, and Slack's if there is one, are there with a value
    Secrets,
    /// its table can be reached, forgets what has expired, and can be restored
    Ledger,
    /// it is valid, and there where people have to approve
    ApprovalPolicy,
    /// approvers get only their own requests; somebody gets notices and alerts
    Subscriptions,
    /// source, release stage and approvals are as the functions expect; none polls
    Pipeline,
    /// this machine's agrees with AWS's
    Clock,
}

impl Check {
    /// All of them, a line each.
    pub(super) fn listed() -> String {
        let lines = Self::value_variants().iter().map(|check| {
            let value = check.to_possible_value().unwrap_or_default();
            let meaning = value.get_help().map(ToString::to_string).unwrap_or_default();
            format!("  {:<17} {meaning}", value.get_name())
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().unwrap_or_default();
        formatter.write_str(value.get_name())
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_its_line_with_a_meaning() {
        let listed = Check::listed();
        assert_eq!(listed.lines().count(), Check::value_variants().len());
        for (line, check) in listed.lines().zip(Check::value_variants()) {
            let meaning = line.trim_start().strip_prefix(&check.to_string());
            let meaning = meaning.unwrap_or_else(|| panic!("{line} is not of {check}"));
            assert!(meaning.starts_with(' ') && meaning.trim().len() > 20, "{line}");
            // A longer one would be broken, out of its column.
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
