//! Builds the functions' binaries, as Cargo would for anybody.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use thiserror::Error;
use tokio::process::Command;

use crate::paths::Paths;

/// The crates under `functions/`, each a binary of its own.
///
/// # Errors
/// The directory cannot be read.
pub fn names(project: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(project.join("functions"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Why there are no binaries.
#[derive(Debug, Error)]
pub enum BuildError {
    /// Cargo cannot be run, or a directory cannot be read.
    #[error("cannot build the functions: {0}")]
    Io(#[from] std::io::Error),
    /// Cargo failed; it has said why.
    #[error("cargo could not build the functions; its own messages are above")]
    Cargo,
}

/// Whether every function's binary exists already; says nothing of its age.
#[must_use]
pub fn are_built(paths: &Paths) -> bool {
    names(&paths.project).is_ok_and(|names| names.iter().all(|name| paths.binaries.join(name).is_file()))
}

/// Builds every function in this program's own profile; quick when nothing has changed. Cargo shows its
/// progress itself, on standard error.
///
/// # Errors
/// Cargo cannot be run, or fails.
pub async fn build(paths: &Paths) -> Result<(), BuildError> {
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(cargo);
    // No `--package`: features are then resolved for the whole workspace, and what this program was
    // built with is not built again.
    command
        .arg("build")
        .current_dir(&paths.project)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // `cargo run` describes its own package to the program it runs; passed on, that makes build scripts
    // that look at it run again, and all that depends on them.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
            "CARGO_PRIMARY_",
        ]
        .iter()
        .any(|p| text.starts_with(p))
        {
            command.env_remove(&name);
        }
    }
    if paths.binaries.ends_with("release") {
        command.arg("--release");
    }
    for name in names(&paths.project)? {
        command.args(["--bin", &name]);
    }
    command.arg("--target-dir").arg(&paths.target);
    if command.status().await?.success() {
        Ok(())
    } else {
        Err(BuildError::Cargo)
    }
}
