//! The real binary's exit codes, as its help documents them.

#![expect(clippy::panic, reason = "a test says what is wrong by failing")]

use std::process::{Command, Output};

fn signalbox(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_signalbox"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output();
    output.unwrap_or_else(|error| panic!("the binary must start: {error}"))
}

const AUDIT: [&str; 3] = ["audit", "--pipeline", "p"];

#[test]
fn what_is_missing_in_the_environment_is_said_at_once_with_code_2() {
    let output = signalbox(&AUDIT, &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    for variable in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        assert!(said.contains(variable), "{variable} is not named in {said}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn a_wrong_command_ends_with_code_2() {
    for arguments in [
        &[][..],
        &["audit"],
        &["audit", "--pipeline", "a pipeline"],
        &["decide"],
    ] {
        let output = signalbox(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_ledger_that_does_not_answer_ends_with_code_1() {
    // Port 9 of this machine: nothing listens there.
    let output = signalbox(&[&AUDIT[..], &["--local", "http://127.0.0.1:9"]].concat(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the ledger is unavailable"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn the_help_names_the_exit_codes() {
    let output = signalbox(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(help.contains("Exit codes") && help.contains("audit"), "{help}");
}
