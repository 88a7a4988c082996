//! The real binary without its configuration: it must say everything that is missing, and end.

use std::process::Command;

#[test]
fn every_missing_variable_is_named_at_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_sweep")).env_clear().output();
    let output = output.unwrap_or_else(|error| panic!("the binary must start: {error}"));
    assert!(
        !output.status.success(),
        "it must not start without its configuration"
    );
    let log = String::from_utf8_lossy(&output.stdout);
    for variable in [
        "AWS_REGION",
        "AWS_ACCESS_KEY_ID",
        "LEDGER_TABLE",
        "PIPELINE_NAME",
        "ANSWER_URL",
        "TRACK_RUN_FUNCTION",
    ] {
        assert!(
            log.contains(&format!("{variable} is not set")),
            "{variable} is not named in {log}"
        );
    }
}
