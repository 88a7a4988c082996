//! What a package may be: a zip archive that can be read to its end, of bounded size, whose entries stay
//! where they are put.
//!
//! The facts come from really decompressing the archive within [`Limits`]; what its headers *say* is not
//! trusted, since a bomb's headers lie. Each [`Rejection`] says what is wrong and how to mend it.

mod rejection;

use std::collections::HashMap;

pub use rejection::Rejection;

/// How large a package may be, compressed and not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the package itself.
    pub package_bytes: u64,
    /// Entries, folders included.
    pub entries: u64,
    /// Bytes of all entries, decompressed.
    pub total_bytes: u64,
    /// How many times larger than its compressed form an archive, or an entry of more than
    /// [`Limits::ratio_from`] bytes, may become.
    pub ratio: u64,
    /// Entries up to this size are not held against the ratio: a small file of blanks is no bomb.
    pub ratio_from: u64,
}

impl Default for Limits {
    /// 50 MiB is what Lambda takes as a zip by direct upload; 512 MiB is twice what it runs unzipped
    /// (250 MB), for sources bring development dependencies along. Source code compresses 3 to 20 times;
    /// deflate's own limit, where bombs live, is 1,032.
    fn default() -> Self {
        Self {
            package_bytes: 50 * 1024 * 1024,
            entries: 10_000,
            total_bytes: 512 * 1024 * 1024,
            ratio: 100,
            ratio_from: 1024 * 1024,
        }
    }
}

/// A package as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Bytes of the package.
    pub size: u64,
    /// What inspecting it found.
    pub contents: Contents,
}

/// What inspecting a package found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// Not looked at: it is empty, or too large to be fetched.
    Unread,
    /// It has no zip structure.
    NotAZip,
    /// It begins as a zip, and its end is missing or damaged.
    Truncated {
        /// What the reader said.
        problem: String,
    },
    /// It uses something that is not read here.
    Unsupported {
        /// What the reader said.
        problem: String,
    },
    /// Its directory lists more entries than [`Limits::entries`], and was not read further.
    TooManyEntries {
        /// How many it lists.
        count: u64,
    },
    /// Decompression was stopped because a limit was passed; the entries up to there.
    Bomb(Vec<Entry>),
    /// It was read to its end.
    Read(Vec<Entry>),
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name as stored.
    pub name: String,
    /// Bytes within the archive.
    pub compressed: u64,
    /// Bytes that really came out, up to where reading stopped.
    pub uncompressed: u64,
    /// What it is.
    pub kind: Kind,
}

