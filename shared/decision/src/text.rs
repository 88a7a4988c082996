//! Text from elsewhere, made fit to be shown or logged.
//!
//! Keys, branch names, commit messages and comments come from anybody. Where one of them is put into
//! a mail, a log line or a terminal, a line feed or an escape sequence in it must not become part of
//! what *we* say.

/// `text` with every control character (NUL, CR, LF, ESC, C1, and the Unicode marks that reorder or
/// hide text) written as an escape, and cut to `max` characters with an ellipsis.
#[must_use]
pub fn shown(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max * 4));
    for (count, c) in text.chars().enumerate() {
        if count == max {
            out.push('…');
            break;
        }
        if c.is_control() || is_disguise(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Bidirectional overrides and invisible characters: they make text read as what it is not.
fn is_disguise(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// `text` cut to at most `max` characters, never within one.
#[must_use]
pub fn cut(text: &str, max: usize) -> &str {
    text.char_indices()
        .nth(max)
        .map_or(text, |(at, _)| text.get(..at).unwrap_or(text))
}

/// A subject that SNS takes for e-mail: ASCII, no control character, fewer than 100 characters,
/// beginning with a letter, digit or punctuation mark
/// (API reference of `Publish`, parameter `Subject`).
#[must_use]
pub fn subject(text: &str) -> String {
    let one_line: String = text
        .chars()
        .map(|c| {
            if c.is_control() {
                ' '
            } else if c.is_ascii() {
                c
            } else {
                '?'
            }
        })
        .collect();
    cut(one_line.trim(), 99).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(
            shown("a\0b\r\nc\u{1b}[31md", 99),
            "a\\u{0}b\\u{d}\\u{a}c\\u{1b}[31md"
        );
        assert_eq!(shown("abc\u{202e}piz.exe", 99), "abc\\u{202e}piz.exe");
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("äöü", 2), "äö");
        assert_eq!(shown("äöü", 2), "äö…");
        assert_eq!(cut("ab", 2), "ab");
    }

    #[test]
    fn a_subject_is_what_sns_accepts() {
        let subject = subject(&format!("Approve\r\nBcc: x {}", "ä".repeat(200)));
        assert!(subject.len() < 100 && subject.is_ascii() && !subject.contains(['\r', '\n']));
    }
}
