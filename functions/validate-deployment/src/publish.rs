//! Publishes what was measured.

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use signalbox_bootstrap::aws_failure;
use signalbox_decision::timeline::metric::{Metric, Unit};
use signalbox_decision::validation::{Report, metrics};
use tracing::warn;

use crate::app::App;

/// The namespace that the function's role may write to.
const NAMESPACE: &str = "Signalbox";

/// One datum for each measurement and one for the verdict. What CloudWatch would refuse is left out, since it
/// refuses the whole request for it, and counted. Metrics that cannot be published change no verdict.
pub(crate) async fn publish(app: &App, report: &Report) {
    let function = app.config.function.as_str();
    let (mut kept, dropped) = metrics(report, function, &app.config.hook.to_string());
    if dropped > 0 {
        warn!(dropped, "measurements without a value are not published");
        kept.push(Metric {
            name: "MetricsDropped".into(),
            value: f64::from(u32::try_from(dropped).unwrap_or(u32::MAX)),
            unit: Unit::Count,
            dimensions: Vec::new(),
        });
    }
    let data = kept.into_iter().map(datum).collect();
    let answer = app
        .metrics
        .put_metric_data()
        .namespace(NAMESPACE)
        .set_metric_data(Some(data))
        .send()
        .await;
    if let Err(error) = answer {
        warn!(cause = %aws_failure(&error), "the measurements could not be published");
    }
}

fn datum(metric: Metric) -> MetricDatum {
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
        .set_dimensions(Some(dimensions))
        .build()
}
