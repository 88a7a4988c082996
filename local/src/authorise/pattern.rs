//! IAM's wildcards.

/// Whether a text matches a pattern in which `*` stands for any text and `?` for one character.
/// Linear in memory, and never exponential: on a mismatch only the last `*` is extended.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&expected) if expected == '?' || expected == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

/// ARNs match part by part: a wildcard reaches over a colon only in the last part.
pub(super) fn arn_matches(pattern: &str, arn: &str) -> bool {
    if pattern.chars().all(|character| character == '*') {
        return !pattern.is_empty();
    }
    let (patterns, parts): (Vec<_>, Vec<_>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    if patterns.len() < 6 || parts.len() < 6 {
        return pattern == arn;
    }
    patterns
        .iter()
        .zip(parts)
        .all(|(pattern, part)| matches(pattern, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("", "a", false),
            ("é?e", "éte", true),
            ("?", "éé", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends_in_time() {
        assert!(!matches(&"*a".repeat(200), &"a".repeat(150)));
        assert!(matches(&"*a".repeat(200), &"a".repeat(250)));
    }

    #[test]
    fn an_arns_parts_match_separately() {
        let queue = "arn:aws:sqs:us-east-1:123456789012:queue";
        assert!(arn_matches("arn:aws:sqs:*:123456789012:queue", queue));
        assert!(!arn_matches("arn:aws:sqs:*:queue", queue));
        assert!(arn_matches("*", queue) && arn_matches("*", "*"));
        assert!(!arn_matches(queue, "*"));
        assert!(arn_matches(
            "arn:aws:logs:*:*:log-group:/aws/x:*",
            "arn:aws:logs:r:1:log-group:/aws/x:log-stream:s"
        ));
    }
}
