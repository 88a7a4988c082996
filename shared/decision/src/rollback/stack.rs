//! How the stack follows its alias back.
//!
//! A deployment that is stopped in flight takes its stack with it: CloudFormation sees it fail and rolls
//! back. One that had succeeded does not: the alias goes back by a deployment that CloudFormation knows
//! nothing of, and the stack still says the bad version. The next update would then begin from what is not
//! so. `RollbackStage` repeats the release stage with the artifacts of the run that brought the good
//! version, and the stack comes to say what the alias does.
//!
//! A stage that executes a change set cannot be repeated alone: executing it used it up. Then the stage that
//! made the change set is repeated first.

use crate::names::{DeploymentId, ExecutionId, StageName};

/// An action of a stage that works on a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackAction {
    /// CodePipeline's `ActionMode`.
    pub mode: String,
    /// The stack.
    pub stack: String,
    /// The change set, in the modes that have one.
    pub change_set: Option<String>,
}

/// A stage, in the order of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: StageName,
    /// Its actions that work on stacks.
    pub stacks: Vec<StackAction>,
}

/// What is read before it is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whether a stack's update made the deployment that is undone.
    pub by_stack: bool,
    /// Whether runs go side by side: then there is no `RollbackStage`.
    pub is_parallel: bool,
    /// The pipeline's stages.
    pub stages: Vec<Stage>,
    /// The run that brought the good version (for a rollback of a stage: the run that it repeated); else
    /// why it is not known.
    pub target: Result<ExecutionId, String>,
    /// A deployment of the group that came after both the undone one and the one that took it back.
    pub newer: Option<DeploymentId>,
    /// Runs that are under way, other than the one that brought the bad version.
    pub others: Vec<ExecutionId>,
}

/// What to do about the stack.
#[must_use = "a stack that is not brought back parts from its alias"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackBack {
    /// It needs nothing.
    NotNeeded,
    /// Roll these stages back to the target, one after the other.
    RollBackStages {
        /// The run whose artifacts are used.
        target: ExecutionId,
        /// The stages, in this order.
        stages: Vec<StageName>,
    },
    /// A person has to.
    ByHand {
        /// Why.
        reason: String,
    },
}

/// Decides how the stack follows.
pub fn stack_back(release: &StageName, facts: &Facts) -> StackBack {
    let by_hand = |reason: String| StackBack::ByHand { reason };
    if !facts.by_stack {
        return StackBack::NotNeeded;
    }
    // An event may be tried again days later. What was released since is not to be taken away.
    if let Some(newer) = &facts.newer {
        return by_hand(format!("deployment {newer} has come since"));
    }
    if facts.is_parallel {
        return by_hand("the pipeline is in PARALLEL mode, which has no rollback of a stage".to_owned());
    }
    let stages = match stages(release, &facts.stages) {
        Ok(stages) => stages,
        Err(reason) => return by_hand(reason),
    };
    let target = match &facts.target {
        Ok(target) => target.clone(),
        Err(reason) => return by_hand(reason.clone()),
    };
    // Another run may wait for approval of its change set, which an update of the stack makes void.
    if let ([_, _, ..], Some(other)) = (stages.as_slice(), facts.others.first()) {
        return by_hand(format!(
            "run {other} is under way, and its change set would be void"
        ));
    }
    StackBack::RollBackStages { target, stages }
}

