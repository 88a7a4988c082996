//! What a pattern says about one value.

use std::net::IpAddr;

use serde_json::{Number, Value};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Matcher {
    /// Strings by their bytes, booleans and null by value. Numbers by how they are written, as in AWS:
    /// `300` and `300.0` are not the same.
    Exact(Value),
    Prefix(Text),
    Suffix(Text),
    EqualsIgnoreCase(String),
    Wildcard(Wildcard),
    Numeric(Vec<(Comparison, f64)>),
    Cidr(Cidr),
    Exists(bool),
    AnythingBut(AnythingBut),
}

/// A text to compare with, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) ignore_case: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum AnythingBut {
    Strings(Vec<String>),
    Numbers(Vec<Number>),
    Prefixes(Vec<Text>),
    Suffixes(Vec<Text>),
    IgnoringCase(Vec<String>),
    Wildcards(Vec<Wildcard>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Matcher {
    pub(super) fn matches(&self, value: &Value) -> bool {
        match self {
            Self::Exact(Value::Number(wanted)) => value.as_number().is_some_and(|it| same_number(it, wanted)),
            Self::Exact(wanted) => wanted == value,
            Self::Prefix(prefix) => value.as_str().is_some_and(|it| prefix.starts(it)),
            Self::Suffix(suffix) => value.as_str().is_some_and(|it| suffix.ends(it)),
            Self::EqualsIgnoreCase(wanted) => value.as_str().is_some_and(|it| fold(it) == *wanted),
            Self::Wildcard(wildcard) => value.as_str().is_some_and(|it| wildcard.matches(it)),
            Self::Numeric(bounds) => value.as_f64().is_some_and(|it| {
                bounds
                    .iter()
                    .all(|(comparison, bound)| comparison.holds(it, *bound))
            }),
            Self::Cidr(cidr) => value
                .as_str()
                .and_then(|it| it.parse().ok())
                .is_some_and(|it| cidr.contains(it)),
            // Presence is the caller's to judge; a value that is there satisfies `exists: true`.
            Self::Exists(wanted) => *wanted,
            Self::AnythingBut(refused) => !refused.contains(value),
        }
    }
}

impl AnythingBut {
    fn contains(&self, value: &Value) -> bool {
        if let Self::Numbers(numbers) = self {
            return value
                .as_number()
                .is_some_and(|it| numbers.iter().any(|number| same_number(it, number)));
        }
        let Some(text) = value.as_str() else { return false };
        match self {
            Self::Strings(all) => all.iter().any(|one| one == text),
            Self::Prefixes(all) => all.iter().any(|one| one.starts(text)),
            Self::Suffixes(all) => all.iter().any(|one| one.ends(text)),
            Self::IgnoringCase(all) => all.contains(&fold(text)),
            Self::Wildcards(all) => all.iter().any(|one| one.matches(text)),
            Self::Numbers(_) => false,
        }
    }
}

impl Text {
    fn starts(&self, value: &str) -> bool {
        if self.ignore_case {
            fold(value).starts_with(&fold(&self.text))
        } else {
            value.starts_with(&self.text)
        }
    }

    fn ends(&self, value: &str) -> bool {
        if self.ignore_case {
            fold(value).ends_with(&fold(&self.text))
        } else {
            value.ends_with(&self.text)
        }
    }
}

impl Comparison {
    pub(super) fn parse(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "=" => Self::Equal,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Equal => value.total_cmp(&bound).is_eq(),
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
            Self::Greater => value > bound,
            Self::GreaterOrEqual => value >= bound,
        }
    }
}

fn same_number(one: &Number, other: &Number) -> bool {
    one.to_string() == other.to_string()
}

/// Case-insensitive comparisons go through this form.
pub(super) fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// A text with `*` for any run of characters; the parts between the asterisks, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wildcard {
    parts: Vec<String>,
}

impl Wildcard {
    /// `\*` and `\\` are the characters themselves.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = vec![String::new()];
        let mut after_star = false;
        let mut characters = text.chars().enumerate();
        while let Some((position, character)) = characters.next() {
            let literal = match character {
                '*' if after_star => {
                    return Err(format!("Consecutive wildcard characters at pos {}", position - 1));
                }
                '*' => {
                    after_star = true;
                    parts.push(String::new());
                    continue;
                }
                '\\' => match characters.next() {
                    Some((_, escaped @ ('*' | '\\'))) => escaped,
                    _ => return Err(format!("Invalid escape character at pos {position}")),
                },
                other => other,
            };
            after_star = false;
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        Ok(Self { parts })
    }

    fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| only == text);
        };
        let Some(rest) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else {
            return false;
        };
        // Taking the leftmost occurrence of each part is enough: whatever follows has the most room.
        for part in middle {
            let Some(at) = rest.find(part.as_str()) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cidr {
    network: IpAddr,
    prefix: u32,
}

impl Cidr {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (network, prefix) = text.split_once('/')?;
        let network: IpAddr = network.parse().ok()?;
        let prefix: u32 = prefix.parse().ok()?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        (prefix <= longest).then_some(Self { network, prefix })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}
