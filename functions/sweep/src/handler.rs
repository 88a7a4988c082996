//! One sweep: gather → decide → carry out, step by step.

use std::collections::BTreeMap;

use aws_sdk_codepipeline::operation::get_pipeline_state::GetPipelineStateOutput;
use aws_sdk_codepipeline::types::ActionExecutionDetail;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use signalbox_approvals::{NoPolicy, signing_keys};
use signalbox_bootstrap::Invocation;
use signalbox_decision::approval::quorum::Vote;
use signalbox_decision::approval::{ApprovalAction, Record, Token};
use signalbox_decision::claim::digest;
use signalbox_decision::sweep::{Do, Found, Links, Rules, Run, Telling, Waiting, behind, decide};
use signalbox_decision::timeline::{State, Subject};
use signalbox_ledger::{ApprovalKey, AuditedApproval};
use tracing::{info, warn};

use crate::app::{App, Config};
use crate::codedeploy::groups;
use crate::deferred;
use crate::effects::{hand_over, is_asked, repair, tell};
use crate::error::{Error, Listed};
use crate::gather::{SeenRun, actions, has_lapsed, open_approvals, runs, state, states};
use crate::superseded::newer_waits;
use crate::synthesized;

/// Kept for what is under way when the time is nearly over.
const RESERVE: SignedDuration = SignedDuration::from_secs(30);
/// Kept for the deployments, which are few, by the runs, which may be many.
const FOR_DEPLOYMENTS: SignedDuration = SignedDuration::from_secs(30);

/// Kept, beside the reserve, for a repair that takes its full time.
const FOR_REPAIR: SignedDuration = SignedDuration::from_secs(5);

/// What a sweep did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// Red alarms that roll-back was told of.
    pub(crate) alarms: Vec<String>,
    /// Runs that were looked at.
    runs: usize,
    /// Approvals that wait.
    open_approvals: usize,
    /// Approvals that were asked for again.
    repaired: usize,
    /// Runs that the ledger was behind about.
    handed_over: usize,
    /// Deployments that the ledger was behind about.
    pub(crate) deployments: usize,
    /// Stages that are frozen.
    pub(crate) frozen: usize,
    /// Uploads whose start had been put off, and was tried again.
    resumed: usize,
    /// What was told by this sweep.
    told: Vec<String>,
}

/// A sweep under way.
pub(crate) struct Sweep<'a> {
    pub(crate) app: &'a App,
    rules: Option<Rules<'a>>,
    pub(crate) invocation: &'a Invocation,
    pub(crate) outcome: Outcome,
    failed: Vec<Error>,
    /// The deployments that the timelines of runs have, each in its furthest state.
    pub(crate) deployments: BTreeMap<String, State>,
}

/// Looks at everything that is open. One step that fails does not keep the others from being done.
pub(crate) async fn handle(_event: Value, app: &App, invocation: Invocation) -> Result<Outcome, Error> {
    let now = invocation.now;
    let mut sweep = Sweep {
        app,
        rules: None,
        invocation: &invocation,
        outcome: Outcome::default(),
        failed: Vec::new(),
        deployments: BTreeMap::new(),
    };
    // First what cannot wait: while its alarm is red, a bad version has users.
    let groups = sweep.note(groups(app, now).await);
    if let Some(groups) = &groups {
        let looked = sweep.look_at_alarms(groups).await;
        sweep.note(looked);
    }
    let (resumed, failed) = deferred::resume(app, &invocation).await;
    sweep.outcome.resumed = resumed;
    sweep.failed.extend(failed);
    let policy = match app.policies.current().await {
        // An environment may be without a policy; one that it has must be valid.
        Ok(Ok(policy)) => Some(policy),
        Ok(Err(NoPolicy::NotConfigured | NoPolicy::Missing(_))) => None,
        Ok(Err(malformed @ NoPolicy::Malformed { .. })) => sweep.note(Err(malformed.into())),
        Err(error) => sweep.note(Err(error.into())),
    };
    let keys = signing_keys(&app.secrets, &app.config.signing_secret).await;
    let keys = sweep.note(keys.map_err(Error::from));
    sweep.rules = policy.as_deref().zip(keys.as_ref()).map(|(policy, keys)| Rules {
        policy,
        links: Links {
            answer_url: &app.config.answer_url,
            keys,
        },
    });
    let state = sweep.note(state(app).await).flatten();
    if let Some(state) = &state {
        sweep.look_at_freezes(state).await;
    }
    let runs = sweep.note(runs(app, now).await);
    if let Some(Listed { read: runs, cut }) = runs {
        sweep.failed.extend(cut);
        sweep.look_at_runs(&runs, state.as_ref()).await;
        // What the runs' timelines do not have is asked of the ledger once more; without them that would be all.
        if let Some(groups) = &groups {
            let looked = sweep.look_at_deployments(groups).await;
            sweep.note(looked);
        }
    }
    let Sweep { outcome, failed, .. } = sweep;
    if failed.is_empty() {
        return Ok(outcome);
    }
    warn!(?outcome, "done but for the steps that failed");
    Err(Error::Some(failed))
}

