//! One schedule, played: a number at a time decides what happens next.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use signalbox_decision::approval::Verdict;
use signalbox_decision::approval::link::Link;
use signalbox_ledger::Ledger;

use crate::approvals::{answer_approval, keys, request_approval};
use crate::aws::{Aws, Event};
use crate::invariants::{Approvals, Faults, always, in_the_end};
use crate::mutant::Mutant;
use crate::releases::roll_back;
use crate::runs::{start_run, track_deployment, track_run};
use crate::shell::{Failed, Invocation, TIME_OUT};
use crate::sweep::{Outbox, sweep};

/// Lambda tries an asynchronous invocation three times.
const TRIES: u32 = 3;
const FIVE_MINUTES: SignedDuration = SignedDuration::from_mins(5);
/// The choices that are about deployments and their alarm: functions go on, events come (twice, late, never),
/// somebody crashes, a deployment begins and ends, the alarm fires and calms down, the sweep runs.
pub(crate) const ABOUT_RELEASES: [u16; 19] = [
    0, 0, 0, 0, 0, 44, 44, 44, 58, 58, 60, 61, 84, 84, 88, 91, 94, 98, 98,
];
/// More show nothing that these do not.
const UPLOADS: usize = 4;
/// A call and its answer.
const CALL: SignedDuration = SignedDuration::from_millis(50);
/// What the sweep handed over it does not hand over again before that.
const HANDED_OVER: SignedDuration = SignedDuration::from_hours(1);

/// What a function was invoked for; kept, so that it can be again.
#[derive(Clone)]
enum Cause {
    Event(Event),
    Form { segment: String, verdict: Verdict },
    Schedule,
}

struct Task {
    cause: Cause,
    tries: u32,
    deadline: Timestamp,
    future: Pin<Box<dyn Future<Output = Result<(), Failed>>>>,
}

struct Pending {
    cause: Cause,
    tries: u32,
    not_before: Timestamp,
    /// Whether it is an event on the bus; what Lambda has taken is not lost.
    is_lossy: bool,
}

pub(crate) struct World {
    pub(crate) aws: Rc<RefCell<Aws>>,
    ledger: Ledger,
    mutant: Option<Mutant>,
    tasks: Vec<Task>,
    pending: VecDeque<Pending>,
    handed: Outbox,
    approvals: Approvals,
    invocations: usize,
    pub(crate) crashes: usize,
    /// How many events ended in a dead-letter queue.
    dead: usize,
}

/// Plays a schedule to its end and past it; the invariant that it breaks.
pub(crate) fn play(schedule: &[u16], mutant: Option<Mutant>) -> Result<(), String> {
    let mut world = World::new(mutant);
    for choice in schedule {
        world.choose(*choice);
        always(&world.aws.borrow(), &world.approvals)?;
    }
    world.settle();
    if world.dead > 0 {
        world.aws.borrow_mut().pass(HANDED_OVER);
    }
    for _ in 0..2 {
        world.aws.borrow_mut().pass(FIVE_MINUTES);
        world.pending.push_back(Pending::now(Cause::Schedule));
        world.settle();
    }
    let aws = world.aws.borrow();
    always(&aws, &world.approvals)?;
    let faults = Faults {
        crashes: world.crashes,
        dead: world.dead,
    };
    finished(in_the_end(&aws, &world.ledger, &faults))
}

/// The ledger's twin in memory never waits.
fn finished<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the ledger in memory waited"),
    }
}

impl Pending {
    fn now(cause: Cause) -> Self {
        Self {
            cause,
            tries: 0,
            not_before: Timestamp::MIN,
            is_lossy: false,
        }
    }
}

impl World {
    pub(crate) fn new(mutant: Option<Mutant>) -> Self {
        let aws = Aws {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            ..Aws::default()
        };
        Self {
            aws: Rc::new(RefCell::new(aws)),
            ledger: Ledger::memory(),
            mutant,
            tasks: Vec::new(),
            pending: VecDeque::new(),
            handed: Rc::default(),
            approvals: Approvals::new(),
            invocations: 0,
            crashes: 0,
            dead: 0,
        }
    }

