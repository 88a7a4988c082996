//! The rules of composite alarms: `(ALARM("a") OR ALARM(b)) AND NOT OK(c)`.

use crate::alarm::StateValue;

/// Deeper nesting is refused, so that no text exhausts the stack.
const DEEPEST: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    Constant(bool),
    /// The alarm, by name or ARN, is in the state.
    Is(StateValue, String),
    Not(Box<Rule>),
    And(Box<Rule>, Box<Rule>),
    Or(Box<Rule>, Box<Rule>),
}

impl Rule {
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser {
            rest: text.trim_start(),
            depth: 0,
        };
        let rule = parser.any()?;
        if parser.rest.is_empty() {
            Ok(rule)
        } else {
            Err(format!("unexpected '{}'", parser.rest))
        }
    }

    pub(crate) fn holds(&self, state: &dyn Fn(&str) -> StateValue) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Is(wanted, alarm) => state(alarm) == *wanted,
            Self::Not(rule) => !rule.holds(state),
            Self::And(left, right) => left.holds(state) && right.holds(state),
            Self::Or(left, right) => left.holds(state) || right.holds(state),
        }
    }

    /// The alarms it names.
    pub(crate) fn alarms(&self) -> Vec<&str> {
        match self {
            Self::Constant(_) => Vec::new(),
            Self::Is(_, alarm) => vec![alarm],
            Self::Not(rule) => rule.alarms(),
            Self::And(left, right) | Self::Or(left, right) => {
                let mut all = left.alarms();
                all.extend(right.alarms());
                all
            }
        }
    }
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn takes(&mut self, symbol: char) -> bool {
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    /// The next word, without taking it.
    fn word(&self) -> &'t str {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphabetic() && c != '_')
            .unwrap_or(self.rest.len());
        &self.rest[..end]
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = self.word() == word;
        if found {
            self.rest = self.rest[word.len()..].trim_start();
        }
        found
    }

    fn any(&mut self) -> Result<Rule, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deeply".to_owned());
        }
        let mut left = self.all()?;
        while self.takes_word("OR") {
            left = Rule::Or(Box::new(left), Box::new(self.all()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn all(&mut self) -> Result<Rule, String> {
        let mut left = self.one()?;
        while self.takes_word("AND") {
            left = Rule::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Rule, String> {
        let mut negated = false;
        while self.takes_word("NOT") {
            negated = !negated;
        }
        let rule = if self.takes('(') {
            let rule = self.any()?;
            if !self.takes(')') {
                return Err("')' is missing".to_owned());
            }
            rule
        } else {
            let word = self.word();
            match word {
                "TRUE" | "FALSE" => {
                    self.takes_word(word);
                    Rule::Constant(word == "TRUE")
                }
                _ => {
                    let state = StateValue::parse(word).ok_or_else(|| match word {
                        "" => "an alarm's state is expected".to_owned(),
                        _ => format!("{word} is no state of an alarm"),
                    })?;
                    self.takes_word(word);
                    Rule::Is(state, self.alarm()?)
                }
            }
        };
        Ok(if negated { Rule::Not(Box::new(rule)) } else { rule })
    }

    /// In parentheses, with or without quotation marks.
    fn alarm(&mut self) -> Result<String, String> {
        if !self.takes('(') {
            return Err("'(' is missing".to_owned());
        }
        let name = if let Some(quote) = self
            .rest
            .chars()
            .next()
            .filter(|first| matches!(first, '"' | '\''))
        {
            let (name, after) = self.rest[1..].split_once(quote).ok_or("a name is not closed")?;
            self.rest = after.trim_start();
            name
        } else {
            let end = self.rest.find(')').ok_or("')' is missing")?;
            let name = self.rest[..end].trim_end();
            self.rest = &self.rest[end..];
            name
        };
        if !self.takes(')') {
            return Err("')' is missing".to_owned());
        }
        if name.is_empty() {
            Err("an alarm's name is missing".to_owned())
        } else {
            Ok(name.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        Rule::parse(text).unwrap().holds(&|alarm| match alarm {
            "a" | "arn:aws:cloudwatch:us-east-1:1:alarm:a (x)" => StateValue::Alarm,
            "b" => StateValue::Ok,
            _ => StateValue::InsufficientData,
        })
    }

    #[test]
    fn rules_hold_as_they_read() {
        for (text, expected) in [
            ("ALARM(a)", true),
            ("ALARM( \"a\" ) AND OK('b')", true),
            ("ALARM(b) OR ALARM(a)", true),
            ("NOT ALARM(a)", false),
            ("NOT (ALARM(a) AND ALARM(b))", true),
            ("ALARM(a) OR ALARM(b) AND FALSE", true),
            ("(ALARM(a) OR ALARM(b)) AND FALSE", false),
            ("INSUFFICIENT_DATA(c)", true),
            ("NOT NOT TRUE", true),
            ("ALARM(\"arn:aws:cloudwatch:us-east-1:1:alarm:a (x)\")", true),
        ] {
            assert_eq!(holds(text), expected, "{text}");
        }
        assert_eq!(Rule::parse("ALARM(a) OR NOT OK(b)").unwrap().alarms(), ["a", "b"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, reason) in [
            ("", "state is expected"),
            ("a", "a is no state"),
            ("ALARM", "'(' is missing"),
            ("ALARM(a", "')' is missing"),
            ("ALARM()", "name is missing"),
            ("ALARM(\"a)", "not closed"),
            ("ALARM(a) ALARM(b)", "unexpected"),
            ("ALARM(a) AND", "state is expected"),
            (&"(".repeat(5_000), "nested too deeply"),
        ] {
            let refused = Rule::parse(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"([a-z()"' ]|ALARM|OK|AND|OR|NOT|TRUE|é){0,24}"#) {
            if let Ok(rule) = Rule::parse(&text) {
                let _ = rule.holds(&|_| StateValue::Ok);
            }
        }
    }
}
