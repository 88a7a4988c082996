//! Follows a run: tells each stage's start and end and who is asked for approval, until the run has ended.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use signalbox_decision::names::ExecutionId;
use signalbox_decision::timeline::State;
use signalbox_ledger::Ledger;
use tokio::time::{Instant, sleep};

use crate::approvals::{self, Asking};
use crate::console::Console;
use crate::error::Error;
use crate::output::{duration, line};
use crate::patience::Patience;
use crate::pipeline::{Freeze, Pipeline, PipelineState, Run, Stage, StageState};

/// An asking is written a moment after the action has begun; until then nobody can be named.
const LOOKS_FOR_PEOPLE: u32 = 20;

/// What was seen of a run.
#[derive(Debug)]
pub(crate) enum Followed {
    /// It has ended.
    Ended(Run),
    /// The time was up before.
    TimedOut(Run),
}

/// Follows runs of one pipeline.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    /// The pipeline.
    pub(crate) pipeline: &'a Pipeline,
    /// Where it stands who was asked.
    pub(crate) ledger: &'a Ledger,
    /// Where it is told.
    pub(crate) console: &'a Console,
    /// How often to look.
    pub(crate) interval: Duration,
    /// When to give up.
    pub(crate) deadline: Option<Instant>,
}

impl Follower<'_> {
    /// Follows a run to its end, or to the deadline.
    pub(crate) async fn follow(&self, id: &ExecutionId) -> Result<Followed, Error> {
        let mut before: Option<Run> = None;
        let mut waits = Waits::default();
        let mut gates = Gates::default();
        let mut patience = Patience::default();
        loop {
            match self.pipeline.run(id).await {
                Ok(now) => {
                    patience.renew();
                    for told in changes(before.as_ref(), &now) {
                        told.on(self.console);
                    }
                    for told in waits.look(self, &now).await {
                        told.on(self.console);
                    }
                    let ahead = gates.look(self, &now).await;
                    if let Some(told) = ahead.as_ref().and_then(|ahead| ahead.told.as_ref()) {
                        told.on(self.console);
                    }
                    self.say_what_is_waited_for(&now, ahead);
                    if now.state.is_final() {
                        self.console.still();
                        return Ok(Followed::Ended(now));
                    }
                    before = Some(now);
                }
                Err(error) => self.console.detail(&patience.bear(error)?),
            }
            if self.deadline.is_some_and(|at| Instant::now() >= at)
                && let Some(now) = before
            {
                self.console.still();
                return Ok(Followed::TimedOut(now));
            }
            sleep(patience.pause(self.interval)).await;
        }
    }

    fn say_what_is_waited_for(&self, now: &Run, ahead: Option<Ahead>) {
        let text = match (now.waits_for().next(), ahead, now.stages.last()) {
            (Some((stage, _)), _, _) => format!("{} waits for approval", stage.name),
            (None, Some(ahead), _) => ahead.waits,
            (None, None, Some(stage)) => format!("{} is in progress", stage.name),
            (None, None, None) => "the run has been started".to_owned(),
        };
        self.console.waiting_for(&text);
    }
}

/// A line that somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Detail(String),
    Good(String),
    Bad(String),
    Attention(String),
}

impl Told {
    fn on(&self, console: &Console) {
        match self {
            Self::Detail(text) => console.detail(text),
            Self::Good(text) => console.good(text),
            Self::Bad(text) => console.bad(text),
            Self::Attention(text) => console.attention(text),
        }
    }
}

/// What the later reading of a run says that the earlier one did not.
fn changes(before: Option<&Run>, now: &Run) -> Vec<Told> {
    let known = |stage: &Stage| {
        let mut stages = before.into_iter().flat_map(|run| &run.stages);
        stages.find(|known| known.name == stage.name)
    };
    let attempts = |stage: &Stage| -> Vec<String> {
        stage
            .actions
            .iter()
            .map(|action| action.attempt.clone())
            .collect()
    };
    now.stages
        .iter()
        .filter(|stage| {
            known(stage).is_none_or(|known| known.state != stage.state || attempts(known) != attempts(stage))
        })
        .filter_map(|stage| of_stage(stage, known(stage)))
        .collect()
}