    /// Most choices let somebody go on; the rest is what AWS, people and faults do.
    pub(crate) fn choose(&mut self, choice: u16) {
        let (what, which) = (choice % 100, usize::from(choice / 100));
        match what {
            0..44 => {
                // By a few calls at once, or hardly anybody would come to an end.
                for _ in 0..=which % 12 {
                    self.go_on(which);
                }
            }
            44..58 => self.deliver(which, true),
            58..60 => self.deliver(which, false),
            60 => self.lose(which),
            61 => self.crash(which),
            62..64 => self.upload(),
            64..72 => self.advance(which),
            72..84 => self.fill_in_a_form(which),
            84..88 => self.finish(which),
            88..91 => self.aws.borrow_mut().raise(),
            91..93 => self.aws.borrow_mut().calm(),
            93 => self.aws.borrow_mut().frozen = false,
            94..96 => self.pending.push_back(Pending::now(Cause::Schedule)),
            96 => self.aws.borrow_mut().pass(FIVE_MINUTES),
            97 => self.aws.borrow_mut().pass(TIME_OUT),
            98 => self.aws.borrow_mut().deploy_by_hand(),
            _ => self.aws.borrow_mut().pass(SignedDuration::from_secs(5)),
        }
        self.collect();
    }

    fn upload(&mut self) {
        let mut aws = self.aws.borrow_mut();
        if aws.uploads < UPLOADS {
            aws.upload();
        }
    }

    /// What has happened is on its way.
    fn collect(&mut self) {
        let happened = std::mem::take(&mut self.aws.borrow_mut().outbox);
        let handed = std::mem::take(&mut *self.handed.borrow_mut());
        // S3's events are durable; CodePipeline's and CodeDeploy's are not, and a rule may drop an alarm's.
        self.pending.extend(happened.into_iter().map(|event| Pending {
            is_lossy: !matches!(event, Event::Uploaded { .. }),
            ..Pending::now(Cause::Event(event))
        }));
        let handed = handed.into_iter().map(|event| Pending::now(Cause::Event(event)));
        self.pending.extend(handed);
    }

    /// Hands an event over; `once` unless the bus delivers it again.
    fn deliver(&mut self, which: usize, once: bool) {
        let now = self.aws.borrow().now;
        let ready: Vec<usize> = (0..self.pending.len())
            .filter(|at| self.pending[*at].not_before <= now)
            .collect();
        if ready.is_empty() {
            return;
        }
        let at = ready[which % ready.len()];
        let (cause, tries) = (self.pending[at].cause.clone(), self.pending[at].tries);
        if once {
            self.pending.remove(at);
        }
        self.invoke(cause, tries);
    }

    /// An event is lost on the bus.
    fn lose(&mut self, which: usize) {
        let lossy: Vec<usize> = (0..self.pending.len())
            .filter(|at| self.pending[*at].is_lossy)
            .collect();
        if !lossy.is_empty() {
            self.pending.remove(lossy[which % lossy.len()]);
        }
    }

    fn invoke(&mut self, cause: Cause, tries: u32) {
        self.invocations += 1;
        let now = self.aws.borrow().now;
        let cx = Invocation {
            aws: self.aws.clone(),
            ledger: self.ledger.clone(),
            mutant: self.mutant,
            now,
            id: format!("invocation-{}", self.invocations),
        };
        let future: Pin<Box<dyn Future<Output = Result<(), Failed>>>> = match cause.clone() {
            Cause::Event(Event::Uploaded { version }) => Box::pin(start_run(cx, version)),
            Cause::Event(Event::RunChanged { run }) => Box::pin(track_run(cx, run)),
            Cause::Event(Event::ApprovalStarted { run }) => {
                Box::pin(async move { request_approval(&cx, run).await })
            }
            Cause::Event(Event::DeploymentChanged {
                deployment,
                state,
                at,
            }) => Box::pin(track_deployment(cx, deployment, state, at)),
            Cause::Event(Event::AlarmRaised { since }) => Box::pin(roll_back(cx, since)),
            Cause::Form { segment, verdict } => Box::pin(answer_approval(cx, segment, verdict)),
            Cause::Schedule => Box::pin(sweep(cx, self.handed.clone())),
        };
        self.tasks.push(Task {
            cause,
            tries: tries + 1,
            deadline: now + TIME_OUT,
            future,
        });
    }

