//! What a build does between its turn and its end: PROVISIONING to UPLOAD_ARTIFACTS.

use std::io;
use std::sync::Arc;

use crate::artifacts;
use crate::build::{Artifacts, Object};
use crate::buildspec::{ArtifactsSection, Buildspec, OnFailure, PhaseSection, Text};
use crate::cache::Caches;
use crate::environment;
use crate::log::BuildLog;
use crate::phase::{Context, PhaseType, Status};
use crate::run::Runner;
use crate::shell::{self, Setup, Shell};
use crate::source::{self, Workspace};
use crate::state::lock;

/// What a build leaves on this machine while it runs, and who has to clear it up.
#[derive(Default)]
pub(crate) struct Site {
    pub(crate) workspace: Option<Workspace>,
    pub(crate) shell: Option<Shell>,
    pub(crate) caches: Option<Caches>,
}

impl Site {
    /// Puts the caches back to rest and removes the workspace.
    pub(crate) async fn leave(mut self, log: &BuildLog) {
        let (caches, workspace) = (self.caches.take(), self.workspace.take());
        let left = tokio::task::spawn_blocking(move || {
            let kept = caches.map(|caches| caches.keep());
            let removed = workspace.map(|workspace| std::fs::remove_dir_all(workspace.root()));
            (kept, removed)
        });
        match left.await {
            Ok((kept, removed)) => {
                match kept {
                    Some(Ok(count)) => log.note(&format!("Kept {count} cached paths")),
                    Some(Err(error)) => log.note(&format!("The cache could not be kept: {error}")),
                    None => {}
                }
                if let Some(Err(error)) = removed {
                    tracing::warn!(%error, "a build's workspace was not removed");
                }
            }
            Err(error) => tracing::warn!(%error, "a build's workspace was not cleared"),
        }
    }
}

/// Does the work; answers the build's status. Dropping the future abandons it at any point.
pub(crate) async fn work(runner: &Runner, site: &mut Site) -> Status {
    runner.begin(PhaseType::Provisioning);
    let root = runner
        .shared
        .cloud
        .work_dir()
        .join("codebuild")
        .join(&runner.build.fixed.uuid);
    let workspace = match Workspace::create(root).await {
        Ok(workspace) => workspace,
        Err(error) => {
            runner
                .end(
                    Status::Fault,
                    Some(Context::internal("making the workspace", error)),
                )
                .await;
            return Status::Fault;
        }
    };
    site.workspace = Some(workspace.clone());
    runner.end(Status::Succeeded, None).await;

    runner.begin(PhaseType::DownloadSource);
    let spec = match prepare(runner, site, &workspace).await {
        Ok(spec) => spec,
        Err(context) => {
            runner.end(Status::Failed, Some(context)).await;
            return Status::Failed;
        }
    };
    runner.end(Status::Succeeded, None).await;

    let (status, upload) = phases(runner, &spec, site).await;
    if !upload {
        return status;
    }
    runner.begin(PhaseType::UploadArtifacts);
    match upload_all(runner, &spec, site, &workspace).await {
        Ok(()) => {
            runner.end(Status::Succeeded, None).await;
            status
        }
        Err(context) => {
            runner.end(Status::Failed, Some(context)).await;
            Status::Failed
        }
    }
}

/// DOWNLOAD_SOURCE: source, buildspec, cache, variables, shell.
async fn prepare(runner: &Runner, site: &mut Site, workspace: &Workspace) -> Result<Buildspec, Context> {
    let (shared, build, log) = (&runner.shared, &runner.build, &runner.log);
    let version = source::download(shared, build, workspace).await?;
    lock(&build.progress).resolved_version = version.or_else(|| build.fixed.plan.source_version.clone());
    let spec = source::buildspec(shared, build, workspace).await?;
    for note in &spec.notes {
        log.note(note);
    }
    if build.fixed.plan.cache.kind != "NO_CACHE" && !spec.cache.paths.is_empty() {
        let dir = shared
            .options
            .cache_dir
            .join("projects")
            .join(&build.fixed.project);
        let (caches, notes) = Caches::new(&dir, &spec.cache.paths, workspace);
        for note in notes {
            log.note(&note);
        }
        // From here on the caches go back to rest however the build ends.
        let caches = site.caches.insert(caches);
        match caches.restore() {
            Ok(count) => log.note(&format!(
                "Restored {count} of {} cached paths",
                spec.cache.paths.len()
            )),
            Err(error) => log.note(&format!("The cache could not be restored: {error}")),
        }
    }
    tokio::fs::create_dir_all(shared.options.cache_dir.join("tools"))
        .await
        .map_err(|error| Context::internal("making the tools' directory", error))?;
    let resolved = environment::resolve(shared, build, &spec, workspace).await?;
    for secret in &resolved.secrets {
        log.hide(secret);
    }
    let setup = Setup {
        dir: shell::dir(workspace.root()),
        cwd: workspace.source(),
        env: resolved.vars,
        posix: spec.shell_is_posix().unwrap_or(true),
    };
    let shell = Shell::start(setup, Arc::clone(log))
        .await
        .map_err(|error| Context::internal("starting bash, which builds need", error))?;
    site.shell = Some(shell);
    Ok(spec)
}

