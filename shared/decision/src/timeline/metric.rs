//! Delivery metrics, and what CloudWatch takes of them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One datum for `PutMetricData`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Its name, such as `RunsSucceeded`.
    pub name: Cow<'static, str>,
    /// Its value, in `unit`.
    pub value: f64,
    /// What `value` counts or measures.
    pub unit: Unit,
    /// Its dimensions, name and value.
    pub dimensions: Vec<(&'static str, String)>,
}

/// A metric's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Unit {
    /// How often.
    Count,
    /// How long.
    Seconds,
    /// How long, where it is short.
    Milliseconds,
    /// A share.
    Percent,
    /// A number without a unit.
    None,
}

/// CloudWatch refuses a whole request for one datum that it cannot take.
const MAX_DIMENSIONS: usize = 30;
/// "The maximum value is 2^360, the minimum is -2^360" (API reference, `MetricDatum.Value`).
const MAX_EXPONENT: i32 = 360;

/// Those that CloudWatch takes, and how many it would refuse.
#[must_use]
pub fn sendable(metrics: Vec<Metric>) -> (Vec<Metric>, usize) {
    let count = metrics.len();
    let kept: Vec<Metric> = metrics.into_iter().filter(is_sendable).collect();
    let dropped = count - kept.len();
    (kept, dropped)
}

fn is_sendable(metric: &Metric) -> bool {
    let fits = |name: &str, max: usize| {
        let printable = name.chars().all(|c| c.is_ascii() && !c.is_ascii_control());
        !name.is_empty() && name.len() <= max && printable && !name.trim().is_empty()
    };
    metric.value.is_finite()
        && metric.value.abs() <= 2f64.powi(MAX_EXPONENT)
        && metric.dimensions.len() <= MAX_DIMENSIONS
        && fits(&metric.name, 255)
        && metric
            .dimensions
            .iter()
            .all(|(name, value)| fits(name, 255) && !name.starts_with(':') && fits(value, 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(value: f64, dimensions: usize) -> Metric {
        let dimensions = (0..dimensions).map(|n| ("Name", n.to_string())).collect();
        Metric {
            name: "Runs".into(),
            value,
            unit: Unit::Count,
            dimensions,
        }
    }

    #[test]
    fn what_cloudwatch_refuses_is_dropped_and_counted() {
        let bad_value = Metric {
            dimensions: vec![("Stage", "é".to_owned())],
            ..metric(1.0, 0)
        };
        let empty = Metric {
            dimensions: vec![("Stage", " ".to_owned())],
            ..metric(1.0, 0)
        };
        let metrics = vec![
            metric(f64::NAN, 1),
            metric(1.0, 30),
            metric(1.0, 31),
            metric(f64::INFINITY, 1),
            metric(1e200, 1),
            metric(-2.5, 0),
            bad_value,
            empty,
        ];
        let (kept, dropped) = sendable(metrics);
        assert_eq!((kept.len(), dropped), (2, 6));
    }
}