    /// One function goes on to its next call.
    fn go_on(&mut self, which: usize) {
        if self.tasks.is_empty() {
            return;
        }
        let at = which % self.tasks.len();
        let now = self.aws.borrow().now;
        if self.tasks[at].deadline <= now {
            return self.crash(which);
        }
        let task = &mut self.tasks[at];
        let polled = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.aws.borrow_mut().pass(CALL);
        if let Poll::Ready(result) = polled {
            let task = self.tasks.swap_remove(at);
            if result.is_err() {
                self.again(task.cause, task.tries);
            }
        }
    }

    /// A function dies, wherever it is. Lambda tries again.
    fn crash(&mut self, which: usize) {
        if self.tasks.is_empty() {
            return;
        }
        let task = self.tasks.swap_remove(which % self.tasks.len());
        self.crashes += 1;
        self.again(task.cause, task.tries);
    }

    /// Lambda's retries come after one and two minutes; a form's sender and the schedule do not come again.
    fn again(&mut self, cause: Cause, tries: u32) {
        if !matches!(cause, Cause::Event(_)) {
            return;
        }
        if tries < TRIES {
            let wait = SignedDuration::from_mins(i64::from(tries));
            let not_before = self.aws.borrow().now + wait;
            self.pending.push_back(Pending {
                cause,
                tries,
                not_before,
                is_lossy: false,
            });
        } else {
            self.dead += 1;
        }
    }

    fn advance(&mut self, which: usize) {
        let mut aws = self.aws.borrow_mut();
        if !aws.runs.is_empty() {
            let run = which % aws.runs.len();
            aws.advance(run);
        }
    }

    fn finish(&mut self, which: usize) {
        let mut aws = self.aws.borrow_mut();
        if !aws.deployments.is_empty() {
            let deployment = which % aws.deployments.len();
            aws.finish(deployment);
        }
    }

    /// Somebody sends the form of a letter of theirs; now and then it was tampered with.
    fn fill_in_a_form(&mut self, which: usize) {
        let letters = self.aws.borrow().letters.clone();
        if letters.is_empty() {
            return;
        }
        let (person, mut segment) = letters[which % letters.len()].clone();
        let verdict = if which % 16 == 15 {
            Verdict::Rejected
        } else {
            Verdict::Approved
        };
        if which % 23 == 22 {
            segment.insert(which % segment.len(), 'A');
        }
        if let Ok(link) = Link::verify(&segment, &keys())
            && verdict == Verdict::Approved
        {
            let aws = self.aws.borrow();
            let run = aws
                .runs
                .iter()
                .position(|run| run.id == link.link().approval.execution);
            self.approvals.entry(run.unwrap()).or_default().insert(person);
        }
        self.invoke(Cause::Form { segment, verdict }, 0);
    }

    /// The faults have ended: everybody goes on, and everything that is on its way arrives.
    fn settle(&mut self) {
        self.collect();
        loop {
            while !self.tasks.is_empty() {
                self.go_on(0);
                self.collect();
            }
            let Some(next) = self.pending.pop_front() else {
                return;
            };
            let wait = next.not_before.duration_since(self.aws.borrow().now);
            if wait > SignedDuration::ZERO {
                self.aws.borrow_mut().pass(wait);
            }
            self.invoke(next.cause, next.tries);
        }
    }
}
