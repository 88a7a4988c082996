//! The sweep over deployments, in an environment that is deaf: neither the alarm nor the deployment reaches
//! anybody by an event, so that everything that happens is the sweep's doing.

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_decision::names::DeploymentId;
use signalbox_decision::timeline::{State, Subject};
use signalbox_local::inbox::Mail;
use signalbox_local::install::Installed;

use crate::host::zipped;
use crate::sweep::{FREEZE_REMINDER, OPERATORS, base64_of, ledger, site, sweep, text_of};
use crate::world::{World, until};

const APPLICATION: &str = "lambda-function-production";
const GROUP: &str = "lambda-function-production-live";
const ALARM: &str = "lambda-function-production-errors";

async fn call(world: &World, service: &str, operation: &str, input: Value) -> Value {
    world.running.call(service, operation, input).await.unwrap()
}

/// The application: two versions, an alias on the first, its alarm, and a deployment group that lists it.
async fn make_application(world: &World) {
    let function = json!({
        "FunctionName": APPLICATION, "Runtime": "nodejs20.x", "Handler": "index.handler",
        "Role": "arn:aws:iam::123456789012:role/trial",
        "Code": { "ZipFile": zipped("exports.handler = async () => 1;") }, "Publish": true,
    });
    call(world, "lambda", "CreateFunction", function).await;
    let code = json!({
        "FunctionName": APPLICATION, "ZipFile": zipped("exports.handler = async () => 2;"), "Publish": true,
    });
    call(world, "lambda", "UpdateFunctionCode", code).await;
    let alias = json!({ "FunctionName": APPLICATION, "Name": "live", "FunctionVersion": "1" });
    call(world, "lambda", "CreateAlias", alias).await;
    let alarm = json!({
        "AlarmName": ALARM, "Namespace": "Trial", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
    });
    call(world, "cloudwatch", "PutMetricAlarm", alarm).await;
    let application = json!({ "applicationName": APPLICATION, "computePlatform": "Lambda" });
    call(world, "codedeploy", "CreateApplication", application).await;
    let group = json!({
        "applicationName": APPLICATION, "deploymentGroupName": GROUP,
        "serviceRoleArn": "arn:aws:iam::123456789012:role/deploy",
        // Long: 100 minutes, which are 200 s here.
        "deploymentConfigName": "CodeDeployDefault.LambdaLinear10PercentEvery10Minutes",
        "alarmConfiguration": { "enabled": false, "alarms": [{ "name": ALARM }] },
    });
    call(world, "codedeploy", "CreateDeploymentGroup", group).await;
}

async fn deploy(world: &World) -> String {
    let spec = json!({ "version": 0.0, "Resources": [{ "app": {
        "Type": "AWS::Lambda::Function",
        "Properties": { "Name": APPLICATION, "Alias": "live", "CurrentVersion": "1", "TargetVersion": "2" },
    }}]});
    let input = json!({
        "applicationName": APPLICATION, "deploymentGroupName": GROUP,
        "revision": { "revisionType": "AppSpecContent", "appSpecContent": { "content": spec.to_string() } },
    });
    let answer = call(world, "codedeploy", "CreateDeployment", input).await;
    answer["deploymentId"].as_str().unwrap().to_owned()
}

async fn status(world: &World, deployment: &str) -> String {
    let answer = call(
        world,
        "codedeploy",
        "GetDeployment",
        json!({ "deploymentId": deployment }),
    )
    .await;
    answer["deploymentInfo"]["status"].as_str().unwrap().to_owned()
}

fn about<'a>(subject: &'a str, text: &'a str) -> impl Fn(&Mail) -> bool + 'a {
    move |mail| mail.to == OPERATORS && mail.subject.starts_with(subject) && mail.text.contains(text)
}

