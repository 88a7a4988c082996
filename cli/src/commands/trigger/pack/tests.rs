//! Which files are packed, that packing is deterministic, and what is refused.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    directory
}

fn names(directory: &Path) -> Vec<String> {
    let contents = look(directory, &Limits::default()).unwrap();
    contents
        .files()
        .unwrap()
        .into_iter()
        .map(|file| file.name)
        .collect()
}

fn refusal<T: fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::Rejected(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

/// What comes after the line that cannot be read would not be ignored.
#[test]
fn an_ignore_file_that_cannot_be_read_packs_nothing() {
    let directory = directory(&[("index.js", "1"), ("credentials.json", "secret")]);
    for (name, content) in [
        // A comment in Latin-1; all of it in UTF-16, as some shells write; a pattern that is none.
        (".gitignore", &b"# f\xfcr uns\ncredentials.json\n"[..]),
        (".signalboxignore", b"\xff\xfec\0r\0"),
        (".gitignore", b"{a,b\ncredentials.json\n"),
    ] {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        let text = refusal(look(directory.path(), &Limits::default()));
        assert!(text.contains(name) && text.contains("mend that file"), "{text}");
        fs::remove_file(path).unwrap();
    }
    // One of the directory above.
    let below = directory.path().join("app");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("index.js"), "1").unwrap();
    let path = directory.path().join(".gitignore");
    fs::write(&path, b"# f\xfcr uns\n").unwrap();
    let text = refusal(look(&below, &Limits::default()));
    assert!(text.contains("mend that file"), "{text}");
    fs::remove_file(path).unwrap();
    fs::remove_dir_all(below).unwrap();
    assert_eq!(names(directory.path()), ["credentials.json", "index.js"]);
}

#[test]
fn ignore_files_and_secrets_stay_behind() {
    let directory = directory(&[
        ("src/index.js", "1"),
        (".eslintrc.json", "{}"),
        (".gitignore", "dist/\n*.log\n"),
        (".signalboxignore", "docs/\n!docs/keep.md\nnotes.txt\n"),
        ("dist/out.js", "1"),
        ("src/debug.log", "1"),
        ("docs/a.md", "1"),
        ("notes.txt", "1"),
        ("sub/.gitignore", "*\n!b.js\n"),
        ("sub/a.js", "1"),
        ("sub/b.js", "1"),
        (".git/config", "1"),
        ("node_modules/x/index.js", "1"),
        ("sub/node_modules/b.js", "1"),
        (".env", "SECRET=1"),
        (".env.local", "SECRET=1"),
        ("certs/KEY.PEM", "1"),
    ]);
    assert_eq!(
        names(directory.path()),
        [
            ".eslintrc.json",
            ".gitignore",
            ".signalboxignore",
            "src/index.js",
            "sub/b.js"
        ]
    );
}

#[test]
fn no_ignore_file_brings_a_secret_back() {
    let directory = directory(&[
        (".signalboxignore", "!.env\n!*.pem\n!node_modules\n"),
        (".env", "SECRET=1"),
        ("a.pem", "1"),
        ("node_modules/a.js", "1"),
        ("index.js", "1"),
    ]);
    assert_eq!(names(directory.path()), [".signalboxignore", "index.js"]);
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let files = [("b.js", "two"), ("a/a.js", "one"), ("A.md", "three")];
    let one = directory(&files);
    let mut reversed = files;
    reversed.reverse();
    let other = directory(&reversed);
    let limits = Limits::default();
    let pack = |directory: &TempDir| look(directory.path(), &limits).unwrap().package(&limits).unwrap();
    assert_eq!(pack(&one), pack(&other));
    let mut archive = ZipArchive::new(Cursor::new(pack(&one))).unwrap();
    let names: Vec<String> = (0..archive.len())
        .map(|at| archive.by_index(at).unwrap().name().unwrap().into_owned())
        .collect();
    assert_eq!(names, ["A.md", "a/a.js", "b.js"]);
}

#[test]
fn what_start_run_would_reject_is_said_before_the_upload() {
    let limits = Limits::default();
    let sound = directory(&[("index.js", "1"), ("data.bin", "0123456789")]);
    let strict = Limits {
        package_bytes: 50,
        ..limits
    };
    let text = refusal(look(sound.path(), &strict).unwrap().package(&strict));
    assert!(
        text.contains("50 are allowed") && text.contains("10 bytes  data.bin"),
        "{text}"
    );

    let few = Limits { entries: 1, ..limits };
    assert!(refusal(look(sound.path(), &few)).contains("2 entries; 1 are allowed"));
    let small = Limits {
        total_bytes: 10,
        ..limits
    };
    assert!(refusal(look(sound.path(), &small)).contains("unpacks to more than 10 bytes"));

    let empty = directory(&[(".env", "1")]);
    assert!(refusal(look(empty.path(), &limits)).contains("nothing is left to pack"));

    let twins = directory(&[("Readme.md", "1"), ("README.md", "1")]);
    let outcome = look(twins.path(), &limits).unwrap().package(&limits);
    assert!(refusal(outcome).contains("differ only in case. Rename one of them."));
}

#[cfg(unix)]
#[test]
fn a_link_is_refused_unless_it_is_ignored() {
    let with_link = directory(&[("index.js", "1")]);
    std::os::unix::fs::symlink("/etc/passwd", with_link.path().join("link")).unwrap();
    let text = refusal(look(with_link.path(), &Limits::default()));
    assert!(text.contains("entry link is a symbolic link"), "{text}");
    fs::write(with_link.path().join(".signalboxignore"), "link\n").unwrap();
    assert_eq!(names(with_link.path()), [".signalboxignore", "index.js"]);
}

#[test]
fn a_ready_archive_is_taken_as_it_is() {
    let directory = directory(&[("a.zip", "whatever it is"), ("empty.zip", "")]);
    let limits = Limits::default();
    let contents = look(&directory.path().join("a.zip"), &limits).unwrap();
    assert_eq!(contents.package(&limits).unwrap(), b"whatever it is");
    let text = refusal(look(&directory.path().join("empty.zip"), &limits));
    assert!(text.contains("zero bytes"), "{text}");
    let strict = Limits {
        package_bytes: 5,
        ..limits
    };
    let text = refusal(look(&directory.path().join("a.zip"), &strict));
    assert!(text.contains("14 bytes; 5 are allowed"), "{text}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let error = look(Path::new("/nowhere/at/all"), &Limits::default()).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/at/all: "), "{error}");
}
