//! `#{namespace.key}` in action configurations.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Variables by namespace, then by name.
pub(crate) type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// The namespace of what the service itself knows.
pub(crate) const SERVICE: &str = "codepipeline";
/// The namespace of the pipeline's own variables.
pub(crate) const PIPELINE: &str = "variables";

#[expect(
    clippy::unwrap_used,
    reason = "the pattern is a literal, and the tests of this file compile it"
)]
static REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"#\{([A-Za-z0-9@_-]+)\.([A-Za-z0-9@_-]+)\}").unwrap());

/// Every `(namespace, key)` that a text refers to.
pub(crate) fn references(text: &str) -> impl Iterator<Item = (&str, &str)> {
    REFERENCE
        .captures_iter(text)
        .filter_map(|found| Some((found.get(1)?.as_str(), found.get(2)?.as_str())))
}

/// Fills in every reference.
///
/// # Errors
/// The message that AWS shows for an action whose configuration names a variable without a value.
pub(crate) fn resolve(
    configuration: &BTreeMap<String, String>,
    namespaces: &Namespaces,
) -> Result<BTreeMap<String, String>, String> {
    configuration
        .iter()
        .map(|(key, text)| Ok((key.clone(), resolve_text(text, namespaces)?)))
        .collect()
}

fn resolve_text(text: &str, namespaces: &Namespaces) -> Result<String, String> {
    for (namespace, key) in references(text) {
        if namespaces
            .get(namespace)
            .is_none_or(|variables| !variables.contains_key(key))
        {
            return Err(format!(
                "An action configuration variable could not be resolved: #{{{namespace}.{key}}}"
            ));
        }
    }
    let filled = REFERENCE.replace_all(text, |found: &Captures<'_>| {
        namespaces
            .get(&found[1])
            .and_then(|variables| variables.get(&found[2]))
            .cloned()
            .unwrap_or_default()
    });
    Ok(filled.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Namespaces {
        let source = BTreeMap::from([("VersionId".to_owned(), "v1".to_owned())]);
        BTreeMap::from([("Source".to_owned(), source)])
    }

    fn resolved(text: &str) -> Result<String, String> {
        let configuration = BTreeMap::from([("key".to_owned(), text.to_owned())]);
        resolve(&configuration, &known()).map(|mut all| all.remove("key").unwrap())
    }

    #[test]
    fn every_reference_is_filled_in_and_other_text_is_left_alone() {
        assert_eq!(
            resolved("a #{Source.VersionId} b #{Source.VersionId} #{c}"),
            Ok("a v1 b v1 #{c}".to_owned())
        );
    }

    #[test]
    fn an_unknown_variable_is_named() {
        assert!(resolved("#{Source.ETag}").unwrap_err().contains("#{Source.ETag}"));
        assert!(
            resolved("#{Other.VersionId}")
                .unwrap_err()
                .contains("#{Other.VersionId}")
        );
    }
}
