//! Hazard 98: what must stay secret stays so. In an environment of its own: its log groups, its messages and
//! its secrets are nobody else's.
//!
//! Two questions. Of what comes in, which words can come out again in a log, where more people read than the
//! words were meant for? And of our own secrets, the keys, the tokens, the links, does any come out at all,
//! but to the one person that it was given to?

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::approvals::Visitor;
use crate::fixtures::Fixture;
use crate::site::{Plan, Site};
use crate::slack_server::{
    ANN_IN_SLACK, BOT, CHANNEL, SECRET, Server, TEAM, button, click, make_secret, now, send, send_click,
    signed,
};
use crate::world::{ANN, BEN, World, until};

const ENVIRONMENT: &str = "secrecy";

/// What a log may repeat of an event: names and numbers, by which a person finds what a line speaks of, and
/// the words that say what kind of event it is. Nothing that somebody wrote (a comment, a reason, a summary,
/// a key), and nothing that opens anything (a path, a cookie, a body, a token, credentials).
const FOR_LOGS: [&str; 24] = [
    " /Event",
    " /command",
    " /version",
    "/DeploymentId",
    "/CodePipeline.job/id",
    "/alarmName",
    "/awsRegion",
    "/bucket/name",
    "/detail-type",
    "/detail/action",
    "/detail/action-execution-id",
    "/detail/application",
    "/detail/deploymentId",
    "/detail/execution-id",
    "/detail/pipeline",
    "/detail/project-name",
    "/detail/stage",
    "/detail/state",
    "/http/sourceIp",
    "/messageId",
    "/object/sequencer",
    "/region",
    "/source",
    "/state/value",
];

struct Secrecy {
    site: Site,
    slack: &'static Server,
}

static SECRECY: OnceCell<Secrecy> = OnceCell::const_new();

async fn secrecy(world: &World) -> &'static Secrecy {
    SECRECY.get_or_init(|| install(world)).await
}

/// Where clicks are posted to, in the environment.
pub(crate) async fn slack_url(world: &World) -> String {
    format!("{}slack", secrecy(world).await.site.answer_url)
}

async fn install(world: &World) -> Secrecy {
    let (slack, root) = Server::start().await;
    let secret = make_secret(world, ENVIRONMENT).await;
    let plan = Plan {
        environment: ENVIRONMENT,
        mode: "PARALLEL",
        policy: json!({
            "version": 1, "slack": { "team": TEAM, "channel": CHANNEL },
            "approvers": [{ "email": ANN, "slack": ANN_IN_SLACK }, { "email": BEN }],
        }),
        slack: Some((&secret, &format!("{root}/api"))),
    };
    let site = Site::make(world, plan).await;
    Secrecy { site, slack }
}

/// What every function of the environment logged so far, by log group.
async fn logs(world: &World) -> BTreeMap<String, String> {
    let mut logs = BTreeMap::new();
    for prefix in ["/aws/lambda/signalbox", "/aws/lambda/CodeDeployHook_signalbox"] {
        let input = json!({ "logGroupNamePrefix": format!("{prefix}-{ENVIRONMENT}-") });
        let answer = world.running.call("logs", "DescribeLogGroups", input).await;
        for group in answer.unwrap()["logGroups"].as_array().unwrap() {
            let name = group["logGroupName"].as_str().unwrap();
            logs.insert(name.to_owned(), log(world, name).await);
        }
    }
    logs
}

async fn log(world: &World, group: &str) -> String {
    let mut text = String::new();
    let mut input = json!({ "logGroupName": group });
    loop {
        let page = world.running.call("logs", "FilterLogEvents", input.clone()).await;
        let page = page.unwrap();
        for event in page["events"].as_array().unwrap() {
            text.push_str(event["message"].as_str().unwrap());
            text.push('\n');
        }
        match page["nextToken"].as_str() {
            Some(token) => input["nextToken"] = json!(token),
            None => return text,
        }
    }
}

/// Every metric that anybody published, with its dimensions.
async fn metrics(world: &World) -> String {
    let mut text = String::new();
    let mut input = json!({});
    loop {
        let page = world
            .running
            .call("cloudwatch", "ListMetrics", input)
            .await
            .unwrap();
        text.push_str(&page["Metrics"].to_string());
        match page["NextToken"].as_str() {
            Some(token) => input = json!({ "NextToken": token }),
            None => return text,
        }
    }
}

/// A word that stands nowhere else.
fn marker(number: usize) -> String {
    format!("Q7Z{number:05}Z7Q")
}

