//! A build's log: a file, and a stream in CloudWatch Logs.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use signalbox_local_core::{Caller, Clock};
use tokio::sync::mpsc;

use crate::build::LogStream;
use crate::engine::Shared;
use crate::state::lock;

/// Lines that may wait for CloudWatch Logs; the file never waits.
const BACKLOG: usize = 100_000;

/// `PutLogEvents` takes 10,000 events and 1 MiB, each event counting 26 bytes more than its text.
const BATCH_EVENTS: usize = 5_000;
const BATCH_BYTES: usize = 900_000;

/// How long lines gather before they are sent.
const GATHER: Duration = Duration::from_millis(500);

/// Values shorter than this are not masked: "1" or "on" would make the log unreadable, and hide nothing.
const SHORTEST_SECRET: usize = 4;

/// One line for CloudWatch Logs.
pub(crate) struct Line {
    millis: i64,
    text: String,
}

/// Where a build's output goes.
pub(crate) struct BuildLog {
    file: Mutex<File>,
    clock: Clock,
    secrets: Mutex<Vec<String>>,
    stream: Option<mpsc::Sender<Line>>,
    left_out: Mutex<u64>,
}

impl BuildLog {
    /// A log that is only a file.
    pub(crate) fn to_file(path: &Path, clock: Clock) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(Self {
            file: Mutex::new(File::create(path)?),
            clock,
            secrets: Mutex::default(),
            stream: None,
            left_out: Mutex::default(),
        })
    }

    /// Sends lines to CloudWatch Logs too; answers what [`ship`] takes.
    pub(crate) fn with_stream(mut self) -> (Self, mpsc::Receiver<Line>) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        self.stream = Some(sender);
        (self, receiver)
    }

    /// From now on this text appears as `***`, as AWS does for values of Parameter Store and Secrets
    /// Manager and for access keys. Each line of a longer secret counts.
    pub(crate) fn hide(&self, secret: &str) {
        let mut secrets = lock(&self.secrets);
        let lines = secret.lines().map(str::trim).chain([secret]);
        secrets.extend(
            lines
                .filter(|line| line.len() >= SHORTEST_SECRET)
                .map(str::to_owned),
        );
        // Longest first, so that a secret within another does not leave the rest of it readable.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
    }

    /// `text` without secrets.
    pub(crate) fn masked(&self, text: &str) -> String {
        let secrets = lock(&self.secrets);
        secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) {
                text.replace(secret.as_str(), "***")
            } else {
                text
            }
        })
    }

    /// A line of the build's own, in AWS's form.
    pub(crate) fn note(&self, text: &str) {
        let now = self.clock.now().to_zoned(TimeZone::UTC);
        self.line(&format!(
            "[Container] {} {text}",
            now.strftime("%Y/%m/%d %H:%M:%S%.6f")
        ));
    }

    /// A line of a command's output.
    pub(crate) fn line(&self, text: &str) {
        let text = self.masked(text);
        if let Err(error) = writeln!(lock(&self.file), "{text}") {
            tracing::warn!(%error, "a line of a build's log could not be written");
        }
        if let Some(stream) = &self.stream {
            let line = Line {
                millis: self.clock.now().as_millisecond(),
                text,
            };
            if stream.try_send(line).is_err() {
                *lock(&self.left_out) += 1;
            }
        }
    }

    /// Says in the log itself how many lines CloudWatch Logs did not get.
    pub(crate) fn close(&self) {
        let left_out = std::mem::take(&mut *lock(&self.left_out));
        if left_out > 0 {
            self.note(&format!(
                "{left_out} lines were left out of CloudWatch Logs; the log's file has them"
            ));
        }
    }
}

/// Sends lines to CloudWatch Logs until the log is dropped, as the project's service role, which
/// needs the permission in AWS too.
pub(crate) async fn ship(
    shared: Arc<Shared>,
    caller: Caller,
    to: LogStream,
    mut lines: mpsc::Receiver<Line>,
) {
    let LogStream { group, stream } = &to;
    let call = |operation: &'static str, input: Value| shared.cloud.call(&caller, "logs", operation, input);
    for (operation, input) in [
        ("CreateLogGroup", json!({"logGroupName": group})),
        (
            "CreateLogStream",
            json!({"logGroupName": group, "logStreamName": stream}),
        ),
    ] {
        match call(operation, input).await {
            Ok(_) => {}
            Err(error) if error.code == "ResourceAlreadyExistsException" => {}
            Err(error) => {
                tracing::warn!(group, stream, %error, "a build's log cannot go to CloudWatch Logs");
                return;
            }
        }
    }
    let mut waiting: Vec<Line> = Vec::new();
    loop {
        if waiting.is_empty() && lines.recv_many(&mut waiting, BATCH_EVENTS).await == 0 {
            return;
        }
        if waiting.len() < BATCH_EVENTS {
            let gather = async { while lines.recv_many(&mut waiting, BATCH_EVENTS).await > 0 {} };
            // Ends at once where the log is closed.
            let _ = tokio::time::timeout(GATHER, gather).await;
        }
        let mut bytes = 0;
        let count = waiting
            .iter()
            .take(BATCH_EVENTS)
            .take_while(|line| {
                bytes += line.text.len() + 27;
                bytes <= BATCH_BYTES
            })
            .count()
            .max(1);
        // A message must not be empty, and AWS's own ends with the line's end.
        let events: Vec<Value> = waiting
            .drain(..count.min(waiting.len()))
            .map(|line| json!({"timestamp": line.millis, "message": format!("{}\n", line.text)}))
            .collect();
        let count = events.len();
        let input = json!({"logGroupName": group, "logStreamName": stream, "logEvents": events});
        if let Err(error) = call("PutLogEvents", input).await {
            tracing::warn!(group, stream, count, %error, "lines of a build's log were not stored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_reach_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = BuildLog::to_file(&path, Clock::new(1.0)).unwrap();
        log.hide("hunter22\nsecond line");
        log.hide("hunter22-longer");
        log.hide("1");
        log.line("a hunter22-longer b hunter22 c second line 1");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a *** b *** c *** 1\n");
    }
}
