//! Hazards 69, 70, 72 to 77 and 80: AWS fails while a run is to be started.
//!
//! Mostly start-run under a name of its own per test, and with a short time-out: rules strike it by that name.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_ledger::ClaimOutcome;
use signalbox_local::faults::{Fault, Injected, Rule};
use signalbox_local::inbox::Mail;

use crate::delivery::claim;
use crate::packages;
use crate::runs;
use crate::source::{Stored, automatic, manual, put};
use crate::world::{Answer, ON_CALL, World, until};

/// The program of one of the environment's functions, with its role and variables, under another name and with
/// another time-out (whole seconds).
pub(crate) async fn twin(world: &World, function: &str, seconds: u64) -> String {
    let name = format!("trial-{}", uuid::Uuid::new_v4().simple());
    let described = world.running.call(
        "lambda",
        "GetFunctionConfiguration",
        json!({ "FunctionName": world.function(function) }),
    );
    let original = described.await.unwrap();
    let input = json!({
        "FunctionName": name, "Timeout": seconds, "Runtime": "provided.al2023", "Handler": "bootstrap",
        "Code": { "ImageUri": format!("local-binary:{function}") }, "Role": original["Role"],
        "MemorySize": original["MemorySize"], "Environment": { "Variables": original["Environment"]["Variables"] },
        "LoggingConfig": { "LogGroup": original["LoggingConfig"]["LogGroup"] },
    });
    world
        .running
        .call("lambda", "CreateFunction", input)
        .await
        .unwrap();
    name
}

/// A short time-out, in seconds: start-run keeps eight of them for what comes after a package's inspection, and a
/// loaded machine needs some before.
pub(crate) const BRIEF: u64 = 15;

/// Waits until a rule has struck so often.
pub(crate) async fn hit(injected: &Injected, times: u32) {
    let waited = tokio::time::timeout(Duration::from_mins(1), injected.has_hit(times)).await;
    assert!(
        waited.is_ok(),
        "the rule struck {} times, and not {times}",
        injected.hits()
    );
}

/// An upload, and a function of its own that is to start its run.
pub(crate) struct Start<'a> {
    world: &'a World,
    pub(crate) function: String,
    pub(crate) stored: Stored,
}

impl<'a> Start<'a> {
    /// `seconds` is the function's time-out.
    pub(crate) async fn prepare(world: &'a World, test: &str, seconds: u64) -> Self {
        Self {
            world,
            function: twin(world, "start-run", seconds).await,
            stored: put(world, &manual(test), packages::sound(test)).await,
        }
    }

    /// The same function, for another upload.
    async fn again(&self, test: &str) -> Self {
        Self {
            world: self.world,
            function: self.function.clone(),
            stored: put(self.world, &manual(test), packages::sound(test)).await,
        }
    }

    /// A rule for this function's calls of an operation.
    pub(crate) fn fails(
        &self,
        service: &str,
        operation: &str,
        what: Fault,
        change: fn(Rule) -> Rule,
    ) -> Injected {
        let rule = Rule::new(service, operation, what).by(&self.function);
        self.world.running.cloud.faults().inject(change(rule))
    }

    fn starting(&self, what: Fault, change: fn(Rule) -> Rule) -> Injected {
        let rule = Rule::new("codepipeline", "StartPipelineExecution", what);
        let rule = rule.by(&self.function).containing(&self.stored.key);
        self.world.running.cloud.faults().inject(change(rule))
    }

    /// Hands the upload's event over.
    pub(crate) async fn arrives(&self) -> Answer {
        let event = self.stored.event(self.world, "A1");
        self.world.invoke_named(&self.function, &event).await
    }

    /// The event comes again until the run is started; answers the run.
    pub(crate) async fn started_at_last(&self) -> String {
        let answer = until("a start that goes well", async || {
            let answer = self.arrives().await;
            (!answer.failed).then_some(answer)
        })
        .await;
        assert_eq!(answer.done(), "started");
        answer.execution().to_owned()
    }

    /// There are just so many runs of the upload.
    pub(crate) async fn runs(&self, count: usize) {
        runs::exactly(self.world, count, &self.stored.version).await;
    }