fn of_stage(stage: &Stage, before: Option<&Stage>) -> Option<Told> {
    let name = line(&stage.name, 100);
    let took = stage.took().map(duration);
    let after = |word| {
        took.as_ref()
            .map_or_else(String::new, |took| format!(" {word} {took}"))
    };
    match &stage.state {
        State::Succeeded => {
            let said = stage.actions.iter().find(|action| action.approval);
            let said = said.and_then(|action| action.message.as_deref());
            let said = said.map_or_else(String::new, |text| format!(": {}", line(text, 300)));
            Some(Told::Good(format!("{name} succeeded{}{said}", after("in"))))
        }
        state if state.is_final() => {
            let failed = stage.actions.iter().find(|action| action.state == *state)?;
            let why = failed
                .message
                .as_deref()
                .map(|text| format!(": {}", line(text, 500)));
            let url = failed.url.as_deref().map(|url| format!(" ({})", line(url, 500)));
            Some(Told::Bad(format!(
                "{name} {}{}{}{}",
                state.to_string().to_lowercase(),
                after("after"),
                why.unwrap_or_default(),
                url.unwrap_or_default()
            )))
        }
        // A further action of a stage that goes on is no news.
        _ if before.is_some_and(|before| !before.state.is_final()) => None,
        _ => Some(Told::Detail(format!("{name} has begun"))),
    }
}

/// The approvals that are waited for, and what was told of each.
#[derive(Debug, Default)]
struct Waits {
    told: HashMap<String, String>,
    looks: HashMap<String, u32>,
    is_ledger_closed: bool,
}

impl Waits {
    async fn look(&mut self, of: &Follower<'_>, now: &Run) -> Vec<Told> {
        let waiting: Vec<_> = now.waits_for().collect();
        if waiting.is_empty() {
            return Vec::new();
        }
        let mut told = Vec::new();
        let askings = if self.is_ledger_closed {
            Vec::new()
        } else {
            match approvals::of_run(of.ledger, of.pipeline.name(), &now.id).await {
                Ok(askings) => askings,
                Err(error) => {
                    // Whoever may follow a run need not be allowed to read the ledger.
                    self.is_ledger_closed = true;
                    told.push(Told::Detail(format!("who was asked cannot be told: {error}")));
                    Vec::new()
                }
            }
        };
        for (stage, action) in waiting {
            let asking = approvals::open(&askings, &stage.name, &action.name);
            told.extend(self.wait(&stage.name, &action.attempt, asking));
        }
        told
    }

    /// Told once, and again when somebody has approved of several.
    fn wait(&mut self, stage: &str, attempt: &str, asking: Option<&Asking>) -> Option<Told> {
        let looks = self.looks.entry(attempt.to_owned()).or_default();
        *looks += 1;
        let people = match asking {
            Some(asking) => format!("; asked: {}", line(&asking.people(), 500)),
            None if *looks >= LOOKS_FOR_PEOPLE || self.is_ledger_closed => String::new(),
            None => return None,
        };
        let text = format!("{} waits for approval{people}", line(stage, 100));
        let is_news = self.told.get(attempt) != Some(&text);
        self.told.insert(attempt.to_owned(), text.clone());
        is_news.then_some(Told::Attention(text))
    }
}

/// What lies before a run that is between two stages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ahead {
    /// That nothing comes into the next stage, where that is news.
    told: Option<Told>,
    /// What is waited for.
    waits: String,
}

/// The stages that did not let a run in.
#[derive(Debug, Default)]
struct Gates {
    told: HashSet<String>,
    is_state_closed: bool,
}

