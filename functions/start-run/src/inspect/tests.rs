//! Archives that are really made, and really broken.

use std::io::{Cursor, Write};
use std::time::Duration;

use signalbox_decision::package::{Package, Rejection, check};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn archive(build: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    build(&mut writer);
    writer.finish().unwrap().into_inner()
}

fn deflated() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
}

fn file(writer: &mut ZipWriter<Cursor<Vec<u8>>>, name: &str, data: &[u8]) {
    writer.start_file(name, deflated()).unwrap();
    writer.write_all(data).unwrap();
}

/// Bytes that compress as source code does.
fn text(length: usize) -> Vec<u8> {
    (0u64..)
        .flat_map(|n| format!("line {} of {}\n", n, n.wrapping_mul(2_654_435_761)).into_bytes())
        .take(length)
        .collect()
}

fn found(bytes: &[u8]) -> Contents {
    let later = Instant::now() + Duration::from_secs(60);
    contents(Cursor::new(bytes), bytes.len() as u64, &Limits::default(), later).unwrap()
}

fn rejections(bytes: &[u8]) -> Vec<Rejection> {
    check(
        &Package {
            size: bytes.len() as u64,
            contents: found(bytes),
        },
        &Limits::default(),
    )
}

#[test]
fn an_honest_archive_is_read_to_its_end() {
    let bytes = archive(|writer| {
        writer.add_directory("src", deflated()).unwrap();
        file(writer, "src/index.mjs", &text(100_000));
        file(writer, "über/\u{1f680}.txt", b"x");
    });
    let Contents::Read(entries) = found(&bytes) else {
        panic!()
    };
    assert_eq!(entries[0].kind, Kind::Folder);
    assert_eq!(
        (entries[1].uncompressed, &entries[1].kind),
        (100_000, &Kind::File)
    );
    assert_eq!(entries[2].name, "über/\u{1f680}.txt");
    assert_eq!(rejections(&bytes), []);
}

#[test]
fn what_is_no_zip_is_told_from_what_is_cut_off() {
    assert_eq!(found(b"#!/bin/sh\necho no zip\n"), Contents::NotAZip);
    assert_eq!(found(b"PK"), Contents::NotAZip);
    let bytes = archive(|writer| file(writer, "a", &text(50_000)));
    for length in [5, bytes.len() / 2, bytes.len() - 1] {
        assert!(
            matches!(found(&bytes[..length]), Contents::Truncated { .. }),
            "{length}"
        );
    }
}

#[test]
fn damaged_data_are_found_by_their_checksum() {
    let mut bytes = archive(|writer| {
        writer
            .start_file(
                "a",
                SimpleFileOptions::default().compression_method(CompressionMethod::Stored),
            )
            .unwrap();
        writer.write_all(&text(1000)).unwrap();
    });
    bytes[200] ^= 1;
    assert!(matches!(rejections(&bytes)[..], [Rejection::Damaged { .. }]));
}

#[test]
fn a_bomb_is_stopped_before_it_has_gone_off() {
    let bytes = archive(|writer| file(writer, "zeros", &vec![0; 200 * 1024 * 1024]));
    let Contents::Bomb(entries) = found(&bytes) else {
        panic!()
    };
    assert!(
        entries[0].uncompressed < 100 * bytes.len() as u64 + 65_537,
        "{}",
        entries[0].uncompressed
    );
    assert!(rejections(&bytes).contains(&Rejection::Ratio {
        entry: None,
        limit: 100
    }));
}

#[test]
fn too_many_entries_are_counted_and_not_read() {
    let bytes = archive(|writer| (0..10_001).for_each(|n| file(writer, &n.to_string(), b"")));
    assert_eq!(found(&bytes), Contents::TooManyEntries { count: 10_001 });
}

#[test]
fn a_directory_too_large_to_hold_is_refused_unread() {
    let bytes = b"PK\x01\x02".repeat(200_001);
    assert_eq!(found(&bytes), Contents::TooManyEntries { count: 200_001 });
}

#[test]
fn links_devices_and_escaping_names_are_found() {
    let bytes = archive(|writer| {
        writer.add_symlink("link", "/etc/passwd", deflated()).unwrap();
        file(writer, "../escape", b"x");
        file(writer, "/absolute", b"x");
        file(writer, "README", b"x");
        file(writer, "readme", b"x");
    });
    let found = rejections(&bytes);
    assert!(
        found.contains(&Rejection::Symlink { entry: "link".into() }),
        "{found:?}"
    );
    assert!(
        matches!(
            &found[..],
            [
                _,
                Rejection::Path { .. },
                Rejection::Path { .. },
                Rejection::SameName { .. }
            ]
        ),
        "{found:?}"
    );
}

#[test]
fn no_time_is_no_verdict() {
    let bytes = archive(|writer| file(writer, "a", b"x"));
    let result = contents(
        Cursor::new(&bytes),
        bytes.len() as u64,
        &Limits::default(),
        Instant::now(),
    );
    assert!(matches!(result, Err(Unfinished::OutOfTime)));
}