    /// The run that there is, whoever was told of it.
    async fn run(&self) -> String {
        self.world.run_of(&self.stored.version).await
    }

    /// It failed, a later attempt may succeed, and the error says what happened.
    fn is_retryable(answer: &Answer, words: &[&str]) {
        assert_eq!(answer.error_type(), "Retryable", "{answer:?}");
        for words in words {
            assert!(answer.text().contains(words), "{words:?} is said: {answer:?}");
        }
    }
}

fn throttled() -> Fault {
    Fault::error("ThrottlingException", 400)
}

pub(crate) async fn h69_throttled_twice_it_succeeds(world: &World) {
    let start = Start::prepare(world, "h69", 20).await;
    let injected = start.starting(throttled(), |rule| rule.times(2));
    assert_eq!(start.arrives().await.done(), "started");
    assert_eq!(injected.hits(), 2);
    start.runs(1).await;

    // The ledger's throttling too, before and after the start.
    let start = start.again("h69 ledger").await;
    let slow = Fault::error("ProvisionedThroughputExceededException", 400);
    let injected = start.fails("dynamodb", "PutItem", slow, |rule| rule.times(2));
    assert_eq!(start.arrives().await.done(), "started");
    assert_eq!(injected.hits(), 2);
    start.runs(1).await;
}

/// What the on-failure destination of start-run has about an upload, once it has something.
pub(crate) async fn given_up(world: &World, stored: &Stored) -> Value {
    let name = world.function("start-run-failed");
    let queue = world
        .running
        .call("sqs", "GetQueueUrl", json!({ "QueueName": name }));
    let input = json!({
        "QueueUrl": queue.await.unwrap()["QueueUrl"], "MaxNumberOfMessages": 10, "VisibilityTimeout": 1,
        "WaitTimeSeconds": 0,
    });
    until(&format!("{} in {name}", stored.key), async || {
        let received = world
            .running
            .call("sqs", "ReceiveMessage", input.clone())
            .await
            .unwrap();
        let messages = received["Messages"].as_array().cloned().unwrap_or_default();
        messages.iter().find_map(|message| {
            let body: Value = serde_json::from_str(message["Body"].as_str()?).ok()?;
            body.get("requestPayload")?
                .to_string()
                .contains(&stored.version)
                .then_some(body)
        })
    })
    .await
}

/// A rule for the environment's own start-run, and an upload whose event it gets by the real way.
async fn uploaded_while(world: &World, test: &str, what: Fault) -> (Injected, Stored) {
    let key = automatic(test);
    let rule = Rule::new("codepipeline", "StartPipelineExecution", what);
    let rule = rule.by(&world.function("start-run")).containing(&key);
    let injected = world.running.cloud.faults().inject(rule);
    (injected, put(world, &key, packages::sound(test)).await)
}

pub(crate) async fn h70_throttled_for_good_it_is_given_up_and_kept(world: &World) {
    let (injected, stored) = uploaded_while(world, "h70", throttled()).await;
    let record = given_up(world, &stored).await;
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(
        injected.hits(),
        9,
        "three invocations of three attempts each, and no more"
    );
    let why = record["responsePayload"].to_string();
    assert!(
        why.contains("Retryable") && why.contains("StartPipelineExecution: ThrottlingException"),
        "{why}"
    );
    runs::exactly(world, 0, &stored.version).await;

    // What was kept is all that is needed to do it after all.
    drop(injected);
    assert_eq!(
        world.invoke("start-run", &record["requestPayload"]).await.done(),
        "started"
    );
    runs::exactly(world, 1, &stored.version).await;
}

