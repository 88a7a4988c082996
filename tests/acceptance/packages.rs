//! Packages, sound and broken. Archives that no tool would write are written here byte by byte.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What an entry's file mode says it is: a regular file that everybody may read.
const REGULAR: u32 = 0o100_644;
/// A symbolic link.
const SYMLINK: u32 = 0o120_777;

/// A sound package with nothing else like it: two uploads of the same bytes would have the same ETag.
pub(crate) fn sound(text: &str) -> Vec<u8> {
    deflated(&[(
        "index.js",
        format!("exports.handler = async () => '{text}';\n").as_bytes(),
    )])
}

/// An archive of deflated files.
pub(crate) fn deflated(files: &[(&str, &[u8])]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// An archive whose entries have just these names.
pub(crate) fn named(names: &[&str]) -> Vec<u8> {
    let mut archive = Archive::default();
    for name in names {
        let at = archive.local(name, b"x");
        archive.list(name, b"x", at, REGULAR);
    }
    archive.finish()
}

/// An archive with a file and a symbolic link that leads out of it.
pub(crate) fn with_symlink(link: &str, target: &str) -> Vec<u8> {
    let mut archive = Archive::default();
    for (name, data, mode) in [("index.js", "x", REGULAR), (link, target, SYMLINK)] {
        let at = archive.local(name, data.as_bytes());
        archive.list(name, data.as_bytes(), at, mode);
    }
    archive.finish()
}

/// An archive whose directory lists the same `size` stored bytes `times` times: it unpacks to far more than
/// it is, and no ratio of any entry gives it away.
pub(crate) fn overlapping(size: usize, times: usize) -> Vec<u8> {
    // Nothing repeats within: the archive as a whole stays below any ratio too.
    let data: Vec<u8> = (0u32..)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(size)
        .collect();
    let mut archive = Archive::default();
    let at = archive.local("0", &data);
    for n in 0..times {
        archive.list(&n.to_string(), &data, at, REGULAR);
    }
    archive.finish()
}

/// An archive of that many empty files.
pub(crate) fn of_entries(count: usize) -> Vec<u8> {
    let mut archive = Archive::default();
    for n in 0..count {
        let name = format!("{n}.js");
        let at = archive.local(&name, b"");
        archive.list(&name, b"", at, REGULAR);
    }
    archive.finish()
}

/// A zip archive of stored entries, as PKWARE's APPNOTE 6.3 lays it out.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    listed: u16,
    crc: Option<(usize, u32)>,
}

impl Archive {
    /// Writes a local entry; answers where it begins.
    fn local(&mut self, name: &str, data: &[u8]) -> u32 {
        let at = u32::try_from(self.bytes.len()).unwrap();
        let crc = crc32(data);
        self.crc = Some((data.len(), crc));
        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(common(name, data.len(), crc));
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(data);
        at
    }

    /// Lists an entry in the directory, whether or not it is what stands there.
    fn list(&mut self, name: &str, data: &[u8], at: u32, mode: u32) {
        let crc = self
            .crc
            .filter(|(length, _)| *length == data.len())
            .map_or_else(|| crc32(data), |(_, crc)| crc);
        self.directory.extend(b"PK\x01\x02");
        // Made on Unix, which gives the mode below its meaning.
        self.directory.extend([20, 3]);
        self.directory.extend(common(name, data.len(), crc));
        self.directory.extend([0; 6]);
        self.directory.extend((mode << 16).to_le_bytes());
        self.directory.extend(at.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.listed += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let at = u32::try_from(self.bytes.len()).unwrap();
        let size = u32::try_from(self.directory.len()).unwrap();
        self.bytes.extend(&self.directory);
        self.bytes.extend(b"PK\x05\x06");
        self.bytes.extend([0; 4]);
        self.bytes.extend(self.listed.to_le_bytes());
        self.bytes.extend(self.listed.to_le_bytes());
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(at.to_le_bytes());
        self.bytes.extend([0; 2]);
        self.bytes
    }
}

/// What a local entry and its listing have in common: from the version needed to the length of extras.
fn common(name: &str, length: usize, crc: u32) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_le_bytes();
    let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    fields.extend(crc.to_le_bytes());
    fields.extend(length);
    fields.extend(length);
    fields.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    fields.extend([0; 2]);
    fields
}

/// The checksum of zip archives (CRC-32, reflected, polynomial `EDB88320`).
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
