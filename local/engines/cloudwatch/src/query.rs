//! Metric data queries: what `GetMetricData` and alarms ask for, evaluated on a grid of periods.

use std::collections::BTreeMap;

use serde_json::Value;
use signalbox_local_core::AwsError;

use crate::input::{invalid, list, optional, whole};
use crate::math::{self, Expression, Operand, Row};
use crate::put::dimensions;
use crate::samples::{Metric, Samples};
use crate::statistic::Statistic;

/// One query of a set; expressions refer to the others by their ids.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    pub(crate) id: String,
    pub(crate) label: Option<String>,
    pub(crate) return_data: bool,
    /// In seconds; an expression has that of what it refers to, where it names none.
    period: Option<u32>,
    source: Source,
}

#[derive(Debug, Clone, PartialEq)]
enum Source {
    Metric(MetricStat),
    Expression(Expression),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricStat {
    pub(crate) metric: Metric,
    pub(crate) statistic: Statistic,
    pub(crate) unit: Option<String>,
}

impl MetricStat {
    /// The value of each window; a window is `(after, until]` in milliseconds.
    pub(crate) fn row(&self, samples: &Samples, windows: &[(i64, i64)]) -> Row {
        windows
            .iter()
            .map(|(after, until)| {
                self.statistic
                    .of(samples.between(&self.metric, self.unit.as_deref(), *after, *until))
            })
            .collect()
    }
}

pub(crate) fn parse_metric(input: &Value) -> Metric {
    Metric {
        namespace: optional(input, "Namespace").unwrap_or_default().to_owned(),
        name: optional(input, "MetricName").unwrap_or_default().to_owned(),
        dimensions: dimensions(input),
    }
}

pub(crate) fn parse_statistic(text: &str) -> Result<Statistic, AwsError> {
    Statistic::parse(text).ok_or_else(|| {
        invalid(format!(
            "The value {text} for parameter Stat is not a valid statistic."
        ))
    })
}

impl Query {
    /// The query of an alarm that watches one metric.
    pub(crate) fn single(stat: MetricStat, period: u32) -> Self {
        Self {
            id: "m1".to_owned(),
            label: None,
            return_data: true,
            period: Some(period),
            source: Source::Metric(stat),
        }
    }

    fn parse(input: &Value) -> Result<Self, AwsError> {
        let id = optional(input, "Id").unwrap_or_default().to_owned();
        let valid_id = id.starts_with(|first: char| first.is_ascii_lowercase())
            && id
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || character == '_');
        if !valid_id {
            return Err(invalid(format!(
                "The value {id} for parameter MetricDataQueries.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."
            )));
        }
        let (source, period) = match (input.get("MetricStat"), optional(input, "Expression")) {
            (Some(stat), None) => {
                let period = whole(stat, "Period").filter(|period| *period > 0);
                let period = period.ok_or_else(|| invalid(format!("The query {id} needs a period.")))?;
                let stat = MetricStat {
                    metric: parse_metric(stat.get("Metric").unwrap_or(&Value::Null)),
                    statistic: parse_statistic(optional(stat, "Stat").unwrap_or_default())?,
                    unit: optional(stat, "Unit").map(str::to_owned),
                };
                (Source::Metric(stat), Some(period))
            }
            (None, Some(text)) => {
                let expression = Expression::parse(text)
                    .map_err(|reason| invalid(format!("Error in expression '{id}': {reason}")))?;
                (Source::Expression(expression), whole(input, "Period"))
            }
            _ => {
                return Err(invalid(format!(
                    "The query {id} must have either MetricStat or Expression."
                )));
            }
        };
        Ok(Self {
            label: optional(input, "Label").map(str::to_owned),
            return_data: input.get("ReturnData").and_then(Value::as_bool).unwrap_or(true),
            period,
            source,
            id,
        })
    }

    pub(crate) fn metric(&self) -> Option<&Metric> {
        match &self.source {
            Source::Metric(stat) => Some(&stat.metric),
            Source::Expression(_) => None,
        }
    }

    /// As results are labelled where the query has no label.
    pub(crate) fn default_label(&self) -> &str {
        self.metric().map_or(&self.id, |metric| &metric.name)
    }
}

/// Queries that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Queries(Vec<Query>);

impl Queries {
    pub(crate) fn single(query: Query) -> Self {
        Self(vec![query])
    }

    pub(crate) fn parse(input: &Value, member: &str) -> Result<Self, AwsError> {
        let queries = list(input, member)
            .iter()
            .map(Query::parse)
            .collect::<Result<Vec<_>, _>>()?;
        for (index, query) in queries.iter().enumerate() {
            if queries[..index].iter().any(|other| other.id == query.id) {
                return Err(invalid(format!(
                    "The values for parameter id in {member} are not unique: {}.",
                    query.id
                )));
            }
        }
        let all = Self(queries);
        for query in &all.0 {
            all.check_references(query, &mut Vec::new())?;
        }
        Ok(all)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Query> {
        self.0.iter()
    }

    fn find(&self, id: &str) -> Option<&Query> {
        self.0.iter().find(|query| query.id == id)
    }

    /// Every id must exist, and no expression may need itself.
    fn check_references<'q>(&'q self, query: &'q Query, path: &mut Vec<&'q str>) -> Result<(), AwsError> {
        if path.contains(&query.id.as_str()) {
            return Err(invalid(format!(
                "Error in expression '{}': it refers to itself.",
                query.id
            )));
        }
        let Source::Expression(expression) = &query.source else {
            return Ok(());
        };
        path.push(&query.id);
        for id in expression.references() {
            let referred = self.find(id).ok_or_else(|| {
                invalid(format!(
                    "Error in expression '{}': Undefined variable '{id}' specified in expression.",
                    query.id
                ))
            })?;
            self.check_references(referred, path)?;
        }
        path.pop();
        Ok(())
    }

    /// In seconds.
    pub(crate) fn period(&self, query: &Query) -> u32 {
        let referred = || {
            let Source::Expression(expression) = &query.source else {
                return None;
            };
            expression
                .references()
                .filter_map(|id| self.find(id))
                .map(|query| self.period(query))
                .max()
        };
        let largest = || self.0.iter().filter_map(|query| query.period).max();
        query.period.or_else(referred).or_else(largest).unwrap_or(60)
    }

    /// One value for each window.
    pub(crate) fn row(&self, query: &Query, samples: &Samples, windows: &[(i64, i64)]) -> Row {
        match &query.source {
            Source::Metric(stat) => stat.row(samples, windows),
            Source::Expression(expression) => {
                let metrics: BTreeMap<&str, Row> = self
                    .0
                    .iter()
                    .filter_map(|query| match &query.source {
                        Source::Metric(stat) => Some((query.id.as_str(), stat.row(samples, windows))),
                        Source::Expression(_) => None,
                    })
                    .collect();
                let variables = math::Variables {
                    metrics: &metrics,
                    other: &|id| self.find(id).map(|query| self.row(query, samples, windows)),
                    length: windows.len(),
                    period: f64::from(self.period(query)),
                };
                match expression.evaluate(&variables) {
                    Operand::Row(row) => row,
                    Operand::Number(number) => vec![Some(number); windows.len()],
                    Operand::Rows(rows) => rows
                        .into_iter()
                        .next()
                        .unwrap_or_else(|| vec![None; windows.len()]),
                }
            }
        }
    }
}