pub(crate) async fn h72_faults_of_the_service_are_tried_again_and_start_one_run(world: &World) {
    let all = Start::prepare(world, "h72", BRIEF).await;
    let one = async |(status, code)| {
        let start = all.again("h72 twice").await;
        let injected = start.starting(Fault::error(code, status), |rule| rule.times(2));
        assert_eq!(start.arrives().await.done(), "started", "{status}");
        assert_eq!(injected.hits(), 2, "{status}");
        start.runs(1).await;

        // The service did it, and says every time that it failed: nobody knows, so the claim stays until its
        // deadline, and who comes before that is told to come again.
        let start = all.again("h72 done").await;
        let injected = start.starting(Fault::error(code, status), Rule::after);
        Start::is_retryable(&start.arrives().await, &["StartPipelineExecution"]);
        assert_eq!(injected.hits(), 3, "{status}");
        drop(injected);
        let held = claim(world, &start.stored, Timestamp::now()).await;
        assert!(
            matches!(held, ClaimOutcome::InProgress { .. }),
            "{status}: whether the run was started is not known, and yet the claim is free: {held:?}"
        );
        assert_eq!(start.started_at_last().await, start.run().await, "{status}");
        start.runs(1).await;
    };
    let faults = [
        (500, "InternalFailure"),
        (502, "BadGateway"),
        (503, "ServiceUnavailable"),
        (504, "GatewayTimeout"),
    ];
    join_all(faults.map(one)).await;
}

pub(crate) async fn h73_a_reset_after_sending_has_one_effect(world: &World) {
    let start = Start::prepare(world, "h73", 20).await;
    let injected = start.starting(Fault::Reset, |rule| rule.after().times(1));
    let answer = start.arrives().await;
    assert_eq!((answer.done(), injected.hits()), ("started", 1));
    assert_eq!(answer.execution(), start.run().await);
    start.runs(1).await;

    // The ledger's answers: to each of a start's writes.
    for which in 0..3 {
        let start = start.again("h73 ledger").await;
        let injected = lose_write(&start, which);
        let answer = start.arrives().await;
        assert_eq!((answer.done(), injected.hits()), ("started", 1), "write {which}");
        start.runs(1).await;
        assert_eq!(start.arrives().await.done(), "alreadyDone", "write {which}");
    }
}

/// Loses the answer to one of the three writes of a start: of the sequencer, the claim, its completion.
fn lose_write(start: &Start<'_>, which: usize) -> Injected {
    let words = ["SEQUENCER#", "\\\"in_progress_until\\\":", "\\\"result\\\":"];
    let rule = Rule::new("dynamodb", "PutItem", Fault::Reset).by(&start.function);
    let rule = rule.containing(words[which]).after().times(1);
    start.world.running.cloud.faults().inject(rule)
}

pub(crate) async fn h74_what_hangs_ends_at_the_functions_own_deadline(world: &World) {
    let for_good = async |change: fn(Rule) -> Rule| {
        let start = Start::prepare(world, "h74 for good", BRIEF).await;
        let hanging = start.starting(Fault::Hang, change);
        let answer = start.arrives().await;
        // Not Lambda's `Sandbox.Timedout`: the function itself says so while it still can.
        Start::is_retryable(&answer, &["time-out"]);
        assert!(hanging.hits() > 0);
        drop(hanging);
        let run = start.started_at_last().await;
        assert_eq!(run, start.run().await);
        start.runs(1).await;
    };
    // One attempt that hangs is given up before that, and the next one counts.
    let once = async {
        let start = Start::prepare(world, "h74 once", 30).await;
        let hanging = start.starting(Fault::Hang, |rule| rule.times(1));
        assert_eq!((start.arrives().await.done(), hanging.hits()), ("started", 1));
        start.runs(1).await;
    };
    tokio::join!(for_good(|rule| rule), for_good(Rule::after), once);
}

pub(crate) async fn h75_a_denied_call_is_not_repeated_and_is_reported(world: &World) {
    let denied = || Fault::Error {
        code: "AccessDeniedException".to_owned(),
        status: 400,
        message: "User: start-run is not authorized to perform: codepipeline:StartPipelineExecution"
            .to_owned(),
    };
    let start = Start::prepare(world, "h75", 20).await;
    let injected = start.starting(denied(), |rule| rule);
    let answer = start.arrives().await;
    assert_eq!((answer.error_type(), injected.hits()), ("NonRetryable", 1));
    assert!(
        answer
            .text()
            .contains("not authorized to perform: codepipeline:StartPipelineExecution"),
        "{answer:?}"
    );
    // There was no effect: once it is allowed, nobody need wait.
    drop(injected);
    assert_eq!(start.arrives().await.done(), "started");
    start.runs(1).await;

    let (injected, stored) = uploaded_while(world, "h75 reported", denied()).await;
    let record = given_up(world, &stored).await;
    let why = record["responsePayload"].to_string();
    assert!(
        why.contains("NonRetryable") && why.contains("codepipeline:StartPipelineExecution"),
        "{why}"
    );
    assert_eq!(injected.hits(), 3, "once per invocation");
    let alarm = world.function("start-run-failed");
    let alert = |mail: &Mail| mail.to == ON_CALL && mail.text.contains(&alarm);
    world.mail("that something could not be handled", alert).await;
    runs::exactly(world, 0, &stored.version).await;
}