pub(crate) async fn h95_a_lost_alarm_event_is_acted_upon_by_the_sweep(world: &World) {
    let site = site(world).await;
    make_application(world).await;
    let deployment = deploy(world).await;
    until("traffic on the new version", async || {
        let alias = json!({ "FunctionName": APPLICATION, "Name": "live" });
        let alias = call(world, "lambda", "GetAlias", alias).await;
        alias["RoutingConfig"]["AdditionalVersionWeights"]["2"]
            .as_f64()
            .map(drop)
    })
    .await;
    let red = json!({ "AlarmName": ALARM, "StateValue": "ALARM", "StateReason": "a trial" });
    call(world, "cloudwatch", "SetAlarmState", red).await;

    // The schedule alone does it: nobody calls the sweep here.
    until("the stopped deployment", async || {
        (status(world, &deployment).await == "Stopped").then_some(())
    })
    .await;
    let told = world
        .mail("of the rollback", about("Rolled back:", &deployment))
        .await;
    assert!(
        told.text.contains(ALARM) && told.text.contains("Good version: 1"),
        "{}",
        told.text
    );
    let ledger = ledger(world, &site.ledger_table);
    let subject = Subject::Deployment {
        id: DeploymentId::new(&deployment).unwrap(),
    };
    until("the deployment's end in the ledger", async || {
        let timeline = ledger.load_timeline(&subject).await.unwrap().timeline;
        let known = timeline.deployments.get(&deployment)?.progress.state.clone();
        (known == State::Stopped).then_some(())
    })
    .await;
    until("the rollback in the ledger", async || {
        ledger.load_rollback(&deployment).await.unwrap()
    })
    .await;

    // The alarm is still red. What was lost comes after all: it is one effect with the sweep's. Either the claim
    // gives back what the sweep's call did, or CodeDeploy's own way back is found.
    let is_lost = |event: &Value| {
        event["source"] == "aws.cloudwatch"
            && event["detail"]["alarmName"] == ALARM
            && event["detail"]["state"]["value"] == "ALARM"
    };
    let lost = world.running.events.events_seen().into_iter().find(is_lost);
    let payload = base64_of(&lost.expect("the alarm's own event").to_string());
    let late = json!({ "FunctionName": "signalbox-production-roll-back", "Payload": payload });
    let late = text_of(&call(world, "lambda", "Invoke", late).await);
    assert!(
        late.contains(&deployment)
            && (late.contains("\"stopped\"") || late.contains("rolls it back already")),
        "{late}"
    );
    for _ in 0..2 {
        let swept: Value = serde_json::from_str(&text_of(&sweep(world).await)).unwrap();
        assert_eq!(
            (&swept["alarms"], &swept["deployments"]),
            (&json!([]), &json!(0)),
            "{swept}"
        );
    }
    for subject in ["Rolled back:", "Deployment"] {
        assert_eq!(world.mails(about(subject, &deployment)), 1, "{subject}");
    }
    reminded_until_lifted(world, site).await;
}

/// Nobody lifts the freeze that the rollback left: people hear of it, once for each step of its age.
async fn reminded_until_lifted(world: &World, site: &Installed) {
    let input = json!({ "name": site.pipeline });
    let state = call(world, "codepipeline", "GetPipelineState", input).await;
    let stages = state["stageStates"].as_array().unwrap();
    let release = stages
        .iter()
        .find(|stage| stage["stageName"] == "Release")
        .unwrap();
    let transition = &release["inboundTransitionState"];
    assert_eq!(transition["enabled"], false, "{release}");
    let frozen =
        Timestamp::from_millisecond((transition["lastChangedAt"].as_f64().unwrap() * 1e3) as i64).unwrap();
    let told = world
        .mail("of the freeze", about("Still frozen:", "Release"))
        .await;
    for part in ["signalbox-production-roll-back", ALARM, "enable-stage-transition"] {
        assert!(told.text.contains(part), "{part} is missing in {}", told.text);
    }
    sweep(world).await;
    sweep(world).await;
    let mails = i64::try_from(world.mails(about("Still frozen:", "Release"))).unwrap();
    let steps = Timestamp::now().duration_since(frozen).as_secs() / FREEZE_REMINDER;
    assert!(
        (1..=steps).contains(&mails),
        "{mails} mails for {steps} steps of age"
    );
    let lifted =
        json!({ "pipelineName": site.pipeline, "stageName": "Release", "transitionType": "Inbound" });
    call(world, "codepipeline", "EnableStageTransition", lifted).await;
}
