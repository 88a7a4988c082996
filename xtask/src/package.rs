//! Release zips of every function.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

/// How to package.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The functions to package. [default: all]
    functions: Vec<String>,
    /// Another target than this machine's own, such as aarch64-unknown-linux-gnu; it must be installed.
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Prints the result as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Says what would be built, and builds nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Packaged {
    function: String,
    binary_bytes: u64,
    zip_bytes: u64,
    sha256: String,
    zip: PathBuf,
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
    if options.dry_run {
        return wanted.iter().try_for_each(|name| {
            say(&format!(
                "would build {name} and write target/lambda/{name}/bootstrap.zip"
            ))
        });
    }
    let mut packaged = Vec::new();
    for (index, name) in wanted.iter().enumerate() {
        progress(&format!(
            "[{}/{}] building {name}: fat LTO takes about a minute",
            index + 1,
            wanted.len()
        ));
        // One package at a time: features are then resolved for it alone, and it carries no other's.
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--release", "--locked", "--package", name])
            .current_dir(project);
        cargo.args(options.target.iter().flat_map(|target| ["--target", target]));
        let status = cargo
            .status()
            .map_err(|error| format!("cargo cannot be run: {error}"))?;
        if !status.success() {
            return Err(format!(
                "{name} could not be built; cargo's own messages are above"
            ));
        }
        packaged.push(zip_up(project, options.target.as_deref(), name)?);
    }
    if options.json {
        let json = serde_json::to_string_pretty(&packaged).map_err(|error| error.to_string())?;
        return say(&json);
    }
    packaged.iter().try_for_each(|one| {
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
    })
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

/// Writes `target/lambda/<name>/bootstrap`, which `template.yaml` names, and the zip beside it.
fn zip_up(project: &Path, target: Option<&str>, name: &str) -> Result<Packaged, String> {
    let output = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.join("target"), PathBuf::from);
    let built = target
        .map_or_else(
            || output.join("release"),
            |target| output.join(target).join("release"),
        )
        .join(name);
    let binary = std::fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))?;
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let entry = SimpleFileOptions::default()
        .unix_permissions(0o755)
        .last_modified_time(zip::DateTime::default());
    let zipped = zip
        .start_file("bootstrap", entry)
        .map_err(std::io::Error::from)
        .and_then(|()| zip.write_all(&binary))
        .and_then(|()| zip.finish().map_err(std::io::Error::from))
        .map_err(|error| format!("{name} cannot be zipped: {error}"))?
        .into_inner();
    let directory = output.join("lambda").join(name);
    let file = directory.join("bootstrap.zip");
    std::fs::create_dir_all(&directory)
        .and_then(|()| std::fs::copy(&built, directory.join("bootstrap")))
        .and_then(|_| std::fs::write(&file, &zipped))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok(Packaged {
        function: name.to_owned(),
        binary_bytes: length(&binary),
        zip_bytes: length(&zipped),
        sha256: hex::encode(Sha256::digest(&zipped)),
        zip: file,
    })
}

fn say(line: &str) -> Result<(), String> {
    writeln!(anstream::stdout(), "{line}").map_err(|error| error.to_string())
}

fn progress(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}
