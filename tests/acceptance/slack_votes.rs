//! Votes and the second step by Slack's buttons, in the message that asked; and the acknowledgement of a
//! cold start.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::site::{Plan, Site};
use crate::slack_server::{ANN_IN_SLACK, CHANNEL, Server, TEAM, button, click, make_secret, send_click};
use crate::world::{ANN, BEN, World, until};

const BEN_IN_SLACK: &str = "U0BEN00002";

/// An environment whose requests are posted in a Slack of its own.
struct Posted {
    site: Site,
    server: &'static Server,
}

static VOTES: OnceCell<Posted> = OnceCell::const_new();

async fn votes(world: &World) -> &'static Posted {
    VOTES.get_or_init(|| posted(world, "votes", "PARALLEL", 2)).await
}

async fn posted(world: &World, environment: &str, mode: &str, quorum: usize) -> Posted {
    let (server, root) = Server::start().await;
    let secret = make_secret(world, environment).await;
    let policy = json!({
        "version": 1, "quorum": quorum, "slack": { "team": TEAM, "channel": CHANNEL },
        "approvers": [{ "email": ANN, "slack": ANN_IN_SLACK }, { "email": BEN, "slack": BEN_IN_SLACK }],
    });
    let plan = Plan {
        environment,
        mode,
        policy,
        slack: Some((&secret, &format!("{root}/api"))),
    };
    Posted {
        site: Site::make(world, plan).await,
        server,
    }
}

impl Posted {
    /// Waits for the message that asks about a run.
    async fn message(&self, run: &str) -> Value {
        until("a message in Slack", async || {
            self.server.told("api/chat.postMessage", run).pop()
        })
        .await
    }

    /// What the message's last edit says, if that has these words in it.
    fn edit(&self, run: &str, words: &str) -> Option<Value> {
        let last = self.server.told("api/chat.update", run).pop()?;
        last["blocks"].to_string().contains(words).then_some(last)
    }

    /// Waits until the message says something.
    async fn edited(&self, run: &str, words: &str) -> Value {
        until(&format!("an edit with {words:?}"), async || self.edit(run, words)).await
    }

    /// Clicks until the message says something: where the machine is busy, the time for the edit may be over
    /// before it is made, and a person would press again.
    async fn pressed(&self, (user, action, value): (&str, &str, &str), run: &str, words: &str) -> Value {
        until(&format!("an edit with {words:?}"), async || {
            assert_eq!(self.click(user, action, value).await, 200);
            self.edit(run, words)
        })
        .await
    }

    async fn click(&self, user: &str, action: &str, value: &str) -> u16 {
        let body = click(value, |payload| {
            payload["user"]["id"] = json!(user);
            payload["actions"][0]["action_id"] = json!(action);
        });
        send_click(&format!("{}slack", self.site.answer_url), &body).await
    }
}

pub(crate) async fn votes_by_buttons_are_shown_in_the_message(world: &World) {
    let posted = votes(world).await;
    let run = posted.site.start(world).await;
    let message = posted.message(&run).await;
    assert!(
        message["blocks"]
            .to_string()
            .contains("0 of 2 people have approved"),
        "{message}"
    );
    let value = button(&message, "signalbox_approve");
    let click = (ANN_IN_SLACK, "signalbox_approve", value.as_str());
    let edit = posted.pressed(click, &run, "1 of 2 people have approved").await;
    let shown = edit["blocks"].to_string();
    assert!(
        shown.contains(&format!("Approved by {ANN} in Slack")) && shown.contains(&format!("Not yet: {BEN}")),
        "{shown}"
    );
    assert_eq!(
        posted.click(ANN_IN_SLACK, "signalbox_approve", &value).await,
        200,
        "again"
    );
    assert_eq!(
        posted.site.action(world, &run).await.0,
        "InProgress",
        "the same person twice is one"
    );

    let value = button(&edit, "signalbox_approve");
    assert_eq!(posted.click(BEN_IN_SLACK, "signalbox_approve", &value).await, 200);
    let summary = format!("Approved by {ANN}, {BEN} via Slack");
    assert_eq!(
        posted.site.action(world, &run).await,
        ("Succeeded".to_owned(), summary)
    );
    let end = posted.edited(&run, &format!("Approved by {ANN}, {BEN}")).await;
    assert!(!end["blocks"].to_string().contains("signalbox_approve"), "{end}");
    assert_eq!(posted.server.told("api/chat.postMessage", &run).len(), 1);
}

