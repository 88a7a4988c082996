//! What goes into a package, and the package itself.
//!
//! The same files give the same bytes: entries are sorted, carry no time, and are compressed in one way. The
//! limits are start-run's own rules, applied before anything is uploaded.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use serde::Serialize;
use signalbox_decision::package::{self, Entry, Kind, Limits, Package, Rejection};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::error::Error;
use crate::output::{bytes, line};

/// The file that names what to leave out, in the words of `.gitignore`.
const IGNORE_FILE: &str = ".signalboxignore";

/// A file of the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct File {
    /// Its name within the package.
    pub(super) name: String,
    /// Its bytes.
    pub(super) bytes: u64,
    #[serde(skip)]
    path: PathBuf,
    #[serde(skip)]
    is_executable: bool,
}

/// What is to be uploaded.
#[derive(Debug)]
pub(super) enum Contents {
    /// These files, to be packed.
    Files(Vec<File>),
    /// An archive that is ready; start-run looks into it.
    Ready(PathBuf, u64),
}

/// Looks at a directory or an archive; what start-run would reject for sure is said now.
pub(super) fn look(path: &Path, limits: &Limits) -> Result<Contents, Error> {
    let meta = fs::metadata(path).map_err(unreadable(path))?;
    if meta.is_file() {
        let size = meta.len();
        let rejection = match size {
            0 => Some(Rejection::Empty),
            _ if size > limits.package_bytes => Some(Rejection::Oversize {
                size,
                limit: limits.package_bytes,
            }),
            _ => None,
        };
        return match rejection {
            Some(rejection) => Err(rejected(&[rejection])),
            None => Ok(Contents::Ready(path.to_owned(), size)),
        };
    }
    let files = walk(path)?;
    if files.is_empty() {
        return Err(Error::Rejected(format!(
            "{}: nothing is left to pack; what .gitignore and {IGNORE_FILE} name is left out, and always .git, \
             node_modules, .env* and *.pem",
            line(&path.display().to_string(), 300)
        )));
    }
    let count = u64::try_from(files.len()).unwrap_or(u64::MAX);
    let mut rejections = Vec::new();
    if count > limits.entries {
        rejections.push(Rejection::TooManyEntries {
            count,
            limit: limits.entries,
        });
    }
    if sum(&files) > limits.total_bytes {
        rejections.push(Rejection::TooLargeUnzipped {
            limit: limits.total_bytes,
        });
    }
    if rejections.is_empty() {
        Ok(Contents::Files(files))
    } else {
        Err(too_much(&rejections, &files))
    }
}

impl Contents {
    /// The files, where they are known.
    pub(super) fn files(&self) -> Option<Vec<File>> {
        match self {
            Self::Files(files) => Some(files.clone()),
            Self::Ready(..) => None,
        }
    }

    /// How many files, where they are known.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::Files(files) => Some(files.len()),
            Self::Ready(..) => None,
        }
    }

    /// Bytes of the files, or of the archive.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Files(files) => sum(files),
            Self::Ready(_, size) => *size,
        }
    }

    /// The package, which start-run's rules allow.
    pub(super) fn package(&self, limits: &Limits) -> Result<Vec<u8>, Error> {
        let files = match self {
            Self::Files(files) => files,
            Self::Ready(path, _) => return fs::read(path).map_err(unreadable(path)),
        };
        let package = zip(files)?;
        let rejections = package::check(&described(&package)?, limits);
        match rejections.as_slice() {
            [] => Ok(package),
            [Rejection::Oversize { .. }] => Err(too_much(&rejections, files)),
            _ => Err(rejected(&rejections)),
        }
    }
}

/// Whether something is left out whatever the ignore files say: history, what is installed anew, secrets.
fn is_never_packed(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_lowercase();
    name == ".git" || name == "node_modules" || name.starts_with(".env") || name.ends_with(".pem")
}

/// Of an ignore file that cannot be read to its end, what comes after is not ignored: secrets, perhaps.
fn ignores_too_little(error: &dyn fmt::Display) -> Error {
    Error::Rejected(format!(
        "{}; mend that file (UTF-8, in the words of .gitignore), or what it names might be packed",
        line(&error.to_string(), 500)
    ))
}

