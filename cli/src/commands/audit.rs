//! `signalbox audit`: every approval of a pipeline, as JSON lines or as a table.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use signalbox_decision::names::PipelineName;
use signalbox_decision::text::shown;
use signalbox_ledger::AuditedApproval;

use crate::access::Access;
use crate::error::Error;
use crate::names::{ControlPlane, Environment};
use crate::output::{harmless, print};

/// `signalbox audit`
#[derive(Debug, Args)]
#[command(
    after_help = "Reads the ledger only (dynamodb:Query on its table).\n\nEach line is one event: asked, \
                        attempt (successful or not), vote, decision, or stranger (an attempt whose link nobody \
                        can vouch for). Attempts past the 200th of one asking are counted in a line of their own."
)]
pub(crate) struct Arguments {
    /// The pipeline.
    #[arg(long, value_name = "NAME")]
    pipeline: PipelineName,
    /// One JSON object a line, in the place of a table.
    #[arg(long)]
    json: bool,
    /// The environment that Signalbox was installed for.
    #[arg(
        long,
        env = "SIGNALBOX_ENVIRONMENT",
        default_value = "staging",
        value_name = "NAME"
    )]
    environment: Environment,
    #[command(flatten)]
    control_plane: ControlPlane,
    #[command(flatten)]
    access: Access,
}

/// One event of the audit. What is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    event: &'static str,
    pipeline: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    /// The hash of the asking's token: a retried stage asks anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    asking: Option<String>,
    /// What the ledger has of it, as it was written.
    detail: Map<String, Value>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Error> {
    let cloud = arguments.access.connect().await?;
    let ledger = cloud.ledger(format!(
        "{}-ledger",
        arguments.control_plane.stack(&arguments.environment)
    ));
    let pipeline = &arguments.pipeline;
    let mut lines = Vec::new();
    for execution in ledger.runs(pipeline).await? {
        for approval in ledger.approvals_of_run(pipeline, &execution).await? {
            lines.extend(of_approval(&approval));
        }
    }
    for (_, strangers) in ledger.all_strangers(pipeline).await? {
        let line = |event, detail| {
            Line {
                event,
                pipeline: pipeline.to_string(),
                ..Line::default()
            }
            .with(detail)
        };
        lines.extend(
            strangers
                .attempts
                .into_iter()
                .map(|attempt| line("stranger", attempt)),
        );
        lines.extend(not_kept(strangers.attempts_not_kept).map(|count| line("strangersNotKept", count)));
    }
    // Lines without a time come last; those of one moment stay in their order.
    lines.sort_by_key(|line| line.at.unwrap_or(Timestamp::MAX));
    let text = if arguments.json {
        json_lines(&lines)
    } else {
        table(&lines)
    };
    print(&text)
}

impl Line {
    fn with(mut self, detail: Value) -> Self {
        if let Value::Object(detail) = detail {
            self.at = ["at", "opened"]
                .iter()
                .find_map(|name| detail.get(*name)?.as_str()?.parse().ok());
            self.detail = detail;
        }
        self
    }

    fn text(&self, name: &str) -> String {
        match self.detail.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(list)) => {
                let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                texts.join(", ")
            }
            Some(other) => other.to_string(),
        }
    }

    /// The first of these that says something.
    fn first(&self, names: &[&str]) -> String {
        names
            .iter()
            .map(|name| self.text(name))
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    }
}

fn not_kept(count: u64) -> Option<Value> {
    (count > 0).then(|| serde_json::json!({ "count": count }))
}

fn of_approval(approval: &AuditedApproval) -> Vec<Line> {
    let line = |event, detail| {
        let of = &approval.approval;
        let line = Line {
            event,
            pipeline: of.pipeline.to_string(),
            execution: Some(of.execution.to_string()),
            stage: Some(of.stage.to_string()),
            action: Some(of.action.to_string()),
            asking: Some(approval.token_hash.to_string()),
            ..Line::default()
        };
        line.with(detail)
    };
    let mut lines: Vec<Line> = Vec::new();
    lines.extend(approval.record.clone().map(|record| line("asked", record)));
    lines.extend(
        approval
            .attempts
            .iter()
            .map(|attempt| line("attempt", attempt.clone())),
    );
    lines.extend(not_kept(approval.attempts_not_kept).map(|count| line("attemptsNotKept", count)));
    lines.extend(approval.votes.iter().map(|vote| line("vote", vote.clone())));
    lines.extend(approval.decision.clone().map(|decision| {
        let mut line = line("decision", decision);
        line.at = line.at.or(approval.decided);
        line
    }));
    lines
}