/// INSTALL to POST_BUILD; answers the status so far and whether artifacts are to be uploaded.
async fn phases(runner: &Runner, spec: &Buildspec, site: &mut Site) -> (Status, bool) {
    let Some(shell) = site.shell.as_mut() else {
        return (Status::Fault, false);
    };
    let mut status = Status::Succeeded;
    let empty = PhaseSection::default();
    for phase in [
        PhaseType::Install,
        PhaseType::PreBuild,
        PhaseType::Build,
        PhaseType::PostBuild,
    ] {
        let section = spec.phase(phase).unwrap_or(&empty);
        runner.begin(phase);
        let failed = match commands(runner, phase, section, shell, status == Status::Succeeded).await {
            Ok(failed) => failed,
            Err(error) => {
                runner
                    .end(Status::Fault, Some(Context::internal("the build's shell", error)))
                    .await;
                return (Status::Fault, false);
            }
        };
        let Some(context) = failed else {
            runner.end(Status::Succeeded, None).await;
            continue;
        };
        runner.end(Status::Failed, Some(context)).await;
        status = Status::Failed;
        // AWS's transitions: after BUILD and POST_BUILD the next phase comes in any case.
        let ends = match section.on_failure {
            Some(OnFailure::Abort) => true,
            Some(OnFailure::Continue) => false,
            None => matches!(phase, PhaseType::Install | PhaseType::PreBuild),
        };
        if ends {
            export(runner, spec, shell).await;
            return (status, false);
        }
    }
    export(runner, spec, shell).await;
    (status, true)
}

/// The commands of one phase, then its `finally`; answers the first failure.
async fn commands(
    runner: &Runner,
    phase: PhaseType,
    section: &PhaseSection,
    shell: &mut Shell,
    succeeding: bool,
) -> io::Result<Option<Context>> {
    let mut failure = None;
    if phase == PhaseType::Install {
        runtime_versions(runner, section, shell).await?;
    }
    for (block, texts) in [(0, &section.commands), (1, &section.finally)] {
        let flag = if succeeding && failure.is_none() { "1" } else { "0" };
        if !texts.is_empty() {
            shell.export("CODEBUILD_BUILD_SUCCEEDING", flag).await?;
        }
        for Text(command) in texts {
            runner
                .log
                .note(&format!("Running command {}", command.trim_end()));
            let code = shell.run(command).await?;
            if code != 0 {
                let command = command.trim_end();
                runner.log.note(&format!(
                    "Command did not exit successfully {command} exit status {code}"
                ));
                failure.get_or_insert_with(|| {
                    Context::new(
                        "COMMAND_EXECUTION_ERROR",
                        format!("Error while executing command: {command}. Reason: exit status {code}"),
                    )
                });
                if block == 0 {
                    break;
                }
            }
        }
    }
    Ok(failure)
}

/// Compares `runtime-versions` with this machine's tools: AWS installs what is asked for, the local
/// cloud uses what is there, and says so.
async fn runtime_versions(runner: &Runner, section: &PhaseSection, shell: &mut Shell) -> io::Result<()> {
    for (runtime, Text(wanted)) in &section.runtime_versions {
        let command = match runtime.as_str() {
            "nodejs" => "node --version",
            "python" => "python3 --version",
            "golang" => "go version",
            "java" => "java -version 2>&1 | head -n 1",
            "ruby" => "ruby --version",
            other => {
                runner.log.note(&format!(
                    "Runtime {other} {wanted}: not checked by the local cloud"
                ));
                continue;
            }
        };
        let found = shell.expand(&format!("$({command} 2>/dev/null)")).await?;
        let found = found.trim();
        runner.log.note(&runtime_note(runtime, wanted, found));
    }
    Ok(())
}

