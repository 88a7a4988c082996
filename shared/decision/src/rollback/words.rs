//! What people and CodePipeline are told about a rollback.

use crate::names::{
    AlarmName, DeploymentId, ExecutionId, FunctionName, PipelineName, StageName, VersionNumber,
};
use crate::text::{cut, shown, subject};

use super::facts::{Deployment, Status};

/// Why something was rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// An alarm fired.
    Alarm {
        /// The alarm.
        alarm: AlarmName,
        /// CloudWatch's reason.
        reason: String,
    },
    /// A person asked for it.
    Person {
        /// Who, as the caller says.
        by: String,
        /// Why.
        reason: String,
    },
}

impl Cause {
    /// In a few words, as the ledger remembers it.
    #[must_use]
    pub fn in_short(&self) -> String {
        match self {
            Self::Alarm { alarm, .. } => alarm.to_string(),
            Self::Person { by, reason } => format!("by hand, {}: {}", shown(by, 100), shown(reason, 200)),
        }
    }
}

/// Who undid the deployment, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It was in flight and was stopped.
    Stopped,
    /// It had succeeded, and another deployment brings a good version back.
    Redeployed {
        /// That deployment.
        by: DeploymentId,
        /// The version that it brings back.
        version: VersionNumber,
    },
    /// Somebody else was faster.
    Reported,
}

impl Action {
    /// The word that the ledger has for it.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Redeployed { .. } => "redeployed",
            Self::Reported => "reported",
        }
    }

    /// The version that serves after it.
    #[must_use]
    pub fn good<'a>(&'a self, undone: &'a Deployment) -> Option<&'a VersionNumber> {
        match self {
            Self::Redeployed { version, .. } => Some(version),
            Self::Stopped | Self::Reported => undone.from.as_ref(),
        }
    }
}

/// The run that brought the bad version, and the people behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The run.
    pub execution: ExecutionId,
    /// Whether it is itself a rollback of a stage (`RollbackStage`).
    pub is_rollback: bool,
    /// Its source version.
    pub revision: Option<String>,
    /// Who made the change, where the source says so.
    pub author: Option<String>,
    /// Who approved it.
    pub approvers: Vec<String>,
}

/// What became of one of the things that follow a rollback: `Err` says why it could not be done.
pub type Done = Result<(), String>;

/// Everything that the one notice of a rollback tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<'a> {
    /// What was undone.
    pub undone: &'a Deployment,
    /// How.
    pub action: &'a Action,
    /// Why.
    pub cause: &'a Cause,
    /// The run that brought it, if it is known; else why not.
    pub run: Result<&'a Run, &'a str>,
    /// The pipeline.
    pub pipeline: &'a PipelineName,
    /// The stage that is frozen.
    pub stage: &'a StageName,
    /// The function that lifts a freeze.
    pub roll_back: &'a FunctionName,
    /// Whether it could be frozen.
    pub frozen: &'a Done,
    /// Whether the bad code is remembered.
    pub remembered: &'a Done,
    /// How the stack follows its alias, where it has to.
    pub stack: Option<&'a str>,
}

