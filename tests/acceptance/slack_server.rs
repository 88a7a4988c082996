//! A small Slack that remembers what it was told, and what Slack's own servers send: signed clicks.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::world::World;

pub(crate) const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
pub(crate) const BOT: &str = "xoxb-only-for-tests";
pub(crate) const TEAM: &str = "T012ABCDEF";
pub(crate) const CHANNEL: &str = "C012ABCDEF";
pub(crate) const ANN_IN_SLACK: &str = "U0ANN00001";

/// Longer than Slack waits for anybody.
const SLOW: Duration = Duration::from_secs(20);

/// What our Slack was told: the path below its root, the body, the bearer token.
pub(crate) type Told = (String, Value, String);

#[derive(Default)]
pub(crate) struct Server {
    pub(crate) told: Mutex<Vec<Told>>,
    /// Runs about which it answers late.
    pub(crate) slow: Mutex<HashSet<String>>,
    count: AtomicU32,
}

impl Server {
    /// Starts it; answers its root as well.
    pub(crate) async fn start() -> (&'static Self, String) {
        let server: &'static Self = Box::leak(Box::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/{*path}", post(told)).with_state(server);
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, root)
    }

    /// What was told on a path about a run.
    pub(crate) fn told(&self, path: &str, run: &str) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        let wanted = told
            .iter()
            .filter(|(at, body, _)| at == path && body.to_string().contains(run));
        wanted.map(|(_, body, _)| body.clone()).collect()
    }
}

/// The secret by which Slack's requests are known, and we are to Slack; answers its ARN.
pub(crate) async fn make_secret(world: &World, environment: &str) -> String {
    let secret = json!({ "signing_secret": SECRET, "bot_token": BOT }).to_string();
    let input = json!({ "Name": format!("signalbox-{environment}-slack"), "SecretString": secret });
    let secret = world.running.call("secretsmanager", "CreateSecret", input).await;
    secret.unwrap()["ARN"].as_str().unwrap().to_owned()
}

/// Sends a body with the headers given; answers the status.
pub(crate) async fn send(url: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    let mut request = reqwest::Client::new().post(url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap().status().as_u16()
}

/// Sends a click, signed now.
pub(crate) async fn send_click(url: &str, body: &str) -> u16 {
    let time = now();
    send(url, &signed(&time, &sign(&time, body)), body).await
}

async fn told(
    State(server): State<&'static Server>,
    Path(path): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Json<Value> {
    let token = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let ts = match body.get("ts").and_then(Value::as_str) {
        Some(ts) => ts.to_owned(),
        None => format!("1700000000.{:06}", server.count.fetch_add(1, Ordering::SeqCst)),
    };
    let channel = body.get("channel").cloned().unwrap_or_default();
    let text = body.to_string();
    let late = server.slow.lock().unwrap().iter().any(|run| text.contains(run));
    server.told.lock().unwrap().push((path, body, token.to_owned()));
    if late {
        tokio::time::sleep(SLOW).await;
    }
    Json(json!({ "ok": true, "channel": channel, "ts": ts }))
}

pub(crate) fn button(message: &Value, action: &str) -> String {
    let blocks = message["blocks"].as_array().unwrap();
    let elements = blocks
        .iter()
        .filter_map(|block| block["elements"].as_array())
        .flatten();
    let found = elements.clone().find(|element| element["action_id"] == action);
    found
        .and_then(|element| element["value"].as_str())
        .expect("the message has the button")
        .to_owned()
}

pub(crate) fn now() -> String {
    Timestamp::now().as_second().to_string()
}

pub(crate) fn sign(time: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("v0:{time}:{body}").as_bytes());
    format!("v0={}", hex::encode(mac.finalize().into_bytes()))
}

pub(crate) fn signed<'a>(time: &'a str, signature: &'a str) -> [(&'static str, &'a str); 3] {
    [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-slack-request-timestamp", time),
        ("x-slack-signature", signature),
    ]
}

pub(crate) fn click(value: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut payload = json!({
        "type": "block_actions", "team": { "id": TEAM, "domain": "example" },
        "user": { "id": ANN_IN_SLACK, "username": "ann", "team_id": TEAM },
        "channel": { "id": CHANNEL }, "trigger_id": "1.2.x",
        "actions": [{ "type": "button", "action_id": "signalbox_approve", "value": value }],
    });
    change(&mut payload);
    let encoded: String = payload
        .to_string()
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    format!("payload={encoded}")
}
