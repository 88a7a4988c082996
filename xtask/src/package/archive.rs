//! The archive to release. Unpacked, it is laid out as a checkout is, so that the same commands work in it.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ignore::WalkBuilder;
use serde::Serialize;
use tar::{Builder, EntryType, Header};

use super::sha256;

/// What everything lies below in the archive.
const ROOT: &str = "signalbox";

/// Beside the packages: what an installation reads, how to go about it, and what those texts lead to.
const SHIPPED: [&str; 11] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "docs",
    "examples",
    "infrastructure",
    "scripts",
    "template.yaml",
    "templates",
];

/// A file of the archive.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    path: String,
    bytes: Vec<u8>,
    is_executable: bool,
}

impl Entry {
    fn read(path: String, file: &Path) -> io::Result<Self> {
        let mode = std::fs::metadata(file)?.permissions().mode();
        Ok(Self {
            path,
            bytes: std::fs::read(file)?,
            is_executable: mode & 0o100 != 0,
        })
    }

    /// One of two, whatever the checkout's umask left of the rest.
    fn mode(&self) -> u32 {
        if self.is_executable { 0o755 } else { 0o644 }
    }
}

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
                entries.push(Entry::read(format!("target/lambda/{function}/{name}"), &path)?);
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
fn shipped(project: &Path) -> io::Result<Vec<Entry>> {
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
            entries.push(Entry::read(path.display().to_string(), entry.path())?);
        }
    }
    Ok(entries)
}

