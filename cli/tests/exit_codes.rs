//! The real binary's exit codes, as its help documents them, where no cloud is needed.

#![expect(clippy::panic, reason = "a test says what is wrong by failing")]

use std::process::{Command, Output};

fn signalbox(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(env!("CARGO_BIN_EXE_signalbox"))
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied())
        .output();
    output.unwrap_or_else(|error| panic!("the binary must start: {error}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn written(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const AUDIT: [&str; 3] = ["audit", "--pipeline", "p"];

#[test]
fn what_is_missing_in_the_environment_is_said_at_once_with_code_2() {
    for arguments in [&AUDIT[..], &["status"], &["watch", "production"]] {
        let output = signalbox(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        for fix in ["AWS_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "--local"] {
            assert!(
                said(&output).contains(fix),
                "{fix} is not named in {}",
                said(&output)
            );
        }
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn roots_that_cannot_be_read_are_named_with_code_2_and_a_local_cloud_needs_none() {
    let bundle = ("AWS_CA_BUNDLE", "/nowhere/roots.pem");
    let access = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        bundle,
    ];
    let output = signalbox(&["status"], &access);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("AWS_CA_BUNDLE names /nowhere/roots.pem"),
        "{}",
        said(&output)
    );

    let output = signalbox(&["status", "--local=http://127.0.0.1:9"], &[bundle]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

/// As a machine that builds has it. The environment's own branch would deploy whatever this is.
#[test]
fn the_branch_of_a_detached_checkout_has_to_be_given() {
    let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = directory.path().to_str().unwrap_or_default();
    for arguments in [
        &["init", "--quiet"][..],
        &[
            "-c",
            "user.name=Ann",
            "-c",
            "user.email=ann@example.com",
            "-c",
            "commit.gpgsign=false",
            "commit",
            "--quiet",
            "--allow-empty",
            "--message",
            "x",
        ],
        &["checkout", "--quiet", "--detach"],
    ] {
        let git = Command::new("git").arg("-C").arg(path).args(arguments).status();
        assert!(git.is_ok_and(|status| status.success()), "git {arguments:?}");
    }
    if let Err(error) = std::fs::write(directory.path().join("index.js"), "1") {
        panic!("{error}");
    }
    let output = signalbox(&["trigger", "staging", path, "--dry-run"], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("no branch is checked out") && said(&output).contains("--branch"),
        "{}",
        said(&output)
    );
    let given = ["trigger", "staging", path, "--dry-run", "--branch", "develop"];
    assert_eq!(signalbox(&given, &[]).status.code(), Some(0));
}

#[test]
fn a_wrong_command_ends_with_code_2() {
    for arguments in [
        &[][..],
        &["audit"],
        &["audit", "--pipeline", "a pipeline"],
        &["decide"],
        &["status", "a/b"],
        &["watch", "--run", "x y"],
        &["trigger", "staging", ".", "--timeout", "soon"],
        &["trigger", "staging", ".", "--branch", "a b"],
    ] {
        let output = signalbox(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_cloud_that_does_not_answer_ends_with_code_1() {
    // Port 9 of this machine: nothing listens there.
    let nobody = "--local=http://127.0.0.1:9";
    let output = signalbox(&[&AUDIT[..], &[nobody]].concat(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("the ledger is unavailable"), "{text}");
    assert!(output.stdout.is_empty());

    let output = signalbox(&["status"], &[("SIGNALBOX_LOCAL_URL", "http://127.0.0.1:9")]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("lambda-function-staging-pipeline"), "{text}");
    assert!(text.contains("could not be reached"), "{text}");
}

#[test]
fn every_help_names_the_exit_codes_and_the_long_one_has_examples() {
    let output = signalbox(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let help = written(&output);
    for part in [
        "Exit codes",
        "AWS_PROFILE",
        "HTTPS_PROXY",
        "NO_PROXY",
        "AWS_CA_BUNDLE",
        "NO_COLOR",
        "audit",
        "trigger",
        "status",
        "watch",
    ] {
        assert!(help.contains(part), "{part} is missing in {help}");
    }
    for command in ["trigger", "status", "watch", "doctor"] {
        let short = written(&signalbox(&[command, "-h"], &[]));
        assert!(short.contains("Exit codes"), "{short}");
        let long = written(&signalbox(&[command, "--help"], &[]));
        for part in [
            "Exit codes",
            &format!("Examples:\n  signalbox {command} "),
            "--json",
            "--local",
        ] {
            assert!(long.contains(part), "{part} is missing in {long}");
        }
    }
}

#[test]
fn the_doctors_long_help_lists_what_it_looks_at() {
    let help = written(&signalbox(&["doctor", "--help"], &[]));
    for (check, words) in [
        ("functions", "can run"),
        ("hook-names", "CodeDeploy may call"),
        ("bucket-versions", "versions"),
        ("bucket-events", "EventBridge"),
        ("rules", "dead-letter queue"),
        ("alarm-dimensions", "Lambda really emits"),
        ("deployment-group", "under names that reach roll-back"),
        ("keys", "CloudWatch may use that of the alerts"),
        ("secrets", "value"),
        ("ledger", "restored"),
        ("approval-policy", "valid"),
        ("subscriptions", "notices and alerts"),
        ("pipeline", "polls"),
        ("clock", "AWS's"),
    ] {
        let listed = help
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{check} ")));
        assert!(
            listed.is_some_and(|line| line.contains(words)),
            "{check}, {words}: {help}"
        );
    }
}

#[test]
fn a_dry_run_lists_what_would_be_packed_and_needs_no_cloud() {
    let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    for (name, content) in [("index.js", "1"), (".env", "SECRET=1"), ("a.pem", "1")] {
        let written = std::fs::write(directory.path().join(name), content);
        written.unwrap_or_else(|error| panic!("{error}"));
    }
    let path = directory.path().to_string_lossy().into_owned();
    let output = signalbox(&["trigger", "staging", &path, "--dry-run"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = written(&output);
    assert!(
        text.contains("to source/develop/lambda-function.zip in the bucket of its source action"),
        "{text}"
    );
    let given = signalbox(
        &["trigger", "staging", &path, "--dry-run", "--bucket", "mine"],
        &[],
    );
    let given = written(&given);
    assert!(
        given.contains("to s3://mine/source/develop/lambda-function.zip"),
        "{given}"
    );
    assert!(
        text.contains("index.js") && text.contains("1 file, 1 byte "),
        "{text}"
    );
    assert!(!text.contains(".env") && !text.contains("a.pem"), "{text}");
    assert!(
        !text.contains('\u{1b}'),
        "no colours where there is no terminal: {text}"
    );

    let json = written(&signalbox(
        &["trigger", "production", &path, "--dry-run", "--json"],
        &[],
    ));
    for part in [
        "\"key\": \"source/main/lambda-function.zip\"",
        "\"name\": \"index.js\"",
        "\"branch\": \"main\"",
    ] {
        assert!(json.contains(part), "{part} is missing in {json}");
    }
}

#[test]
fn a_package_that_would_be_rejected_ends_with_code_5_before_anything_is_asked() {
    let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let large = std::fs::write(directory.path().join("large"), vec![b'x'; 4000]);
    large.unwrap_or_else(|error| panic!("{error}"));
    let path = directory.path().to_string_lossy().into_owned();
    let local = "--local=http://127.0.0.1:9";
    let output = signalbox(&["trigger", "staging", &path, "--max-bytes", "10", local], &[]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let text = said(&output);
    assert!(
        text.contains("10 are allowed") && text.contains(".signalboxignore"),
        "{text}"
    );
}