impl Told<'_> {
    /// The notice's subject, fit for a mail.
    #[must_use]
    pub fn subject(&self) -> String {
        let why = match self.cause {
            Cause::Alarm { alarm, .. } => alarm.to_string(),
            Cause::Person { by, .. } => format!("by {by}"),
        };
        subject(&format!(
            "Rolled back: {} version {} ({why})",
            self.undone.function, self.undone.to
        ))
    }

    /// The notice's text.
    #[must_use]
    pub fn body(&self) -> String {
        let Deployment {
            id,
            function,
            alias,
            from,
            to,
            ..
        } = self.undone;
        let what = match self.action {
            Action::Stopped => match from {
                Some(from) => {
                    format!(
                        "Deployment {id} was stopped: CodeDeploy takes its traffic back to version {from}."
                    )
                }
                None => format!("Deployment {id}, of the first version, was stopped."),
            },
            Action::Redeployed { by, version } => {
                format!("Deployment {id} had succeeded; deployment {by} brings version {version} back.")
            }
            Action::Reported if self.undone.status == Status::InFlight => {
                format!("CodeDeploy itself stops deployment {id} on its alarms; nothing was added to that.")
            }
            Action::Reported => {
                format!(
                    "Deployment {id} was already stopped, by CodeDeploy, a person or an earlier event; nothing was \
                     added to that."
                )
            }
        };
        let good = self
            .action
            .good(self.undone)
            .map_or("none", VersionNumber::as_str);
        let why = match self.cause {
            Cause::Alarm { alarm, reason } => format!(
                "Alarm: {}\nReason: {}",
                shown(alarm.as_str(), 255),
                shown(reason, 1000)
            ),
            Cause::Person { by, reason } => {
                format!("By: {}\nReason: {}", shown(by, 256), shown(reason, 1000))
            }
        };
        format!(
            "{what}\n\nFunction: {function} (alias {})\nBad version: {to}\nGood version: {good}\n{why}\n{}\n{}\n{}{}",
            shown(alias, 128),
            self.run(),
            self.memory(),
            self.stack.map(|stack| format!("{stack}\n\n")).unwrap_or_default(),
            self.freeze(),
        )
    }

    fn run(&self) -> String {
        let run = match self.run {
            Ok(run) => run,
            Err(why) => return format!("Run: not known ({})\n", shown(why, 300)),
        };
        let revision = run.revision.as_deref().unwrap_or("unknown");
        let author = run.author.as_deref().unwrap_or("unknown");
        let approvers = if run.approvers.is_empty() {
            "nobody that the ledger knows".to_owned()
        } else {
            run.approvers.join(", ")
        };
        format!(
            "Run: {} (revision {})\nAuthor: {}\nApproved by: {}\n",
            run.execution,
            shown(revision, 200),
            shown(author, 256),
            shown(&approvers, 500),
        )
    }

    fn memory(&self) -> String {
        let Deployment { function, to, .. } = self.undone;
        match self.remembered {
            Ok(()) => format!(
                "The code of version {to} is remembered as bad: it cannot be released again before somebody allows \
                 it ({{\"command\":\"allow-version\",\"version\":\"{to}\",\"by\":\"…\",\"reason\":\"…\"}} to this \
                 function).\n"
            ),
            Err(why) => format!(
                "The code of version {to} of {function} is NOT remembered as bad: {}. Nothing keeps it from being \
                 released again.\n",
                shown(why, 500)
            ),
        }
    }

    fn freeze(&self) -> String {
        let (pipeline, stage) = (self.pipeline, self.stage);
        match self.frozen {
            Ok(()) => format!(
                "Stage {stage} of pipeline {pipeline} is frozen: the pipeline still holds the bad revision. When a \
                 good one is on its way, lift the freeze.\n\n{}",
                how_to_lift(pipeline, stage, self.roll_back)
            ),
            Err(problem) => format!(
                "Stage {stage} of pipeline {pipeline} could NOT be frozen ({}), and the pipeline still holds the bad \
                 revision. Disable the stage's inbound transition, or the next run may bring it back:\n\n  aws \
                 codepipeline disable-stage-transition --pipeline-name {pipeline} --stage-name {stage} \
                 --transition-type Inbound --reason \"Rolled back\"\n",
                shown(problem, 500)
            ),
        }
    }
}

/// How a person lifts a freeze: by roll-back, which notes who did and why. CodePipeline's own call leaves no
/// such note, and is for when roll-back does not work. The stage is named even where it is the release stage,
/// so that a roll-back of another pipeline does not open its own in its place.
#[must_use]
pub fn how_to_lift(pipeline: &PipelineName, stage: &StageName, roll_back: &FunctionName) -> String {
    format!(
        "Let the function {roll_back} do it, so that the audit has who did and why; with \"dry_run\":true in its \
         payload it says what it would do, and does nothing:\n\n  aws lambda invoke --function-name {roll_back} \
         --cli-binary-format raw-in-base64-out --payload \
         '{{\"command\":\"unfreeze\",\"stage\":\"{stage}\",\"by\":\"WHO\",\"reason\":\"TEXT\"}}' out.json && cat \
         out.json\n\nOnly where roll-back itself is broken, since the audit does not have it:\n\n  aws codepipeline \
         enable-stage-transition --pipeline-name {pipeline} --stage-name {stage} --transition-type Inbound\n"
    )
}

/// The reason that stands at a frozen transition. CodePipeline takes at most 300 of
/// `[a-zA-Z0-9!@ ().*?-]` (API reference of `DisableStageTransition`); an alarm's name may hold anything.
#[must_use]
pub fn freeze_reason(cause: &Cause, deployment: &Deployment) -> String {
    let why = match cause {
        Cause::Alarm { alarm, .. } => format!("alarm {alarm} fired during"),
        Cause::Person { by, .. } => format!("{by} undid"),
    };
    transition_reason(&format!(
        "Rolled back by Signalbox - {why} deployment {} of version {}. \
         The pipeline still holds that revision. Let roll-back unfreeze it when a good one is on its way",
        deployment.id, deployment.to
    ))
}

