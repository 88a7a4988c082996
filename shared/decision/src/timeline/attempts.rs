//! What AWS answers about a run, made a [`Timeline`]: attempts are found in the list of actions.
//!
//! CodePipeline names no stage's attempt in its answers, and an event's `pipeline-execution-attempt`
//! counts the run's attempts, not the stage's. The list of actions, though, holds every execution of
//! every attempt with its times: a stage was retried wherever an action began after another one of the
//! same attempt had failed.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Action, Progress, State, Timeline};

/// A run as read from AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The run's state, where AWS knows the run.
    pub status: Option<State>,
    /// The source version.
    pub revision: Option<String>,
    /// The stages whose latest run is this one, with their state there.
    pub stages: BTreeMap<String, State>,
    /// Every execution of every action, by its id.
    pub actions: BTreeMap<String, Action>,
}

/// What the event itself says. A hint: AWS's answers may be a moment behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The stage, or none for the run.
    pub stage: Option<String>,
    /// Its state.
    pub state: State,
    /// The run's attempt, by the event; used only where AWS could not be asked.
    pub attempt: u32,
    /// When it happened; events have whole seconds.
    pub at: Option<Timestamp>,
}

impl Reading {
    /// The timeline that this reading, with the event's hint, amounts to.
    #[must_use]
    pub fn observed(&self, hint: Option<&Hint>) -> Timeline {
        let mut stages = self.stage_attempts();
        let mut run = self.run_attempts(&stages);
        if let Some(hint) = hint {
            let attempts = match &hint.stage {
                Some(stage) => stages.entry(stage.clone()).or_default(),
                None => &mut run,
            };
            apply(attempts, hint);
        }
        Timeline {
            revision: self.revision.clone(),
            run,
            stages,
            actions: self.actions.clone(),
            ..Timeline::default()
        }
    }

    /// Whether the list of actions is a moment behind: the run or a stage has ended, by AWS's other answers or by the
    /// event itself, and an action of it is listed as going on. Which one failed, why, and when it ended, is not
    /// known yet.
    #[must_use]
    pub fn lags(&self, hint: Option<&Hint>) -> bool {
        let run_is_over = self.status.as_ref().is_some_and(State::is_final);
        self.actions
            .values()
            .filter(|action| action.progress.state == State::InProgress)
            .any(|action| {
                let stage_is_over = self.stages.get(&action.stage).is_some_and(State::is_final);
                let is_told = hint.is_some_and(|hint| {
                    // A late event of an earlier attempt says nothing of this one.
                    let had_begun = match (action.progress.started, hint.at) {
                        (Some(started), Some(at)) => whole_second(started) <= at,
                        _ => true,
                    };
                    let is_of_it = hint.stage.as_ref().is_none_or(|stage| *stage == action.stage);
                    hint.state.is_final() && had_begun && is_of_it
                });
                run_is_over || stage_is_over || is_told
            })
    }

    fn stage_attempts(&self) -> BTreeMap<String, BTreeMap<u32, Progress>> {
        let mut by_stage: BTreeMap<&str, Vec<&Action>> = BTreeMap::new();
        for action in self.actions.values() {
            by_stage.entry(&action.stage).or_default().push(action);
        }
        let mut found: BTreeMap<String, BTreeMap<u32, Progress>> = BTreeMap::new();
        for (stage, mut actions) in by_stage {
            actions.sort_by_key(|action| action.progress.started);
            let attempts = split(&actions);
            let last = attempts.len();
            for (at, actions) in attempts.iter().enumerate() {
                let mut progress = summary(actions, at + 1 < last);
                if at + 1 == last {
                    match self.stages.get(stage) {
                        Some(state) => settle(&mut progress, state.clone(), actions),
                        // Another run has the stage: this one has left it. What began there and did not
                        // fail has then succeeded.
                        None if progress.state == State::InProgress
                            && all_succeeded(actions)
                            && !self.stages.is_empty() =>
                        {
                            settle(&mut progress, State::Succeeded, actions);
                        }
                        None => {}
                    }
                }
                found
                    .entry(stage.to_owned())
                    .or_default()
                    .insert(number(at), progress);
            }
        }
        for (stage, state) in &self.stages {
            found
                .entry(stage.clone())
                .or_insert_with(|| BTreeMap::from([(1, Progress::seen(state.clone(), None))]));
        }
        found
    }

