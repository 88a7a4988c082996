//! AWS, as far as the invariants go: runs of one pipeline, their approvals, the deployments of one group, one
//! alarm, and a topic. Calls have AWS's own guards: a client token names one run, an approval's token is used
//! once, a group has one deployment in flight, what has ended cannot be stopped.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use signalbox_decision::approval::{Token, Verdict};
use signalbox_decision::names::{DeploymentId, ExecutionId};
use signalbox_decision::timeline::State;

/// An event on its way, or what the sweep hands over in its form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Uploaded {
        version: usize,
    },
    RunChanged {
        run: usize,
    },
    ApprovalStarted {
        run: usize,
    },
    DeploymentChanged {
        deployment: usize,
        state: State,
        at: Timestamp,
    },
    AlarmRaised {
        since: Timestamp,
    },
}

pub(crate) const STAGES: [&str; 3] = ["Source", "Approval", "Release"];

#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) stage: usize,
    pub(crate) state: State,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: ExecutionId,
    pub(crate) version: usize,
    pub(crate) state: State,
    pub(crate) actions: Vec<Action>,
    /// While its approval waits.
    pub(crate) token: Option<Token>,
    /// How it was answered, and what CodePipeline shows of that.
    pub(crate) answer: Option<(Verdict, String)>,
    pub(crate) deployment: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    pub(crate) id: DeploymentId,
    pub(crate) state: State,
    pub(crate) created: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The deployment that it undoes.
    pub(crate) undoes: Option<usize>,
}

/// What was done to a deployment, and since when the alarm was red then (if it was).
#[derive(Debug, Clone)]
pub(crate) struct Undone {
    pub(crate) deployment: usize,
    pub(crate) red_since: Vec<Timestamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Aws {
    pub(crate) now: Timestamp,
    pub(crate) uploads: usize,
    pub(crate) runs: Vec<Run>,
    pub(crate) tokens: BTreeMap<String, usize>,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) alias: usize,
    pub(crate) red_since: Option<Timestamp>,
    /// Every moment at which the alarm fired.
    pub(crate) fired: Vec<Timestamp>,
    pub(crate) frozen: bool,
    /// The ids of the notices that the topic took.
    pub(crate) published: Vec<String>,
    /// Letters to approvers: whom, and the link's segment.
    pub(crate) letters: Vec<(String, String)>,
    pub(crate) stopped: Vec<Undone>,
    pub(crate) redeployed: Vec<Undone>,
    /// Events that have happened and that the bus has not delivered yet.
    pub(crate) outbox: Vec<Event>,
}

/// AWS refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

impl Aws {
    pub(crate) fn pass(&mut self, time: SignedDuration) {
        self.now += time;
    }

    pub(crate) fn upload(&mut self) {
        let version = self.uploads;
        self.uploads += 1;
        self.outbox.push(Event::Uploaded { version });
    }

    /// `StartPipelineExecution`: a token sent twice names the same run.
    pub(crate) fn start(&mut self, token: &str, version: usize) -> usize {
        if let Some(run) = self.tokens.get(token) {
            return *run;
        }
        let run = self.runs.len();
        self.runs.push(Run {
            id: ExecutionId::new(format!("{run:08x}-0000-4000-8000-000000000000")).unwrap(),
            version,
            state: State::InProgress,
            actions: Vec::new(),
            token: None,
            answer: None,
            deployment: None,
        });
        self.tokens.insert(token.to_owned(), run);
        self.enter(run, 0);
        run
    }

    fn enter(&mut self, run: usize, stage: usize) {
        let started = self.now;
        self.runs[run].actions.push(Action {
            stage,
            state: State::InProgress,
            started,
            ended: None,
        });
        self.outbox.push(Event::RunChanged { run });
    }

    fn leave(&mut self, run: usize, state: State) {
        let now = self.now;
        let action = self.runs[run].actions.last_mut().unwrap();
        (action.state, action.ended) = (state, Some(now));
        self.outbox.push(Event::RunChanged { run });
    }

    fn end(&mut self, run: usize, state: State) {
        self.leave(run, state.clone());
        self.runs[run].state = state;
    }

