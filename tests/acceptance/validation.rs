//! Validation, with the real functions: what comes before traffic, one verdict whatever happens, jobs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use signalbox_local::sample::Behaviour;

use crate::process::naming;
use crate::runs::action_of;
use crate::validation_asked::asked_by_codedeploy;
use crate::validation_site::{
    ALL_AT_ONCE, BEFORE, FUNCTION, JOB, Order, Site, finding, not_passed, policy, site,
};
use crate::world::{World, until};

pub(crate) async fn an_alarm_that_is_red_already_is_reported_and_an_override_goes_on(world: &World) {
    let site = site(world).await;
    let mut policy = policy();
    policy["canary"]["wait_seconds"] = json!(0);
    site.set_policy(&policy.to_string()).await;
    let mut order = Order::before(Behaviour::Good);
    order.missing_data = "breaching";
    let ended = site.deploy(&order).await;
    let report = site.report(&ended.id, "BeforeAllowTraffic").await;
    assert_eq!(ended.status, "Failed", "{report:#}");
    assert_eq!(not_passed(&report), ["preflight"], "{report:#}");
    let (_, evidence) = finding(&report, "preflight");
    let way_out = "--override-alarm-configuration enabled=false";
    assert!(
        evidence.contains("red already") && evidence.contains(way_out),
        "{evidence}"
    );

    order.overrides_alarms = true;
    let ended = site.deploy(&order).await;
    let report = site.report(&ended.id, "BeforeAllowTraffic").await;
    assert_eq!(ended.status, "Succeeded", "{report:#}");
    let (verdict, evidence) = finding(&report, "preflight");
    assert_eq!(verdict, "passed");
    assert!(
        evidence.contains("overridden by deployment") && evidence.contains("the trial's"),
        "{evidence}"
    );
}

pub(crate) async fn code_that_was_rolled_back_gets_no_traffic_until_it_is_allowed(world: &World) {
    let site = site(world).await;
    let version = site.publish(Behaviour::Good).await;
    site.watch_version(&version).await;
    let asked = json!({ "FunctionName": FUNCTION, "Qualifier": version });
    let code = site.call("lambda", "GetFunctionConfiguration", asked).await;
    let code = code["CodeSha256"].as_str().unwrap();
    let now = jiff::Timestamp::now();
    let mut bad = json!({
        "function": FUNCTION, "code_sha256": code, "version": "1234", "deployment": "d-EARLIER00",
        "alarm": "lambda-function-validation-errors", "at": now, "allowed": null,
    });
    let name = format!("{FUNCTION}/{code}");
    site.ledger()
        .put_value("bad-version", &name, &bad, now, None)
        .await
        .unwrap();
    let hooked = site.ask_before(&version).await;
    let (verdict, evidence) = finding(&hooked, "known-bad");
    assert!(
        verdict == "failed" && evidence.contains("d-EARLIER00"),
        "{evidence}"
    );
    bad["allowed"] = json!({ "by": "ann@example.com", "reason": "it was the database", "at": now });
    site.ledger()
        .put_value("bad-version", &name, &bad, now, None)
        .await
        .unwrap();
    let hooked = site.ask_before(&version).await;
    assert_eq!(finding(&hooked, "known-bad").0, "passed", "{hooked:#}");
}

impl Site<'_> {
    /// Deploys a version that was published already, as somebody would by hand; answers the report.
    async fn ask_before(&self, version: &str) -> Value {
        let spec = json!({
            "version": 0.0,
            "Resources": [{ "app": { "Type": "AWS::Lambda::Function", "Properties": {
                "Name": FUNCTION, "Alias": "live", "CurrentVersion": self.live().await, "TargetVersion": version,
            }}}],
            "Hooks": [{ "BeforeAllowTraffic": BEFORE }],
        });
        let input = json!({
            "applicationName": FUNCTION, "deploymentGroupName": crate::validation_site::GROUP,
            "deploymentConfigName": ALL_AT_ONCE, "revision": {
                "revisionType": "AppSpecContent", "appSpecContent": { "content": spec.to_string() },
            },
        });
        let made = self.call("codedeploy", "CreateDeployment", input).await;
        let id = made["deploymentId"].as_str().unwrap().to_owned();
        let ended = self.end((id, version.to_owned())).await;
        self.report(&ended.id, "BeforeAllowTraffic").await
    }

    async fn set_timeout(&self, seconds: u32) {
        let input = json!({ "FunctionName": BEFORE, "Timeout": seconds });
        self.call("lambda", "UpdateFunctionConfiguration", input).await;
    }
}