impl Gates {
    /// What lies before a run that is between two stages; `None` where it is in one.
    async fn look(&mut self, of: &Follower<'_>, now: &Run) -> Option<Ahead> {
        let passed = passed(now)?;
        let state = self.state(of).await;
        Some(self.ahead(passed, state.as_ref()))
    }

    /// Whoever may follow a run need not be allowed to read the pipeline's state, and is told of no failure:
    /// the run itself is read all the same.
    async fn state(&mut self, of: &Follower<'_>) -> Option<PipelineState> {
        if self.is_state_closed {
            return None;
        }
        match of.pipeline.state().await {
            Ok(state) => Some(state),
            Err(error) => {
                self.is_state_closed = !error.is_retryable();
                None
            }
        }
    }

    /// A freeze is told once for each stage; that a stage is not entered at once is nothing to tell.
    fn ahead(&mut self, passed: &Stage, state: Option<&PipelineState>) -> Ahead {
        let waits = |waits: String| Ahead { told: None, waits };
        let Some(state) = state else {
            return waits("waits to enter the next stage".to_owned());
        };
        let Some(next) = stage_after(passed, state) else {
            return waits(format!("{} has succeeded", line(&passed.name, 100)));
        };
        let name = line(&next.name, 100);
        let Some(freeze) = &next.frozen else {
            return waits(format!("waits to enter {name}"));
        };
        let is_news = self.told.insert(next.name.clone());
        Ahead {
            told: is_news.then(|| frozen(&name, freeze)),
            waits: format!("waits for {name} to be unfrozen"),
        }
    }
}

/// The stage that a run has come through last, where it goes on, and nothing goes on in it.
fn passed(run: &Run) -> Option<&Stage> {
    let is_waiting = run.waits_for().next().is_some();
    let last = run.stages.last()?;
    let is_between = !run.state.is_final() && !is_waiting && last.state == State::Succeeded;
    is_between.then_some(last)
}

/// The stage after this one; none after the pipeline's last.
fn stage_after<'a>(passed: &Stage, state: &'a PipelineState) -> Option<&'a StageState> {
    let mut stages = state.stages.iter();
    stages.find(|stage| stage.name == passed.name)?;
    stages.next()
}