fn json_lines(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        // A line of texts and numbers can always be written.
        text.push_str(&harmless(&serde_json::to_string(line).unwrap_or_default()));
        text.push('\n');
    }
    text
}

fn table(lines: &[Line]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["WHEN", "RUN", "EVENT", "WHO", "VIA", "FROM", "WHAT", "WHY"]);
    for line in lines {
        let at = line.at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
        let run = line
            .execution
            .as_deref()
            .map(|id| id.chars().take(8).collect::<String>());
        let what = line.first(&["verdict", "outcome", "count"]);
        let outcome = line.text("outcome");
        let why = if outcome == what { String::new() } else { outcome };
        let why = [why, line.text("reason"), line.text("comment")]
            .into_iter()
            .filter(|text| !text.is_empty());
        let cells = [
            at.unwrap_or_default(),
            run.unwrap_or_default(),
            line.event.to_owned(),
            line.first(&["person", "by", "asked"]),
            line.text("via"),
            line.text("address"),
            what,
            why.collect::<Vec<_>>().join("; "),
        ];
        table.add_row(cells.map(|cell| shown(&cell.replace(['\r', '\n', '\t'], " "), 200)));
    }
    let mut text: String = table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    if lines.is_empty() {
        text.push_str("No approval of this pipeline is in the ledger.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use signalbox_decision::approval::{ApprovalAction, Token};
    use signalbox_decision::names::{ActionName, ExecutionId, StageName};

    use super::*;

    fn approval() -> AuditedApproval {
        AuditedApproval {
            approval: ApprovalAction {
                pipeline: PipelineName::new("p").unwrap(),
                execution: ExecutionId::new("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
                stage: StageName::new("Approval").unwrap(),
                action: ActionName::new("Approve").unwrap(),
            },
            token_hash: Token::new("t").hash(),
            record: Some(
                json!({ "opened": "2026-05-29T14:05:00Z", "asked": ["ann@example.com", "ben@example.com"] }),
            ),
            decision: Some(
                json!({ "verdict": "approved", "by": "ann@example.com", "via": "link", "comment": "go" }),
            ),
            decided: Some("2026-05-29T15:00:01Z".parse().unwrap()),
            votes: Vec::new(),
            attempts: vec![json!({
                "person": "ann@example.com", "at": "2026-05-29T15:00:00Z", "address": "203.0.113.9",
                "verdict": "approved", "outcome": "decided \u{1b}[2J\u{202e}",
            })],
            attempts_not_kept: 3,
        }
    }

    #[test]
    fn each_event_is_a_line_with_who_when_and_what() {
        let lines = json_lines(&of_approval(&approval()));
        let read: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let told: Vec<_> = read
            .iter()
            .map(|line| (line["event"].as_str().unwrap(), line["at"].as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("asked", Some("2026-05-29T14:05:00Z")),
                ("attempt", Some("2026-05-29T15:00:00Z")),
                ("attemptsNotKept", None),
                ("decision", Some("2026-05-29T15:00:01Z")),
            ]
        );
        assert_eq!(read[1]["detail"]["person"], "ann@example.com");
        // It reads back as it was written, and holds nothing that a terminal would act on.
        assert_eq!(read[1]["detail"]["outcome"], "decided \u{1b}[2J\u{202e}");
        assert!(!lines.contains(['\u{1b}', '\u{202e}']));
    }

    #[test]
    fn the_table_holds_the_same_in_columns() {
        let text = table(&of_approval(&approval()));
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 5, "{text}");
        for part in [
            "2026-05-29 15:00:00 UTC",
            "0f1e2d3c",
            "attempt",
            "ann@example.com",
            "203.0.113.9",
            "approved",
        ] {
            assert!(rows[2].contains(part), "{part} is missing in {text}");
        }
        assert!(rows[1].contains("ann@example.com, ben@example.com"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']));
        assert!(table(&[]).contains("No approval"));
    }
}