pub(crate) async fn a_malformed_policy_lets_no_version_pass_and_names_every_mistake(world: &World) {
    let site = site(world).await;
    site.set_policy(r#"{"version":1,"lod":{},"inconclusive":"maybe"}"#)
        .await;
    let ended = site.deploy(&Order::before(Behaviour::Good)).await;
    assert_eq!(ended.status, "Failed");
    let report = site.report(&ended.id, "BeforeAllowTraffic").await;
    let (_, evidence) = finding(&report, "policy");
    assert!(
        evidence.contains("2 mistakes") && evidence.contains("lod: ") && evidence.contains("inconclusive: "),
        "{evidence}"
    );
}

pub(crate) async fn h81_a_process_that_dies_in_a_check_is_made_up_for_and_a_verdict_is_reported(
    world: &World,
) {
    let site = site(world).await;
    // Slow enough that the checks are under way for seconds.
    let begun = site.begin(&Order::before(Behaviour::Slow(600))).await;
    let version = &begun.1;
    until("the version is being checked", async || {
        let log = json!({ "logGroupName": format!("/aws/lambda/{FUNCTION}") });
        let log = world
            .running
            .call("logs", "FilterLogEvents", log)
            .await
            .unwrap_or_default();
        log.to_string().contains(&format!("[{version}]")).then_some(())
    })
    .await;
    let mut killed = 0;
    for process in naming(BEFORE) {
        let pid = process.split(' ').next().unwrap().parse().unwrap();
        // Only what runs the hook's binary: the gateway names the function as well.
        if process.contains("/validate-deployment") {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            killed += 1;
        }
    }
    assert!(killed > 0, "the hook's process was not there to kill");
    let ended = site.end(begun).await;
    let report = site.report(&ended.id, "BeforeAllowTraffic").await;
    assert_eq!(
        ended.status, "Succeeded",
        "Lambda tries again, and the checks pass: {report:#}"
    );
}

pub(crate) async fn h84_past_its_deadline_a_validation_fails_before_its_function_ends(world: &World) {
    let site = site(world).await;
    // Ten seconds are kept for the report, so that twelve are left for checks that take longer.
    site.set_timeout(22).await;
    let ended = site.deploy(&Order::before(Behaviour::Slow(4000))).await;
    site.set_timeout(300).await;
    let report = site.report(&ended.id, "BeforeAllowTraffic").await;
    assert_eq!(ended.status, "Failed", "{report:#}");
    let (verdict, evidence) = finding(&report, "validation");
    assert!(
        verdict == "failed" && evidence.contains("did not end within"),
        "{evidence}"
    );
    assert_eq!(
        finding(&report, "preflight").0,
        "passed",
        "what was found by then is kept"
    );
}

async fn judge(world: &World, event: &Value) -> Value {
    crate::host::invoke(world, BEFORE, event).await.payload
}

pub(crate) async fn h82_a_duplicate_gives_no_second_verdict(world: &World) {
    let site = site(world).await;
    let (begun, event) =
        asked_by_codedeploy(world, &site, "BeforeAllowTraffic", Order::before(Behaviour::Good)).await;
    let (one, other) = tokio::join!(judge(world, &event), judge(world, &event));
    let mut told: Vec<&str> = [&one, &other]
        .iter()
        .filter_map(|answer| answer["reported"].as_str())
        .collect();
    told.sort_unstable();
    assert_eq!(told, ["accepted", "too-late"], "{one} {other}");
    assert_eq!(site.end(begun).await.status, "Succeeded");
    let later = judge(world, &event).await;
    assert_eq!(later["reported"], "too-late", "{later}");
}

pub(crate) async fn h83_after_a_pass_a_late_retry_that_would_fail_changes_nothing(world: &World) {
    let site = site(world).await;
    let (begun, event) =
        asked_by_codedeploy(world, &site, "BeforeAllowTraffic", Order::before(Behaviour::Good)).await;
    let first = judge(world, &event).await;
    assert_eq!(
        (&first["verdict"], &first["reported"]),
        (&json!("passed"), &json!("accepted")),
        "{first}"
    );
    let ended = site.end(begun).await;
    assert_eq!(ended.status, "Succeeded");
    site.set_policy("no policy at all").await;
    // Without the ledger's memory of the first verdict, the retry comes as far as CodeDeploy.
    let name = format!(
        "{}/{}",
        ended.id,
        event["LifecycleEventHookExecutionId"].as_str().unwrap()
    );
    let now = jiff::Timestamp::now();
    let forgotten = Some(now - jiff::SignedDuration::from_secs(1));
    site.ledger()
        .put_value("validation-verdict", &name, &json!("passed"), now, forgotten)
        .await
        .unwrap();
    let retry = judge(world, &event).await;
    assert_eq!(
        (&retry["verdict"], &retry["reported"]),
        (&json!("failed"), &json!("too-late")),
        "{retry}"
    );
    let report = site.report(&ended.id, "BeforeAllowTraffic").await;
    assert_eq!(
        report["report"]["verdict"], "passed",
        "the first verdict's report stands"
    );
    assert_eq!(site.live().await, ended.version);
}

pub(crate) async fn a_job_of_the_pipeline_watches_over_several_calls_and_then_reports(world: &World) {
    let site = site(world).await;
    for (parameters, status, words) in [
        (
            json!({ "checks": ["invocation", "error-handling", "logs"], "watch_seconds": 4 }),
            "Succeeded",
            "watch passed",
        ),
        (
            json!({ "checks": ["canary"], "minutes": 1 }),
            "Failed",
            "UserParameters: checks: a list",
        ),
    ] {
        let run = site.run_job(world, JOB, &parameters).await;
        let action = until("the run's end", async || {
            let action = action_of(world, &run.0, &run.1, "Validate").await;
            action.filter(|action| action["status"] != "InProgress")
        })
        .await;
        assert_eq!(action["status"], status, "{action:#}");
        assert!(action.to_string().contains(words), "{words}: {action:#}");
        // The run's timeline finds the report by what CodePipeline lists.
        let job = action.pointer("/output/executionResult/externalExecutionId");
        let job = job.and_then(Value::as_str).unwrap_or_default();
        let report = site.report(job, "Job").await;
        let passed = report["report"]["verdict"] == "passed";
        assert_eq!(passed, status == "Succeeded", "{report:#}");
    }
}

pub(crate) async fn what_bad_requests_make_an_application_log_does_not_fail_it(world: &World) {
    let site = site(world).await;
    // An application that logs every refusal as an error, as many do, without the request's id.
    let code = "
exports.handler = async (event) => {
    if (event && event.action === 'create' && typeof event.data === 'object') return { ok: true };
    process.stdout.write('ERROR invalid request\\n');
    return { ok: false, error: { code: 'InvalidInput' } };
};";
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("index.js", zip::write::SimpleFileOptions::default())
        .unwrap();
    std::io::Write::write_all(&mut zip, code.as_bytes()).unwrap();
    let zip = STANDARD.encode(zip.finish().unwrap().into_inner());
    site.call(
        "lambda",
        "UpdateFunctionCode",
        json!({ "FunctionName": FUNCTION, "ZipFile": zip }),
    )
    .await;
    let published = site
        .call("lambda", "PublishVersion", json!({ "FunctionName": FUNCTION }))
        .await;
    let version = published["Version"].as_str().unwrap().to_owned();
    site.watch_version(&version).await;
    let report = site.ask_before(&version).await;
    let (verdict, evidence) = finding(&report, "logs");
    assert_eq!(verdict, "passed", "{evidence}");
    assert!(
        evidence.contains("4 of requests that were meant to be refused"),
        "{evidence}"
    );
}
