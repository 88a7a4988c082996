//! Programs of the private virtual environment, against the world's gateway.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::world::World;

/// No program here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) succeeded: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a program to its end, fed with `input`.
pub(crate) async fn run(command: &mut Command, input: &str) -> Said {
    run_within(PATIENCE, command, input).await
}

/// As `run`, for a program that may take longer, or must not take so long.
pub(crate) async fn run_within(patience: Duration, command: &mut Command, input: &str) -> Said {
    use tokio::io::AsyncWriteExt;
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = timeout(patience, child.wait_with_output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("{command:?} did not end within {patience:?}"))
        .unwrap();
    Said {
        succeeded: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A program with the gateway's address and a person's credentials in its environment, and none of this
/// machine's own configuration of AWS.
pub(crate) fn with_aws(world: &World, mut command: Command) -> Command {
    for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"] {
        command.env_remove(name);
    }
    command
        .env("AWS_ENDPOINT_URL", world.running.url())
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_PAGER", "")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
