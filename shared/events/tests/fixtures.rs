//! The example events are tests, invocations by hand and documentation in one. One that no test reads says
//! what once was; so each must be named by a test, which then breaks with it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What comes, what comes twice or changed, and what is to be ignored or refused: fewer do not show a function.
const CASES: usize = 3;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What is in a directory, sorted.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The files of each function, by its name.
fn fixtures() -> BTreeMap<String, Vec<String>> {
    entries(&project().join("events"))
        .iter()
        .map(|folder| {
            (
                name(folder),
                entries(folder).iter().map(|file| name(file)).collect(),
            )
        })
        .collect()
}

/// The code of tests in a Rust source, without comments: a comment reads no file.
fn tests_in(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let is_test = path.iter().any(|part| part == "tests" || part == "tests.rs");
    let tests = if is_test {
        &text
    } else {
        text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests)
    };
    let code = tests.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

fn collect(directory: &Path, sources: &mut Vec<String>) {
    for path in entries(directory) {
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(tests_in(&path));
        }
    }
}

/// Whether a test reads the file: by its path, or by its stem where a macro has the rest of the path.
fn names_it(source: &str, folder: &str, file: &str) -> bool {
    let stem = file.trim_end_matches(".json");
    source.contains(&format!("events/{folder}/{file}\""))
        || (source.contains(&format!("events/{folder}/\"")) && source.contains(&format!("\"{stem}\"")))
}

#[test]
fn every_example_is_named_by_a_test() {
    let mut sources = Vec::new();
    for directory in ["functions", "shared", "tests"] {
        collect(&project().join(directory), &mut sources);
    }
    let unnamed: Vec<String> = fixtures()
        .into_iter()
        .flat_map(|(folder, files)| files.into_iter().map(move |file| (folder.clone(), file)))
        .filter(|(folder, file)| !sources.iter().any(|source| names_it(source, folder, file)))
        .map(|(folder, file)| format!("events/{folder}/{file}"))
        .collect();
    assert!(
        unnamed.is_empty(),
        "no test names {unnamed:?}: read each with `include_str!` and assert what it says"
    );
}

#[test]
fn every_function_has_its_cases() {
    let fixtures = fixtures();
    let functions: Vec<String> = entries(&project().join("functions"))
        .iter()
        .filter(|path| path.is_dir())
        .map(|path| name(path))
        .collect();
    assert_eq!(
        fixtures.keys().collect::<Vec<_>>(),
        functions.iter().collect::<Vec<_>>(),
        "events/ has a folder for each function, and no other"
    );
    for (function, files) in &fixtures {
        assert!(
            files.len() >= CASES,
            "{function} has only {files:?}; {CASES} are the least"
        );
    }
}
