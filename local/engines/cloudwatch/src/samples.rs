//! Samples as they came.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;

/// Older samples are dropped: CloudWatch keeps high-resolution ones for three hours; a day leaves room for
/// alarms over long periods.
const KEPT_MS: i64 = 24 * 3_600 * 1_000;
/// Of all metrics together, so that a long load test does not take the machine's memory.
const MOST_SAMPLES: usize = 1_000_000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Metric {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dimensions: BTreeMap<String, String>,
}

/// One value, `count` times; or a set of values of which only this is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) at_ms: i64,
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Sample {
    pub(crate) fn of(at: Timestamp, value: f64, count: f64) -> Self {
        Self {
            at_ms: at.as_millisecond(),
            count,
            sum: value * count,
            min: value,
            max: value,
        }
    }
}

#[derive(Debug, Default)]
struct Series {
    unit: Option<String>,
    /// By time, oldest first.
    samples: VecDeque<Sample>,
}

#[derive(Debug, Default)]
pub(crate) struct Samples {
    series: HashMap<Metric, Series>,
    count: usize,
}

impl Samples {
    pub(crate) fn add(&mut self, metric: Metric, unit: Option<&str>, sample: Sample, now: Timestamp) {
        let series = self.series.entry(metric).or_default();
        if let Some(unit) = unit {
            series.unit = Some(unit.to_owned());
        }
        // Nearly always the newest; late ones find their place.
        let place = series
            .samples
            .partition_point(|other| other.at_ms <= sample.at_ms);
        series.samples.insert(place, sample);
        self.count += 1;
        let oldest = now.as_millisecond() - KEPT_MS;
        while series
            .samples
            .front()
            .is_some_and(|first| first.at_ms < oldest || self.count > MOST_SAMPLES)
        {
            series.samples.pop_front();
            self.count -= 1;
        }
    }

    /// The metric's samples after `after_ms` and up to `until_ms`, that one included.
    pub(crate) fn between(
        &self,
        metric: &Metric,
        unit: Option<&str>,
        after_ms: i64,
        until_ms: i64,
    ) -> impl Iterator<Item = &Sample> {
        let series = self
            .series
            .get(metric)
            .filter(|series| unit.is_none() || series.unit.as_deref() == unit);
        series.into_iter().flat_map(move |series| {
            let start = series.samples.partition_point(|sample| sample.at_ms <= after_ms);
            let end = series.samples.partition_point(|sample| sample.at_ms <= until_ms);
            series.samples.range(start..end.max(start))
        })
    }

    pub(crate) fn unit(&self, metric: &Metric) -> Option<&str> {
        self.series.get(metric)?.unit.as_deref()
    }

    pub(crate) fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.series.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_samples_find_their_place_and_old_ones_go() {
        let metric = Metric {
            namespace: "n".to_owned(),
            name: "m".to_owned(),
            dimensions: BTreeMap::new(),
        };
        let mut samples = Samples::default();
        let now = Timestamp::from_second(1_000_000).unwrap();
        for second in [999_990, 999_970, 999_980, 1_000_000 - 86_401] {
            let at = Timestamp::from_second(second).unwrap();
            samples.add(metric.clone(), None, Sample::of(at, 1.0, 1.0), now);
        }
        let times: Vec<i64> = samples
            .between(&metric, None, 0, i64::MAX)
            .map(|sample| sample.at_ms / 1_000)
            .collect();
        assert_eq!(times, [999_970, 999_980, 999_990]);
        assert_eq!(
            samples.between(&metric, None, 999_970_000, 999_980_000).count(),
            1
        );
        assert_eq!(samples.between(&metric, Some("Count"), 0, i64::MAX).count(), 0);
    }
}
