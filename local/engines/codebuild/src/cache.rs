//! Caches: directories that move into the workspace and back.
//!
//! A move is a rename, however large the directory. The price: of two builds of one project at the
//! same time only the first finds the cache, and a crash of the local cloud during a build loses that
//! project's cache. Both only cost time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::buildspec::Text;
use crate::glob::Glob;
use crate::source::Workspace;

/// One path of a buildspec's `cache`.
#[derive(Debug)]
struct Slot {
    /// Where it rests between builds.
    rest: PathBuf,
    /// The directory or file in the workspace.
    place: PathBuf,
    /// Set where only some of the directory's files are meant.
    only: Option<Glob>,
}

/// The caches of one build.
#[derive(Debug, Default)]
pub(crate) struct Caches {
    slots: Vec<Slot>,
}

impl Caches {
    /// Reads the paths; answers also notes about those that cannot be cached.
    pub(crate) fn new(dir: &Path, paths: &[Text], workspace: &Workspace) -> (Self, Vec<String>) {
        let (mut slots, mut notes) = (Vec::new(), Vec::new());
        for Text(pattern) in paths {
            match slot(dir, pattern, workspace) {
                Some(slot) => slots.push(slot),
                None => notes.push(format!(
                    "Cache path {pattern} is outside the source and the home directory: not cached"
                )),
            }
        }
        (Self { slots }, notes)
    }

    /// Moves what rests into the workspace; answers how many paths had something. What the source
    /// brings itself stays.
    pub(crate) fn restore(&self) -> io::Result<usize> {
        let mut count = 0;
        for slot in &self.slots {
            if !slot.rest.exists() {
                continue;
            }
            merge(&slot.rest, &slot.place)?;
            count += 1;
        }
        Ok(count)
    }

    /// Moves the workspace's directories back to rest.
    pub(crate) fn keep(&self) -> io::Result<usize> {
        let mut count = 0;
        for slot in &self.slots {
            if !slot.place.exists() {
                continue;
            }
            if slot.rest.exists() {
                remove(&slot.rest)?;
            }
            match &slot.only {
                None => move_to(&slot.place, &slot.rest)?,
                Some(glob) => {
                    for file in glob.files(&slot.place) {
                        move_to(&slot.place.join(&file), &slot.rest.join(&file))?;
                    }
                }
            }
            count += 1;
        }
        Ok(count)
    }
}

fn slot(dir: &Path, pattern: &str, workspace: &Workspace) -> Option<Slot> {
    let home = ["~/", "$HOME/", "${HOME}/", "/root/"]
        .iter()
        .find_map(|prefix| pattern.strip_prefix(prefix));
    let (base, relative) = match home {
        Some(relative) => (workspace.home(), relative),
        None => (workspace.source(), pattern),
    };
    let parts: Vec<&str> = relative
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if (home.is_none() && relative.starts_with('/')) || parts.contains(&"..") || parts.is_empty() {
        return None;
    }
    let literal = parts
        .iter()
        .take_while(|part| !part.contains(['*', '?', '[']))
        .count();
    let place: PathBuf = parts
        .iter()
        .take(literal)
        .fold(base, |path, part| path.join(part));
    let rest = parts.get(literal..).unwrap_or_default().join("/");
    let only = match rest.as_str() {
        "" | "*" | "**" | "**/*" if literal > 0 => None,
        rest => Some(Glob::new(rest)?),
    };
    // The name only has to be the same for the same pattern, and readable by whoever looks in there.
    let name: String = pattern
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '_'
            }
        })
        .collect();
    Some(Slot {
        rest: dir.join(name),
        place,
        only,
    })
}

/// Moves everything in `from` to `to` that is not there yet.
fn merge(from: &Path, to: &Path) -> io::Result<()> {
    if !to.exists() {
        return move_to(from, to);
    }
    if from.is_dir() && to.is_dir() {
        for child in fs::read_dir(from)? {
            let child = child?;
            merge(&child.path(), &to.join(child.file_name()))?;
        }
    }
    remove(from)
}

fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy(from, to)?;
            remove(from)
        }
        other => other,
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in WalkDir::new(from) {
        let entry = entry.map_err(io::Error::from)?;
        let relative = entry.path().strip_prefix(from).map_err(io::Error::other)?;
        let target = if relative.as_os_str().is_empty() {
            to.to_owned()
        } else {
            to.join(relative)
        };
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target)?;
        } else if entry.file_type().is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn workspace(root: &Path) -> Workspace {
        Workspace::create(root.to_owned()).await.unwrap()
    }

    fn texts(all: &[&str]) -> Vec<Text> {
        all.iter().map(|text| Text((*text).to_owned())).collect()
    }

    #[tokio::test]
    async fn what_one_build_keeps_the_next_one_has() {
        let dir = tempfile::tempdir().unwrap();
        let rest = dir.path().join("cache");
        let paths = texts(&[
            "node_modules/**/*",
            "/root/.npm/**/*",
            "out/*.bin",
            "/etc/**/*",
            "../x/*",
        ]);

        let first = workspace(&dir.path().join("1")).await;
        let (caches, notes) = Caches::new(&rest, &paths, &first);
        assert_eq!(notes.len(), 2);
        assert_eq!(caches.restore().unwrap(), 0);
        for (base, file) in [
            (first.source(), "node_modules/a/b.js"),
            (first.home(), ".npm/x"),
            (first.source(), "out/1.bin"),
        ] {
            fs::create_dir_all(base.join(file).parent().unwrap()).unwrap();
            fs::write(base.join(file), "x").unwrap();
        }
        fs::write(first.source().join("out/2.txt"), "x").unwrap();
        assert_eq!(caches.keep().unwrap(), 3);

        let second = workspace(&dir.path().join("2")).await;
        fs::create_dir_all(second.source().join("node_modules")).unwrap();
        fs::write(second.source().join("node_modules/own"), "from the source").unwrap();
        let (caches, _) = Caches::new(&rest, &paths, &second);
        assert_eq!(caches.restore().unwrap(), 3);
        assert!(second.source().join("node_modules/a/b.js").exists());
        assert!(second.source().join("node_modules/own").exists());
        assert!(second.home().join(".npm/x").exists());
        assert!(second.source().join("out/1.bin").exists());
        assert!(!second.source().join("out/2.txt").exists());
    }

    #[test]
    fn a_tree_is_copied_where_it_cannot_be_renamed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/c"), "x").unwrap();
        std::os::unix::fs::symlink("b/c", dir.path().join("a/link")).unwrap();
        copy(&dir.path().join("a"), &dir.path().join("z")).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("z/link")).unwrap(), "x");
        copy(&dir.path().join("a/b/c"), &dir.path().join("single")).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("single")).unwrap(), "x");
    }
}