pub(crate) async fn the_older_revision_takes_slack_s_second_step(world: &World) {
    let posted = posted(world, "steps", "QUEUED", 1).await;
    let older = posted.site.start(world).await;
    let value = button(&posted.message(&older).await, "signalbox_approve");
    let newer = posted.site.start(world).await;
    posted.site.waits_behind(world, &newer).await;
    let click = (ANN_IN_SLACK, "signalbox_approve", value.as_str());
    let edit = posted.pressed(click, &older, "signalbox_approve_older").await;
    assert!(
        edit["blocks"][1]["text"]["text"]
            .as_str()
            .unwrap()
            .starts_with("A newer revision waits"),
        "{edit}"
    );
    let actions = edit["blocks"].as_array().unwrap().last().unwrap()["elements"].clone();
    assert_eq!(actions[0]["text"]["text"], "Approve the older revision");
    assert!(
        actions[0]["confirm"]["confirm"].is_object(),
        "Slack asks once more: {actions}"
    );
    let older_value = button(&edit, "signalbox_approve_older");

    // Neither the first button's value, nor the second button's by the first one's name.
    assert_eq!(
        posted
            .click(ANN_IN_SLACK, "signalbox_approve_older", &value)
            .await,
        200
    );
    assert_eq!(
        posted
            .click(ANN_IN_SLACK, "signalbox_approve", &older_value)
            .await,
        200
    );
    // Nor does it speak of a run that has come since.
    let newest = posted.site.start(world).await;
    posted.site.waits_behind(world, &newest).await;
    assert_eq!(
        posted
            .click(ANN_IN_SLACK, "signalbox_approve_older", &older_value)
            .await,
        200
    );
    posted.site.assert_open(world, &older).await;
    let click = (ANN_IN_SLACK, "signalbox_approve_older", older_value.as_str());
    let edit = posted.pressed(click, &older, "2 waiting behind this one").await;
    let older_value = button(&edit, "signalbox_approve_older");
    assert_eq!(
        posted
            .click(ANN_IN_SLACK, "signalbox_approve_older", &older_value)
            .await,
        200
    );
    let summary = posted.site.ended(world, &older, "Succeeded").await;
    assert_eq!(summary, format!("Approved by {ANN} via Slack"));

    // The next run has its own message; the older one's buttons decide nothing about it.
    posted.message(&newer).await;
    assert_eq!(
        posted
            .click(BEN_IN_SLACK, "signalbox_approve_older", &older_value)
            .await,
        200
    );
    posted.site.assert_open(world, &newer).await;
    for run in [newer, newest] {
        posted.site.stop(world, &run).await;
    }
}

/// The process is new, its first request is the click, and Slack's own API is slow: still Slack has its
/// answer in time. What is measured is the whole: start, reading, recording, answering. A machine that is
/// busy with other things gets ten chances.
pub(crate) async fn a_cold_start_acknowledges_well_under_three_seconds(world: &World) {
    // Of its own: another test's click would warm it.
    let posted = posted(world, "cold", "PARALLEL", 2).await;
    let function = posted.site.function("answer-approval");
    let mut taken = Vec::new();
    for chance in 0..10 {
        let run = posted.site.start(world).await;
        let value = button(&posted.message(&run).await, "signalbox_approve");
        posted.server.slow.lock().unwrap().insert(run.clone());
        // Another configuration is another version of the function: no process of the old one serves it.
        let input = json!({ "FunctionName": function, "Description": format!("cold {chance}") });
        world
            .running
            .call("lambda", "UpdateFunctionConfiguration", input)
            .await
            .unwrap();
        until("the new configuration", async || {
            let input = json!({ "FunctionName": function });
            let answer = world
                .running
                .call("lambda", "GetFunctionConfiguration", input)
                .await;
            (answer.unwrap()["LastUpdateStatus"] == "Successful").then_some(())
        })
        .await;
        let before = starts(world, &function).await;
        let started = Instant::now();
        assert_eq!(posted.click(ANN_IN_SLACK, "signalbox_approve", &value).await, 200);
        let time = started.elapsed();
        assert_eq!(posted.site.stored(world, &run).await["votes"][0]["person"], ANN);
        let told = !posted.server.told("api/chat.update", &run).is_empty();
        until("the log of the cold start", async || {
            (starts(world, &function).await > before).then_some(())
        })
        .await;
        posted.server.slow.lock().unwrap().remove(&run);
        posted.site.stop(world, &run).await;
        taken.push((time, told));
        // Slack was told, and had not answered.
        if told && time < Duration::from_secs(3) {
            return;
        }
    }
    panic!("Slack waits three seconds; a cold start took {taken:?}");
}

/// How many invocations of the function have started a process, as its log tells.
async fn starts(world: &World, function: &str) -> usize {
    let input = json!({ "logGroupName": format!("/aws/lambda/{function}") });
    let Ok(answer) = world.running.call("logs", "FilterLogEvents", input).await else {
        return 0;
    };
    let events = answer["events"].as_array().cloned().unwrap_or_default();
    let texts = events.iter().filter_map(|event| event["message"].as_str());
    texts.filter(|text| text.contains("Init Duration")).count()
}
