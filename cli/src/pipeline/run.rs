//! One run: its stages, their actions, how far each has come.

use aws_sdk_codepipeline::types::{ActionExecutionDetail, PipelineExecution};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use signalbox_decision::names::ExecutionId;
use signalbox_decision::timeline::State;

use super::time;
use crate::error::Exit;

/// A run as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    /// Its id.
    pub(crate) id: ExecutionId,
    /// Its state.
    pub(crate) state: State,
    /// Why it is in that state, where CodePipeline says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<String>,
    /// The source version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<String>,
    /// Its stages so far, in order.
    pub(crate) stages: Vec<Stage>,
}

/// A stage of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stage {
    /// Its name.
    pub(crate) name: String,
    /// Its state, by its actions'.
    pub(crate) state: State,
    /// When its first action began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<Timestamp>,
    /// When its last action ended, once all have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    /// Its actions, by their newest attempts.
    pub(crate) actions: Vec<Action>,
}

/// The newest attempt of an action.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Action {
    /// Its name.
    pub(crate) name: String,
    /// Tells its attempts apart.
    #[serde(skip)]
    pub(crate) attempt: String,
    /// Its state.
    pub(crate) state: State,
    /// Whether a person has to answer it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) approval: bool,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    /// Why it failed, or who approved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// Where its own service shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
}

impl Run {
    /// What CodePipeline says of it; `actions` oldest first.
    pub(super) fn of(
        id: &ExecutionId,
        run: Option<&PipelineExecution>,
        actions: &[ActionExecutionDetail],
    ) -> Self {
        let mut stages: Vec<Stage> = Vec::new();
        for detail in actions {
            let name = detail.stage_name().unwrap_or_default();
            let at = stages.iter().position(|stage| stage.name == name);
            let stage = match at.and_then(|at| stages.get_mut(at)) {
                Some(stage) => stage,
                None => {
                    stages.push(Stage {
                        name: name.to_owned(),
                        state: State::InProgress,
                        started: None,
                        ended: None,
                        actions: Vec::new(),
                    });
                    let Some(last) = stages.last_mut() else { continue };
                    last
                }
            };
            stage.take(Action::of(detail));
        }
        let state = run.and_then(|run| run.status());
        Self {
            id: id.clone(),
            state: State::of(state.map_or("InProgress", |status| status.as_str())),
            summary: run.and_then(|run| run.status_summary()).map(str::to_owned),
            revision: run
                .and_then(|run| run.artifact_revisions().first()?.revision_id())
                .map(str::to_owned),
            stages,
        }
    }

    /// The exit code that says how it ended.
    pub(crate) fn exit(&self) -> Exit {
        match self.state {
            State::Succeeded => Exit::Done,
            State::Failed => Exit::RunFailed,
            _ => Exit::RunStopped,
        }
    }

    /// Every approval that is waited for, with its stage.
    pub(crate) fn waits_for(&self) -> impl Iterator<Item = (&Stage, &Action)> {
        let actions = |stage| Stage::actions_of(stage);
        self.stages
            .iter()
            .flat_map(actions)
            .filter(|(_, action)| action.approval && !action.state.is_final())
    }

    /// What failed first, and why.
    pub(crate) fn failure(&self) -> Option<(&Stage, &Action)> {
        let actions = |stage| Stage::actions_of(stage);
        self.stages
            .iter()
            .flat_map(actions)
            .find(|(_, action)| action.state == State::Failed)
    }
}

impl Stage {
    fn actions_of(stage: &Self) -> impl Iterator<Item = (&Self, &Action)> {
        stage.actions.iter().map(move |action| (stage, action))
    }

