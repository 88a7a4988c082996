//! Reads the version's log lines, once they are there.

use std::time::Duration;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use jiff::Timestamp;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::names::VersionNumber;

/// What stands in lines of a function's log that no good version writes.
const BAD_WORDS: [&str; 4] = ["ERROR", "Task timed out", "Runtime exited", "Unhandled"];

/// CloudWatch Logs shows a line some seconds after it was written.
const ARRIVAL: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_secs(1);

/// Pages that are read; `FilterLogEvents` answers empty ones too while it searches.
const MAX_PAGES: usize = 100;

/// More lines prove nothing more.
const ENOUGH: usize = 100;

/// The log of the function under validation.
pub(crate) struct Logs<'a> {
    pub(crate) client: &'a Client,
    pub(crate) group: String,
    /// The version whose lines count; every version's, where it is unknown.
    pub(crate) version: Option<&'a VersionNumber>,
}

impl Logs<'_> {
    /// Error lines since `since`, read when a line of the request of `last` has arrived; or why nothing
    /// can be said: that there is no line *yet* is no proof that the version is sound.
    pub(crate) async fn bad_lines(&self, since: Timestamp, last: Timestamp) -> Result<Vec<String>, String> {
        let arrived = tokio::time::timeout(ARRIVAL, async {
            while self.lines(last, None, 1, |_| true).await?.is_empty() {
                tokio::time::sleep(STEP).await;
            }
            Ok::<(), String>(())
        });
        arrived.await.map_err(|_| {
            format!(
                "no line of the last request arrived in {} within {} s; the function must write its START and \
                 REPORT lines there",
                self.group,
                ARRIVAL.as_secs()
            )
        })??;
        // `?` is CloudWatch Logs' "or". The pattern spares the transfer; what counts is decided here,
        // whatever a log store makes of it.
        let pattern = BAD_WORDS.map(|words| format!("?\"{words}\"")).join(" ");
        let is_bad = |message: &str| BAD_WORDS.iter().any(|words| message.contains(words));
        self.lines(since, Some(&pattern), ENOUGH, is_bad).await
    }

    /// The first lines of the version since then.
    async fn lines(
        &self,
        since: Timestamp,
        pattern: Option<&str>,
        enough: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut next = None;
        for _ in 0..MAX_PAGES {
            let answer = self
                .client
                .filter_log_events()
                .log_group_name(&self.group)
                .start_time(since.as_millisecond())
                .set_filter_pattern(pattern.map(str::to_owned))
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| format!("the logs cannot be read: {}", aws_failure(&error)))?;
            let events = answer.events().iter().filter(|event| self.is_of_version(event));
            let messages = events.filter_map(FilteredLogEvent::message);
            found.extend(messages.filter(|message| wanted(message)).map(str::to_owned));
            next = answer.next_token().map(str::to_owned);
            if next.is_none() || found.len() >= enough {
                return Ok(found);
            }
        }
        if found.is_empty() {
            Err(format!("the logs have more than {MAX_PAGES} pages since {since}"))
        } else {
            Ok(found)
        }
    }

    /// A stream is named after the version that wrote it: `2026/01/31/[7]0123…`.
    fn is_of_version(&self, event: &FilteredLogEvent) -> bool {
        self.version.is_none_or(|version| {
            event
                .log_stream_name()
                .is_some_and(|name| name.contains(&format!("[{version}]")))
        })
    }
}

#[cfg(test)]
mod tests {
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

    fn page(lines: &[(&str, &str)], token: Option<&str>) -> Value {
        let events: Vec<Value> = lines
            .iter()
            .map(|(version, message)| {
                json!({ "logStreamName": format!("2026/01/31/[{version}]0123"), "message": message })
            })
            .collect();
        json!({ "events": events, "nextToken": token })
    }

    async fn bad_lines(pages: Vec<Value>) -> Result<Vec<String>, String> {
        let connector = SharedHttpConnector::new(Pages(Mutex::new(pages)));
        let config = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(aws_sdk_cloudwatchlogs::config::BehaviorVersion::latest())
            .region(aws_sdk_cloudwatchlogs::config::Region::new("us-east-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .sleep_impl(TokioSleep::new())
            .build();
        let version = VersionNumber::new("7").unwrap();
        let logs = Logs {
            client: &Client::from_conf(config),
            group: "/aws/lambda/app".to_owned(),
            version: Some(&version),
        };
        logs.bad_lines(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_behind_an_empty_page_is_found() {
        let pages = vec![
            page(&[("7", "REPORT")], None),
            page(&[], Some("more")),
            page(&[("6", "ERROR old"), ("7", "ERROR new")], None),
        ];
        assert_eq!(bad_lines(pages).await, Ok(vec!["ERROR new".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_have_not_arrived_yet_are_waited_for() {
        let pages = vec![
            page(&[], None),
            page(&[("6", "REPORT")], None),
            page(&[("7", "REPORT")], None),
            page(&[("7", "ERROR late")], None),
        ];
        assert_eq!(bad_lines(pages).await, Ok(vec!["ERROR late".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_log_is_no_proof() {
        let error = bad_lines(vec![page(&[], None)]).await.unwrap_err();
        assert!(error.contains("no line of the last request"), "{error}");
    }
}