pub(crate) async fn h76_a_conflict_is_backed_off_from(world: &World) {
    let start = Start::prepare(world, "h76", 20).await;
    let conflict = || Fault::error("ConflictException", 400);
    let injected = start.starting(conflict(), |rule| rule.times(2));
    assert_eq!((start.arrives().await.done(), injected.hits()), ("started", 2));
    start.runs(1).await;

    // For good: the attempts are bounded, the event comes again, and need not wait for the claim.
    let start = start.again("h76 for good").await;
    let injected = start.starting(conflict(), |rule| rule);
    Start::is_retryable(
        &start.arrives().await,
        &["StartPipelineExecution: ConflictException"],
    );
    assert_eq!(injected.hits(), 3);
    drop(injected);
    assert_eq!(start.arrives().await.done(), "started");
    start.runs(1).await;
}

pub(crate) async fn h80_half_an_answer_is_an_error(world: &World) {
    // Lost on the way: asked again, and AWS answers the same token with the same run.
    let start = Start::prepare(world, "h80", BRIEF).await;
    let injected = start.starting(Fault::Truncated, |rule| rule.times(1));
    let answer = start.arrives().await;
    assert_eq!((answer.done(), injected.hits()), ("started", 1));
    assert_eq!(answer.execution(), start.run().await);
    start.runs(1).await;

    // Every time: an error, and no run without a name.
    let for_good = async |what| {
        let start = start.again("h80 for good").await;
        let injected = start.starting(what, |rule| rule);
        Start::is_retryable(&start.arrives().await, &["StartPipelineExecution"]);
        let run = start.run().await;
        drop(injected);
        assert_eq!(start.started_at_last().await, run);
        start.runs(1).await;
    };
    tokio::join!(for_good(Fault::Truncated), for_good(Fault::Malformed));

    // A package of which half arrives is not taken for a bad package.
    let start = start.again("h80 package").await;
    let injected = start.fails("s3", "GetObject", Fault::Truncated, |rule| rule.times(1));
    Start::is_retryable(&start.arrives().await, &["could not be read to its end"]);
    assert_eq!(injected.hits(), 1);
    assert_eq!(start.arrives().await.done(), "started");
    start.runs(1).await;
    assert_eq!(
        start.stored.mails(world),
        0,
        "nobody is told that the package is bad"
    );
}

pub(crate) async fn h77_a_full_pipeline_puts_the_start_off_and_loses_nothing(world: &World) {
    let full = Fault::error("ConcurrentPipelineExecutionsLimitExceededException", 400);
    let (injected, stored) = uploaded_while(world, "h77", full).await;
    hit(&injected, 1).await;
    let event = stored.event(world, "A1");
    assert_eq!(world.invoke("start-run", &event).await.done(), "deferred");
    // However long it stays full: each sweep has it tried again, and it is put off again.
    for _ in 0..2 {
        let tried = injected.hits();
        world.invoke("sweep", &json!({})).await;
        hit(&injected, tried + 1).await;
    }
    runs::exactly(world, 0, &stored.version).await;

    // Once there is room, the run comes by itself, once.
    drop(injected);
    world.invoke("sweep", &json!({})).await;
    world.run_of(&stored.version).await;
    world.invoke("sweep", &json!({})).await;
    assert_eq!(world.invoke("start-run", &event).await.done(), "alreadyDone");
    runs::exactly(world, 1, &stored.version).await;
}
