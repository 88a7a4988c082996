//! Hazards 17 to 25: packages that must not run.

use crate::packages;
use crate::runs;
use crate::source::{Stored, automatic, manual, put, put_large, seen};
use crate::world::World;

/// A package that is rejected: no run, and one notice that says why and how to mend it, however often the
/// event comes.
async fn rejected(world: &World, test: &str, bytes: Vec<u8>, reason: &str, mend: &str) {
    let stored = put(world, &manual(test), bytes).await;
    is_rejected(world, &stored, reason, mend).await;
}

async fn is_rejected(world: &World, stored: &Stored, reason: &str, mend: &str) {
    let event = stored.event(world, "A1");
    let first = world.invoke("start-run", &event).await;
    assert_eq!(first.done(), "rejected", "{first:?}");
    assert!(
        first.reason().contains(reason),
        "{reason:?} is the reason: {first:?}"
    );
    for again in [event, stored.notification(world, "A1")] {
        assert_eq!(world.invoke("start-run", &again).await.done(), "alreadyDone");
    }
    runs::exactly(world, 0, &stored.version).await;
    let mail = world
        .mail("that refuses the upload", |mail| stored.is_told_by(mail))
        .await;
    for part in [&stored.key, reason, mend] {
        assert!(
            mail.text.contains(part),
            "the notice says {part:?}: {}",
            mail.text
        );
    }
    assert!(mail.subject.starts_with("Upload refused: "), "{}", mail.subject);
    assert_eq!(mail.attributes.get("severity").map(String::as_str), Some("error"));
    assert_eq!(stored.mails(world), 1, "one notice");
}

pub(crate) async fn h17_zero_bytes_are_rejected(world: &World) {
    rejected(
        world,
        "h17",
        Vec::new(),
        "the package has zero bytes",
        "build the package and upload it again",
    )
    .await;

    // By the real way as well: no run, one notice.
    let stored = put(world, &automatic("h17"), Vec::new()).await;
    world
        .mail("that refuses the upload", |mail| stored.is_told_by(mail))
        .await;
    let event = seen(world, "Object Created", &stored.version).unwrap();
    assert_eq!(world.invoke("start-run", &event).await.done(), "alreadyDone");
    runs::exactly(world, 0, &stored.version).await;
    assert_eq!(stored.mails(world), 1);
}

pub(crate) async fn h18_what_is_no_zip_is_rejected(world: &World) {
    let gzip = [b"\x1f\x8b\x08\0".as_slice(), &[7; 5000]].concat();
    for bytes in [
        b"exports.handler = async () => 1;\n".to_vec(),
        gzip,
        b"PK".to_vec(),
    ] {
        rejected(
            world,
            "h18",
            bytes,
            "the package is not a zip archive",
            "Package the source with zip",
        )
        .await;
    }
}

pub(crate) async fn h19_a_truncated_archive_is_rejected(world: &World) {
    let text: String = (0..5000).map(|n| format!("line {n}\n")).collect();
    let whole = packages::deflated(&[("index.js", text.as_bytes()), ("package.json", b"{}")]);
    for length in [whole.len() / 2, whole.len() - 1] {
        rejected(
            world,
            "h19",
            whole[..length].to_vec(),
            "cut off or damaged",
            "package again, check with `unzip -t`",
        )
        .await;
    }
    // Whole, with one byte of the data changed on the way.
    let mut damaged = whole;
    let middle = damaged.len() / 3;
    damaged[middle] ^= 0x55;
    rejected(
        world,
        "h19",
        damaged,
        "entry index.js is cut off or damaged",
        "check with `unzip -t`",
    )
    .await;
}

pub(crate) async fn h20_a_bomb_is_rejected(world: &World) {
    let blank = packages::deflated(&[("index.js", b"x"), ("zeros", &vec![0; 8 << 20])]);
    assert!(blank.len() < 20_000, "it is a bomb");
    rejected(
        world,
        "h20",
        blank,
        "unpacks to more than 100 times its size, as zip bombs do",
        "Leave out generated",
    )
    .await;

    // 6 MB that unpack to 540 MB, each entry as large as it says.
    let overlapping = packages::overlapping(6_000_000, 90);
    rejected(
        world,
        "h20",
        overlapping,
        "unpacks to more than 536870912 bytes",
        "node_modules, caches, build output",
    )
    .await;

    let many = packages::of_entries(10_001);
    rejected(
        world,
        "h20",
        many,
        "has 10001 entries; 10000 are allowed",
        "node_modules, caches, build output",
    )
    .await;
}

pub(crate) async fn h21_a_path_that_leaves_the_folder_is_rejected(world: &World) {
    for name in ["../../etc/passwd", "src/../../x", "src\\..\\..\\x"] {
        let reason = format!("entry {name} leaves the folder it is unpacked to (..)");
        // The answer is JSON, where a backslash is written twice; the notice is not.
        let reason = if name.contains('\\') {
            "leaves the folder it is unpacked to (..)"
        } else {
            &reason
        };
        rejected(
            world,
            "h21",
            packages::named(&["index.js", name]),
            reason,
            "Package from within the folder",
        )
        .await;
    }
}

pub(crate) async fn h22_an_absolute_path_is_rejected(world: &World) {
    for name in ["/etc/passwd", "C:/Windows/x"] {
        let reason = format!("entry {name} has an absolute path");
        rejected(
            world,
            "h22",
            packages::named(&["index.js", name]),
            &reason,
            "Package from within the folder",
        )
        .await;
    }
}

pub(crate) async fn h23_a_symlink_is_rejected(world: &World) {
    let bytes = packages::with_symlink("config", "/proc/self/environ");
    rejected(
        world,
        "h23",
        bytes,
        "entry config is a symbolic link",
        "Package the link's target instead",
    )
    .await;
}

pub(crate) async fn h24_names_that_differ_only_in_case_are_rejected(world: &World) {
    let bytes = packages::named(&["src/Index.js", "src/index.js"]);
    rejected(
        world,
        "h24",
        bytes,
        "entries src/Index.js and src/index.js differ only in case",
        "Rename one of them",
    )
    .await;
}

pub(crate) async fn h25_an_oversize_package_is_rejected(world: &World) {
    let stored = put_large(world, &manual("h25"), vec![b'x'; 52_428_801]).await;
    let reason = "the package has 52428801 bytes; 52428800 are allowed";
    is_rejected(world, &stored, reason, "raise MaxPackageBytes").await;
}