/// Refuses ignore files of this directory that are no text. The crate that follows them stops reading there, and says
/// nothing.
fn read_ignore_files(directory: &Path) -> Result<(), Error> {
    for name in [".gitignore", IGNORE_FILE] {
        let path = directory.join(name);
        match fs::read_to_string(&path) {
            Err(error) if path.is_file() => {
                return Err(ignores_too_little(&format!("{}: {error}", path.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

fn walk(directory: &Path) -> Result<Vec<File>, Error> {
    // The ignore files of the directories above count as well.
    let whole = directory.canonicalize().map_err(unreadable(directory))?;
    for above in whole.ancestors().skip(1) {
        read_ignore_files(above)?;
    }
    let walk = WalkBuilder::new(directory)
        .hidden(false)
        .ignore(false)
        // A machine's own configuration of git must not change a package.
        .git_global(false)
        .require_git(false)
        .add_custom_ignore_filename(IGNORE_FILE)
        .filter_entry(|entry| entry.depth() == 0 || !is_never_packed(entry.file_name()))
        .build();
    let mut files = Vec::new();
    let mut links = Vec::new();
    for entry in walk {
        let entry = entry.map_err(|error| Error::Rejected(line(&error.to_string(), 500)))?;
        if let Some(error) = entry.error() {
            return Err(ignores_too_little(error));
        }
        let path = entry.path();
        if entry.file_type().is_some_and(|kind| kind.is_dir()) {
            read_ignore_files(path)?;
        }
        let Some(kind) = entry.file_type().filter(|kind| !kind.is_dir()) else {
            continue;
        };
        let name = name(directory, path)?;
        if kind.is_symlink() {
            links.push(Rejection::Symlink { entry: name });
            continue;
        }
        if !kind.is_file() {
            links.push(Rejection::Special { entry: name });
            continue;
        }
        let meta = fs::metadata(path).map_err(unreadable(path))?;
        files.push(File {
            name,
            bytes: meta.len(),
            path: path.to_owned(),
            is_executable: is_executable(&meta),
        });
    }
    if !links.is_empty() {
        links.truncate(20);
        return Err(rejected(&links));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

#[cfg(unix)]
fn is_executable(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

/// A file's name within the package: relative, with slashes.
fn name(directory: &Path, path: &Path) -> Result<String, Error> {
    let relative = path.strip_prefix(directory).unwrap_or(path);
    let parts: Option<Vec<&str>> = relative.iter().map(OsStr::to_str).collect();
    parts.map(|parts| parts.join("/")).ok_or_else(|| {
        Error::Rejected(format!(
            "{}: the name is not UTF-8, so that tools would unpack it under different names; rename it, or name it \
             in {IGNORE_FILE}",
            line(&path.to_string_lossy(), 300)
        ))
    })
}

fn zip(files: &[File]) -> Result<Vec<u8>, Error> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for file in files {
        let failed = |error: zip::result::ZipError| Error::Rejected(format!("{}: {error}", file.name));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(6))
            // The beginning of the format's time.
            .last_modified_time(DateTime::default())
            .unix_permissions(if file.is_executable { 0o755 } else { 0o644 });
        let content = fs::read(&file.path).map_err(unreadable(&file.path))?;
        zip.start_file(file.name.as_str(), options).map_err(failed)?;
        zip.write_all(&content)?;
    }
    let done = zip.finish();
    done.map(Cursor::into_inner)
        .map_err(|error| Error::Rejected(format!("the archive cannot be written: {error}")))
}

/// The package as start-run will find it.
fn described(package: &[u8]) -> Result<Package, Error> {
    let failed =
        |error: zip::result::ZipError| Error::Rejected(format!("the archive cannot be read: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(package)).map_err(failed)?;
    let mut entries = Vec::new();
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(failed)?;
        entries.push(Entry {
            name: entry.name().map(std::borrow::Cow::into_owned).map_err(failed)?,
            compressed: entry.compressed_size(),
            uncompressed: entry.size(),
            kind: Kind::File,
        });
    }
    Ok(Package {
        size: u64::try_from(package.len()).unwrap_or(u64::MAX),
        contents: package::Contents::Read(entries),
    })
}

fn sum(files: &[File]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

fn rejected(rejections: &[Rejection]) -> Error {
    let lines: Vec<String> = rejections
        .iter()
        .map(|rejection| format!("{rejection}. {}", rejection.mend()))
        .collect();
    Error::Rejected(format!("the package would be rejected: {}", lines.join("\n  ")))
}

/// As [`rejected`], with what takes up the room.
fn too_much(rejections: &[Rejection], files: &[File]) -> Error {
    let mut largest: Vec<&File> = files.iter().collect();
    largest.sort_by_key(|file| std::cmp::Reverse(file.bytes));
    let largest: Vec<String> = largest
        .iter()
        .take(5)
        .map(|file| format!("  {:>10}  {}", bytes(file.bytes), line(&file.name, 200)))
        .collect();
    Error::Rejected(format!(
        "{}\nThe largest files (name what the build does not need in {IGNORE_FILE}):\n{}",
        rejected(rejections),
        largest.join("\n")
    ))
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = line(&path.display().to_string(), 300);
    move |error| Error::File { path, error }
}

#[cfg(test)]
mod tests;