/// `text` as CodePipeline takes it for the reason of a disabled transition.
#[must_use]
pub fn transition_reason(text: &str) -> String {
    let allowed: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "!@ ().*?-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    cut(&allowed, 300).to_owned()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::rollback::command::{Command, Request};
    use crate::validation::preflight::Override;

    fn deployment() -> Deployment {
        Deployment {
            id: DeploymentId::new("d-BAD").unwrap(),
            status: Status::Stopped,
            is_rollback: false,
            by_stack: true,
            overrides: Override::None,
            created: Timestamp::UNIX_EPOCH,
            completed: None,
            function: FunctionName::new("app").unwrap(),
            alias: "live".to_owned(),
            from: Some(VersionNumber::new("3").unwrap()),
            to: VersionNumber::new("4").unwrap(),
        }
    }

    fn alarm(name: &str) -> Cause {
        Cause::Alarm {
            alarm: AlarmName::new(name).unwrap(),
            reason: "5 > 1\u{1b}[31m".to_owned(),
        }
    }

    #[test]
    fn a_freeze_reason_is_what_codepipeline_takes() {
        let mut long = deployment();
        long.id = DeploymentId::new("d".repeat(100)).unwrap();
        let reason = freeze_reason(&alarm(&format!("a:/_,'=é{}", "x".repeat(240))), &long);
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!@ ().*?-".contains(c);
        assert!(
            reason.chars().count() <= 300 && reason.chars().all(allowed),
            "{reason}"
        );
        let reason = freeze_reason(&alarm("errors"), &deployment());
        assert!(reason.contains("Let roll-back unfreeze it"), "{reason}");
    }

    #[test]
    fn a_freeze_is_lifted_by_a_command_that_roll_back_takes() {
        let (pipeline, stage) = (
            PipelineName::new("p").unwrap(),
            StageName::new("Release").unwrap(),
        );
        let roll_back = FunctionName::new("boxes-roll-back").unwrap();
        let how = how_to_lift(&pipeline, &stage, &roll_back);
        let (invoke, broken) = how.split_once("Only where roll-back itself is broken").unwrap();
        assert!(
            invoke.contains("aws lambda invoke --function-name boxes-roll-back"),
            "{how}"
        );
        assert!(
            broken.contains("enable-stage-transition --pipeline-name p --stage-name Release"),
            "{how}"
        );
        let payload = invoke.split('\'').nth(1).unwrap();
        let command = Command::parse(serde_json::from_str(payload).unwrap()).unwrap();
        assert!(!command.dry_run);
        assert!(
            matches!(&command.request, Request::Unfreeze { stage: Some(named), .. } if *named == stage),
            "{command:?}"
        );
    }

    #[test]
    fn the_notice_names_the_people_and_what_could_not_be_done() {
        let undone = deployment();
        let run = Run {
            execution: ExecutionId::new("aa-1").unwrap(),
            is_rollback: false,
            revision: Some("v2".to_owned()),
            author: Some("dan@example.com".to_owned()),
            approvers: vec!["ann@example.com".to_owned()],
        };
        let (pipeline, stage) = (
            PipelineName::new("p").unwrap(),
            StageName::new("Release").unwrap(),
        );
        let mut told = Told {
            undone: &undone,
            action: &Action::Stopped,
            cause: &alarm("errors"),
            run: Ok(&run),
            pipeline: &pipeline,
            stage: &stage,
            roll_back: &FunctionName::new("boxes-roll-back").unwrap(),
            frozen: &Ok(()),
            remembered: &Ok(()),
            stack: Some("The stack follows."),
        };
        assert_eq!(told.subject(), "Rolled back: app version 4 (errors)");
        let body = told.body();
        for words in [
            "Author: dan@example.com",
            "Approved by: ann@example.com",
            "Good version: 3",
            "allow-version",
            "is frozen",
            "\"command\":\"unfreeze\",\"stage\":\"Release\"",
            "The stack follows.",
            "\\u{1b}",
        ] {
            assert!(body.contains(words), "{words} is missing in {body}");
        }
        // What CodeDeploy is still at is not told as done.
        assert!(
            body.contains("was stopped: CodeDeploy takes its traffic back to version 3"),
            "{body}"
        );
        let in_flight = Deployment {
            status: Status::InFlight,
            ..deployment()
        };
        let reported = Told {
            undone: &in_flight,
            action: &Action::Reported,
            ..told
        };
        let body = reported.body();
        assert!(
            body.contains("CodeDeploy itself stops deployment d-BAD") && !body.contains("already stopped"),
            "{body}"
        );
        let problem = Err("AccessDenied".to_owned());
        told.frozen = &problem;
        told.remembered = &problem;
        told.run = Err("no run was in the stage");
        let body = told.body();
        assert!(
            body.contains("could NOT be frozen")
                && body.contains("NOT remembered")
                && body.contains("no run was"),
            "{body}"
        );
    }
}
