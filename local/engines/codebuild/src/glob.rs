//! Patterns of files, as buildspecs write them.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use walkdir::WalkDir;

/// A pattern relative to some directory: `**` for any directories, `*` and `?` within one name.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    /// Leading directories without wildcards, so that only these are walked.
    prefix: PathBuf,
    regex: Regex,
}

impl Glob {
    /// `None` where the pattern leads out of its directory.
    pub(crate) fn new(pattern: &str) -> Option<Self> {
        let mut pattern = pattern;
        while let Some(rest) = pattern.strip_prefix("./") {
            pattern = rest;
        }
        if pattern.starts_with('/') || pattern.split('/').any(|part| part == "..") {
            return None;
        }
        let parts: Vec<&str> = pattern
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        let literal = parts.iter().take(parts.len().saturating_sub(1));
        let prefix = literal
            .take_while(|part| !part.contains(['*', '?', '[']))
            .collect();
        let regex = Regex::new(&translate(&parts.join("/"))).ok()?;
        Some(Self { prefix, regex })
    }

    /// Whether a path relative to the directory matches.
    pub(crate) fn matches(&self, relative: &str) -> bool {
        self.regex.is_match(relative)
    }

    /// Files under `base` that match, as paths relative to it, sorted. A link to a file counts as the
    /// file; linked directories are not entered.
    pub(crate) fn files(&self, base: &Path) -> Vec<String> {
        let mut found: Vec<String> = WalkDir::new(base.join(&self.prefix))
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file()))
            .filter_map(|entry| Some(entry.path().strip_prefix(base).ok()?.to_str()?.to_owned()))
            .filter(|relative| self.matches(relative))
            .collect();
        found.sort();
        found
    }
}

fn translate(pattern: &str) -> String {
    let mut out = String::from("^");
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**/") {
            out.push_str("(?:.*/)?");
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("**") {
            out.push_str(".*");
            rest = after;
            continue;
        }
        match c {
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' | ']' => out.push(c),
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out.push('$');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_buildspecs_mean_it() {
        let matches = |pattern: &str, path: &str| Glob::new(pattern).unwrap().matches(path);
        assert!(matches("**/*", "a") && matches("**/*", "a/b/.c"));
        assert!(matches("dir/*", "dir/a") && !matches("dir/*", "dir/a/b"));
        assert!(matches("./a.json", "a.json") && !matches("a.json", "aXjson"));
        assert!(
            matches("reports/**/*.xml", "reports/x.xml") && matches("reports/**/*.xml", "reports/a/x.xml")
        );
        assert!(matches("v?.txt", "v1.txt") && matches("[ab].c", "b.c") && !matches("[ab].c", "c.c"));
    }

    #[test]
    fn nothing_outside_the_directory_can_be_named() {
        for pattern in ["/etc/passwd", "../x", "a/../../x", ".//../x"] {
            assert!(Glob::new(pattern).is_none(), "{pattern}");
        }
    }

    #[test]
    fn files_are_found_below_the_literal_part() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for file in ["a/1.txt", "a/b/2.txt", "3.txt"] {
            fs::write(dir.path().join(file), "x").unwrap();
        }
        assert_eq!(
            Glob::new("a/**/*.txt").unwrap().files(dir.path()),
            ["a/1.txt", "a/b/2.txt"]
        );
        assert_eq!(
            Glob::new("none/**/*").unwrap().files(dir.path()),
            Vec::<String>::new()
        );
    }
}
