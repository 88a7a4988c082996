//! Statistics over the samples of one period.

use crate::samples::Sample;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Statistic {
    SampleCount,
    Average,
    Sum,
    Minimum,
    Maximum,
    /// `p95`, `p99.9`: in percent.
    Percentile(f64),
}

impl Statistic {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "SampleCount" => Self::SampleCount,
            "Average" => Self::Average,
            "Sum" => Self::Sum,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            _ => {
                let percent: f64 = text.strip_prefix('p')?.parse().ok()?;
                (0.0..=100.0)
                    .contains(&percent)
                    .then_some(Self::Percentile(percent))?
            }
        })
    }

    /// Nothing where there is no sample, or, for percentiles, where the values themselves are unknown.
    pub(crate) fn of<'s>(self, samples: impl Iterator<Item = &'s Sample>) -> Option<f64> {
        let samples: Vec<&Sample> = samples.filter(|sample| sample.count > 0.0).collect();
        if samples.is_empty() {
            return None;
        }
        let count: f64 = samples.iter().map(|sample| sample.count).sum();
        let sum: f64 = samples.iter().map(|sample| sample.sum).sum();
        match self {
            Self::SampleCount => Some(count),
            Self::Average => Some(sum / count),
            Self::Sum => Some(sum),
            Self::Minimum => samples.iter().map(|sample| sample.min).reduce(f64::min),
            Self::Maximum => samples.iter().map(|sample| sample.max).reduce(f64::max),
            Self::Percentile(percent) => percentile(&samples, count, percent),
        }
    }
}

/// The smallest value that is no smaller than `percent` of all.
fn percentile(samples: &[&Sample], count: f64, percent: f64) -> Option<f64> {
    let mut values = Vec::with_capacity(samples.len());
    for sample in samples {
        // As in CloudWatch: a set has percentiles only where all its values are the same one.
        if sample.min < sample.max {
            return None;
        }
        values.push((sample.max, sample.count));
    }
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    let wanted = count * percent / 100.0;
    let mut seen = 0.0;
    for (value, count) in &values {
        seen += count;
        if seen >= wanted {
            return Some(*value);
        }
    }
    values.last().map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn of(statistic: &str, values: &[(f64, f64)]) -> Option<f64> {
        let samples: Vec<Sample> = values
            .iter()
            .map(|(value, count)| Sample::of(Timestamp::UNIX_EPOCH, *value, *count))
            .collect();
        Statistic::parse(statistic).unwrap().of(samples.iter())
    }

    #[test]
    fn values_count_as_often_as_they_occurred() {
        let values = [(1.0, 90.0), (10.0, 9.0), (100.0, 1.0)];
        for (statistic, expected) in [
            ("SampleCount", 100.0),
            ("Sum", 280.0),
            ("Average", 2.8),
            ("Minimum", 1.0),
            ("Maximum", 100.0),
            ("p50", 1.0),
            ("p90", 1.0),
            ("p95", 10.0),
            ("p99", 10.0),
            ("p99.9", 100.0),
            ("p100", 100.0),
        ] {
            assert_eq!(of(statistic, &values), Some(expected), "{statistic}");
        }
        assert_eq!(of("Sum", &[]), None);
    }

    #[test]
    fn a_set_of_unlike_values_has_no_percentiles() {
        let set = Sample {
            at_ms: 0,
            count: 4.0,
            sum: 10.0,
            min: 1.0,
            max: 4.0,
        };
        assert_eq!(Statistic::Percentile(50.0).of([set].iter()), None);
        assert_eq!(Statistic::Average.of([set].iter()), Some(2.5));
    }

    #[test]
    fn what_is_no_statistic() {
        for text in ["", "average", "p", "p101", "p-1", "q95", "pNaN"] {
            assert_eq!(Statistic::parse(text), None, "{text}");
        }
    }
}
