//! What start-run makes of an upload: by its own record in the ledger, or by the run that CodePipeline lists.

use aws_sdk_codebuild::types::StatusType;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use signalbox_decision::names::{BucketName, ObjectKey};
use signalbox_decision::start::token;
use signalbox_ledger::{ClaimKey, ClaimStanding, Ledger};
use tokio::time::{Instant, sleep};

use super::Report;
use crate::access::Cloud;
use crate::console::Console;
use crate::error::{Error, Exit};
use crate::output::line;
use crate::pipeline::Pipeline;

/// What start-run made of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub(super) enum Outcome {
    /// It started a run.
    Started {
        /// The run.
        #[serde(rename = "execution")]
        execution: String,
    },
    /// Another branch's: it is only built.
    Built {
        /// The build.
        build: String,
    },
    /// It was rejected.
    Rejected {
        /// Why.
        reasons: Vec<String>,
    },
    /// It was ignored: a newer one of the same key came first, or it is no longer there.
    Ignored {
        /// Why.
        reason: String,
    },
    /// Something that this program does not know.
    Other {
        /// In start-run's own words.
        said: String,
    },
}

/// start-run's own record of what it did.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", tag = "done")]
enum Done {
    Started { execution: String },
    Built { build: String },
    Rejected { reasons: Vec<String> },
    Ignored { reason: String },
}

impl Outcome {
    fn of(record: &str) -> Self {
        match serde_json::from_str(record) {
            Ok(Done::Started { execution }) => Self::Started { execution },
            Ok(Done::Built { build }) => Self::Built { build },
            Ok(Done::Rejected { reasons }) => Self::Rejected { reasons },
            Ok(Done::Ignored { reason }) => Self::Ignored { reason },
            Err(_) => Self::Other {
                said: record.to_owned(),
            },
        }
    }
}

/// Waits for what comes of an upload.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) cloud: &'a Cloud,
    pub(super) pipeline: &'a Pipeline,
    pub(super) ledger: &'a Ledger,
    pub(super) console: &'a Console,
}

impl Start<'_> {
    /// What came of it; `None` where the time was up before.
    pub(super) async fn outcome(
        &self,
        report: &Report,
        until: Option<Instant>,
    ) -> Result<Option<Outcome>, Error> {
        let version = report.version.as_deref().unwrap_or_default();
        let mut claim = claim(self.pipeline, report, version);
        self.console.waiting("waiting for start-run");
        loop {
            if let Some(key) = &claim {
                match self.ledger.look_at_claim(key, Timestamp::now()).await {
                    Ok(Some(ClaimStanding::Done(record))) => {
                        self.console.still();
                        return Ok(Some(Outcome::of(&record)));
                    }
                    Ok(Some(ClaimStanding::InProgress) | None) => {}
                    Err(error) => {
                        // Whoever may upload need not be allowed to read the ledger.
                        self.console
                            .detail(&format!("whether it is rejected cannot be told: {error}"));
                        claim = None;
                    }
                }
            }
            if let Some(execution) = self.listed(version).await? {
                self.console.still();
                return Ok(Some(Outcome::Started { execution }));
            }
            if until.is_some_and(|at| Instant::now() >= at) {
                self.console.still();
                return Ok(None);
            }
            sleep(self.cloud.interval()).await;
        }
    }

    /// The run of this object version, once CodePipeline tells of it.
    async fn listed(&self, version: &str) -> Result<Option<String>, Error> {
        let runs = self.pipeline.newest(50).await?;
        let of_version = runs
            .into_iter()
            .find(|run| run.revisions.iter().any(|revision| revision == version));
        Ok(of_version.map(|run| run.id.to_string()))
    }
}

/// The claim under which start-run acts on this upload.
fn claim(pipeline: &Pipeline, report: &Report, version: &str) -> Option<ClaimKey> {
    let bucket = BucketName::new(report.bucket.as_str()).ok()?;
    let key = ObjectKey::new(report.key.as_str()).ok()?;
    Some(ClaimKey::new(
        "start-run",
        token(pipeline.name(), &bucket, &key, version),
    ))
}

/// Follows a branch's build to its end; answers how it ended.
pub(super) async fn follow_build(
    cloud: &Cloud,
    console: &Console,
    build: &str,
    until: Option<Instant>,
) -> Result<(String, Exit), Error> {
    let client = aws_sdk_codebuild::Client::new(cloud.sdk());
    let name = line(build, 300);
    console.waiting("building");
    loop {
        let answer = client
            .batch_get_builds()
            .ids(build)
            .send()
            .await
            .map_err(Error::aws(format!("build {name}")))?;
        let found = answer.builds().first();
        let logs = found.and_then(|build| build.logs()?.deep_link());
        let status = found.and_then(|build| build.build_status());
        let exit = match status {
            None | Some(StatusType::InProgress) => None,
            Some(StatusType::Succeeded) => Some(Exit::Done),
            Some(StatusType::Stopped) => Some(Exit::RunStopped),
            Some(_) => Some(Exit::RunFailed),
        };
        let is_late = until.is_some_and(|at| Instant::now() >= at);
        if let Some(exit) = exit.or(is_late.then_some(Exit::TimedOut)) {
            console.still();
            let state = status.map_or("IN_PROGRESS", StatusType::as_str);
            let logs = logs.map_or_else(String::new, |url| format!(" ({})", line(url, 500)));
            return Ok((format!("build {name}: {state}{logs}"), exit));
        }
        sleep(cloud.interval()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_start_run_is_read() {
        assert_eq!(
            Outcome::of(r#"{"done":"started","execution":"e","branch":"develop"}"#),
            Outcome::Started {
                execution: "e".to_owned()
            }
        );
        assert_eq!(
            Outcome::of(r#"{"done":"rejected","reasons":["the package is not a zip archive"]}"#),
            Outcome::Rejected {
                reasons: vec!["the package is not a zip archive".to_owned()]
            }
        );
        // A record that was cut off, or of a later version.
        assert_eq!(
            Outcome::of("{\"done\":"),
            Outcome::Other {
                said: "{\"done\":".to_owned()
            }
        );
    }
}
