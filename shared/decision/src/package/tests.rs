//! Every way in which a package is refused, and that honest ones pass.

use proptest::prelude::{any, prop_assert, proptest};

use super::*;

fn read(entries: Vec<Entry>) -> Package {
    Package {
        size: 10_000,
        contents: Contents::Read(entries),
    }
}

fn rejected(package: &Package) -> Vec<Rejection> {
    check(package, &Limits::default())
}

#[test]
fn an_honest_package_passes() {
    let entries = vec![
        Entry {
            kind: Kind::Folder,
            ..Entry::file("src/", 0, 0)
        },
        Entry::file("src/index.mjs", 400, 1200),
        Entry::file("src/..hidden", 4, 4),
        Entry::file("buildspec.yml", 300, 800),
        Entry::file("blank.txt", 1100, 900_000),
    ];
    assert_eq!(rejected(&read(entries)), []);
}

#[test]
fn size_is_checked_at_its_edges() {
    let sized = |size| Package {
        size,
        contents: Contents::Read(vec![Entry::file("a", 10, 10)]),
    };
    let limit = Limits::default().package_bytes;
    assert_eq!(rejected(&sized(0)), [Rejection::Empty]);
    assert_eq!(rejected(&sized(limit)), []);
    assert_eq!(
        rejected(&sized(limit + 1)),
        [Rejection::Oversize {
            size: limit + 1,
            limit
        }]
    );
}

#[test]
fn what_is_no_whole_zip_is_refused() {
    let with = |contents| rejected(&Package { size: 5, contents });
    assert_eq!(with(Contents::NotAZip), [Rejection::NotAZip]);
    assert!(matches!(
        with(Contents::Truncated {
            problem: "eof".into()
        })[..],
        [Rejection::Truncated { .. }]
    ));
    assert!(matches!(
        with(Contents::Unread)[..],
        [Rejection::Unsupported { .. }]
    ));
    assert_eq!(with(Contents::Read(Vec::new())), [Rejection::NoFiles]);
    assert!(matches!(
        with(Contents::TooManyEntries { count: 70_000 })[..],
        [Rejection::TooManyEntries { .. }]
    ));
}

#[test]
fn paths_that_escape_are_refused() {
    for name in [
        "../a",
        "a/../b",
        "a/..",
        "..",
        "..\\a",
        "a\\..\\b",
        "/etc/passwd",
        "\\a",
        "C:\\a",
        "c:a",
        "a\0b",
        "",
    ] {
        let found = rejected(&read(vec![Entry::file(name, 1, 1)]));
        assert!(
            matches!(found[..], [Rejection::Path { .. }]),
            "{name:?}: {found:?}"
        );
    }
}

#[test]
fn entries_that_are_no_plain_files_are_refused() {
    for kind in [
        Kind::Symlink,
        Kind::Special,
        Kind::Encrypted,
        Kind::Damaged {
            problem: "crc".into(),
        },
    ] {
        let found = rejected(&read(vec![
            Entry::file("ok", 1, 1),
            Entry {
                kind,
                ..Entry::file("bad", 1, 1)
            },
        ]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].to_string().contains("bad"));
    }
}

#[test]
fn names_that_differ_only_in_case_are_refused() {
    for (a, b) in [
        ("README", "readme"),
        ("a/B", "A/b"),
        ("dir/", "DIR"),
        ("x", "x"),
        ("É", "é"),
    ] {
        let found = rejected(&read(vec![Entry::file(a, 1, 1), Entry::file(b, 1, 1)]));
        assert!(
            matches!(found[..], [Rejection::SameName { .. }]),
            "{a} {b}: {found:?}"
        );
    }
}

#[test]
fn bombs_are_refused_by_ratio_total_and_count() {
    let mib = 1024 * 1024;
    let found = rejected(&read(vec![Entry::file("zeros", 10_000, 10 * mib)]));
    assert!(
        found.contains(&Rejection::Ratio {
            entry: Some("zeros".into()),
            limit: 100
        }),
        "{found:?}"
    );
    assert!(
        found.contains(&Rejection::Ratio {
            entry: None,
            limit: 100
        }),
        "{found:?}"
    );

    let whole = Package {
        size: 20 * mib,
        contents: Contents::Read(vec![Entry::file("a", 20 * mib, 513 * mib)]),
    };
    assert_eq!(
        rejected(&whole),
        [Rejection::TooLargeUnzipped { limit: 512 * mib }]
    );

    let many = (0..=10_000).map(|n| Entry::file(&format!("{n}"), 1, 1)).collect();
    assert_eq!(
        rejected(&read(many)),
        [Rejection::TooManyEntries {
            count: 10_001,
            limit: 10_000
        }]
    );
}

#[test]
fn every_rejection_is_safe_to_show_and_says_how_to_mend_it() {
    let nasty = "a\r\nSubject: x\u{1b}[31m\u{202e}".to_owned();
    for rejection in [
        Rejection::Symlink { entry: nasty.clone() },
        Rejection::Damaged {
            entry: nasty.clone(),
            problem: nasty.clone(),
        },
        Rejection::SameName {
            first: nasty.clone(),
            second: nasty.clone(),
        },
        Rejection::Truncated { problem: nasty },
    ] {
        let text = rejection.to_string();
        assert!(!text.contains(['\r', '\n', '\u{1b}', '\u{202e}']), "{text}");
        assert!(rejection.mend().ends_with('.'));
    }
}

proptest! {
    #[test]
    fn no_name_that_passes_leaves_the_folder(name in ".{0,40}") {
        if rejected(&read(vec![Entry::file(&name, 1, 1)])).is_empty() {
            let path = std::path::Path::new(&name);
            prop_assert!(path.is_relative());
            prop_assert!(!path.components().any(|part| part == std::path::Component::ParentDir));
        }
    }

    #[test]
    fn any_sizes_are_judged_without_overflow(size in any::<u64>(), compressed in any::<u64>(), uncompressed in any::<u64>()) {
        let package = Package { size, contents: Contents::Bomb(vec![Entry::file("a", compressed, uncompressed); 3]) };
        prop_assert!(!check(&package, &Limits::default()).is_empty());
    }
}