    /// Each retry of a stage is a new attempt of the run; all but the last have failed, or there would
    /// have been nothing to retry.
    fn run_attempts(&self, stages: &BTreeMap<String, BTreeMap<u32, Progress>>) -> BTreeMap<u32, Progress> {
        let Some(status) = &self.status else {
            return BTreeMap::new();
        };
        let times = || self.actions.values().map(|action| &action.progress);
        let mut starts: Vec<Option<Timestamp>> = vec![times().filter_map(|progress| progress.started).min()];
        let mut retries: Vec<(Timestamp, Option<Timestamp>)> = stages
            .values()
            .flat_map(|attempts| attempts.iter().skip(1).zip(attempts.values()))
            .filter_map(|((_, retry), failed)| Some((retry.started?, failed.ended)))
            .collect();
        retries.sort();
        let mut attempts = BTreeMap::new();
        let mut ends: Vec<Option<Timestamp>> = Vec::new();
        for (started, failed) in &retries {
            ends.push(*failed);
            starts.push(Some(*started));
        }
        let last_end = last_end(times()).filter(|_| status.is_final());
        for (at, started) in starts.iter().enumerate() {
            let is_last = at + 1 == starts.len();
            let (state, ended) = if is_last {
                (status.clone(), last_end)
            } else {
                (State::Failed, ends.get(at).copied().flatten())
            };
            attempts.insert(
                number(at),
                Progress {
                    state,
                    started: *started,
                    ended,
                },
            );
        }
        attempts
    }
}

/// Puts the event's own state onto the attempt it belongs to: the latest one that had begun by then. A
/// late or repeated event of an earlier attempt thus cannot end the one that goes on.
fn apply(attempts: &mut BTreeMap<u32, Progress>, hint: &Hint) {
    let progress = Progress::seen(hint.state.clone(), hint.at);
    let had_begun = |known: &Progress| match (known.started, hint.at) {
        (Some(started), Some(at)) => whole_second(started) <= at,
        _ => true,
    };
    let belongs_to = attempts
        .iter()
        .rev()
        .find(|(_, known)| had_begun(known))
        .map(|(attempt, _)| *attempt);
    let attempt = match (belongs_to, attempts.is_empty()) {
        (Some(attempt), _) => attempt,
        (None, true) => hint.attempt.max(1),
        // It speaks of a time before all that is known; the first attempt is the nearest.
        (None, false) => 1,
    };
    attempts
        .entry(attempt)
        .and_modify(|known| known.merge(&progress))
        .or_insert(progress);
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX - 1) + 1
}

/// Splits a stage's actions, in order of their start, where one begins after another has failed.
fn split<'a>(actions: &[&'a Action]) -> Vec<Vec<&'a Action>> {
    let mut attempts: Vec<Vec<&Action>> = Vec::new();
    for action in actions {
        let retried = attempts.last().is_some_and(|attempt| {
            attempt.iter().any(|earlier| {
                let failed = earlier.progress.state.is_final() && earlier.progress.state != State::Succeeded;
                let over = matches!((earlier.progress.ended, action.progress.started), (Some(end), Some(start)) if end <= start);
                // The same action again is a retry, whatever the clocks say.
                failed && (over || earlier.name == action.name)
            })
        });
        match attempts.last_mut() {
            Some(attempt) if !retried => attempt.push(action),
            _ => attempts.push(vec![action]),
        }
    }
    attempts
}

/// What a stage's actions say of it. That all have succeeded says little: more may follow.
fn summary(actions: &[&Action], is_over: bool) -> Progress {
    let has = |state: &State| actions.iter().any(|action| action.progress.state == *state);
    let state = if has(&State::InProgress) && !is_over {
        State::InProgress
    } else if has(&State::Failed) {
        State::Failed
    } else if has(&State::Stopped) {
        State::Stopped
    } else if is_over {
        State::Failed
    } else {
        State::InProgress
    };
    let mut progress = Progress {
        state: State::InProgress,
        started: actions.iter().filter_map(|a| a.progress.started).min(),
        ended: None,
    };
    settle(&mut progress, state, actions);
    progress
}

fn settle(progress: &mut Progress, state: State, actions: &[&Action]) {
    progress.ended = last_end(actions.iter().map(|action| &action.progress)).filter(|_| state.is_final());
    progress.state = state;
}

/// When the last of them ended. Not known while one of them goes on, as a list that is a moment behind has it: the end
/// of the one before would stay.
fn last_end<'a>(all: impl Iterator<Item = &'a Progress>) -> Option<Timestamp> {
    let mut last = None;
    for progress in all {
        if progress.state == State::InProgress {
            return None;
        }
        last = last.max(progress.ended);
    }
    last
}

fn all_succeeded(actions: &[&Action]) -> bool {
    actions
        .iter()
        .all(|action| action.progress.state == State::Succeeded)
}

#[cfg(test)]
mod tests;
