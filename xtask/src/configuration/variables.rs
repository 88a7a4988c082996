//! The variables that the functions read, with what the code says of each: `env.required("NAME", "meaning")`,
//! `env.optional("NAME", "meaning")`, `env.or("NAME", default, "meaning")`, `env.list("NAME", "meaning")`.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// What the code says of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    /// `None` where it is required; empty where it may be unset.
    pub(super) default: Option<String>,
    /// What it is.
    pub(super) meaning: String,
}

/// The variables that the files of a directory read.
pub(super) fn read_below(directory: &Path) -> io::Result<BTreeMap<String, Variable>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(read_below(&path)?);
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
            let source = fs::read_to_string(&path)?;
            // A file's own tests come last.
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            found.extend(read_in(source));
        }
    }
    Ok(found)
}

fn read_in(source: &str) -> BTreeMap<String, Variable> {
    let mut found = BTreeMap::new();
    for method in [".required", ".optional", ".or", ".list"] {
        for (at, _) in source.match_indices(method) {
            let rest = source.get(at + method.len()..).unwrap_or_default();
            let Some(arguments) = arguments(rest) else {
                continue;
            };
            let Some(name) = arguments.first().and_then(|it| literal(it)) else {
                continue;
            };
            if !name
                .bytes()
                .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_')
            {
                continue;
            }
            let default = match (method, arguments.get(1)) {
                (".required", _) => None,
                (".or", Some(default)) => Some(value(default, source)),
                _ => Some(String::new()),
            };
            let meaning = arguments.last().and_then(|it| literal(it)).unwrap_or_default();
            found.insert(name, Variable { default, meaning });
        }
    }
    found
}

/// The arguments of a call whose name has just been read, as they are written.
fn arguments(rest: &str) -> Option<Vec<String>> {
    let rest = match rest.strip_prefix("::<") {
        Some(generic) => generic.split_once(">(")?.1,
        None => rest.strip_prefix('(')?,
    };
    let (mut all, mut current) = (Vec::new(), String::new());
    let (mut depth, mut in_text, mut is_escaped) = (0_u32, false, false);
    for c in rest.chars() {
        match c {
            '"' if !is_escaped => in_text = !in_text,
            '(' | '[' | '{' if !in_text => depth += 1,
            ')' if !in_text && depth == 0 => {
                all.push(current.trim().to_owned());
                all.retain(|argument| !argument.is_empty());
                return Some(all);
            }
            ')' | ']' | '}' if !in_text => depth = depth.saturating_sub(1),
            ',' if !in_text && depth == 0 => {
                all.push(std::mem::take(&mut current).trim().to_owned());
                continue;
            }
            _ => {}
        }
        is_escaped = c == '\\' && !is_escaped;
        current.push(c);
    }
    None
}

/// A default's value, as far as it is one: a literal, or a constant of the same file.
fn value(expression: &str, source: &str) -> String {
    let plain = expression.trim_end_matches(".to_owned()");
    if let Some(text) = literal(plain) {
        return text;
    }
    let kinds = ["_u8", "_u16", "_u32", "_u64", "_usize", "_i64"];
    let number = kinds
        .iter()
        .find_map(|kind| plain.strip_suffix(kind))
        .unwrap_or(plain);
    let digits = number.replace('_', "");
    if !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()) {
        return digits;
    }
    let declared = source.split_once(&format!("const {plain}:"));
    let constant = declared.and_then(|(_, rest)| rest.split_once('=')?.1.split_once(';'));
    constant.map_or_else(|| plain.to_owned(), |(content, _)| value(content.trim(), ""))
}

/// A string literal's text: with its escapes of quotes and line ends undone.
fn literal(argument: &str) -> Option<String> {
    let inner = argument.strip_prefix('"')?.strip_suffix('"')?;
    let mut lines = inner.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let joined = lines.fold(first, |text, line| text + line.trim_start());
    Some(joined.replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_reading_a_variable_is_found() {
        let found = read_in(
            "env.required(\"A\", \"an a, (or so)\"); env.or::<u32>(\n  \"B_2\", f(3, 4), \"says \\\"b\\\" \\\n   \
             and more\",\n); env.optional::<String>(\"C\", \"c\"); option.or(other); x.required(\"lower\", \"y\")",
        );
        let variable = |default: Option<&str>, meaning: &str| Variable {
            default: default.map(str::to_owned),
            meaning: meaning.to_owned(),
        };
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found["A"], variable(None, "an a, (or so)"));
        assert_eq!(found["B_2"], variable(Some("f(3, 4)"), "says \"b\" and more"));
        assert_eq!(found["C"], variable(Some(""), "c"));
        let source = "const LIMIT: u32 = 7;";
        for (expression, said) in [
            ("LIMIT", "7"),
            ("30_u16", "30"),
            ("10_080", "10080"),
            ("\"x\".to_owned()", "x"),
            ("Level::INFO", "Level::INFO"),
        ] {
            assert_eq!(value(expression, source), said);
        }
    }
}
