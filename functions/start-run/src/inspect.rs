//! Looks into a package by really decompressing it, within limits.
//!
//! Headers are not trusted: a bomb's headers lie about sizes, a damaged archive's about contents. Nothing is
//! written anywhere; what comes out is counted and thrown away.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::time::Instant;

use signalbox_decision::package::{Contents, Entry, Kind, Limits, is_bomb};
use zip::result::ZipError;
use zip::{HasZipMetadata, ZipArchive};

/// The archive's directory is held in memory, about 300 bytes an entry. A package of the allowed size has
/// room for a million; from here on it is refused before it is read. (The count is that of the directory's
/// signatures anywhere in the file, so that an archive of stored archives counts too many: hence far above
/// the limit of entries.)
const MAX_SIGNATURES: u64 = 200_000;

/// Why nothing can be said of a package.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// There was not enough time.
    OutOfTime,
    /// The temporary file could not be read.
    Storage(io::ErrorKind),
}

impl From<io::Error> for Unfinished {
    fn from(error: io::Error) -> Self {
        Self::Storage(error.kind())
    }
}

/// What is in the archive of `size` bytes.
pub(crate) fn contents(
    mut file: impl Read + Seek,
    size: u64,
    limits: &Limits,
    give_up: Instant,
) -> Result<Contents, Unfinished> {
    let begins_as_zip = begins_as_zip(&mut file)?;
    let signatures = signatures(&mut file)?;
    if signatures > MAX_SIGNATURES {
        return Ok(Contents::TooManyEntries { count: signatures });
    }
    file.seek(SeekFrom::Start(0))?;
    let mut archive = match ZipArchive::new(BufReader::new(file)) {
        Ok(archive) => archive,
        Err(ZipError::UnsupportedArchive(problem)) => {
            return Ok(Contents::Unsupported {
                problem: problem.to_owned(),
            });
        }
        Err(error) if begins_as_zip => {
            return Ok(Contents::Truncated {
                problem: error.to_string(),
            });
        }
        Err(_) => return Ok(Contents::NotAZip),
    };
    let count = u64::try_from(archive.len()).unwrap_or(u64::MAX);
    if count > limits.entries {
        return Ok(Contents::TooManyEntries { count });
    }
    if archive.has_duplicate_names() {
        return Ok(Contents::Unsupported {
            problem: "two entries have the same name".to_owned(),
        });
    }
    let mut entries = Vec::new();
    let mut total: u64 = 0;
    for at in 0..archive.len() {
        let (mut entry, is_readable) = match described(&archive, at) {
            Ok(described) => described,
            Err(error) => {
                return Ok(Contents::Truncated {
                    problem: error.to_string(),
                });
            }
        };
        if is_readable
            && let Some(problem) = read(&mut archive, at, size, &mut entry, &mut total, limits, give_up)?
        {
            entry.kind = problem;
        }
        entries.push(entry);
        if is_bomb(size, total, limits) {
            return Ok(Contents::Bomb(entries));
        }
    }
    Ok(Contents::Read(entries))
}

fn begins_as_zip(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut start = [0; 4];
    file.seek(SeekFrom::Start(0))?;
    match file.read_exact(&mut start) {
        Ok(()) => Ok(start == *b"PK\x03\x04"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// How often the signature of a directory entry stands in the file.
fn signatures(file: &mut (impl Read + Seek)) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 64 * 1024];
    let mut window = 0u32;
    let mut count = 0;
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(count);
        }
        for byte in buffer.iter().take(length) {
            window = window << 8 | u32::from(*byte);
            count += u64::from(window == u32::from_be_bytes(*b"PK\x01\x02"));
        }
    }
}

/// An entry as the directory has it, and whether its data are to be read.
fn described<R: Read + Seek>(archive: &ZipArchive<R>, at: usize) -> Result<(Entry, bool), ZipError> {
    const TYPE: u32 = 0o170_000;
    let found = archive.by_index_data(at)?;
    let name = match found.name() {
        Ok(name) => name.into_owned(),
        Err(_) => String::from_utf8_lossy(found.name_raw()).into_owned(),
    };
    let kind = match found.unix_mode().map_or(0, |mode| mode & TYPE) {
        _ if found.get_metadata().is_encrypted() => Kind::Encrypted,
        0o120_000 => Kind::Symlink,
        0o020_000 | 0o060_000 | 0o010_000 | 0o140_000 => Kind::Special,
        _ if found.is_dir() => Kind::Folder,
        _ => Kind::File,
    };
    let is_readable = matches!(kind, Kind::File | Kind::Folder);
    Ok((
        Entry {
            name,
            compressed: found.compressed_size(),
            uncompressed: 0,
            kind,
        },
        is_readable,
    ))
}

/// Reads an entry's data to their end, or to where a limit is passed; what was wrong with them.
fn read<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    at: usize,
    size: u64,
    entry: &mut Entry,
    total: &mut u64,
    limits: &Limits,
    give_up: Instant,
) -> Result<Option<Kind>, Unfinished> {
    let mut data = match archive.by_index(at) {
        Ok(data) => data,
        Err(error) => {
            return Ok(Some(Kind::Damaged {
                problem: error.to_string(),
            }));
        }
    };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if Instant::now() >= give_up {
            return Err(Unfinished::OutOfTime);
        }
        let length = match data.read(&mut buffer) {
            // The end; the checksum held, or this would have been an error.
            Ok(0) => return Ok(None),
            Ok(length) => u64::try_from(length).unwrap_or(u64::MAX),
            Err(error) => {
                return Ok(Some(Kind::Damaged {
                    problem: error.to_string(),
                }));
            }
        };
        entry.uncompressed += length;
        *total += length;
        if is_bomb(size, *total, limits) {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests;
