//! The real command: its help names what it can do, and a wrong word is refused with what is right.

#![expect(clippy::panic, reason = "a test says what is wrong by failing")]

use std::process::Command;

fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_signalbox-local"))
        .args(arguments)
        .output();
    let output = output.unwrap_or_else(|error| panic!("the command must start: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn help_names_every_command_and_option() {
    let (ok, text) = run(&["demo", "--help"]);
    assert!(ok, "{text}");
    for option in ["--manual", "--keep", "--scale", "--json", "--scenario"] {
        assert!(text.contains(option), "{option} is not in {text}");
    }
}

#[test]
fn a_senseless_scale_is_refused_before_anything_starts() {
    let (ok, text) = run(&["demo", "--scale=-3"]);
    assert!(!ok && text.contains("a number from 0.01 to 10000"), "{text}");
    let (ok, text) = run(&["demo", "--scale=0"]);
    assert!(!ok && text.contains("a number from 0.01 to 10000"), "{text}");
}