/// In the order of the names, of nobody, at no time: the same files give the same archive.
fn packed(mut entries: Vec<Entry>) -> io::Result<Vec<u8>> {
    entries.sort();
    let sums: String = entries
        .iter()
        .map(|entry| format!("{}  {}\n", sha256(&entry.bytes), entry.path))
        .collect();
    let sums = Entry {
        path: "SHA256SUMS".to_owned(),
        bytes: sums.into_bytes(),
        is_executable: false,
    };
    entries.insert(0, sums);
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for entry in &entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(entry.mode());
        header.set_size(u64::try_from(entry.bytes.len()).map_err(io::Error::other)?);
        tar.append_data(
            &mut header,
            format!("{ROOT}/{}", entry.path),
            entry.bytes.as_slice(),
        )?;
    }
    let mut archive = tar.into_inner()?;
    archive.flush()?;
    archive.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;
    use std::path::Component;
    use std::process::Command;
    use std::sync::LazyLock;

    use super::*;

    /// A file of an archive.
    struct Unpacked {
        bytes: Vec<u8>,
        mode: u32,
    }

    impl Unpacked {
        fn text(&self) -> &str {
            std::str::from_utf8(&self.bytes).unwrap()
        }
    }

    fn unpacked(archive: &[u8]) -> BTreeMap<String, Unpacked> {
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            let mode = entry.header().mode().unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let path = entry.path().unwrap().display().to_string();
            (path, Unpacked { bytes, mode })
        });
        entries.collect()
    }

    fn project() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    /// The archive of this project, with two functions that are none.
    fn archived() -> &'static BTreeMap<String, Unpacked> {
        // Packing takes seconds without optimisation.
        static ARCHIVED: LazyLock<BTreeMap<String, Unpacked>> = LazyLock::new(archive_twice);
        &ARCHIVED
    }

    fn archive_twice() -> BTreeMap<String, Unpacked> {
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
        let first = write(project(), &output, &functions, &file).unwrap();
        let second = write(project(), &output, &functions, &file).unwrap();
        assert_eq!(first.sha256, second.sha256);
        unpacked(&std::fs::read(&file).unwrap())
    }

    #[test]
    fn an_archive_has_all_that_an_installation_needs_under_its_sums() {
        let entries = archived();
        for path in [
            "LICENSE",
            "README.md",
            "SECURITY.md",
            "docs/install.md",
            "template.yaml",
            "templates/lambda-deployment-template.yaml",
            "templates/pipeline/production.json",
            "examples/lambda-function/buildspec.yml",
            "examples/lambda-function/buildspec-integration-test.yml",
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
        let sums = entries["signalbox/SHA256SUMS"].text();
        assert_eq!(sums.lines().count(), entries.len() - 1);
        for line in sums.lines() {
            let (digest, path) = line.split_once("  ").unwrap();
            assert_eq!(
                digest,
                sha256(&entries[&format!("signalbox/{path}")].bytes),
                "{path}"
            );
        }
    }

    /// A path without its `.` and `..`.
    fn plain(path: &Path) -> String {
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::ParentDir => drop(parts.pop()),
                Component::Normal(part) => parts.push(part.to_str().unwrap()),
                _ => {}
            }
        }
        parts.join("/")
    }

    /// Where the relative links of a text lead to.
    fn links(text: &str) -> Vec<&str> {
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(target, _)| target.split('#').next().unwrap_or_default());
        targets
            .filter(|target| !target.is_empty() && !target.contains("://"))
            .collect()
    }

    #[test]
    fn each_link_of_an_archives_texts_leads_to_something_in_it() {
        let entries = archived();
        let texts = entries
            .iter()
            .filter(|(path, _)| Path::new(path).extension().is_some_and(|kind| kind == "md"));
        let mut followed = 0;
        for (path, text) in texts {
            for link in links(text.text()) {
                let target = plain(&Path::new(path).parent().unwrap().join(link));
                assert!(
                    entries.contains_key(&target),
                    "{path} leads to {target}, which is missing"
                );
                followed += 1;
            }
        }
        assert!(followed > 10, "only {followed} links were found");
    }

    /// The words of a text that may be names of files, as a reader takes them: without marks and quotes around them.
    fn words(text: &str) -> impl Iterator<Item = &str> {
        let is_around = |char: char| char.is_whitespace() || "`'\"()|=#,;".contains(char);
        text.split(is_around)
            .map(|word| {
                word.trim_start_matches("../")
                    .trim_start_matches("${path.root}/../")
            })
            .map(|word| word.trim_start_matches("./").trim_end_matches(['.', ':', '/']))
            .filter(|word| !word.is_empty())
    }

    #[test]
    fn each_file_that_the_guide_to_installing_names_is_in_an_archive() {
        // Whoever installs makes it.
        const NOT_SHIPPED: [&str; 1] = ["backend.tf"];
        const KINDS: [&str; 8] = ["example", "json", "md", "sh", "tf", "tfvars", "yaml", "yml"];
        let entries = archived();
        let guide = entries["signalbox/docs/install.md"].text();
        let is_file = |word: &&str| {
            let kind = Path::new(word).extension().and_then(|kind| kind.to_str());
            let is_path = word.contains('/') && project().join(word).exists();
            is_path || kind.is_some_and(|kind| KINDS.contains(&kind))
        };
        let named: Vec<&str> = words(guide)
            .filter(is_file)
            .filter(|word| !NOT_SHIPPED.contains(word))
            .collect();
        for word in &named {
            let (end, within) = (format!("/{word}"), format!("signalbox/{word}/"));
            let is_there = |path: &String| path.ends_with(&end) || path.starts_with(&within);
            assert!(entries.keys().any(is_there), "{word} is missing");
        }
        for word in ["examples/lambda-function", "environments/production.tfvars"] {
            assert!(named.contains(&word), "{word} was not found in {named:?}");
        }
    }

    #[test]
    fn what_may_be_executed_here_may_be_executed_there() {
        let entries = archived();
        let mode = |path: &str| entries[&format!("signalbox/{path}")].mode;
        assert_eq!(mode("scripts/trigger-pipeline.sh"), 0o755);
        assert_eq!(mode("template.yaml"), 0o644);
        assert_eq!(mode("SHA256SUMS"), 0o644);
    }

    /// Of all that is shipped, it alone is of no use without the program.
    #[test]
    fn the_script_of_an_archive_says_that_it_needs_the_program() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("scripts")).unwrap();
        let script = directory.path().join("scripts/trigger-pipeline.sh");
        std::fs::write(
            &script,
            archived()["signalbox/scripts/trigger-pipeline.sh"].text(),
        )
        .unwrap();
        let output = Command::new("bash")
            .arg(&script)
            .arg("staging")
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("signalbox is not on the PATH"), "{said}");
    }

    #[test]
    fn a_state_of_terraform_stays_here() {
        let project = tempfile::tempdir().unwrap();
        let path = |name: &str| project.path().join(name);
        std::fs::create_dir_all(path("infrastructure/.terraform")).unwrap();
        for name in ["docs", "examples", "scripts", "templates"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        let rules = include_str!("../../../infrastructure/.gitignore");
        std::fs::write(path("infrastructure/.gitignore"), rules).unwrap();
        for name in [
            "ARCHITECTURE.md",
            "CONTRIBUTING.md",
            "LICENSE",
            "README.md",
            "SECURITY.md",
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
            .map(|entry| entry.path)
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "ARCHITECTURE.md",
                "CONTRIBUTING.md",
                "LICENSE",
                "README.md",
                "SECURITY.md",
                "infrastructure/.gitignore",
                "infrastructure/main.tf",
                "template.yaml"
            ]
        );
    }
}
