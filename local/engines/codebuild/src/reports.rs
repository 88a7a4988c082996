//! Report groups, reports, test cases.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::build::{Build, Object};
use crate::buildspec::{ReportSection, Text};
use crate::engine::Shared;
use crate::glob::Glob;
use crate::junit::{self, TestCase};
use crate::projects::with_token;
use crate::state::{lock, page};

/// AWS's default page of reports and test cases.
const PAGE: usize = 100;

/// AWS keeps raw test results for thirty days.
const KEPT_SECONDS: f64 = 30.0 * 86_400.0;

/// The five statuses that a test report counts.
const STATUSES: [&str; 5] = ["SUCCEEDED", "FAILED", "ERROR", "SKIPPED", "UNKNOWN"];

/// A report group, in the members of the service's model.
#[derive(Debug, Clone)]
pub(crate) struct ReportGroup {
    object: Object,
}

/// A report and its test cases.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    object: Object,
    group: String,
    cases: Vec<TestCase>,
    raw: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(default)]
    report_group_arn: String,
    #[serde(default)]
    report_arn: String,
    #[serde(default)]
    sort_order: Option<String>,
    #[serde(default)]
    next_token: Option<String>,
    #[serde(default)]
    max_results: Option<usize>,
    #[serde(default)]
    filter: Filter,
}

#[derive(Default, Deserialize)]
struct Filter {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    keyword: Option<String>,
}

impl List {
    fn page<T>(&self, mut all: Vec<T>) -> Result<(Vec<T>, Option<String>), AwsError> {
        if self.sort_order.as_deref() == Some("ASCENDING") {
            all.reverse();
        }
        page(all, self.next_token.as_deref(), self.max_results.unwrap_or(PAGE))
    }
}

fn not_found(what: &str, arn: &str) -> AwsError {
    AwsError::new("ResourceNotFoundException", format!("{what} not found: {arn}"))
}

impl Shared {
    pub(crate) fn create_report_group(&self, input: Value) -> Result<Value, AwsError> {
        let mut object: Object = serde_json::from_value(input)?;
        let name = object
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let arn = self
            .cloud
            .account()
            .arn("codebuild", &format!("report-group/{name}"));
        let now = json!(self.cloud.clock().epoch_seconds());
        object.insert("arn".to_owned(), json!(arn));
        object.insert("created".to_owned(), now.clone());
        object.insert("lastModified".to_owned(), now);
        object.insert("status".to_owned(), json!("ACTIVE"));
        let mut state = lock(&self.state);
        if state.report_groups.contains_key(&arn) {
            let message = format!("Report group already exists: {arn}");
            return Err(AwsError::new("ResourceAlreadyExistsException", message));
        }
        state.report_groups.insert(
            arn,
            ReportGroup {
                object: object.clone(),
            },
        );
        Ok(json!({"reportGroup": object}))
    }

    pub(crate) fn batch_get_report_groups(&self, input: &Value) -> Result<Value, AwsError> {
        let arns = Vec::<String>::deserialize(input.get("reportGroupArns").unwrap_or(&Value::Null))?;
        let state = lock(&self.state);
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for arn in arns {
            match state.report_groups.get(&arn) {
                Some(group) => found.push(group.object.clone()),
                None => missing.push(arn),
            }
        }
        Ok(json!({"reportGroups": found, "reportGroupsNotFound": missing}))
    }

    pub(crate) fn list_report_groups(&self, input: &Value) -> Result<Value, AwsError> {
        let list = List::deserialize(input)?;
        let arns: Vec<String> = lock(&self.state).report_groups.keys().rev().cloned().collect();
        let (arns, next) = list.page(arns)?;
        Ok(with_token(json!({"reportGroups": arns}), next))
    }

    pub(crate) fn batch_get_reports(&self, input: &Value) -> Result<Value, AwsError> {
        let arns = Vec::<String>::deserialize(input.get("reportArns").unwrap_or(&Value::Null))?;
        let state = lock(&self.state);
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for arn in arns {
            match state.reports.get(&arn) {
                Some(report) => found.push(report.object.clone()),
                None => missing.push(arn),
            }
        }
        Ok(json!({"reports": found, "reportsNotFound": missing}))
    }

    pub(crate) fn list_reports_for_report_group(&self, input: &Value) -> Result<Value, AwsError> {
        let list = List::deserialize(input)?;
        let state = lock(&self.state);
        if !state.report_groups.contains_key(&list.report_group_arn) {
            return Err(not_found("Report group", &list.report_group_arn));
        }
        let arns = state.reports.iter().rev().filter(|(_, report)| {
            let status = report.object.get("status").and_then(Value::as_str);
            report.group == list.report_group_arn
                && list
                    .filter
                    .status
                    .as_deref()
                    .is_none_or(|wanted| status == Some(wanted))
        });
        let (arns, next) = list.page(arns.map(|(arn, _)| arn.clone()).collect())?;
        Ok(with_token(json!({"reports": arns}), next))
    }

