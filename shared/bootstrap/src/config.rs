//! Configuration from environment variables: read once, every mistake reported at once.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::str::FromStr;

/// Where strings come from: the process's environment, or a map in a test.
pub trait Strings {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Strings for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Strings for HashMap<&str, &str> {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name).map(|value| (*value).to_owned())
    }
}

/// Every mistake that was found, each with the variable's name and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(Vec<String>);

impl Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(
            f,
            "{count} mistake{} in the configuration:",
            if count == 1 { "" } else { "s" }
        )?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
    }
}

impl ConfigErrors {
    /// The mistakes, one sentence each.
    #[must_use]
    pub fn mistakes(&self) -> &[String] {
        &self.0
    }

    /// A mistake found outside a [`Reader`], such as a secret that cannot be read at init.
    #[must_use]
    pub fn one(mistake: impl Into<String>) -> Self {
        Self(vec![mistake.into()])
    }
}

/// Reads variables and remembers each mistake until [`Reader::finish`].
///
/// An unset and an empty variable are the same: CloudFormation cannot leave a variable out, it can only
/// make it empty. Values are never repeated in a mistake where the variable's name says that it is a secret.
pub struct Reader {
    strings: Box<dyn Strings>,
    mistakes: Vec<String>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("mistakes", &self.mistakes)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Reads from `strings`.
    pub fn new(strings: impl Strings + 'static) -> Self {
        Self {
            strings: Box::new(strings),
            mistakes: Vec::new(),
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        self.strings
            .get(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    fn parse<T>(&mut self, name: &str, what: &str, value: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        match value.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) if name.contains("SECRET") && !name.ends_with("_ARN") => {
                let _ = error;
                self.mistakes.push(format!("{name} is not valid; it is {what}"));
                None
            }
            Err(error) => {
                let value: String = value.escape_debug().take(100).collect();
                self.mistakes.push(format!(
                    "{name} is \"{value}\", which is not valid ({error}); it is {what}"
                ));
                None
            }
        }
    }

    /// A variable that must be set. `what` says what it is and how to set it.
    pub fn required<T>(&mut self, name: &str, what: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        if let Some(value) = self.text(name) {
            return self.parse(name, what, &value);
        }
        self.mistakes.push(format!("{name} is not set; it is {what}"));
        None
    }

    /// A variable that may be unset: the outer `None` is a mistake, the inner one is "not set".
    pub fn optional<T>(&mut self, name: &str, what: &str) -> Option<Option<T>>
    where
        T: FromStr<Err: Display>,
    {
        match self.text(name) {
            Some(value) => self.parse(name, what, &value).map(Some),
            None => Some(None),
        }
    }

    /// A variable with a default.
    pub fn or<T>(&mut self, name: &str, default: T, what: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        match self.text(name) {
            Some(value) => self.parse(name, what, &value),
            None => Some(default),
        }
    }

    /// A comma-separated list; unset is the empty list. Every element that is wrong is a mistake of its own.
    pub fn list<T>(&mut self, name: &str, what: &str) -> Option<Vec<T>>
    where
        T: FromStr<Err: Display>,
    {
        let value = self.text(name).unwrap_or_default();
        let parsed: Vec<Option<T>> = value
            .split(',')
            .map(str::trim)
            .filter(|element| !element.is_empty())
            .map(|element| self.parse(name, what, element))
            .collect();
        parsed.into_iter().collect()
    }

    /// A rule between variables, or of one variable, that its type does not express.
    pub fn mistake(&mut self, mistake: impl Into<String>) {
        self.mistakes.push(mistake.into());
    }

    /// Builds the configuration, if nothing was wrong.
    ///
    /// # Errors
    /// All mistakes made since the reader's start.
    pub fn finish<C>(self, build: impl FnOnce() -> Option<C>) -> Result<C, ConfigErrors> {
        if !self.mistakes.is_empty() {
            return Err(ConfigErrors(self.mistakes));
        }
        build().ok_or_else(|| {
            ConfigErrors::one("a value is missing that was never read: a fault of this program")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(pairs: &[(&'static str, &'static str)]) -> Reader {
        Reader::new(pairs.iter().copied().collect::<HashMap<&str, &str>>())
    }

    #[test]
    fn every_mistake_is_reported_with_name_and_fix() {
        let mut env = reader(&[("PORT", "many"), ("LIMIT", "")]);
        let port = env.required::<u16>("PORT", "a port number");
        let limit = env.required::<u64>("LIMIT", "the largest package in bytes");
        let error = env.finish(|| Some((port?, limit?))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 mistakes in the configuration:\n  - PORT is \"many\", which is not valid (invalid digit found in \
             string); it is a port number\n  - LIMIT is not set; it is the largest package in bytes"
        );
    }

    #[test]
    fn an_empty_variable_is_an_unset_one() {
        let mut env = reader(&[("A", "  "), ("B", "7")]);
        assert_eq!(env.optional::<u8>("A", "a"), Some(None));
        assert_eq!(env.or::<u8>("A", 3, "a"), Some(3));
        assert_eq!(env.or::<u8>("B", 3, "b"), Some(7));
    }

    #[test]
    fn each_wrong_element_of_a_list_is_named() {
        let mut env = reader(&[("PORTS", "1, x ,,2,y")]);
        assert_eq!(env.list::<u16>("PORTS", "ports"), None);
        let error = env.finish(|| Some(())).unwrap_err();
        assert_eq!(error.mistakes().len(), 2);
    }

    #[test]
    fn a_secret_is_never_repeated() {
        let mut env = reader(&[("SIGNING_SECRET", "hunter2")]);
        assert_eq!(env.required::<u16>("SIGNING_SECRET", "a number"), None);
        let error = env.finish(|| Some(())).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