/// The stages that have to be repeated so that the stack changes.
fn stages(release: &StageName, all: &[Stage]) -> Result<Vec<StageName>, String> {
    let at = all
        .iter()
        .position(|stage| stage.name == *release)
        .ok_or_else(|| format!("the pipeline has no stage {release}"))?;
    let (earlier, rest) = all.split_at(at);
    let actions = rest.first().map_or(&[][..], |stage| stage.stacks.as_slice());
    if actions.is_empty() {
        return Err(format!("no action of stage {release} works on a stack"));
    }
    let mut needed = Vec::new();
    for action in actions
        .iter()
        .filter(|action| action.mode == "CHANGE_SET_EXECUTE")
    {
        let made = |one: &StackAction| {
            one.mode == "CHANGE_SET_REPLACE"
                && (&one.stack, &one.change_set) == (&action.stack, &action.change_set)
        };
        if rest.first().is_some_and(|stage| stage.stacks.iter().any(made)) {
            continue;
        }
        let maker = earlier.iter().rfind(|stage| stage.stacks.iter().any(made));
        let maker = maker.ok_or_else(|| {
            format!(
                "no stage makes the change set of stack {} that stage {release} executes",
                action.stack
            )
        })?;
        if !needed.contains(&maker.name) {
            needed.push(maker.name.clone());
        }
    }
    needed.push(release.clone());
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, modes: &[&str]) -> Stage {
        let action = |mode: &&str| StackAction {
            mode: (*mode).to_owned(),
            stack: "app".to_owned(),
            change_set: mode.starts_with("CHANGE_SET").then(|| "signalbox".to_owned()),
        };
        Stage {
            name: StageName::new(name).unwrap(),
            stacks: modes.iter().map(action).collect(),
        }
    }

    fn facts(stages: Vec<Stage>) -> Facts {
        Facts {
            by_stack: true,
            is_parallel: false,
            stages,
            target: Ok(ExecutionId::new("aa").unwrap()),
            newer: None,
            others: Vec::new(),
        }
    }

    fn staging() -> Facts {
        facts(vec![
            stage("Source", &[]),
            stage("Release", &["CREATE_UPDATE"]),
            stage("Test", &[]),
        ])
    }

    fn production() -> Facts {
        facts(vec![
            stage("Source", &[]),
            stage("Deploy", &["CHANGE_SET_REPLACE"]),
            stage("Approval", &[]),
            stage("Release", &["CHANGE_SET_EXECUTE"]),
        ])
    }

    fn decided(facts: &Facts) -> StackBack {
        stack_back(&StageName::new("Release").unwrap(), facts)
    }

    fn stages_of(facts: &Facts) -> Vec<String> {
        match decided(facts) {
            StackBack::RollBackStages { stages, .. } => stages.into_iter().map(String::from).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn by_hand(facts: &Facts) -> String {
        match decided(facts) {
            StackBack::ByHand { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stage_that_updates_is_repeated_and_one_that_executes_after_the_one_that_prepares() {
        assert_eq!(stages_of(&staging()), ["Release"]);
        assert_eq!(stages_of(&production()), ["Deploy", "Release"]);
    }

    #[test]
    fn what_no_stack_made_needs_nothing() {
        let mut facts = staging();
        facts.by_stack = false;
        assert_eq!(decided(&facts), StackBack::NotNeeded);
    }

    #[test]
    fn what_cannot_be_done_safely_is_left_to_a_person_with_the_reason() {
        let mut parallel = staging();
        parallel.is_parallel = true;
        assert!(by_hand(&parallel).contains("PARALLEL"));
        let mut late = staging();
        late.newer = Some(DeploymentId::new("d-NEXT").unwrap());
        assert!(by_hand(&late).contains("d-NEXT has come since"));
        let mut unknown = staging();
        unknown.target = Err("nobody knows".to_owned());
        assert!(by_hand(&unknown).contains("nobody knows"));
        let mut no_stack = staging();
        no_stack.stages[1].stacks.clear();
        assert!(by_hand(&no_stack).contains("no action of stage Release"));
        let mut no_maker = production();
        no_maker.stages[1].stacks[0].stack = "other".to_owned();
        assert!(by_hand(&no_maker).contains("no stage makes the change set"));
    }

    #[test]
    fn the_change_set_that_somebody_waits_for_is_not_made_void() {
        let mut facts = production();
        facts.others = vec![ExecutionId::new("bb").unwrap()];
        assert!(by_hand(&facts).contains("run bb is under way"));
        // Where there is no change set to replace, the stage's own order suffices.
        let mut facts = staging();
        facts.others = vec![ExecutionId::new("bb").unwrap()];
        assert_eq!(stages_of(&facts), ["Release"]);
    }
}