    /// What CodePipeline does next about a run, if anything: no step of a person's or a deployment's.
    pub(crate) fn advance(&mut self, run: usize) {
        let Some(action) = self.runs[run].actions.last().cloned() else {
            return;
        };
        if self.runs[run].state.is_final() {
            return;
        }
        match (action.stage, &action.state) {
            (0, State::InProgress) => {
                self.leave(run, State::Succeeded);
                self.enter(run, 1);
                self.runs[run].token = Some(Token::new(format!("token-{run}")));
                self.outbox.push(Event::ApprovalStarted { run });
            }
            // A frozen stage is not entered, and a group has one deployment at a time.
            (1, State::Succeeded) if !self.frozen && !self.is_deploying() => {
                self.enter(run, 2);
                let to = self.runs[run].version + 2;
                let deployment = self.deploy(to, None);
                self.runs[run].deployment = Some(deployment);
            }
            _ => {}
        }
    }

    /// `PutApprovalResult`.
    pub(crate) fn answer(&mut self, token: &Token, verdict: Verdict, summary: &str) -> Result<(), Refused> {
        let waiting = self.runs.iter().position(|run| run.token.as_ref() == Some(token));
        let run = waiting.ok_or(Refused("InvalidApprovalTokenException"))?;
        self.runs[run].token = None;
        self.runs[run].answer = Some((verdict, summary.to_owned()));
        match verdict {
            Verdict::Approved => self.leave(run, State::Succeeded),
            Verdict::Rejected => self.end(run, State::Failed),
        }
        Ok(())
    }

    /// A person deploys a version, past the pipeline.
    pub(crate) fn deploy_by_hand(&mut self) {
        if !self.is_deploying() {
            let to = self.alias + 100;
            self.deploy(to, None);
        }
    }

    fn is_deploying(&self) -> bool {
        self.deployments
            .iter()
            .any(|deployment| !deployment.state.is_final())
    }

    fn deploy(&mut self, to: usize, undoes: Option<usize>) -> usize {
        let at = self.deployments.len();
        self.deployments.push(Deployment {
            id: DeploymentId::new(format!("d-{at}")).unwrap(),
            state: State::InProgress,
            created: self.now,
            ended: None,
            from: self.alias,
            to,
            undoes,
        });
        self.tell_deployment(at);
        // No two things happen in one instant.
        self.pass(SignedDuration::from_millis(1));
        at
    }

    fn tell_deployment(&mut self, deployment: usize) {
        let state = self.deployments[deployment].state.clone();
        let at = self.now;
        self.outbox.push(Event::DeploymentChanged {
            deployment,
            state,
            at,
        });
    }

    /// A deployment in flight reaches its end.
    pub(crate) fn finish(&mut self, deployment: usize) {
        if self.deployments[deployment].state.is_final() {
            return;
        }
        self.settle(deployment, &State::Succeeded);
        self.alias = self.deployments[deployment].to;
    }

    fn settle(&mut self, deployment: usize, state: &State) {
        let now = self.now;
        let it = &mut self.deployments[deployment];
        (it.state, it.ended) = (state.clone(), Some(now));
        self.tell_deployment(deployment);
        let run = self
            .runs
            .iter()
            .position(|run| run.deployment == Some(deployment));
        if let Some(run) = run {
            let state = if *state == State::Succeeded {
                State::Succeeded
            } else {
                State::Failed
            };
            self.end(run, state);
        }
        self.pass(SignedDuration::from_millis(1));
    }

    /// `StopDeployment` with the traffic moved back; false where it had ended.
    pub(crate) fn stop(&mut self, deployment: usize) -> bool {
        if self.deployments[deployment].state.is_final() {
            return false;
        }
        self.stopped.push(self.undone(deployment));
        self.settle(deployment, &State::Stopped);
        let back = self.deploy(self.deployments[deployment].from, Some(deployment));
        self.finish(back);
        true
    }

    /// `CreateDeployment` of the version before.
    pub(crate) fn redeploy(&mut self, undone: usize, to: usize) -> Result<usize, Refused> {
        if self.is_deploying() {
            return Err(Refused("DeploymentLimitExceededException"));
        }
        self.redeployed.push(self.undone(undone));
        Ok(self.deploy(to, Some(undone)))
    }

    fn undone(&self, deployment: usize) -> Undone {
        Undone {
            deployment,
            red_since: self.fired.clone(),
        }
    }

    pub(crate) fn raise(&mut self) {
        if self.red_since.is_none() {
            let since = self.now;
            self.red_since = Some(since);
            self.fired.push(since);
            self.outbox.push(Event::AlarmRaised { since });
            self.pass(SignedDuration::from_millis(1));
        }
    }

    pub(crate) fn calm(&mut self) {
        self.red_since = None;
    }
}