fn runtime_note(runtime: &str, wanted: &str, found: &str) -> String {
    if found.is_empty() {
        return format!("Runtime {runtime} {wanted} is asked for, but this machine has none: install it");
    }
    let version = found
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .find(|part| !part.is_empty());
    let parts = wanted.trim_end_matches(".x").split('.');
    let same = version.is_some_and(|version| {
        wanted == "latest"
            || parts
                .zip(version.split('.'))
                .all(|(wanted, found)| wanted == found)
    });
    if same {
        format!("Using this machine's {runtime}: {found}")
    } else {
        format!("Runtime {runtime} {wanted} is asked for, this machine has {found}: the build uses that")
    }
}

/// Reads the exported variables out of the shell's environment: as in AWS, a variable that the shell has not exported is
/// none of them. A value that is a secret stays one.
async fn export(runner: &Runner, spec: &Buildspec, shell: &mut Shell) {
    let mut exported = Vec::new();
    for name in &spec.env.exported_variables {
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            runner.log.note(&format!(
                "Exported variable {name:?} is not a variable's name: left out"
            ));
            continue;
        }
        match shell.exported(name).await {
            Ok(Some(value)) => exported.push((name.clone(), runner.log.masked(&value))),
            Ok(None) => runner.log.note(&format!(
                "Exported variable {name} is not in the environment: left out"
            )),
            Err(error) => runner
                .log
                .note(&format!("Exported variable {name} could not be read: {error}")),
        }
    }
    lock(&runner.build.progress).exported = exported;
}

/// UPLOAD_ARTIFACTS: artifacts, then reports; a missing artifact does not lose the reports.
async fn upload_all(
    runner: &Runner,
    spec: &Buildspec,
    site: &mut Site,
    workspace: &Workspace,
) -> Result<(), Context> {
    let uploaded = upload_artifacts(runner, spec, site, workspace).await;
    for (name, section) in &spec.reports {
        let (arn, notes) = runner
            .shared
            .make_report(&runner.build, name, section, &workspace.source());
        for note in notes {
            runner.log.note(&note);
        }
        lock(&runner.build.progress).report_arns.extend(arn);
    }
    uploaded
}

async fn upload_artifacts(
    runner: &Runner,
    spec: &Buildspec,
    site: &mut Site,
    workspace: &Workspace,
) -> Result<(), Context> {
    let Some(section) = &spec.artifacts else {
        return Ok(());
    };
    let plan = &runner.build.fixed.plan;
    // With secondary artifacts the buildspec may have no files of its own.
    if !section.files.is_empty() {
        let stored = upload(runner, &plan.artifacts, section, site, workspace).await?;
        if let Some(stored) = stored {
            lock(&runner.build.progress).artifacts = Some(stored);
        }
    }
    for artifacts in &plan.secondary_artifacts {
        let id = artifacts.artifact_identifier.as_deref().unwrap_or_default();
        let section = section.secondary_artifacts.get(id).ok_or_else(|| {
            Context::client(format!(
                "the buildspec has no secondary-artifacts/{id}, which the project asks for"
            ))
        })?;
        let stored = upload(runner, artifacts, section, site, workspace).await?;
        lock(&runner.build.progress).secondary_artifacts.extend(stored);
    }
    Ok(())
}

async fn upload(
    runner: &Runner,
    artifacts: &Artifacts,
    section: &ArtifactsSection,
    site: &mut Site,
    workspace: &Workspace,
) -> Result<Option<Object>, Context> {
    let name = match (&section.name, site.shell.as_mut()) {
        (Some(Text(name)), Some(shell)) if artifacts.override_artifact_name => Some(
            shell
                .expand(name)
                .await
                .map_err(|error| Context::internal("expanding the artifact's name", error))?,
        ),
        _ => None,
    };
    let stored = artifacts::upload(
        &runner.shared,
        &runner.build,
        artifacts,
        section,
        name.as_deref(),
        workspace.source(),
    )
    .await?;
    let location = stored
        .as_ref()
        .and_then(|stored| stored.get("location")?.as_str());
    if let Some(location) = location {
        runner.log.note(&format!("Stored artifact {location}"));
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_differs_is_never_passed_over_in_silence() {
        assert!(runtime_note("nodejs", "20", "v20.20.2").starts_with("Using"));
        assert!(runtime_note("nodejs", "20.x", "v20.20.2").starts_with("Using"));
        assert!(runtime_note("python", "3.11", "Python 3.11.4").starts_with("Using"));
        assert!(runtime_note("nodejs", "22", "v20.20.2").contains("this machine has v20.20.2"));
        assert!(runtime_note("nodejs", "2", "v20.20.2").contains("this machine has"));
        assert!(runtime_note("nodejs", "22", "").contains("install it"));
    }
}