    /// A later attempt takes the earlier one's place.
    fn take(&mut self, action: Action) {
        match self.actions.iter_mut().find(|known| known.name == action.name) {
            Some(known) => *known = action,
            None => self.actions.push(action),
        }
        let states = || self.actions.iter().map(|action| &action.state);
        // What goes on, else what went worst.
        self.state = states()
            .find(|state| !state.is_final())
            .or_else(|| states().find(|state| **state == State::Failed))
            .or_else(|| states().find(|state| **state != State::Succeeded))
            .cloned()
            .unwrap_or(State::Succeeded);
        self.started = self.actions.iter().filter_map(|action| action.started).min();
        let ended = self.actions.iter().map(|action| action.ended);
        self.ended = ended
            .collect::<Option<Vec<_>>>()
            .and_then(|all| all.into_iter().max());
    }

    /// How long it took, once it has ended.
    pub(crate) fn took(&self) -> Option<SignedDuration> {
        Some(self.ended?.duration_since(self.started?))
    }
}

impl Action {
    fn of(detail: &ActionExecutionDetail) -> Self {
        let state = State::of(detail.status().map_or("InProgress", |status| status.as_str()));
        let result = detail.output().and_then(|output| output.execution_result());
        let category = detail
            .input()
            .and_then(|input| input.action_type_id())
            .map(|id| id.category().as_str());
        let failed = result.and_then(|result| result.error_details()?.message());
        let said = failed.or_else(|| result?.external_execution_summary());
        Self {
            name: detail.action_name().unwrap_or_default().to_owned(),
            attempt: detail.action_execution_id().unwrap_or_default().to_owned(),
            approval: category == Some("Approval"),
            started: time(detail.start_time()),
            ended: time(detail.last_update_time()).filter(|_| state.is_final()),
            message: said.filter(|text| !text.is_empty()).map(str::to_owned),
            url: result
                .and_then(|result| result.external_execution_url())
                .filter(|url| !url.is_empty())
                .map(str::to_owned),
            state,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A stage with one action of its own name.
    pub(crate) fn stage(name: &str, state: State, seconds: (i64, i64)) -> Stage {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut stage = Stage {
            name: name.to_owned(),
            state: State::InProgress,
            started: None,
            ended: None,
            actions: Vec::new(),
        };
        stage.take(Action {
            name: name.to_owned(),
            attempt: format!("{name}-1"),
            approval: name == "Approval",
            started: Some(at(seconds.0)),
            ended: Some(at(seconds.1)).filter(|_| state.is_final()),
            message: None,
            url: None,
            state,
        });
        stage
    }

    /// A run of these stages.
    pub(crate) fn run(state: State, stages: Vec<Stage>) -> Run {
        Run {
            id: ExecutionId::new("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
            state,
            summary: None,
            revision: None,
            stages,
        }
    }

    #[test]
    fn a_stage_is_what_its_actions_are() {
        let mut deploy = stage("Deploy", State::Succeeded, (0, 10));
        let other = stage("Check", State::InProgress, (5, 0)).actions.remove(0);
        deploy.take(other.clone());
        assert_eq!(deploy.state, State::InProgress);
        assert_eq!(deploy.took(), None);
        deploy.take(Action {
            state: State::Failed,
            ended: Some(Timestamp::from_second(30).unwrap()),
            ..other.clone()
        });
        assert_eq!(deploy.state, State::Failed);
        assert_eq!(deploy.took(), Some(SignedDuration::from_secs(30)));
        // A retry takes the failed attempt's place.
        deploy.take(Action {
            state: State::Succeeded,
            attempt: "2".to_owned(),
            ended: Some(Timestamp::from_second(40).unwrap()),
            ..other
        });
        assert_eq!(
            (deploy.state.clone(), deploy.actions.len()),
            (State::Succeeded, 2)
        );
    }

    #[test]
    fn the_exit_code_says_how_the_run_ended() {
        for (state, exit) in [
            (State::Succeeded, Exit::Done),
            (State::Failed, Exit::RunFailed),
            (State::Stopped, Exit::RunStopped),
            (State::Superseded, Exit::RunStopped),
            (State::Cancelled, Exit::RunStopped),
        ] {
            assert_eq!(run(state.clone(), Vec::new()).exit(), exit, "{state}");
        }
    }
}
