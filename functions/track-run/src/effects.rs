//! Tells: metrics to CloudWatch, notices to people; each under its claim.

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_sdk_sns::types::MessageAttributeValue;
use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::{AwsFailure, Invocation, aws_failure};
use signalbox_decision::notice::Notice;
use signalbox_decision::timeline::Subject;
use signalbox_decision::timeline::metric::{Metric, Unit, sendable};
use signalbox_decision::timeline::tell::{Due, Message};
use signalbox_ledger::{Claim, ClaimKey, ClaimOutcome};
use tracing::info;

use crate::app::App;
use crate::error::Error;

/// Longer than AWS delivers any event late.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);
/// A run's events come in bursts, a dozen within a second: the other invocation is done in a moment.
const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

/// What became of the telling.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// Keys of what has been told, by whichever invocation.
    pub(crate) known: Vec<String>,
    /// Keys of what this invocation told.
    pub(crate) sent: Vec<String>,
    /// Metrics that CloudWatch would have refused.
    pub(crate) metrics_dropped: usize,
    /// The first thing that could not be told; the rest was tried all the same.
    pub(crate) failed: Option<Error>,
}

/// Tells everything that is due.
///
/// The accepted race: a crash between sending and completing the claim sends once more. A notice then comes
/// twice under one id; a metric counts twice, since CloudWatch has no token for it.
pub(crate) async fn tell(app: &App, subject: &Subject, due: Vec<Due>, invocation: &Invocation) -> Telling {
    let mut telling = Telling::default();
    let mut patience = PATIENCE;
    for due in due {
        match tell_one(app, subject, &due, patience, invocation).await {
            Ok(Some(dropped)) => {
                telling.metrics_dropped += dropped;
                telling.sent.push(due.key.clone());
                telling.known.push(due.key);
            }
            Ok(None) => telling.known.push(due.key),
            Err(error) => {
                // Waiting once is enough: whoever is slow (or has crashed) holds the others too.
                patience = SignedDuration::ZERO;
                // One error is reported; a failure that a retry mends must not hide behind one that it
                // does not.
                let hides = telling
                    .failed
                    .as_ref()
                    .is_none_or(|first| !first.is_retryable() && error.is_retryable());
                if hides {
                    telling.failed = Some(error);
                }
            }
        }
    }
    telling
}

/// How many metrics had to be dropped; `None` if it had been told before.
async fn tell_one(
    app: &App,
    subject: &Subject,
    due: &Due,
    patience: SignedDuration,
    invocation: &Invocation,
) -> Result<Option<usize>, Error> {
    let id = due.claim_key(subject);
    let outcome = app
        .ledger
        .claim_patiently(
            &ClaimKey::new("track-run", &id),
            &invocation.request_id,
            invocation.now,
            invocation.deadline.duration_since(invocation.now),
            REMEMBERED,
            &due.payload_digest(),
            patience,
        )
        .await?;
    let claim = match outcome {
        ClaimOutcome::Won(claim) => claim,
        ClaimOutcome::Done(_) => return Ok(None),
        // Cannot be: the payload derives from the key. If it were, somebody has told something.
        ClaimOutcome::Conflict => return Ok(None),
        ClaimOutcome::InProgress { .. } => return Err(Error::BeingTold(due.key.clone())),
    };
    let sent = match &due.message {
        Message::Notice(notice) => publish(app, &id, notice, &claim).await.map(|()| 0),
        Message::Metrics(metrics) => put(app, metrics.clone(), invocation.now, &claim).await,
    };
    match sent {
        Ok(dropped) => {
            app.ledger.complete(claim, &due.key, invocation.now).await?;
            info!(key = due.key, "told");
            Ok(Some(dropped))
        }
        Err((call, failure)) => {
            // AWS refused: nothing was sent, and the retry need not wait for the claim's deadline. After a fault
            // of AWS's, or without an answer, nobody knows, and it waits.
            if failure.refused {
                app.ledger.release(claim, invocation.now).await?;
            }
            Err(Error::Aws { call, failure })
        }
    }
}

type Refused = (&'static str, AwsFailure);

async fn publish(app: &App, id: &str, notice: &Notice, _claim: &Claim) -> Result<(), Refused> {
    let call = "Publish";
    let attribute = |value: &str| {
        MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
            .map_err(|_| (call, AwsFailure::incomplete()))
    };
    app.topics
        .publish()
        .topic_arn(&app.config.notice_topic)
        .subject(&notice.subject)
        .message(&notice.body)
        .message_attributes("topic", attribute(notice.topic)?)
        .message_attributes("severity", attribute(notice.severity.as_str())?)
        .message_attributes("notice", attribute(id)?)
        .send()
        .await
        .map_err(|error| (call, aws_failure(&error)))?;
    Ok(())
}

/// Sends what CloudWatch takes, with the count of what it would have refused.
async fn put(app: &App, metrics: Vec<Metric>, now: Timestamp, _claim: &Claim) -> Result<usize, Refused> {
    let (mut kept, dropped) = sendable(metrics);
    if dropped > 0 {
        let value = f64::from(u32::try_from(dropped).unwrap_or(u32::MAX));
        kept.push(Metric {
            name: "MetricsDropped".into(),
            value,
            unit: Unit::Count,
            dimensions: Vec::new(),
        });
    }
    let data = kept.into_iter().map(|metric| datum(metric, now)).collect();
    app.metrics
        .put_metric_data()
        .namespace(&app.config.namespace)
        .set_metric_data(Some(data))
        .send()
        .await
        .map_err(|error| ("PutMetricData", aws_failure(&error)))?;
    Ok(dropped)
}

fn datum(metric: Metric, now: Timestamp) -> MetricDatum {
    let unit = match metric.unit {
        Unit::Count => StandardUnit::Count,
        Unit::Seconds => StandardUnit::Seconds,
        Unit::Milliseconds => StandardUnit::Milliseconds,
        Unit::Percent => StandardUnit::Percent,
        Unit::None => StandardUnit::None,
    };
    let dimensions = metric
        .dimensions
        .into_iter()
        .map(|(name, value)| Dimension::builder().name(name).value(value).build())
        .collect();
    MetricDatum::builder()
        .metric_name(metric.name)
        .value(metric.value)
        .unit(unit)
        .timestamp(aws_sdk_cloudwatch::primitives::DateTime::from_secs(
            now.as_second(),
        ))
        .set_dimensions(Some(dimensions))
        .build()
}
