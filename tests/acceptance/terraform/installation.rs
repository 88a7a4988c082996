//! A copy of `infrastructure/` beside a local cloud of its own, and the real Terraform between the two.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use signalbox_local::running::{Options, Running};
use tempfile::TempDir;
use tokio::process::Command;

use crate::privileges;
use crate::tools::{Said, run, run_within};
use crate::world::World;

/// Configured durations pass this many times faster.
const SCALE: f64 = 30.0;

/// To apply takes a minute and a half; a machine that does more at once takes longer.
const PATIENCE: Duration = Duration::from_secs(900);

/// What to install.
pub(super) const RUNTIME: &str = "nodejs20.x";

/// One environment, as an operator would install it from a checkout.
pub(super) struct Installation {
    pub(super) running: Running,
    pub(super) environment: &'static str,
    /// The checkout.
    directory: TempDir,
}

impl Installation {
    /// A cloud with nothing in it, and a checkout that Terraform is initialised in. `more` is a file of
    /// the operator's own beside the root module's.
    pub(super) async fn prepare(world: &World, environment: &'static str, more: &str) -> Self {
        require_terraform().await;
        let options = Options {
            scale: SCALE,
            ..Options::default()
        };
        let paths = world.running.paths.clone();
        let running = Running::start(paths, &options, &|_| ()).await.unwrap();
        privileges::watch(&running);
        let directory = tempfile::tempdir().unwrap();
        let project = &running.paths.project;
        copy(
            &project.join("infrastructure"),
            &directory.path().join("infrastructure"),
        );
        std::fs::copy(
            project.join("template.yaml"),
            directory.path().join("template.yaml"),
        )
        .unwrap();
        std::fs::write(directory.path().join("infrastructure/more.tf"), more).unwrap();
        package_functions(&running, &directory.path().join("target/lambda"));
        let mirror = run(&mut Command::new(project.join(".ci/terraform-mirror")), "").await;
        if !mirror.out.is_empty() {
            std::fs::write(directory.path().join("mirror.tfrc"), mirror.out).unwrap();
        }
        let installation = Self {
            running,
            environment,
            directory,
        };
        installation.terraform(&["init", "-input=false"]).await;
        installation
    }

    /// Runs Terraform; it must succeed.
    pub(super) async fn terraform(&self, arguments: &[&str]) -> String {
        let said = self.try_terraform(arguments).await;
        assert!(
            said.succeeded,
            "terraform {} failed; the cloud's logs are in {}:\n{}\n{}",
            arguments.join(" "),
            self.running.logs.display(),
            said.err,
            said.out
        );
        said.out
    }

    /// Runs Terraform, however it ends.
    pub(super) async fn try_terraform(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new("terraform");
        let own = |name: &OsString| {
            let name = name.to_string_lossy();
            name.starts_with("AWS_") || name.starts_with("TF_") && name != "TF_CLI_CONFIG_FILE"
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| own(name)) {
            command.env_remove(name);
        }
        let mirror = self.directory.path().join("mirror.tfrc");
        if mirror.exists() {
            command.env("TF_CLI_CONFIG_FILE", mirror);
        }
        let people = |people: &[&str]| json!(people).to_string();
        command
            .args(arguments)
            .current_dir(self.directory.path().join("infrastructure"))
            .env("AWS_ENDPOINT_URL", self.running.url())
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("CHECKPOINT_DISABLE", "true")
            .env("TF_CLI_ARGS", "-no-color")
            .env("TF_IN_AUTOMATION", "true")
            .env("TF_VAR_environment", self.environment)
            .env("TF_VAR_runtime", RUNTIME)
            .env(
                "TF_VAR_approvers",
                people(&[crate::world::ANN, crate::world::BEN]),
            )
            .env("TF_VAR_watchers", people(&[crate::world::TEAM]))
            // Production keeps its packages otherwise.
            .env("TF_VAR_force_destroy", "true");
        run_within(PATIENCE, &mut command, "").await
    }

    /// Applies what is declared, and proves that nothing is left to do: what the cloud answers is what
    /// was asked for.
    pub(super) async fn apply(&self) -> Value {
        self.terraform(&["apply", "-input=false", "-auto-approve"]).await;
        // Exit code 2, which is a failure here, says that something would change.
        self.terraform(&["plan", "-input=false", "-detailed-exitcode"])
            .await;
        let outputs = self.terraform(&["output", "-json"]).await;
        serde_json::from_str(&outputs).unwrap()
    }

    /// Takes everything out again, and stops the cloud.
    pub(super) async fn destroy(&self) {
        self.terraform(&["destroy", "-input=false", "-auto-approve"])
            .await;
        assert_eq!(self.terraform(&["state", "list"]).await, "");
    }

    /// Asks the cloud.
    pub(super) async fn ask(&self, service: &str, operation: &str, input: Value) -> Value {
        let answer = self.running.call(service, operation, input).await;
        answer.unwrap_or_else(|error| panic!("{service} {operation}: {error}"))
    }
}

async fn require_terraform() {
    let version = Command::new("terraform").arg("version").output().await;
    assert!(
        version.is_ok_and(|output| output.status.success()),
        "terraform is not on the PATH: install Terraform 1.9 or newer (https://developer.hashicorp.com/terraform/install)"
    );
}

/// Copies the configuration, and nothing that a developer's own use of it left behind: no state, no
/// provider, no backend.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if text.starts_with(".terraform") || text.contains(".tfstate") || text == "backend.tf" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// What `cargo package-functions` would leave, from the binaries that the tests run with: a `bootstrap`
/// that becomes the binary, since a debug build is larger than Lambda takes.
fn package_functions(running: &Running, to: &Path) {
    use std::io::Write;
    for function in signalbox_local::functions::names(&running.paths.project).unwrap() {
        let directory = to.join(&function);
        std::fs::create_dir_all(&directory).unwrap();
        let binary: PathBuf = running.paths.binaries.join(&function);
        let file = std::fs::File::create(directory.join("bootstrap.zip")).unwrap();
        let mut zip = zip::ZipWriter::new(file);
        let executable = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
        zip.start_file("bootstrap", executable).unwrap();
        writeln!(zip, "#!/bin/sh\nexec '{}'", binary.display()).unwrap();
        zip.finish().unwrap();
    }
}
