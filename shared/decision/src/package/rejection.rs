//! Why an upload is refused, in words.

use std::fmt;

use crate::text::shown;

/// Why an upload is refused. `Display` says what is wrong; [`Rejection::mend`] says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The bucket keeps no versions.
    Unversioned,
    /// The branch's name is not one.
    Branch {
        /// What is wrong with it.
        problem: String,
    },
    /// Zero bytes.
    Empty,
    /// Larger than allowed.
    Oversize {
        /// Bytes found.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// No zip structure.
    NotAZip,
    /// A zip that ends early.
    Truncated {
        /// What the reader said.
        problem: String,
    },
    /// A zip that uses something unusual.
    Unsupported {
        /// What the reader said.
        problem: String,
    },
    /// A zip without any file.
    NoFiles,
    /// Too many entries.
    TooManyEntries {
        /// Entries found.
        count: u64,
        /// Entries allowed.
        limit: u64,
    },
    /// Too many bytes come out of it.
    TooLargeUnzipped {
        /// Bytes allowed.
        limit: u64,
    },
    /// It grows too much for honest content.
    Ratio {
        /// The entry, or none for the archive as a whole.
        entry: Option<String>,
        /// Times allowed.
        limit: u64,
    },
    /// An entry that would land outside of the folder it is unpacked to, or whose name is ambiguous.
    Path {
        /// The entry.
        entry: String,
        /// What its name does.
        problem: &'static str,
    },
    /// A symbolic link.
    Symlink {
        /// The entry.
        entry: String,
    },
    /// A device, pipe or socket.
    Special {
        /// The entry.
        entry: String,
    },
    /// An entry with a password.
    Encrypted {
        /// The entry.
        entry: String,
    },
    /// An entry whose data are damaged.
    Damaged {
        /// The entry.
        entry: String,
        /// What the reader said.
        problem: String,
    },
    /// Two entries that are one file where case does not count.
    SameName {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |entry: &str| shown(entry, 200);
        match self {
            Self::Unversioned => {
                f.write_str("the object has no version id, so a run could not be pinned to it")
            }
            Self::Branch { problem } => write!(f, "the branch is not valid: {problem}"),
            Self::Empty => f.write_str("the package has zero bytes"),
            Self::Oversize { size, limit } => write!(f, "the package has {size} bytes; {limit} are allowed"),
            Self::NotAZip => f.write_str("the package is not a zip archive"),
            Self::Truncated { problem } => write!(
                f,
                "the zip archive is cut off or damaged ({})",
                shown(problem, 200)
            ),
            Self::Unsupported { problem } => {
                write!(
                    f,
                    "the zip archive uses what is not supported ({})",
                    shown(problem, 200)
                )
            }
            Self::NoFiles => f.write_str("the zip archive holds no file"),
            Self::TooManyEntries { count, limit } => {
                write!(f, "the zip archive has {count} entries; {limit} are allowed")
            }
            Self::TooLargeUnzipped { limit } => {
                write!(f, "the zip archive unpacks to more than {limit} bytes")
            }
            Self::Ratio {
                entry: Some(entry),
                limit,
            } => {
                write!(
                    f,
                    "entry {} unpacks to more than {limit} times its size, as zip bombs do",
                    name(entry)
                )
            }
            Self::Ratio { entry: None, limit } => {
                write!(
                    f,
                    "the zip archive unpacks to more than {limit} times its size, as zip bombs do"
                )
            }
            Self::Path { entry, problem } => write!(f, "entry {} {problem}", name(entry)),
            Self::Symlink { entry } => write!(f, "entry {} is a symbolic link", name(entry)),
            Self::Special { entry } => write!(f, "entry {} is a device, pipe or socket", name(entry)),
            Self::Encrypted { entry } => write!(f, "entry {} needs a password", name(entry)),
            Self::Damaged { entry, problem } => {
                write!(
                    f,
                    "entry {} is cut off or damaged ({})",
                    name(entry),
                    shown(problem, 200)
                )
            }
            Self::SameName { first, second } => {
                write!(
                    f,
                    "entries {} and {} differ only in case",
                    name(first),
                    name(second)
                )
            }
        }
    }
}

impl Rejection {
    /// How to mend it, as an instruction.
    #[must_use]
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Unversioned => {
                "Turn versioning on (aws s3api put-bucket-versioning --bucket BUCKET \
                 --versioning-configuration Status=Enabled) and upload again."
            }
            Self::Branch { .. } => "Set the object's metadata `branch` to the branch's name as git shows it.",
            Self::Empty => "The upload wrote nothing: build the package and upload it again.",
            Self::Oversize { .. } => {
                "Leave out what the build can fetch itself (node_modules, caches), or raise MaxPackageBytes."
            }
            Self::NotAZip => {
                "Package the source with zip; a tar or gzip archive under a .zip name is not enough."
            }
            Self::Truncated { .. } | Self::Damaged { .. } => {
                "The upload or the packaging was interrupted: package again, check with `unzip -t`, upload again."
            }
            Self::Unsupported { .. } => "Package with stored or deflated entries, as plain `zip -r` does.",
            Self::NoFiles => "Package the folder that holds buildspec.yml.",
            Self::TooManyEntries { .. } | Self::TooLargeUnzipped { .. } => {
                "Leave out what the build can fetch itself (node_modules, caches, build output)."
            }
            Self::Ratio { .. } => {
                "Leave out generated and blank data files, or compress them on their own first."
            }
            Self::Path { .. } => "Package from within the folder (`cd FOLDER && zip -r ../package.zip .`).",
            Self::Symlink { .. } => "Package the link's target instead (zip without -y follows links).",
            Self::Special { .. } => "Package regular files and folders only.",
            Self::Encrypted { .. } => "Package without a password; the bucket encrypts what it stores.",
            Self::SameName { .. } => "Rename one of them.",
        }
    }
}