impl Entry {
    /// A regular file.
    #[must_use]
    pub fn file(name: &str, compressed: u64, uncompressed: u64) -> Self {
        Self {
            name: name.to_owned(),
            compressed,
            uncompressed,
            kind: Kind::File,
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file that was read and whose checksum holds.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A device, pipe or socket.
    Special,
    /// It needs a password.
    Encrypted,
    /// Its data end early, or its checksum does not hold.
    Damaged {
        /// What the reader said.
        problem: String,
    },
}

/// Everything that is wrong with a package; nothing if it may run. At most one rejection of each kind
/// per entry, and at most 20 in all: a person reads them.
#[must_use]
pub fn check(package: &Package, limits: &Limits) -> Vec<Rejection> {
    if package.size == 0 {
        return vec![Rejection::Empty];
    }
    if package.size > limits.package_bytes {
        return vec![Rejection::Oversize {
            size: package.size,
            limit: limits.package_bytes,
        }];
    }
    let mut found = match &package.contents {
        Contents::NotAZip => vec![Rejection::NotAZip],
        // Nothing known is nothing proven; a package that was not read is not run.
        Contents::Unread => {
            vec![Rejection::Unsupported {
                problem: "it was not read".to_owned(),
            }]
        }
        Contents::Truncated { problem } => vec![Rejection::Truncated {
            problem: problem.clone(),
        }],
        Contents::Unsupported { problem } => vec![Rejection::Unsupported {
            problem: problem.clone(),
        }],
        Contents::TooManyEntries { count } => {
            vec![Rejection::TooManyEntries {
                count: *count,
                limit: limits.entries,
            }]
        }
        Contents::Bomb(entries) => {
            let mut found = check_entries(package.size, entries, limits);
            if found.is_empty() {
                found.push(Rejection::TooLargeUnzipped {
                    limit: limits.total_bytes,
                });
            }
            found
        }
        Contents::Read(entries) => {
            let mut found = check_entries(package.size, entries, limits);
            if found.is_empty() && !entries.iter().any(|entry| entry.kind == Kind::File) {
                found.push(Rejection::NoFiles);
            }
            found
        }
    };
    found.truncate(20);
    found
}

/// Whether more than the limits allow has come out of an archive of `size` bytes so far.
#[must_use]
pub fn is_bomb(size: u64, total: u64, limits: &Limits) -> bool {
    total > limits.total_bytes || exceeds(total, size, limits)
}

fn exceeds(uncompressed: u64, compressed: u64, limits: &Limits) -> bool {
    uncompressed > compressed.max(1).saturating_mul(limits.ratio)
}

fn check_entries(size: u64, entries: &[Entry], limits: &Limits) -> Vec<Rejection> {
    let mut found = Vec::new();
    let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    if count > limits.entries {
        found.push(Rejection::TooManyEntries {
            count,
            limit: limits.entries,
        });
    }
    let total = entries
        .iter()
        .fold(0u64, |sum, entry| sum.saturating_add(entry.uncompressed));
    if total > limits.total_bytes {
        found.push(Rejection::TooLargeUnzipped {
            limit: limits.total_bytes,
        });
    }
    if exceeds(total, size, limits) {
        found.push(Rejection::Ratio {
            entry: None,
            limit: limits.ratio,
        });
    }
    let mut names: HashMap<String, &str> = HashMap::new();
    for entry in entries {
        let name = entry.name.clone();
        if let Some(problem) = path_problem(&entry.name) {
            found.push(Rejection::Path {
                entry: name.clone(),
                problem,
            });
        }
        match &entry.kind {
            Kind::File | Kind::Folder => {}
            Kind::Symlink => found.push(Rejection::Symlink { entry: name.clone() }),
            Kind::Special => found.push(Rejection::Special { entry: name.clone() }),
            Kind::Encrypted => found.push(Rejection::Encrypted { entry: name.clone() }),
            Kind::Damaged { problem } => {
                found.push(Rejection::Damaged {
                    entry: name.clone(),
                    problem: problem.clone(),
                });
            }
        }
        if entry.uncompressed > limits.ratio_from && exceeds(entry.uncompressed, entry.compressed, limits) {
            found.push(Rejection::Ratio {
                entry: Some(name),
                limit: limits.ratio,
            });
        }
        // Folders too: `A/` and `a/` become one. A folder's own entry may stand twice, harmlessly.
        let folded = entry.name.trim_end_matches('/').to_lowercase();
        match names.insert(folded, &entry.name) {
            Some(first) if first != entry.name || entry.kind != Kind::Folder => {
                found.push(Rejection::SameName {
                    first: first.to_owned(),
                    second: entry.name.clone(),
                });
            }
            _ => {}
        }
    }
    found
}

/// What a name does that an honest relative path does not. Backslashes and drive letters count, since
/// some tools take them for what Windows does.
fn path_problem(name: &str) -> Option<&'static str> {
    let bytes = name.as_bytes();
    if name.is_empty() {
        Some("has no name")
    } else if name.contains('\0') {
        Some("has a NUL character in its name")
    } else if name.starts_with(['/', '\\'])
        || (bytes.first().is_some_and(u8::is_ascii_alphabetic) && bytes.get(1) == Some(&b':'))
    {
        Some("has an absolute path")
    } else if name.split(['/', '\\']).any(|part| part == "..") {
        Some("leaves the folder it is unpacked to (..)")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
