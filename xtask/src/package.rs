//! Release zips of every function, each with its bill of materials, and the archive of them all.

mod archive;
mod build;
mod sbom;

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use cargo_lock::Lockfile;
use clap::Args;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

use self::archive::Archive;
use self::build::Build;

/// How to package.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The functions to package. [default: all]
    functions: Vec<String>,
    /// Another target than this machine's own, such as aarch64-unknown-linux-gnu; it must be installed.
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Also writes an archive to release: the templates, the zips, their bills of materials, the Terraform
    /// configuration, the sample application, the documents, and SHA256SUMS over all of it.
    #[arg(long, value_name = "FILE.tar.gz", conflicts_with = "functions")]
    archive: Option<PathBuf>,
    /// Prints the result as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Says what would be built, and builds nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What was made, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    functions: Vec<Packaged>,
    archive: Option<Archive>,
}

#[derive(Debug, Serialize)]
struct Packaged {
    function: String,
    binary_bytes: u64,
    zip_bytes: u64,
    /// Of the zip.
    sha256: String,
    zip: PathBuf,
    sbom: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let known = functions(project)?;
    if let Some(unknown) = options.functions.iter().find(|name| !known.contains(name)) {
        return Err(format!(
            "there is no function {unknown}; there are {}",
            known.join(", ")
        ));
    }
    let wanted = if options.functions.is_empty() {
        known
    } else {
        options.functions.clone()
    };
    let output = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.join("target"), PathBuf::from);
    let build = Build::prepare(project, &output, options.target.as_deref())?;
    if options.dry_run {
        wanted.iter().try_for_each(|name| {
            say(&format!(
                "would build {name} for {} and write target/lambda/{name}/bootstrap.zip and bootstrap.cdx.json",
                build.target
            ))
        })?;
        return options
            .archive
            .iter()
            .try_for_each(|file| say(&format!("would write {} with all of it", file.display())));
    }
    let lock = Lockfile::load(project.join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    let mut functions = Vec::new();
    for (index, name) in wanted.iter().enumerate() {
        progress(&format!(
            "[{}/{}] building {name}: fat LTO takes about a minute",
            index + 1,
            wanted.len()
        ));
        let binary = build.function(name)?;
        let graph = sbom::Graph::of(project, name, &build.target)?;
        let bill = graph.bill(&lock, &build.target, &binary)?;
        functions.push(write(&build.output, name, &binary, &bill)?);
    }
    let archive = options
        .archive
        .as_deref()
        .map(|file| archive::write(project, &build.output, &wanted, file))
        .transpose()?;
    report(&Report { functions, archive }, options.json)
}

fn report(report: &Report, json: bool) -> Result<(), String> {
    if json {
        let json = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
        return say(&json);
    }
    report.functions.iter().try_for_each(|one| {
        let mib = |bytes: u64| {
            #[expect(clippy::cast_precision_loss, reason = "sizes of files, for people")]
            let mib = bytes as f64 / 1_048_576.0;
            mib
        };
        say(&format!(
            "{:<22} binary {:>6.2} MiB   zip {:>6.2} MiB   sha256 {}",
            one.function,
            mib(one.binary_bytes),
            mib(one.zip_bytes),
            one.sha256.get(..16).unwrap_or(&one.sha256)
        ))
    })?;
    report
        .archive
        .iter()
        .try_for_each(|archive| say(&format!("{}   sha256 {}", archive.file.display(), archive.sha256)))
}

fn functions(project: &Path) -> Result<Vec<String>, String> {
    let read =
        std::fs::read_dir(project.join("functions")).map_err(|error| format!("functions/: {error}"))?;
    let mut names: Vec<String> = read
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Writes `target/lambda/<name>/bootstrap.zip`, which `template.yaml` names, and its bill beside it.
fn write(output: &Path, name: &str, binary: &[u8], bill: &str) -> Result<Packaged, String> {
    let zipped = zipped(binary).map_err(|error| format!("{name} cannot be zipped: {error}"))?;
    let directory = output.join("lambda").join(name);
    let (zip, sbom) = (
        directory.join("bootstrap.zip"),
        directory.join("bootstrap.cdx.json"),
    );
    std::fs::create_dir_all(&directory)
        .and_then(|()| std::fs::write(&zip, &zipped))
        .and_then(|()| std::fs::write(&sbom, bill))
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok(Packaged {
        function: name.to_owned(),
        binary_bytes: length(binary),
        zip_bytes: length(&zipped),
        sha256: sha256(&zipped),
        zip,
        sbom,
    })
}

/// A zip that says nothing of when and by whom it was made.
fn zipped(binary: &[u8]) -> std::io::Result<Vec<u8>> {
    let entry = SimpleFileOptions::default()
        .unix_permissions(0o755)
        .last_modified_time(zip::DateTime::default());
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", entry)?;
    zip.write_all(binary)?;
    Ok(zip.finish()?.into_inner())
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn say(line: &str) -> Result<(), String> {
    writeln!(anstream::stdout(), "{line}").map_err(|error| error.to_string())
}

fn progress(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zip_says_nothing_of_when_it_was_made() {
        let first = zipped(b"a binary").unwrap();
        assert_eq!(sha256(&first), sha256(&zipped(b"a binary").unwrap()));
        assert_ne!(sha256(&first), sha256(&zipped(b"another binary").unwrap()));
        let mut zip = zip::ZipArchive::new(Cursor::new(first)).unwrap();
        let time = zip.by_name("bootstrap").unwrap().last_modified();
        assert_eq!(time, Some(zip::DateTime::default()));
    }

    #[test]
    fn cargo_lambda_packages_the_same_functions() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let metadata = build::cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(project)
            .output()
            .unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let build = &metadata["metadata"]["lambda"]["build"];
        assert_eq!(build["packages"], serde_json::json!(functions(project).unwrap()));
        assert_eq!(build["output_format"], "zip");
    }

    #[test]
    fn what_lambda_unpacks_may_be_executed() {
        let zip = zipped(b"a binary").unwrap();
        let mut zip = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        assert_eq!(zip.len(), 1);
        let entry = zip.by_name("bootstrap").unwrap();
        assert_eq!(entry.unix_mode().unwrap() & 0o777, 0o755);
    }
}
