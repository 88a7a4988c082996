//! The archive to release. Unpacked, it is laid out as a checkout is, so that the same commands work in it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ignore::WalkBuilder;
use serde::Serialize;
use tar::{Builder, EntryType, Header};

use super::sha256;

/// What everything lies below in the archive.
const ROOT: &str = "signalbox";

/// Beside the packages: what an installation reads, and how to go about it.
const SHIPPED: [&str; 6] = [
    "LICENSE",
    "docs",
    "examples",
    "infrastructure",
    "template.yaml",
    "templates",
];

/// The archive that was written.
#[derive(Debug, Serialize)]
pub(super) struct Archive {
    pub(super) file: PathBuf,
    pub(super) sha256: String,
}

pub(super) fn write(
    project: &Path,
    output: &Path,
    functions: &[String],
    file: &Path,
) -> Result<Archive, String> {
    let archive = || -> io::Result<Vec<u8>> {
        let mut entries = shipped(project)?;
        for function in functions {
            for name in ["bootstrap.cdx.json", "bootstrap.zip"] {
                let path = output.join("lambda").join(function).join(name);
                entries.push((format!("target/lambda/{function}/{name}"), std::fs::read(path)?));
            }
        }
        let archive = packed(entries)?;
        std::fs::write(file, &archive)?;
        Ok(archive)
    };
    let archive = archive().map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Archive {
        file: file.to_owned(),
        sha256: sha256(&archive),
    })
}

/// What Git ignores stays out: a state of Terraform's may lie there, and a state is nobody else's business.
fn shipped(project: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut entries = Vec::new();
    for name in SHIPPED {
        let walk = WalkBuilder::new(project.join(name))
            .hidden(false)
            .require_git(false)
            .build();
        for entry in walk {
            let entry = entry.map_err(io::Error::other)?;
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let path = entry.path().strip_prefix(project).map_err(io::Error::other)?;
            entries.push((path.display().to_string(), std::fs::read(entry.path())?));
        }
    }
    Ok(entries)
}

/// In the order of the names, of nobody, at no time: the same files give the same archive.
fn packed(mut entries: Vec<(String, Vec<u8>)>) -> io::Result<Vec<u8>> {
    entries.sort();
    let sums: String = entries
        .iter()
        .map(|(path, bytes)| format!("{}  {path}\n", sha256(bytes)))
        .collect();
    entries.insert(0, ("SHA256SUMS".to_owned(), sums.into_bytes()));
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, bytes) in &entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(u64::try_from(bytes.len()).map_err(io::Error::other)?);
        tar.append_data(&mut header, format!("{ROOT}/{path}"), bytes.as_slice())?;
    }
    let mut archive = tar.into_inner()?;
    archive.flush()?;
    archive.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        });
        entries.collect()
    }

    #[test]
    fn an_archive_has_all_that_an_installation_needs_under_its_sums() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("target");
        let functions = ["start-run".to_owned(), "sweep".to_owned()];
        for function in &functions {
            std::fs::create_dir_all(output.join("lambda").join(function)).unwrap();
            for name in ["bootstrap.cdx.json", "bootstrap.zip"] {
                std::fs::write(output.join("lambda").join(function).join(name), function).unwrap();
            }
        }
        let file = directory.path().join("release.tar.gz");
        let first = write(project, &output, &functions, &file).unwrap();
        let second = write(project, &output, &functions, &file).unwrap();
        assert_eq!(first.sha256, second.sha256);

        let entries = unpacked(&std::fs::read(&file).unwrap());
        for path in [
            "template.yaml",
            "templates/lambda-deployment-template.yaml",
            "examples/lambda-function/buildspec.yml",
            "infrastructure/codepipeline.tf",
            "infrastructure/modules/pipeline/control_plane.tf",
            "target/lambda/start-run/bootstrap.zip",
            "target/lambda/sweep/bootstrap.cdx.json",
        ] {
            assert!(
                entries.contains_key(&format!("signalbox/{path}")),
                "{path} is missing"
            );
        }
        let sums = String::from_utf8(entries["signalbox/SHA256SUMS"].clone()).unwrap();
        assert_eq!(sums.lines().count(), entries.len() - 1);
        for line in sums.lines() {
            let (digest, path) = line.split_once("  ").unwrap();
            assert_eq!(digest, sha256(&entries[&format!("signalbox/{path}")]), "{path}");
        }
    }

    #[test]
    fn a_state_of_terraform_stays_here() {
        let project = tempfile::tempdir().unwrap();
        let path = |name: &str| project.path().join(name);
        std::fs::create_dir_all(path("infrastructure/.terraform")).unwrap();
        for name in ["docs", "examples", "templates"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        let rules = include_str!("../../../infrastructure/.gitignore");
        std::fs::write(path("infrastructure/.gitignore"), rules).unwrap();
        for name in [
            "LICENSE",
            "template.yaml",
            "infrastructure/main.tf",
            "infrastructure/terraform.tfstate",
            "infrastructure/terraform.tfstate.backup",
            "infrastructure/.terraform/providers",
        ] {
            std::fs::write(path(name), "x").unwrap();
        }
        let mut names: Vec<_> = shipped(project.path())
            .unwrap()
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "LICENSE",
                "infrastructure/.gitignore",
                "infrastructure/main.tf",
                "template.yaml"
            ]
        );
    }
}
