//! What is written: styles, JSON, and text from elsewhere made harmless.

use std::fmt::Write as _;
use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use signalbox_decision::text::shown;

use crate::error::Error;

/// A heading.
pub(crate) const HEADING: Style = Style::new().bold();
/// Something went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Something needs somebody.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// Something went wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();

/// Writes text to standard output: colours only where that is a terminal, and `NO_COLOR` is not set.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes one JSON document and a line feed to standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    print(&format!("{}\n", harmless(&text)))
}

/// JSON as it is, but with nothing in it that a terminal would act on, or that hides or reorders text. (Line
/// feeds of its layout stay: within a string they are escaped already.)
pub(crate) fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        let is_layout = c == '\n';
        if !is_layout && (c.is_control() || shown(c.encode_utf8(&mut [0; 4]), 1).starts_with("\\u")) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// Text from elsewhere on one line, harmless, of at most `max` characters.
pub(crate) fn line(text: &str, max: usize) -> String {
    shown(text.replace(['\r', '\n', '\t'], " ").trim(), max)
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 2] = [("MiB", 1024 * 1024), ("KiB", 1024)];
    match UNITS.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None if count == 1 => "1 byte".to_owned(),
        None => format!("{count} bytes"),
    }
}

/// Seconds for people: `4.2 s`, `3 min 5 s`, `2 h 10 min`.
pub(crate) fn duration(took: jiff::SignedDuration) -> String {
    let seconds = took.as_secs().max(0);
    match seconds {
        0..60 => format!("{:.1} s", took.as_secs_f64().max(0.0)),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn json_holds_nothing_that_a_terminal_acts_on() {
        let text = harmless("{\n\"a\": \"\u{1b}[2J\u{202e}ä\"}");
        assert_eq!(text, "{\n\"a\": \"\\u001b[2J\\u202eä\"}");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(52_428_800), "50.0 MiB");
        assert_eq!(duration(SignedDuration::from_millis(4210)), "4.2 s");
        assert_eq!(duration(SignedDuration::from_secs(185)), "3 min 5 s");
        assert_eq!(duration(SignedDuration::from_secs(7800)), "2 h 10 min");
        assert_eq!(line(" a\nb\u{1b} ", 9), "a b\\u{1b}");
    }
}
