//! What start-run makes of an upload: by its own record in the ledger, or by the run that CodePipeline lists.

use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::types::{Build, StatusType};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use signalbox_decision::names::{BucketName, ObjectKey};
use signalbox_decision::start::token;
use signalbox_ledger::{ClaimKey, ClaimStanding, Ledger, LedgerError};
use tokio::time::{Instant, sleep};

use super::Report;
use crate::access::Cloud;
use crate::console::Console;
use crate::error::{Error, Exit};
use crate::output::line;
use crate::patience::Patience;
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
        let mut record = Record {
            claim: claim(self.pipeline, report, version),
            is_told: false,
        };
        let mut patience = Patience::default();
        self.console.waiting("waiting for start-run");
        loop {
            if let Some(outcome) = self.recorded(&mut record).await {
                self.console.still();
                return Ok(Some(outcome));
            }
            match self.listed(version).await {
                Ok(Some(execution)) => {
                    self.console.still();
                    return Ok(Some(Outcome::Started { execution }));
                }
                Ok(None) => patience.renew(),
                Err(error) => self.console.detail(&patience.bear(error)?),
            }
            if until.is_some_and(|at| Instant::now() >= at) {
                self.console.still();
                return Ok(None);
            }
            sleep(patience.pause(self.cloud.interval())).await;
        }
    }

    /// What start-run says of it itself, once it does, and where that can be read.
    async fn recorded(&self, record: &mut Record) -> Option<Outcome> {
        let key = record.claim.as_ref()?;
        match self.ledger.look_at_claim(key, Timestamp::now()).await {
            Ok(Some(ClaimStanding::Done(text))) => Some(Outcome::of(&text)),
            Ok(Some(ClaimStanding::InProgress) | None) => None,
            Err(error) => {
                if let Some(told) = record.failed(&error) {
                    self.console.detail(&told);
                }
                None
            }
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

/// start-run's own record of an upload.
#[derive(Debug)]
struct Record {
    /// Under which it stands; `None` where nobody needs to look.
    claim: Option<ClaimKey>,
    /// Whether it was told that it cannot be read.
    is_told: bool,
}

impl Record {
    /// A failure that may pass is no reason to look no more. What is told of it is told once.
    fn failed(&mut self, error: &LedgerError) -> Option<String> {
        // Whoever may upload need not be allowed to read the ledger.
        if !error.is_retryable() {
            self.claim = None;
        }
        let is_news = !std::mem::replace(&mut self.is_told, true);
        is_news.then(|| format!("whether it is rejected cannot be told: {error}"))
    }
}

/// The claim under which start-run acts on this upload.
fn claim(pipeline: &Pipeline, report: &Report, version: &str) -> Option<ClaimKey> {
    let bucket = BucketName::new(report.bucket.as_deref()?).ok()?;
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
    let client = Client::new(cloud.sdk());
    let name = line(build, 300);
    let mut standing = Standing::default();
    let mut patience = Patience::default();
    console.waiting("building");
    loop {
        match look_at_build(&client, build, &name).await {
            Ok(Some(now)) => {
                patience.renew();
                standing = now;
            }
            // CodeBuild may not tell of it yet: start-run has only just started it.
            Ok(None) => {
                let unknown = Error::Nothing(format!("CodeBuild knows no build {name}"));
                console.detail(&patience.bear_any(unknown)?);
            }
            Err(error) => console.detail(&patience.bear(error)?),
        }
        let is_late = until.is_some_and(|at| Instant::now() >= at);
        if let Some(exit) = standing.exit.or(is_late.then_some(Exit::TimedOut)) {
            console.still();
            return Ok((format!("build {name}: {}", standing.text()), exit));
        }
        sleep(patience.pause(cloud.interval())).await;
    }
}

/// A build, where CodeBuild knows it.
async fn look_at_build(client: &Client, build: &str, name: &str) -> Result<Option<Standing>, Error> {
    let answer = client
        .batch_get_builds()
        .ids(build)
        .send()
        .await
        .map_err(Error::aws(format!("build {name}")))?;
    Ok(answer.builds().first().map(Standing::of))
}

/// How a build stands.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standing {
    /// `None` until CodeBuild says.
    state: Option<String>,
    /// Once it has ended.
    exit: Option<Exit>,
    logs: Option<String>,
}

impl Standing {
    fn of(build: &Build) -> Self {
        let status = build.build_status();
        let exit = match status {
            None | Some(StatusType::InProgress) => None,
            Some(StatusType::Succeeded) => Some(Exit::Done),
            Some(StatusType::Stopped) => Some(Exit::RunStopped),
            Some(_) => Some(Exit::RunFailed),
        };
        let logs = build.logs().and_then(|logs| logs.deep_link());
        Self {
            state: status.map(|status| status.as_str().to_owned()),
            exit,
            logs: logs.map(str::to_owned),
        }
    }

    fn text(&self) -> String {
        let state = self.state.as_deref().unwrap_or("IN_PROGRESS");
        let logs = self.logs.as_deref();
        let logs = logs.map_or_else(String::new, |url| format!(" ({})", line(url, 500)));
        format!("{}{logs}", line(state, 100))
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

    #[test]
    fn a_ledger_that_may_answer_later_is_asked_again_and_told_of_once() {
        let mut record = Record {
            claim: Some(ClaimKey::new("start-run", "token")),
            is_told: false,
        };
        let doing = "reading";
        let problem = || "ThrottlingException".to_owned();
        let passing = LedgerError::Unavailable {
            doing,
            problem: problem(),
        };
        let told = record.failed(&passing);
        assert!(told.is_some_and(|told| told.contains("cannot be told: the ledger is unavailable")));
        assert_eq!(record.failed(&passing), None);
        assert!(record.claim.is_some());
        let lasting = LedgerError::Refused {
            doing,
            problem: problem(),
        };
        assert_eq!(record.failed(&lasting), None);
        assert!(record.claim.is_none());
    }

    #[test]
    fn a_build_stands_as_codebuild_says() {
        let build = |status| Standing::of(&Build::builder().set_build_status(status).build());
        assert_eq!(build(None).text(), "IN_PROGRESS");
        for (status, exit) in [
            (StatusType::InProgress, None),
            (StatusType::Succeeded, Some(Exit::Done)),
            (StatusType::Stopped, Some(Exit::RunStopped)),
            (StatusType::TimedOut, Some(Exit::RunFailed)),
        ] {
            let standing = build(Some(status.clone()));
            assert_eq!(standing.exit, exit, "{status}");
            assert_eq!(standing.text(), status.as_str());
        }
    }
}
