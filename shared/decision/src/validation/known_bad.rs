//! Versions that were rolled back: their code does not go out again unless somebody says so.

use serde::Deserialize;
use serde_json::Value;

use super::{Check, Finding, Verdict};
use crate::text::shown;

/// The kind of the ledger's values that remember bad code.
pub const KIND: &str = "bad-version";

/// The name of such a value: the same code under another version's number is the same code.
#[must_use]
pub fn name(function: &str, code_sha256: &str) -> String {
    format!("{function}/{code_sha256}")
}

#[derive(Deserialize)]
struct Remembered {
    #[serde(default)]
    deployment: Option<String>,
    #[serde(default)]
    alarm: Option<String>,
    #[serde(default)]
    at: Option<String>,
    allowed: Option<Allowed>,
}

#[derive(Deserialize)]
struct Allowed {
    by: String,
    #[serde(default)]
    reason: Option<String>,
}

/// What is remembered of the code that a version runs, if anything is. What cannot be read forbids.
#[must_use]
pub fn known_bad(code_sha256: &str, remembered: Option<&Value>) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::KnownBad, verdict, evidence);
    let Some(remembered) = remembered else {
        return finding(Verdict::Passed, "this code was never rolled back".to_owned());
    };
    let code = shown(code_sha256, 60);
    let Ok(known) = serde_json::from_value::<Remembered>(remembered.clone()) else {
        let evidence =
            format!("what the ledger remembers of the code {code} cannot be read; look at its value {KIND}");
        return finding(Verdict::Failed, evidence);
    };
    let text = |part: Option<&String>| part.map_or_else(|| "unknown".to_owned(), |text| shown(text, 100));
    let what = format!(
        "the code {code} was rolled back at {} (deployment {}, alarm {})",
        text(known.at.as_ref()),
        text(known.deployment.as_ref()),
        text(known.alarm.as_ref())
    );
    match known.allowed {
        Some(allowed) => {
            let (by, reason) = (shown(&allowed.by, 100), text(allowed.reason.as_ref()));
            finding(Verdict::Passed, format!("{what}; {by} allows it again: {reason}"))
        }
        None => {
            let how =
                "release other code, or allow it again, with a reason (roll-back's order allow-version)";
            finding(Verdict::Failed, format!("{what}; {how}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bad_code_is_refused_until_it_is_allowed() {
        let mut value = json!({"function": "app", "code_sha256": "abc=", "version": "7", "deployment": "d-1",
            "alarm": "app-errors", "at": "2026-01-31T10:00:00Z", "allowed": null});
        assert_eq!(known_bad("abc=", None).verdict, Verdict::Passed);
        let finding = known_bad("abc=", Some(&value));
        assert_eq!(finding.verdict, Verdict::Failed);
        assert!(
            finding.evidence.contains("d-1") && finding.evidence.contains("app-errors"),
            "{finding:?}"
        );
        value["allowed"] = json!({"by": "ann@example.com", "reason": "the database was down", "at": "x"});
        let finding = known_bad("abc=", Some(&value));
        assert!(
            finding.verdict == Verdict::Passed && finding.evidence.contains("ann@"),
            "{finding:?}"
        );
    }

    #[test]
    fn what_cannot_be_read_forbids() {
        for value in [
            json!(7),
            json!("x"),
            json!({"allowed": true}),
            json!({"allowed": {}}),
            json!([]),
        ] {
            assert_eq!(
                known_bad("abc=", Some(&value)).verdict,
                Verdict::Failed,
                "{value}"
            );
        }
    }
}
