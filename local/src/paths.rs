//! Where things are: the project, Cargo's target directory, the binaries that were built.

use std::path::{Path, PathBuf};

/// The directories that a local cloud works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The project's root: `template.yaml`, `examples/`, `templates/`.
    pub project: PathBuf,
    /// Cargo's target directory; the private virtual environment and the build caches live in
    /// `signalbox/` below it, so that `cargo clean` removes them too.
    pub target: PathBuf,
    /// Where the functions' binaries are, beside this program's own.
    pub binaries: PathBuf,
}

impl Paths {
    /// Finds them from this program's own place.
    ///
    /// # Errors
    /// The program's place cannot be told, or is not below a target directory.
    pub fn find() -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut binaries = program.parent().unwrap_or(Path::new("/")).to_owned();
        // A test's program lies one directory deeper.
        if binaries.ends_with("deps") {
            binaries.pop();
        }
        let target = binaries.parent().unwrap_or(&binaries).to_owned();
        let project = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap_or(Path::new("/"))
            .to_owned();
        if !project.join("template.yaml").is_file() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                format!(
                    "there is no template.yaml in {}: was the project moved? Build it again",
                    project.display()
                ),
            ));
        }
        Ok(Self {
            project,
            target,
            binaries,
        })
    }

    /// What survives between starts: the virtual environment, caches of builds, logs.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.target.join("signalbox")
    }
}