/// The numbers of the markers in a text.
fn markers(text: &str) -> BTreeSet<usize> {
    let after = text.split("Q7Z").skip(1);
    after
        .filter_map(|rest| rest.split_once("Z7Q")?.0.parse().ok())
        .collect()
}

/// Where texts stand in an event.
fn texts(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                texts(value, &format!("{path}/{}", name.replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                texts(value, &format!("{path}/{at}"), found);
            }
        }
        Value::String(_) => found.push(path.to_owned()),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One event with one of its texts marked.
struct Marked {
    function: String,
    /// The file and the place in it.
    place: String,
    event: Value,
}

/// Every event that the project has, as often as it has texts, as if it came from this environment.
fn marked(world: &World, site: &Site) -> Vec<Marked> {
    let mut all = Vec::new();
    for fixture in Fixture::all(world) {
        let event = fixture.event("nobody-uploads-here", &site.pipeline);
        let function = fixture.function(|name| site.function(name));
        let mut paths = Vec::new();
        texts(&event, "", &mut paths);
        for path in paths {
            let mut event = event.clone();
            if let Some(Value::String(text)) = event.pointer_mut(&path) {
                text.push_str(&marker(all.len()));
            }
            let place = format!("{} {path}", fixture.file());
            all.push(Marked {
                function: function.clone(),
                place,
                event,
            });
        }
    }
    all
}

pub(crate) async fn h98_what_an_event_carries_is_in_no_log_and_no_metric(world: &World) {
    let secrecy = secrecy(world).await;
    let marked = marked(world, &secrecy.site);
    assert!(marked.len() > 500, "only {} texts", marked.len());
    let mut by_function: BTreeMap<&str, Vec<&Marked>> = BTreeMap::new();
    for one in &marked {
        by_function.entry(&one.function).or_default().push(one);
    }
    // Side by side, but each function one at a time: some have little concurrency.
    let sent = by_function.into_iter().map(async |(function, events)| {
        for one in &events {
            world.invoke_named(function, &one.event).await;
        }
        (function.to_owned(), events.len())
    });
    let sent = join_all(sent).await;
    // Each invocation ends with one of these lines; logs arrive a little later than answers.
    for (function, count) in &sent {
        until(&format!("{count} lines of {function}"), async || {
            let text = log(world, &format!("/aws/lambda/{function}")).await;
            (text.matches("handled\"").count() >= *count).then_some(())
        })
        .await;
    }
    let logs = logs(world).await;
    let mut shown = BTreeSet::new();
    for text in logs.values().chain([&metrics(world).await]) {
        shown.extend(markers(text));
    }
    let shown: Vec<&str> = shown
        .iter()
        .map(|number| marked[*number].place.as_str())
        .collect();
    assert!(
        shown.iter().any(|place| place.ends_with("/detail/execution-id")),
        "the markers are not found at all: {shown:?}"
    );
    let wrong: Vec<_> = shown
        .iter()
        .filter(|place| !FOR_LOGS.iter().any(|end| place.ends_with(end)))
        .collect();
    assert!(
        wrong.is_empty(),
        "what stands there is repeated in a log or a metric: {wrong:#?}"
    );
}

pub(crate) async fn h98_our_own_secrets_reach_nobody_but_whom_they_are_for(world: &World) {
    let Secrecy { site, slack } = secrecy(world).await;
    // Made of one alphabet with links, so that an escape hides none of them.
    let (by_page, by_slack) = tokio::join!(site.start(world), site.start(world));
    let mut given = Vec::new();
    for run in [&by_page, &by_slack] {
        for person in [ANN, BEN] {
            given.push((person, site.link(world, person, run).await));
        }
    }
    let message = until("a message in Slack", async || {
        slack.told("api/chat.postMessage", &by_slack).pop()
    })
    .await;
    let value = button(&message, "signalbox_approve");
    let mut nowhere = vec![
        site.token(world, &by_page).await,
        site.token(world, &by_slack).await,
    ];
    let signing = json!({ "SecretId": format!("signalbox-{ENVIRONMENT}-signing") });
    let signing = world
        .running
        .call("secretsmanager", "GetSecretValue", signing)
        .await
        .unwrap();
    let signing: Value = serde_json::from_str(signing["SecretString"].as_str().unwrap()).unwrap();
    nowhere.extend([
        signing["key"].as_str().unwrap().to_owned(),
        SECRET.to_owned(),
        BOT.to_owned(),
        // What Slack sends along, and each of them opens something.
        "a-verification-token".to_owned(),
        "a-hook-that-posts".to_owned(),
        "a-trigger-that-opens".to_owned(),
    ]);

    // A page that is opened, misused, answered, and opened again; by its person and by a thief.
    let (ann, mut pages) = (Visitor::new(world), Vec::new());
    let link = &given[0].1;
    let (cookie, nonce) = ann.form(link).await;
    let cookie_value = cookie.split_once('=').unwrap().1.to_owned();
    let fields = |nonce| {
        [
            ("verdict", "approve"),
            ("nonce", nonce),
            ("comment", "a-telling-comment"),
        ]
    };
    let elsewhere = ann
        .post(link, &cookie, "https://elsewhere.example", &fields(&nonce))
        .await;
    let forged = ann.get(&format!("{link}A")).await;
    let stale = ann
        .post(link, &cookie, ann.origin(), &fields("another-nonce"))
        .await;
    let answered = ann.post(link, &cookie, ann.origin(), &fields(&nonce)).await;
    assert_eq!(
        [elsewhere.0, forged.0, answered.0].map(|status| status.as_u16()),
        // With a letter too many it is no link at all.
        [403, 404, 200]
    );
    let again = ann.get(link).await;
    let of_ben = Visitor::new(world).get(&given[1].1).await;
    pages.extend([elsewhere, forged, stale, answered, again, of_ben].map(|(_, page)| page));

    // Clicks that are not Slack's, somebody else's, and one that counts.
    let url = slack_url(world).await;
    let full = |change: &dyn Fn(&mut Value)| {
        click(&value, |payload| {
            payload["token"] = json!("a-verification-token");
            payload["response_url"] = json!("https://hooks.slack.com/actions/a-hook-that-posts");
            payload["trigger_id"] = json!("a-trigger-that-opens");
            change(payload);
        })
    };
    let body = full(&|_| ());
    assert_eq!(send(&url, &signed(&now(), "v0=00"), &body).await, 401);
    let stranger = full(&|payload| payload["user"]["id"] = json!("U0EVE00001"));
    assert_eq!(send_click(&url, &stranger).await, 403);
    let forged = full(&|payload| payload["actions"][0]["value"] = json!(&value[..value.len() - 4]));
    assert_eq!(send_click(&url, &forged).await, 403);
    assert_eq!(send_click(&url, &body).await, 200);
    for run in [&by_page, &by_slack] {
        site.ended(world, run, "Succeeded").await;
    }
    site.sweep(world).await;

    // What is nobody's is nowhere, and what is one person's is with nobody else.
    let mut places: Vec<(String, String)> = logs(world).await.into_iter().collect();
    assert!(
        places.iter().any(|(_, text)| text.contains(&by_page)),
        "the logs are empty"
    );
    places.push(("metrics".to_owned(), metrics(world).await));
    places.extend(pages.into_iter().map(|page| ("a page".to_owned(), page)));
    for run in [&by_page, &by_slack] {
        places.push(("the summary".to_owned(), site.action(world, run).await.1));
        places.push((
            "the ledger".to_owned(),
            json!(site.rows(world, run).await).to_string(),
        ));
    }
    for mail in world.running.cloud.inbox().mails() {
        let text = format!("{}\n{}\n{:?}", mail.subject, mail.text, mail.attributes);
        places.push((format!("a mail to {}", mail.to), text));
    }
    let told = slack.told.lock().unwrap().clone();
    places.extend(told.into_iter().map(|(path, body, _)| (path, body.to_string())));
    let wrong = |secret: &str, is_for: &dyn Fn(&str) -> bool| {
        let all = places.iter();
        let wrong = all.filter(|(place, text)| text.contains(secret) && !is_for(place));
        wrong.map(|(place, _)| place.clone()).collect::<BTreeSet<_>>()
    };
    for secret in &nowhere {
        assert_eq!(wrong(secret, &|_| false), BTreeSet::new(), "{secret}");
    }
    for (person, link) in &given {
        let segment = link.rsplit('/').next().unwrap();
        // A page's form leads to the page's own address.
        let is_for = |place: &str| place == format!("a mail to {person}") || place == "a page";
        assert_eq!(wrong(segment, &is_for), BTreeSet::new(), "the link of {person}");
    }
    let is_for = |place: &str| place.starts_with("api/chat.");
    assert_eq!(wrong(&value, &is_for), BTreeSet::new(), "the button's value");
    for once in [&cookie_value, &nonce] {
        assert_eq!(
            wrong(once, &|_| false),
            BTreeSet::new(),
            "what proves that a form is ours"
        );
    }
    // A comment is for those who read what became of the run, and for no log.
    let is_for = |place: &str| !place.starts_with("/aws/") && place != "metrics";
    assert_eq!(wrong("a-telling-comment", &is_for), BTreeSet::new());
}
