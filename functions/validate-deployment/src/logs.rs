//! Reads the version's log lines, once they are there.

use std::time::Duration;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use jiff::Timestamp;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::names::VersionNumber;
use signalbox_decision::validation::LogFacts;
use signalbox_decision::validation::canary::Durations;
use signalbox_decision::validation::lines::{REPORTS, reported};
use signalbox_decision::validation::policy::LogRules;

use crate::app::App;

/// CloudWatch Logs shows a line some seconds after it was written.
const ARRIVAL: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_secs(1);

/// Pages that are read; `FilterLogEvents` answers empty ones too while it searches.
const MAX_PAGES: usize = 100;

/// More bad lines prove nothing more.
const ENOUGH: usize = 100;

/// More durations make a test no better, only longer.
const MAX_DURATIONS: usize = 5000;

/// The longest filter pattern (API reference of `FilterLogEvents`), in characters.
const MAX_PATTERN: usize = 1024;

/// Request ids in one pattern: each has 36 characters, and its quotes.
const IDS_AT_ONCE: usize = 20;

/// The log of the function under validation.
pub(crate) struct Logs<'a> {
    client: &'a Client,
    group: String,
    /// The version whose lines count; every version's, where it is unknown.
    version: Option<&'a VersionNumber>,
}

/// A part of one stream, from one time to another (milliseconds), in which one request was served: an
/// environment serves one at a time.
struct Span {
    stream: String,
    from: i64,
    to: i64,
}

impl Span {
    fn holds(&self, event: &FilteredLogEvent) -> bool {
        event.log_stream_name() == Some(&self.stream)
            && event
                .timestamp()
                .is_some_and(|at| (self.from..=self.to).contains(&at))
    }
}

impl<'a> Logs<'a> {
    pub(crate) fn of(app: &'a App, version: Option<&'a VersionNumber>) -> Self {
        Self {
            client: &app.logs,
            group: format!("/aws/lambda/{}", app.config.function),
            version,
        }
    }

    /// What the rules ask of the lines since `since`, read when a line of the request of `last` has arrived;
    /// or why nothing can be said: that there is no line *yet* is no proof that the version is sound.
    ///
    /// `excused` are the ids of requests that were meant to be refused. An application may well log them as
    /// errors: their lines do not count.
    pub(crate) async fn check(
        &self,
        rules: &LogRules,
        since: Timestamp,
        last: Timestamp,
        excused: &[String],
    ) -> Result<LogFacts, String> {
        self.arrived(last).await?;
        let (bad, wanted) = (&rules.must_not_appear, &rules.must_appear);
        let mut missing: Vec<String> = wanted.clone();
        let (mut counting, mut let_be) = (Vec::new(), 0);
        let words: Vec<&str> = bad.iter().chain(wanted).map(String::as_str).collect();
        if !words.is_empty() {
            // First, so that lines that do not count are no reason to stop before those that do.
            let spans = self.spans(since, excused).await?;
            let read = self.read(since, &words, |event, message| {
                missing.retain(|word| !message.contains(word.as_str()));
                if bad.iter().any(|word| message.contains(word.as_str())) {
                    if spans.iter().any(|span| span.holds(event)) {
                        let_be += 1;
                    } else if counting.len() < ENOUGH {
                        counting.push(message.to_owned());
                    }
                }
                counting.len() < ENOUGH || !missing.is_empty()
            });
            // With so many of them it has failed, whatever the rest of the log holds.
            let read = read.await;
            if counting.len() < ENOUGH {
                read?;
            }
        }
        Ok(LogFacts {
            bad: counting,
            excused: let_be,
            missing,
        })
    }

    /// How long the version's invocations took since then, without those that started an environment.
    pub(crate) async fn durations(&self, since: Timestamp) -> Result<Durations, String> {
        let mut durations = Durations::default();
        self.read(since, &REPORTS, |event, message| {
            if let (Some(at), Some(reported)) = (event.timestamp(), reported(message))
                && !reported.cold
            {
                durations.lines.push((at, reported.millis));
            }
            durations.is_cut = durations.lines.len() >= MAX_DURATIONS;
            !durations.is_cut
        })
        .await?;
        Ok(durations)
    }

    async fn arrived(&self, last: Timestamp) -> Result<(), String> {
        let arrived = tokio::time::timeout(ARRIVAL, async {
            loop {
                let mut seen = false;
                self.read(last, &[], |_, _| {
                    seen = true;
                    false
                })
                .await?;
                if seen {
                    return Ok::<(), String>(());
                }
                tokio::time::sleep(STEP).await;
            }
        });
        arrived.await.map_err(|_| {
            format!(
                "no line of the last request arrived in {} within {} s; the function must write its START and \
                 REPORT lines there",
                self.group,
                ARRIVAL.as_secs()
            )
        })?
    }

    /// Where the requests of these ids stand in the log: their `START`, `END` and `REPORT` lines name them,
    /// whatever the lines between look like.
    async fn spans(&self, since: Timestamp, ids: &[String]) -> Result<Vec<Span>, String> {
        let mut spans: Vec<(String, Span)> = Vec::new();
        for ids in ids.chunks(IDS_AT_ONCE) {
            let words: Vec<&str> = ids.iter().map(String::as_str).collect();
            self.read(since, &words, |event, message| {
                let id = ids.iter().find(|id| message.contains(id.as_str()));
                if let (Some(id), Some(stream), Some(at)) = (id, event.log_stream_name(), event.timestamp()) {
                    match spans.iter_mut().find(|(of, _)| of == id) {
                        Some((_, span)) => {
                            span.from = span.from.min(at);
                            span.to = span.to.max(at);
                        }
                        None => spans.push((
                            id.clone(),
                            Span {
                                stream: stream.to_owned(),
                                from: at,
                                to: at,
                            },
                        )),
                    }
                }
                true
            })
            .await?;
        }
        Ok(spans.into_iter().map(|(_, span)| span).collect())
    }

    /// Hands the version's lines since then over, oldest first, until `next` answers false. Those without any
    /// of the words may be left out; what counts is for `next` to say, whatever a log store makes of a pattern.
    async fn read(
        &self,
        since: Timestamp,
        words: &[&str],
        mut next: impl FnMut(&FilteredLogEvent, &str) -> bool,
    ) -> Result<(), String> {
        // `?` is CloudWatch Logs' "or".
        let pattern: Vec<String> = words.iter().map(|word| format!("?\"{word}\"")).collect();
        let pattern = Some(pattern.join(" ")).filter(|it| (1..=MAX_PATTERN).contains(&it.chars().count()));
        let mut token = None;
        for _ in 0..MAX_PAGES {
            let answer = self
                .client
                .filter_log_events()
                .log_group_name(&self.group)
                .start_time(since.as_millisecond())
                .set_filter_pattern(pattern.clone())
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| format!("the logs cannot be read: {}", aws_failure(&error)))?;
            for event in answer.events().iter().filter(|event| self.is_of_version(event)) {
                if let Some(message) = event.message()
                    && !next(event, message)
                {
                    return Ok(());
                }
            }
            token = answer.next_token().map(str::to_owned);
            if token.is_none() {
                return Ok(());
            }
        }
        Err(format!("the logs have more than {MAX_PAGES} pages since {since}"))
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
mod tests;
