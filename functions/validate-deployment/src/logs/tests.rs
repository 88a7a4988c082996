use std::sync::Mutex;

use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::*;

/// Answers one page after the other; the last one for ever.
#[derive(Debug)]
struct Pages(Mutex<Vec<Value>>);

impl HttpConnector for Pages {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let mut pages = self.0.lock().unwrap();
        let page = if pages.len() > 1 {
            pages.remove(0)
        } else {
            pages[0].clone()
        };
        let body = SdkBody::from(page.to_string());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), body)))
    }
}

/// A page of lines: the version that wrote it, the time in milliseconds, the text.
fn page(lines: &[(&str, i64, &str)], token: Option<&str>) -> Value {
    let events: Vec<Value> = lines
        .iter()
        .map(|(version, at, message)| {
            json!({ "logStreamName": format!("2026/01/31/[{version}]0123"), "timestamp": at, "message": message })
        })
        .collect();
    json!({ "events": events, "nextToken": token })
}

fn client(pages: Vec<Value>) -> Client {
    let connector = SharedHttpConnector::new(Pages(Mutex::new(pages)));
    let config = aws_sdk_cloudwatchlogs::Config::builder()
        .behavior_version(aws_sdk_cloudwatchlogs::config::BehaviorVersion::latest())
        .region(aws_sdk_cloudwatchlogs::config::Region::new("us-east-1"))
        .credentials_provider(Credentials::new("a", "b", None, None, "test"))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .sleep_impl(TokioSleep::new())
        .build();
    Client::from_conf(config)
}

async fn check(pages: Vec<Value>, rules: &LogRules, excused: &[&str]) -> Result<LogFacts, String> {
    let version = VersionNumber::new("7").unwrap();
    let client = client(pages);
    let logs = Logs {
        client: &client,
        group: "/aws/lambda/app".to_owned(),
        version: Some(&version),
    };
    let excused: Vec<String> = excused.iter().map(|id| (*id).to_owned()).collect();
    logs.check(rules, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, &excused)
        .await
}

async fn bad_lines(pages: Vec<Value>) -> Result<Vec<String>, String> {
    Ok(check(pages, &LogRules::default(), &[]).await?.bad)
}

#[tokio::test(start_paused = true)]
async fn an_error_behind_an_empty_page_is_found() {
    let pages = vec![
        page(&[("7", 1, "REPORT")], None),
        page(&[], Some("more")),
        page(&[("6", 2, "ERROR old"), ("7", 3, "ERROR new")], None),
    ];
    assert_eq!(bad_lines(pages).await, Ok(vec!["ERROR new".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn lines_that_have_not_arrived_yet_are_waited_for() {
    let pages = vec![
        page(&[], None),
        page(&[("6", 1, "REPORT")], None),
        page(&[("7", 1, "REPORT")], None),
        page(&[("7", 1, "ERROR late")], None),
    ];
    assert_eq!(bad_lines(pages).await, Ok(vec!["ERROR late".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn an_empty_log_is_no_proof() {
    let error = bad_lines(vec![page(&[], None)]).await.unwrap_err();
    assert!(error.contains("no line of the last request"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_a_bad_request_made_it_log_does_not_count_and_anything_else_does() {
    let log = page(
        &[
            ("7", 10, "START RequestId: bad-1 Version: 7"),
            ("7", 11, "ERROR a line without the request's id"),
            ("7", 12, "REPORT RequestId: bad-1\tDuration: 1 ms"),
            ("7", 20, "START RequestId: good-1 Version: 7"),
            ("7", 21, "ERROR of a sound request"),
        ],
        None,
    );
    let facts = check(vec![log.clone()], &LogRules::default(), &["bad-1"])
        .await
        .unwrap();
    assert_eq!(
        (facts.bad, facts.excused),
        (vec!["ERROR of a sound request".to_owned()], 1)
    );
    let facts = check(vec![log], &LogRules::default(), &[]).await.unwrap();
    assert_eq!(facts.bad.len(), 2);
}

/// Requests that were meant to be refused, each with its bad lines.
fn refused(requests: usize, lines: usize) -> (Vec<String>, Vec<(i64, String)>) {
    let ids: Vec<String> = (0..requests).map(|at| format!("bad-{at:03}")).collect();
    let mut log = Vec::new();
    for id in &ids {
        let mut write = |line: String| log.push((i64::try_from(log.len()).unwrap(), line));
        write(format!("START RequestId: {id} Version: 7"));
        (0..lines).for_each(|_| write("ERROR invalid request".to_owned()));
        write(format!("REPORT RequestId: {id}\tDuration: 1 ms"));
    }
    (ids, log)
}

#[tokio::test(start_paused = true)]
async fn a_real_error_behind_many_lines_of_refused_requests_is_found() {
    let (ids, mut log) = refused(30, 5);
    log.push((10_000, "ERROR of a user".to_owned()));
    let lines: Vec<_> = log.iter().map(|(at, line)| ("7", *at, line.as_str())).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let facts = check(vec![page(&lines, None)], &LogRules::default(), &ids)
        .await
        .unwrap();
    assert_eq!(
        (facts.bad, facts.excused),
        (vec!["ERROR of a user".to_owned()], 150)
    );
}

#[tokio::test(start_paused = true)]
async fn what_must_appear_is_looked_for_behind_many_bad_lines_as_far_as_is_read() {
    let rules = LogRules {
        must_appear: vec!["listening".to_owned()],
        ..LogRules::default()
    };
    let mut lines = vec![("7", 1, "ERROR"); 2 * ENOUGH];
    let endless = check(vec![page(&lines, Some("more"))], &rules, &[])
        .await
        .unwrap();
    assert_eq!(
        (endless.bad.len(), endless.missing.len()),
        (ENOUGH, 1),
        "bad lines enough need no end of the log"
    );
    lines.push(("7", 2, "now listening"));
    let facts = check(vec![page(&lines, None)], &rules, &[]).await.unwrap();
    assert_eq!((facts.bad.len(), facts.missing), (ENOUGH, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn what_must_appear_is_missed() {
    let rules = LogRules {
        must_not_appear: Vec::new(),
        must_appear: vec!["cache ready".to_owned(), "listening".to_owned()],
    };
    let facts = check(vec![page(&[("7", 1, "now listening")], None)], &rules, &[])
        .await
        .unwrap();
    assert_eq!(facts.missing, ["cache ready"]);
}

#[tokio::test(start_paused = true)]
async fn durations_are_the_versions_own_and_of_warm_environments() {
    let version = VersionNumber::new("7").unwrap();
    let report = |ms: &str, more: &str| {
        format!("REPORT RequestId: x\tDuration: {ms} ms\tBilled Duration: 99 ms\t{more}")
    };
    let lines = [
        report("5.50", ""),
        report("80.00", "Init Duration: 150 ms\t"),
        report("7.00", ""),
    ];
    let page = page(
        &[
            ("7", 1, &lines[0]),
            ("7", 2, &lines[1]),
            ("6", 3, &lines[2]),
            ("7", 4, "START"),
        ],
        None,
    );
    let client = client(vec![page]);
    let logs = Logs {
        client: &client,
        group: "/aws/lambda/app".to_owned(),
        version: Some(&version),
    };
    let durations = logs.durations(Timestamp::UNIX_EPOCH).await.unwrap();
    let millis: Vec<f64> = durations.lines.iter().map(|(_, millis)| *millis).collect();
    assert_eq!((millis, durations.is_cut), (vec![5.5], false));
}
