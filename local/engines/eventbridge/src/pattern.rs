//! Event patterns: which events a rule is about.
//!
//! A pattern mirrors the event's shape. Fields are joined by *and*, the alternatives of one field by
//! *or*. An array in the event matches where any of its elements does; fields below an array of objects
//! must match within one and the same element, as AWS's own rule engine has it.

mod matchers;
mod parse;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use matchers::Matcher;

/// Why a pattern was refused, in AWS's words where they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPattern(pub(crate) String);

impl std::fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event pattern is not valid. Reason: {}", self.0)
    }
}

impl std::error::Error for InvalidPattern {}

/// A checked event pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Fields);

/// Fields joined by *and*, with the pattern's `$or` groups.
#[derive(Debug, Clone, PartialEq, Default)]
struct Fields {
    fields: Vec<(String, Node)>,
    /// Each group needs one of its alternatives.
    any_of: Vec<Vec<Fields>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Nested(Fields),
    /// One of these has to match.
    Leaf(Vec<Matcher>),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The reason, as `InvalidEventPatternException` words it.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        parse::pattern(text).map(Self)
    }

    /// Whether the event (with its envelope) is one that the pattern is about.
    #[must_use]
    pub fn matches(&self, event: &Value) -> bool {
        self.0.matches(Some(event))
    }
}

impl Fields {
    fn matches(&self, value: Option<&Value>) -> bool {
        match value {
            Some(Value::Array(elements)) => elements.iter().any(|element| self.matches(Some(element))),
            Some(Value::Object(object)) => self.matches_object(Some(object)),
            // Nothing to descend into: only `exists: false` below can still hold.
            _ => self.matches_object(None),
        }
    }

    fn matches_object(&self, object: Option<&Map<String, Value>>) -> bool {
        let field = |name: &str| object.and_then(|object| object.get(name));
        let all = self.fields.iter().all(|(name, node)| match node {
            Node::Nested(fields) => fields.matches(field(name)),
            Node::Leaf(matchers) => leaf_matches(matchers, field(name)),
        });
        all && self
            .any_of
            .iter()
            .all(|alternatives| alternatives.iter().any(|fields| fields.matches_object(object)))
    }
}

fn leaf_matches(matchers: &[Matcher], value: Option<&Value>) -> bool {
    let mut scalars = Vec::new();
    collect_scalars(value, &mut scalars);
    matchers.iter().any(|matcher| match matcher {
        Matcher::Exists(wanted) => *wanted != scalars.is_empty(),
        other => scalars.iter().any(|scalar| other.matches(scalar)),
    })
}

/// The field's own values. An object is no value: patterns look at leaves, so for a leaf matcher it
/// counts as absent, and so does an empty array.
fn collect_scalars<'v>(value: Option<&'v Value>, into: &mut Vec<&'v Value>) {
    match value {
        None | Some(Value::Object(_)) => {}
        Some(Value::Array(elements)) => {
            for element in elements {
                collect_scalars(Some(element), into);
            }
        }
        Some(scalar) => into.push(scalar),
    }
}
