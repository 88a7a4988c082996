//! The sample application as a package: what a developer would upload.

use std::io::{Cursor, Write};
use std::path::Path;

use serde_json::{Value, json};
use walkdir::WalkDir;
use zip::write::SimpleFileOptions;

/// How a version of the sample behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It serves.
    Good,
    /// It passes its own tests, and fails as soon as users reach it.
    FailsUnderTraffic,
    /// It passes its own tests, and is slow as soon as users reach it.
    SlowUnderTraffic,
    /// It passes its own tests and serves its users, and logs an error for each of them.
    LogsErrorsUnderTraffic,
    /// It is slow for everybody, from its first request: for so many milliseconds.
    Slow(u32),
}

/// What is left out: what a build makes anew.
const LEFT_OUT: [&str; 5] = [
    "node_modules",
    "reports",
    ".eslintcache",
    "coverage",
    "function.zip",
];

/// Zips the sample as `version`, with the application's CloudFormation template beside it.
///
/// # Errors
/// A file cannot be read.
pub fn package(project: &Path, version: &str, behaviour: Behaviour) -> std::io::Result<Vec<u8>> {
    let sample = project.join("examples/lambda-function");
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().unix_permissions(0o644);
    let entries = WalkDir::new(&sample)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !LEFT_OUT.iter().any(|name| entry.file_name() == *name));
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.path().strip_prefix(&sample) else {
            continue;
        };
        if !entry.file_type().is_file() || name == Path::new(RELEASE) {
            continue;
        }
        zip.start_file(name.to_string_lossy(), options)?;
        zip.write_all(&std::fs::read(entry.path())?)?;
    }
    zip.start_file(RELEASE, options)?;
    zip.write_all(release(version, behaviour).to_string().as_bytes())?;
    zip.start_file("templates/lambda-deployment-template.yaml", options)?;
    zip.write_all(&std::fs::read(
        project.join("templates/lambda-deployment-template.yaml"),
    )?)?;
    Ok(zip.finish()?.into_inner())
}

/// The deployable code alone, as the sample's build would make it.
///
/// # Errors
/// A file cannot be read.
pub fn function_zip(project: &Path, version: &str, behaviour: Behaviour) -> std::io::Result<Vec<u8>> {
    let source = project.join("examples/lambda-function/src");
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().unix_permissions(0o644);
    for entry in WalkDir::new(&source).sort_by_file_name() {
        let entry = entry?;
        let Ok(name) = entry.path().strip_prefix(&source) else {
            continue;
        };
        if entry.file_type().is_file() && name != Path::new("release.json") {
            zip.start_file(name.to_string_lossy(), options)?;
            zip.write_all(&std::fs::read(entry.path())?)?;
        }
    }
    zip.start_file("release.json", options)?;
    zip.write_all(release(version, behaviour).to_string().as_bytes())?;
    Ok(zip.finish()?.into_inner())
}

/// The sample's switch: which version it is, and whether it is to fail.
const RELEASE: &str = "src/release.json";

fn release(version: &str, behaviour: Behaviour) -> Value {
    let fault = match behaviour {
        Behaviour::Good => Value::Null,
        Behaviour::FailsUnderTraffic => json!({ "kind": "error", "after": 5, "through": "alias" }),
        Behaviour::SlowUnderTraffic => {
            json!({ "kind": "latency", "after": 0, "ms": 1000, "through": "alias" })
        }
        Behaviour::LogsErrorsUnderTraffic => json!({ "kind": "log", "after": 0, "through": "alias" }),
        Behaviour::Slow(ms) => json!({ "kind": "latency", "after": 0, "ms": ms }),
    };
    json!({ "version": version, "fault": fault })
}
