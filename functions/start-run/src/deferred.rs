//! Starts that AWS has no room for just now.
//!
//! A pipeline takes so many runs at once and no more, and a run that waits for an approval may wait for days:
//! longer than Lambda tries an event again. So the upload is put off in the ledger, and the sweep hands its
//! event over again until it is started, or a newer upload has overtaken it.

use serde_json::{Value, json};
use signalbox_bootstrap::{AwsFailure, Invocation};
use signalbox_decision::start::{Candidate, Settings, token};
use tracing::warn;

use crate::app::App;
use crate::error::Error;
use crate::handler::Done;

/// The ledger's kind of these events; the sweep reads it by the same name.
const UPLOADS: &str = "uploads";

/// What AWS answers where a limit is reached that frees itself: CodePipeline's of runs at once, CodeBuild's of
/// builds that are queued.
const FULL: [&str; 2] = [
    "ConcurrentPipelineExecutionsLimitExceededException",
    "AccountLimitExceededException",
];

/// Whether AWS has no room just now.
pub(crate) fn is_full(failure: &AwsFailure) -> bool {
    FULL.iter().any(|code| failure.is(code))
}

/// Puts an upload off.
pub(crate) async fn defer(
    app: &App,
    candidate: &Candidate,
    failure: &AwsFailure,
    invocation: &Invocation,
) -> Result<Done, Error> {
    let settings = &app.config.settings;
    let Candidate {
        bucket, key, version, ..
    } = candidate;
    let id = token(&settings.pipeline, bucket, key, version.as_str());
    let event = event(candidate, settings);
    app.ledger.defer(UPLOADS, &id, &event, invocation.now).await?;
    let reason = failure.to_string();
    warn!(version = version.as_str(), reason, "put off until the next sweep");
    Ok(Done::Deferred { reason })
}

/// The upload's event as EventBridge delivers it, as far as this function reads it.
fn event(candidate: &Candidate, settings: &Settings) -> Value {
    json!({
        "version": "0", "source": "aws.s3", "detail-type": "Object Created",
        "account": settings.account, "region": settings.region,
        "detail": {
            "bucket": { "name": candidate.bucket },
            "object": {
                "key": candidate.key, "version-id": candidate.version, "etag": candidate.etag,
                "sequencer": candidate.sequencer,
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use signalbox_decision::package::Limits;
    use signalbox_decision::start::{Screened, Sequencer, screen};
    use signalbox_events::s3::{Delivery, parse};

    use super::*;

    fn settings() -> Settings {
        Settings {
            pipeline: "p".parse().unwrap(),
            source_action: "Source".parse().unwrap(),
            build_project: "b".to_owned(),
            bucket: "lambda-artifacts-staging".parse().unwrap(),
            prefix: "source/".to_owned(),
            account: "111122223333".to_owned(),
            region: "eu-central-1".to_owned(),
            branch: "develop".parse().unwrap(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn what_is_put_off_is_read_as_the_same_upload() {
        for sequencer in [Some("0055AED6DCD90281E5"), None] {
            let candidate = Candidate {
                bucket: settings().bucket,
                key: "source/develop/a+b \u{e9}%2F.zip".parse().unwrap(),
                version: "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY".parse().unwrap(),
                sequencer: sequencer.map(|text| Sequencer::new(text).unwrap()),
                etag: sequencer.map(|_| "d41d8cd98f00b204e9800998ecf8427e".to_owned()),
            };
            let Delivery::Whole(mut arrivals) = parse(event(&candidate, &settings())).unwrap() else {
                panic!("not one upload")
            };
            let screened = screen(arrivals.remove(0), &settings());
            assert_eq!(screened, Screened::Candidate(candidate));
        }
    }

    #[test]
    fn only_limits_that_free_themselves_are_waited_for() {
        let failure = |code: &str| AwsFailure {
            code: Some(code.to_owned()),
            message: String::new(),
            retryable: true,
            refused: true,
        };
        assert!(is_full(&failure(
            "ConcurrentPipelineExecutionsLimitExceededException"
        )));
        assert!(!is_full(&failure("ThrottlingException")));
    }
}
