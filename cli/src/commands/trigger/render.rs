//! What `trigger` says, as text.

use std::fmt::Write as _;

use super::Report;
use super::start::Outcome;
use crate::console::Console;
use crate::output::{DIM, HEADING, bytes, line};

/// Where a package goes, and whose it is.
pub(super) fn going(report: &Report) -> String {
    format!(
        "{} ({}): branch {} to {}",
        report.pipeline,
        report.environment,
        line(&report.branch, 100),
        place(report)
    )
}

/// Where a package goes. Without an account to ask, only the pipeline knows its bucket.
pub(super) fn place(report: &Report) -> String {
    let key = line(&report.key, 300);
    match &report.bucket {
        Some(bucket) => format!("s3://{bucket}/{key}"),
        None => format!("{key} in the bucket of its source action"),
    }
}

/// What would be packed, and where it would go.
pub(super) fn dry_run(report: &Report) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = writeln!(out, "{HEADING}{}{HEADING:#}", going(report));
    if let Some(summary) = report.origin.summary() {
        let _ = writeln!(out, "{}", line(&summary, 1000));
    }
    for file in report.files.iter().flatten() {
        let _ = writeln!(
            out,
            "{DIM}{:>12}{DIM:#}  {}",
            bytes(file.bytes),
            line(&file.name, 1000)
        );
    }
    let size = bytes(report.bytes);
    let _ = match report.files.as_ref().map(Vec::len) {
        Some(1) => writeln!(out, "1 file, {size} before compression; nothing was uploaded"),
        Some(count) => writeln!(
            out,
            "{count} files, {size} before compression; nothing was uploaded"
        ),
        None => writeln!(out, "an archive of {size}, as it is; nothing was uploaded"),
    };
    out
}

/// What start-run made of the upload, while it is followed.
pub(super) fn outcome(console: &Console, outcome: &Outcome) {
    match outcome {
        Outcome::Started { execution } => console.good(&format!("start-run started run {execution}")),
        Outcome::Built { build } => {
            console.good(&format!(
                "start-run started build {}; nothing is deployed",
                line(build, 300)
            ));
        }
        Outcome::Rejected { reasons } => {
            console.bad("the package was rejected, and no run was started:");
            for reason in reasons {
                console.bad(&format!("  {}", line(reason, 500)));
            }
        }
        Outcome::Ignored { reason } => {
            console.attention(&format!("start-run ignored the upload: {}", line(reason, 500)));
        }
        Outcome::Other { said } => console.note(&format!("start-run: {}", line(said, 500))),
    }
}

/// What is left to say on standard output: what a script goes on with.
pub(super) fn done(report: &Report) -> String {
    match &report.outcome {
        Some(Outcome::Started { execution }) => format!("{execution}\n"),
        Some(Outcome::Built { build }) => format!("{}\n", line(build, 300)),
        _ => String::new(),
    }
}
