//! The status as text.

use std::fmt::Write as _;

use anstyle::Style;
use jiff::Timestamp;
use signalbox_decision::timeline::State;

use super::{Open, Status};
use crate::output::{BAD, DIM, GOOD, HEADING, WARN, duration, line};
use crate::pipeline::{Freeze, RunSummary, StageState};

/// The whole status. Styles are always in it; where they are not wanted, they are taken out on the way.
pub(super) fn text(status: &Status) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = writeln!(
        out,
        "{HEADING}{}{HEADING:#} ({})",
        status.pipeline, status.environment
    );
    if let Some(url) = &status.console {
        let _ = writeln!(out, "{DIM}{url}{DIM:#}");
    }
    let _ = writeln!(out, "\n{HEADING}Stages{HEADING:#}");
    let width = status.stages.iter().map(|stage| stage.name.chars().count()).max();
    for stage in &status.stages {
        out.push_str(&of_stage(stage, width.unwrap_or(0), status.at));
    }
    if !status.approvals.is_empty() {
        let _ = writeln!(out, "\n{HEADING}Waiting for approval{HEADING:#}");
        for open in &status.approvals {
            out.push_str(&of_approval(open, status.at));
        }
    }
    let _ = writeln!(out, "\n{HEADING}Newest runs{HEADING:#}");
    for run in &status.runs {
        out.push_str(&of_run(run, status.at));
    }
    if status.runs.is_empty() {
        let _ = writeln!(
            out,
            "  none yet; `signalbox trigger {}` starts one",
            status.environment
        );
    }
    for unknown in &status.unknown {
        let _ = writeln!(out, "{WARN}not known:{WARN:#} {}", line(unknown, 500));
    }
    out
}

fn styled(state: &State) -> (Style, &'static str) {
    match state {
        State::Succeeded => (GOOD, "✓"),
        State::Failed => (BAD, "✗"),
        state if state.is_final() => (DIM, "■"),
        _ => (WARN, "▸"),
    }
}

fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map(|at| format!("{} ago", duration(now.duration_since(at))))
        .unwrap_or_default()
}

fn of_stage(stage: &StageState, width: usize, now: Timestamp) -> String {
    let name = line(&stage.name, 100);
    let mut text = match (&stage.state, &stage.run) {
        (Some(state), Some(run)) => {
            let (style, mark) = styled(state);
            let run: String = run.chars().take(8).collect();
            format!(
                "  {style}{mark} {name:width$}  {state}{style:#}  {DIM}run {run}  {}{DIM:#}",
                ago(stage.changed, now)
            )
        }
        _ => format!("  {DIM}· {name:width$}{DIM:#}"),
    };
    if let Some(freeze) = &stage.frozen {
        text.push_str(&of_freeze(freeze, now));
    }
    format!("{}\n", text.trim_end())
}

fn of_freeze(freeze: &Freeze, now: Timestamp) -> String {
    let reason = freeze.reason.as_deref().unwrap_or("no reason was given");
    let since = freeze.since.map(|at| format!(", {}", ago(Some(at), now)));
    let by = freeze.who().map(|by| format!(", by {}", line(by, 100)));
    format!(
        "\n      {BAD}frozen:{BAD:#} {}{}{}",
        line(reason, 400),
        by.unwrap_or_default(),
        since.unwrap_or_default()
    )
}

fn of_approval(open: &Open, now: Timestamp) -> String {
    let people = open.people.as_ref().map_or_else(
        || "who was asked is not in the ledger".to_owned(),
        |asking| format!("asked: {}", line(&asking.people(), 500)),
    );
    let run: String = open.run.as_str().chars().take(8).collect();
    format!(
        "  {WARN}! {}/{}{WARN:#}  run {run}  {}\n      {people}\n",
        line(&open.stage, 100),
        line(&open.action, 100),
        ago(open.since, now)
    )
}

fn of_run(run: &RunSummary, now: Timestamp) -> String {
    let (style, mark) = styled(&run.state);
    let revision = run
        .revisions
        .first()
        .map(|id| format!("  version {}", line(id, 40)));
    let summary = run.summary.as_deref().map(|text| format!("  {}", line(text, 80)));
    format!(
        "  {style}{mark} {}  {}{style:#}  {}{DIM}{}{}{DIM:#}\n",
        run.id,
        run.state,
        ago(run.started, now),
        revision.unwrap_or_default(),
        summary.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use signalbox_decision::names::{ExecutionId, PipelineName};

    use super::*;
    use crate::approvals::Asking;

    fn status() -> Status {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let run = ExecutionId::new("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap();
        Status {
            environment: "production".to_owned(),
            pipeline: PipelineName::new("p").unwrap(),
            at: at("2026-05-29T14:05:00Z"),
            console: None,
            stages: vec![
                StageState {
                    name: "Build".to_owned(),
                    run: Some(run.to_string()),
                    state: Some(State::Succeeded),
                    changed: Some(at("2026-05-29T14:00:00Z")),
                    frozen: None,
                },
                StageState {
                    name: "Release".to_owned(),
                    run: None,
                    state: None,
                    changed: None,
                    frozen: Some(Freeze {
                        reason: Some("version 4 was rolled back\u{1b}[2J".to_owned()),
                        by: Some("arn:aws:sts::1:assumed-role/x/roll-back".to_owned()),
                        since: Some(at("2026-05-29T13:05:00Z")),
                    }),
                },
            ],
            approvals: vec![Open {
                run: run.clone(),
                stage: "Approval".to_owned(),
                action: "Approve".to_owned(),
                since: Some(at("2026-05-29T14:04:30Z")),
                people: Some(Asking::for_test(&["ann@example.com"], &[])),
            }],
            runs: vec![RunSummary {
                id: run,
                state: State::InProgress,
                started: Some(at("2026-05-29T13:59:00Z")),
                changed: None,
                revisions: vec!["v1".to_owned()],
                summary: None,
            }],
            unknown: Vec::new(),
        }
    }

    #[test]
    fn the_text_shows_stages_freezes_approvals_and_runs() {
        let text = anstream::adapter::strip_str(&text(&status())).to_string();
        for part in [
            "✓ Build    Succeeded  run 0f1e2d3c  5 min 0 s ago",
            "· Release",
            "frozen: version 4 was rolled back\\u{1b}[2J, by roll-back, 1 h 0 min ago",
            "! Approval/Approve  run 0f1e2d3c  30.0 s ago",
            "asked: ann@example.com",
            "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0  InProgress  6 min 0 s ago  version v1",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn the_json_says_the_same() {
        let json = serde_json::to_value(status()).unwrap();
        assert_eq!(json["stages"][0]["state"], "Succeeded");
        assert!(json["stages"][0].get("frozen").is_none());
        assert_eq!(json["approvals"][0]["asked"][0], "ann@example.com");
        assert_eq!(json["runs"][0]["revisions"][0], "v1");
    }
}