fn frozen(name: &str, freeze: &Freeze) -> Told {
    let reason = freeze.reason.as_deref();
    let reason = reason.map_or_else(String::new, |text| format!(": {}", line(text, 400)));
    let by = freeze.who();
    let by = by.map_or_else(String::new, |who| format!("; by {}", line(who, 100)));
    Told::Attention(format!("{name} is frozen{reason}{by}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::{run, stage};

    #[test]
    fn each_change_is_told_once() {
        let first = run(State::InProgress, vec![stage("Build", State::InProgress, (0, 0))]);
        let told = changes(None, &first);
        assert_eq!(told, [Told::Detail("Build has begun".to_owned())]);
        assert_eq!(changes(Some(&first), &first), []);

        let second = run(
            State::InProgress,
            vec![
                stage("Build", State::Succeeded, (0, 65)),
                stage("Deploy", State::InProgress, (66, 0)),
            ],
        );
        assert_eq!(
            changes(Some(&first), &second),
            [
                Told::Good("Build succeeded in 1 min 5 s".to_owned()),
                Told::Detail("Deploy has begun".to_owned())
            ]
        );
    }

    #[test]
    fn a_failure_says_why_and_where_to_look() {
        let mut build = stage("Build", State::Failed, (0, 3));
        build.actions[0].message = Some("exit status 1\u{1b}[2J".to_owned());
        build.actions[0].url = Some("https://example.com/log".to_owned());
        assert_eq!(
            changes(None, &run(State::Failed, vec![build])),
            [Told::Bad(
                "Build failed after 3.0 s: exit status 1\\u{1b}[2J (https://example.com/log)".to_owned()
            )]
        );
    }

    /// Build, which lets everything in, and Release.
    fn state(frozen: Option<Freeze>) -> PipelineState {
        let stage = |name: &str, frozen| StageState {
            name: name.to_owned(),
            run: None,
            state: None,
            changed: None,
            frozen,
        };
        PipelineState {
            stages: vec![stage("Build", None), stage("Release", frozen)],
        }
    }

    fn freeze(reason: Option<&str>, by: Option<&str>) -> Freeze {
        Freeze {
            reason: reason.map(str::to_owned),
            by: by.map(str::to_owned),
            since: None,
        }
    }

    #[test]
    fn a_run_is_between_two_stages_where_it_goes_on_and_nothing_of_it_does() {
        let build = |state| stage("Build", state, (0, 5));
        let between = run(State::InProgress, vec![build(State::Succeeded)]);
        assert_eq!(passed(&between).map(|stage| stage.name.as_str()), Some("Build"));
        let approval = stage("Approval", State::InProgress, (6, 0));
        for other in [
            run(State::InProgress, Vec::new()),
            run(State::InProgress, vec![build(State::InProgress)]),
            run(State::InProgress, vec![build(State::Failed)]),
            run(State::InProgress, vec![approval, build(State::Succeeded)]),
            run(State::Succeeded, vec![build(State::Succeeded)]),
        ] {
            assert_eq!(passed(&other), None, "{other:?}");
        }
    }

    #[test]
    fn a_frozen_stage_is_told_once_with_its_reason() {
        let build = stage("Build", State::Succeeded, (0, 5));
        let by = "arn:aws:sts::1:assumed-role/x/roll-back";
        let frozen = state(Some(freeze(Some("version 4 was\nrolled back\u{1b}"), Some(by))));
        let mut gates = Gates::default();
        let ahead = gates.ahead(&build, Some(&frozen));
        let text = "Release is frozen: version 4 was rolled back\\u{1b}; by roll-back";
        assert_eq!(ahead.told, Some(Told::Attention(text.to_owned())));
        assert_eq!(ahead.waits, "waits for Release to be unfrozen");
        let again = Ahead { told: None, ..ahead };
        assert_eq!(gates.ahead(&build, Some(&frozen)), again);

        let unknown = state(Some(freeze(None, None)));
        let told = Gates::default().ahead(&build, Some(&unknown)).told;
        assert_eq!(told, Some(Told::Attention("Release is frozen".to_owned())));
    }

    #[test]
    fn a_stage_that_is_not_frozen_is_only_waited_for() {
        let mut gates = Gates::default();
        let mut waits = |name: &str, state: Option<&PipelineState>| {
            let ahead = gates.ahead(&stage(name, State::Succeeded, (0, 5)), state);
            assert_eq!(ahead.told, None);
            ahead.waits
        };
        assert_eq!(waits("Build", Some(&state(None))), "waits to enter Release");
        assert_eq!(waits("Build", None), "waits to enter the next stage");
        assert_eq!(waits("Release", Some(&state(None))), "Release has succeeded");
    }

    #[test]
    fn an_approval_is_told_with_who_was_asked_as_soon_as_that_is_known() {
        let mut waits = Waits::default();
        let asking = |approved: &[&str]| Asking::for_test(&["ann@example.com", "ben@example.com"], approved);
        assert_eq!(waits.wait("Approval", "a", None), None);
        let told = waits.wait("Approval", "a", Some(&asking(&[])));
        let text = "Approval waits for approval; asked: ann@example.com, ben@example.com";
        assert_eq!(told, Some(Told::Attention(text.to_owned())));
        assert_eq!(waits.wait("Approval", "a", Some(&asking(&[]))), None);
        let told = waits.wait("Approval", "a", Some(&asking(&["ann@example.com"])));
        assert_eq!(
            told,
            Some(Told::Attention(format!("{text} (ann@example.com has approved)")))
        );
        // Where the ledger says nothing for long, it is told without.
        let told = (0..LOOKS_FOR_PEOPLE).find_map(|_| waits.wait("Approval", "b", None));
        assert_eq!(
            told,
            Some(Told::Attention("Approval waits for approval".to_owned()))
        );
    }
}