    pub(crate) fn describe_test_cases(&self, input: &Value) -> Result<Value, AwsError> {
        let list = List::deserialize(input)?;
        let state = lock(&self.state);
        let report = state
            .reports
            .get(&list.report_arn)
            .ok_or_else(|| not_found("Report", &list.report_arn))?;
        let expired = report.object.get("expired");
        let cases = report.cases.iter().filter(|case| {
            list.filter
                .status
                .as_deref()
                .is_none_or(|wanted| case.status == wanted)
                && list
                    .filter
                    .keyword
                    .as_deref()
                    .is_none_or(|word| case.name.contains(word))
        });
        let cases = cases.map(|case| {
            json!({
                "reportArn": list.report_arn,
                "testRawDataPath": report.raw,
                "testSuiteName": case.suite,
                "prefix": case.prefix,
                "name": case.name,
                "status": case.status,
                "durationInNanoSeconds": case.nanoseconds,
                "message": case.message,
                "expired": expired,
            })
        });
        let (cases, next) = list.page(cases.collect())?;
        Ok(with_token(json!({"testCases": cases}), next))
    }

    /// Makes a report of the files that a buildspec's section names; answers its ARN, and what the log
    /// has to say about it. As in AWS, a report never decides a build: the command that ran the tests did.
    pub(crate) fn make_report(
        &self,
        build: &Build,
        name: &str,
        section: &ReportSection,
        source: &Path,
    ) -> (Option<String>, Vec<String>) {
        let mut notes = vec![format!("Preparing to copy TEST report {name}")];
        let format = section
            .file_format
            .as_deref()
            .unwrap_or("JUNITXML")
            .to_ascii_uppercase();
        if format != "JUNITXML" {
            notes.push(format!(
                "Report {name}: file format {format} is not read by the local cloud, only JUNITXML"
            ));
            return (None, notes);
        }
        let base = section
            .base_directory
            .as_ref()
            .map_or(source.to_owned(), |Text(base)| source.join(base));
        let globs: Vec<Glob> = section
            .files
            .iter()
            .filter_map(|Text(pattern)| Glob::new(pattern))
            .collect();
        let files: Vec<String> = globs.iter().flat_map(|glob| glob.files(&base)).collect();
        if files.is_empty() {
            notes.push(format!("Report {name}: no matching report paths found"));
            return (None, notes);
        }
        let (mut cases, mut complete) = (Vec::new(), true);
        for file in &files {
            let text = std::fs::read_to_string(base.join(file)).map_err(|error| error.to_string());
            match text.and_then(|text| junit::parse(&text)) {
                Ok(more) => cases.extend(more),
                Err(error) => {
                    complete = false;
                    notes.push(format!("Report {name}: {file}: {error}"));
                }
            }
        }
        let status = report_status(complete, &cases);
        notes.push(format!("Report {name}: {} test cases, {status}", cases.len()));
        (
            Some(self.store_report(build, name, status, cases, files.join(","))),
            notes,
        )
    }

    fn store_report(
        &self,
        build: &Build,
        name: &str,
        status: &str,
        cases: Vec<TestCase>,
        raw: String,
    ) -> String {
        let account = self.cloud.account();
        let prefix = account.arn("codebuild", "report-group/");
        let group_name = name
            .strip_prefix(&prefix)
            .map_or_else(|| format!("{}-{name}", build.fixed.project), str::to_owned);
        let group = format!("{prefix}{group_name}");
        let uuid = uuid::Uuid::new_v4();
        let arn = account.arn("codebuild", &format!("report/{group_name}:{uuid}"));
        let now = self.cloud.clock().epoch_seconds();
        let mut counts: BTreeMap<&str, usize> = STATUSES.iter().map(|status| (*status, 0)).collect();
        for case in &cases {
            *counts.entry(case.status).or_default() += 1;
        }
        let duration: i64 = cases
            .iter()
            .fold(0, |sum, case| sum.saturating_add(case.nanoseconds));
        let object = object(json!({
            "arn": arn,
            "type": "TEST",
            "name": uuid.to_string(),
            "reportGroupArn": group,
            "executionId": build.fixed.arn,
            "status": status,
            "created": now,
            "expired": now + KEPT_SECONDS,
            "exportConfig": {"exportConfigType": "NO_EXPORT"},
            "truncated": false,
            "testSummary": {
                "total": cases.len(),
                "statusCounts": counts,
                "durationInNanoSeconds": duration,
            },
        }));
        let mut state = lock(&self.state);
        state
            .report_groups
            .entry(group.clone())
            .or_insert_with(|| ReportGroup {
                object: self::object(json!({
                    "arn": group,
                    "name": group_name,
                    "type": "TEST",
                    "exportConfig": {"exportConfigType": "NO_EXPORT"},
                    "created": now,
                    "lastModified": now,
                    "status": "ACTIVE",
                })),
            });
        state.reports.insert(
            arn.clone(),
            Report {
                object,
                group,
                cases,
                raw,
            },
        );
        arn
    }
}

/// A report with a failed test is failed; one of which a file could not be read is incomplete.
fn report_status(complete: bool, cases: &[TestCase]) -> &'static str {
    if !complete {
        "INCOMPLETE"
    } else if cases.iter().any(|case| matches!(case.status, "FAILED" | "ERROR")) {
        "FAILED"
    } else {
        "SUCCEEDED"
    }
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
