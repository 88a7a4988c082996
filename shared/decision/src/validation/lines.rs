//! Lambda's own lines in a function's log.

use serde_json::Value;

/// How long one invocation took, as Lambda reports at its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported {
    /// Without the environment's start (milliseconds).
    pub millis: f64,
    /// Whether the environment was started for it. Such an invocation says more about Lambda than about the
    /// version: a new version has a share of them that an old one no longer has.
    pub cold: bool,
}

/// Texts of which every report holds one: a filter spares the transfer of the rest.
pub const REPORTS: [&str; 2] = ["REPORT RequestId", "platform.report"];

/// Reads a `REPORT` line, or its JSON form (`platform.report`, where the function's log format is JSON).
/// `None` for any other line.
#[must_use]
pub fn reported(line: &str) -> Option<Reported> {
    if let Some(rest) = line.strip_prefix("REPORT RequestId: ") {
        let field = |name: &str| {
            let value = rest.split('\t').find_map(|part| part.trim().strip_prefix(name))?;
            value.trim().trim_end_matches("ms").trim().parse::<f64>().ok()
        };
        return sound(field("Duration:")?, field("Init Duration:").is_some());
    }
    let record: Value = serde_json::from_str(line).ok()?;
    if record.get("type").and_then(Value::as_str) != Some("platform.report") {
        return None;
    }
    let metrics = record.pointer("/record/metrics")?;
    let millis = metrics.get("durationMs")?.as_f64()?;
    sound(millis, metrics.get("initDurationMs").is_some())
}

fn sound(millis: f64, cold: bool) -> Option<Reported> {
    (millis.is_finite() && millis >= 0.0).then_some(Reported { millis, cold })
}

/// The request that the last report of a log's tail is about, in whichever of Lambda's formats.
#[must_use]
pub fn request_of(tail: &str) -> Option<String> {
    if let Some((_, rest)) = tail.rsplit_once("REPORT RequestId: ") {
        return rest.split_whitespace().next().map(str::to_owned);
    }
    let of_line = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let is_report = line.get("type").and_then(Value::as_str) == Some("platform.report");
        let request = line.pointer("/record/requestId").and_then(Value::as_str)?;
        is_report.then(|| request.to_owned())
    };
    tail.lines().rev().find_map(of_line)
}

/// The report at the end of a log's tail, in whichever of Lambda's formats.
#[must_use]
pub fn report_of(tail: &str) -> Option<Reported> {
    match tail.rfind("REPORT RequestId: ") {
        Some(at) => reported(tail.get(at..)?.lines().next()?),
        None => tail.lines().rev().find_map(reported),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPORT: &str = "REPORT RequestId: 8f5c-1\tDuration: 12.50 ms\tBilled Duration: 13 ms\tMemory Size: 128 \
                          MB\tMax Memory Used: 66 MB\t";

    #[test]
    fn the_duration_is_not_the_billed_one_and_a_start_is_seen() {
        let warm = reported(REPORT).unwrap();
        assert!((warm.millis - 12.5).abs() < 1e-9 && !warm.cold);
        let cold = reported(&format!("{REPORT}Init Duration: 150.00 ms\t\n")).unwrap();
        assert!((cold.millis - 12.5).abs() < 1e-9 && cold.cold);
    }

    #[test]
    fn the_json_form_is_read_too() {
        let line = r#"{"time":"2026-01-31T10:00:00Z","type":"platform.report","record":{"requestId":"8f5c","metrics":{"durationMs":8.25,"billedDurationMs":9,"initDurationMs":1}}}"#;
        assert_eq!(
            reported(line),
            Some(Reported {
                millis: 8.25,
                cold: true
            })
        );
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "START RequestId: x Version: 3",
            "REPORT RequestId: x",
            "{}",
            r#"{"type":"platform.report"}"#,
        ] {
            assert_eq!(reported(line), None, "{line}");
        }
    }

    #[test]
    fn a_tail_ends_with_the_request_that_it_is_of() {
        let tail = format!("START RequestId: 8f5c-1 Version: 3\nhello\nEND RequestId: 8f5c-1\n{REPORT}\n");
        assert_eq!(request_of(&tail).as_deref(), Some("8f5c-1"));
        assert!(report_of(&tail).is_some());
        let json = r#"{"time":"x","type":"platform.report","record":{"requestId":"8f5c-2","metrics":{"durationMs":8.25}}}"#;
        let tail = format!("{{\"type\":\"platform.start\"}}\n{{\"level\":\"ERROR\"}}\n{json}\n");
        assert_eq!(request_of(&tail).as_deref(), Some("8f5c-2"));
        assert!(report_of(&tail).is_some());
        assert_eq!((request_of("nothing"), report_of("nothing")), (None, None));
    }

    proptest! {
        #[test]
        fn total(line in ".*") {
            let _ = (reported(&line), request_of(&line), report_of(&line));
            let _ = reported(&format!("REPORT RequestId: {line}"));
        }
    }
}