impl Sweep<'_> {
    /// What a step answered; its error is kept for the end.
    pub(crate) fn note<T>(&mut self, step: Result<T, Error>) -> Option<T> {
        step.map_err(|error| self.failed.push(error)).ok()
    }

    /// Whether nothing more is to be begun, where so much time is to be left for what comes after.
    pub(crate) fn is_out_of_time(&self, left: SignedDuration) -> bool {
        let end = self.invocation.deadline.saturating_sub(RESERVE + left);
        Timestamp::now() >= end.unwrap_or(self.invocation.now)
    }

    async fn look_at_runs(&mut self, runs: &[SeenRun], state: Option<&GetPipelineStateOutput>) {
        for run in runs {
            if self.is_out_of_time(FOR_DEPLOYMENTS) {
                self.failed.push(Error::OutOfTime("runs"));
                return;
            }
            let looked = self.look_at(run, state).await;
            self.note(looked);
        }
    }

    async fn look_at(&mut self, run: &SeenRun, state: Option<&GetPipelineStateOutput>) -> Result<(), Error> {
        let now = self.invocation.now;
        if run.state.is_final() && !run.is_recent(now) {
            return Ok(());
        }
        self.outcome.runs += 1;
        if run.state.is_final() {
            let agreed = self.reconcile(run, &[]).await;
            if run.state == State::Failed {
                self.look_for_lapsed(run).await?;
            }
            return agreed;
        }
        let actions = actions(self.app, &run.execution).await?;
        let agreed = self.reconcile(run, &actions).await;
        if let Some(state) = state {
            for (approval, token) in open_approvals(self.app, &run.execution, state, &actions) {
                let newer = newer_waits(state, &approval);
                self.look_at_approval(&approval, &token, newer).await?;
            }
        }
        agreed
    }

    /// Makes the ledger agree with AWS about a run.
    async fn reconcile(&mut self, run: &SeenRun, actions: &[ActionExecutionDetail]) -> Result<(), Error> {
        let Sweep { app, invocation, .. } = *self;
        let subject = Subject::Run {
            pipeline: app.config.pipeline.clone(),
            execution: run.execution.clone(),
        };
        let known = app.ledger.load_timeline(&subject).await?;
        for (id, deployment) in &known.timeline.deployments {
            let state = self
                .deployments
                .entry(id.clone())
                .or_insert_with(|| State::Other(String::new()));
            *state = deployment.progress.state.clone().max(state.clone());
        }
        let seen = Run {
            state: run.state.clone(),
            actions: states(actions),
        };
        let Some(why) = behind(&subject, &known.timeline, &seen, &app.config.region) else {
            return Ok(());
        };
        let newest = actions
            .first()
            .and_then(|detail| detail.stage_name().zip(detail.action_name()));
        let Config {
            pipeline,
            region,
            track_run,
            ..
        } = &app.config;
        let name = digest(&[pipeline.as_str(), run.execution.as_str(), &seen.digest()]);
        let event = synthesized::run_changed(pipeline, &run.execution, newest, region, invocation.now);
        if hand_over(app, "sweep-run", &name, track_run, &event, invocation).await? {
            info!(execution = %run.execution, %why, "handed over");
            self.outcome.handed_over += 1;
        }
        Ok(())
    }

    async fn look_at_approval(
        &mut self,
        approval: &ApprovalAction,
        token: &Token,
        newer_waits: bool,
    ) -> Result<(), Error> {
        self.outcome.open_approvals += 1;
        let now = self.invocation.now;
        let key = ApprovalKey::new(approval, token.hash());
        let stored = self.app.ledger.load_approval(&key).await?;
        let all_asked = is_asked(self.app, approval, token.hash(), now).await?;
        let record: Option<Record> = match &stored {
            Some(stored) => Some(read(approval, &stored.record)?),
            None => None,
        };
        let votes: Vec<Vote> = match &stored {
            Some(stored) => read(approval, &Value::Array(stored.votes.clone()))?,
            None => Vec::new(),
        };
        let waiting = Waiting {
            approval,
            record: record.as_ref(),
            all_asked,
            decided: stored.as_ref().is_some_and(|stored| stored.decision.is_some()),
            votes: &votes,
            newer_waits,
        };
        for due in decide(now, &Found::Waiting(waiting), self.rules) {
            self.carry_out(due, token).await;
        }
        Ok(())
    }

    /// Whether an approval of a run that failed had ended unanswered.
    async fn look_for_lapsed(&mut self, run: &SeenRun) -> Result<(), Error> {
        let found = self
            .app
            .ledger
            .approvals_of_run(&self.app.config.pipeline, &run.execution)
            .await?;
        let mut latest: Vec<Record> = Vec::new();
        for AuditedApproval {
            approval,
            record,
            decision,
            ..
        } in found
        {
            let (Some(record), None) = (record, decision) else {
                continue;
            };
            let record: Record = read(&approval, &record)?;
            match latest.iter_mut().find(|known| known.approval == record.approval) {
                // A retried stage asked anew: what is shown is about the last asking.
                Some(known) if known.opened < record.opened => *known = record,
                Some(_) => {}
                None => latest.push(record),
            }
        }
        if latest.is_empty() {
            return Ok(());
        }
        let actions = actions(self.app, &run.execution).await?;
        for record in latest
            .iter()
            .filter(|record| has_lapsed(&record.approval, &actions))
        {
            for due in decide(self.invocation.now, &Found::Lapsed(record), self.rules) {
                if let Do::Tell(telling) = due {
                    self.tell(&telling).await;
                }
            }
        }
        Ok(())
    }

    async fn carry_out(&mut self, due: Do, token: &Token) {
        match due {
            Do::Repair { approval, why } => {
                if self.is_out_of_time(FOR_REPAIR) {
                    self.failed.push(Error::OutOfTime("approvals"));
                    return;
                }
                info!(execution = %approval.execution, ?why, "is asked for again");
                match repair(self.app, &approval, token.hash(), self.invocation).await {
                    Ok(()) => self.outcome.repaired += 1,
                    Err(error) => self.failed.push(error),
                }
            }
            Do::Tell(telling) => self.tell(&telling).await,
        }
    }

    pub(crate) async fn tell(&mut self, telling: &Telling) {
        match tell(self.app, telling, self.invocation).await {
            Ok(true) => self.outcome.told.push(format!("{:?}", telling.kind)),
            Ok(false) => {}
            Err(error) => self.failed.push(error),
        }
    }
}

/// Not the parser's own words: they may repeat what was read.
fn read<T: DeserializeOwned>(approval: &ApprovalAction, value: &Value) -> Result<T, Error> {
    T::deserialize(value).map_err(|error| {
        Error::Record(
            approval.execution.to_string(),
            format!("{:?} error", error.classify()),
        )
    })
}
