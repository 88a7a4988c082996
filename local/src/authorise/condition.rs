//! Condition operators.

use std::net::IpAddr;

use serde_json::Value;

use super::pattern::{arn_matches, matches};

/// What an operator compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Bool,
    Number(std::cmp::Ordering, bool),
    Date(std::cmp::Ordering, bool),
    Ip,
}

/// How several values in the request count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// No qualifier: the key has one value; of several, any may match.
    Plain,
    Any,
    All,
}

/// An operator, with its qualifier and suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Null,
    Compare {
        set: Set,
        comparison: Comparison,
        negated: bool,
        if_exists: bool,
    },
}

fn parse(name: &str) -> Option<Operator> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let (set, name) = match name.split_once(':') {
        Some(("ForAllValues", rest)) => (Set::All, rest),
        Some(("ForAnyValue", rest)) => (Set::Any, rest),
        Some(_) => return None,
        None => (Set::Plain, name),
    };
    if name == "Null" {
        return Some(Operator::Null);
    }
    let (name, if_exists) = name
        .strip_suffix("IfExists")
        .map_or((name, false), |name| (name, true));
    let (comparison, negated) = match name {
        "StringEquals" => (Comparison::Equals, false),
        "StringNotEquals" => (Comparison::Equals, true),
        "StringEqualsIgnoreCase" => (Comparison::EqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Comparison::EqualsIgnoreCase, true),
        "StringLike" => (Comparison::Like, false),
        "StringNotLike" => (Comparison::Like, true),
        // ArnEquals and ArnLike behave alike in AWS: both take wildcards.
        "ArnEquals" | "ArnLike" => (Comparison::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Comparison::Arn, true),
        "Bool" => (Comparison::Bool, false),
        "NumericEquals" => (Comparison::Number(Equal, true), false),
        "NumericNotEquals" => (Comparison::Number(Equal, true), true),
        "NumericLessThan" => (Comparison::Number(Less, false), false),
        "NumericLessThanEquals" => (Comparison::Number(Less, true), false),
        "NumericGreaterThan" => (Comparison::Number(Greater, false), false),
        "NumericGreaterThanEquals" => (Comparison::Number(Greater, true), false),
        "DateEquals" => (Comparison::Date(Equal, true), false),
        "DateNotEquals" => (Comparison::Date(Equal, true), true),
        "DateLessThan" => (Comparison::Date(Less, false), false),
        "DateLessThanEquals" => (Comparison::Date(Less, true), false),
        "DateGreaterThan" => (Comparison::Date(Greater, false), false),
        "DateGreaterThanEquals" => (Comparison::Date(Greater, true), false),
        "IpAddress" => (Comparison::Ip, false),
        "NotIpAddress" => (Comparison::Ip, true),
        _ => return None,
    };
    Some(Operator::Compare {
        set,
        comparison,
        negated,
        if_exists,
    })
}

/// One value, or several.
pub(super) fn texts(value: &Value) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(items) => items.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}

/// Whether an operator holds for a key. `None` where this evaluator does not know the operator: the
/// caller then decides for the safe side.
///
/// `wanted` are the policy's values, `given` the request's; `None` where the key is absent.
pub(super) fn holds(operator: &str, wanted: &[String], given: Option<&[String]>) -> Option<bool> {
    let (set, comparison, negated, if_exists) = match parse(operator)? {
        Operator::Null => return Some(wanted.iter().any(|text| (text == "true") == given.is_none())),
        Operator::Compare {
            set,
            comparison,
            negated,
            if_exists,
        } => (set, comparison, negated, if_exists),
    };
    let Some(given) = given.filter(|values| !values.is_empty()) else {
        return Some(if_exists || set == Set::All || (negated && set == Set::Plain));
    };
    let one = |value: &String| wanted.iter().any(|wanted| compare(comparison, wanted, value)) != negated;
    Some(match (set, negated) {
        (Set::All, _) | (Set::Plain, true) => given.iter().all(one),
        (Set::Any, _) | (Set::Plain, false) => given.iter().any(one),
    })
}

fn compare(comparison: Comparison, wanted: &str, given: &str) -> bool {
    match comparison {
        Comparison::Equals => wanted == given,
        Comparison::EqualsIgnoreCase => wanted.eq_ignore_ascii_case(given),
        Comparison::Like => matches(wanted, given),
        Comparison::Arn => arn_matches(wanted, given),
        Comparison::Bool => wanted.eq_ignore_ascii_case(given),
        Comparison::Number(order, or_equal) => {
            ordered(given.parse::<f64>().ok(), wanted.parse().ok(), order, or_equal)
        }
        Comparison::Date(order, or_equal) => ordered(date(given), date(wanted), order, or_equal),
        Comparison::Ip => in_network(wanted, given).unwrap_or(false),
    }
}

fn ordered(given: Option<f64>, wanted: Option<f64>, order: std::cmp::Ordering, or_equal: bool) -> bool {
    let compared = given
        .zip(wanted)
        .and_then(|(given, wanted)| given.partial_cmp(&wanted));
    compared.is_some_and(|it| it == order || (or_equal && it.is_eq()))
}

/// ISO 8601, or epoch seconds.
fn date(text: &str) -> Option<f64> {
    if let Ok(epoch) = text.parse() {
        return Some(epoch);
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of this age fit an f64 exactly"
    )]
    let seconds = at.as_second() as f64;
    Some(seconds)
}

fn in_network(network: &str, address: &str) -> Option<bool> {
    let (base, bits) = match network.split_once('/') {
        Some((base, bits)) => (base.parse().ok()?, Some(bits.parse::<u32>().ok()?)),
        None => (network.parse().ok()?, None),
    };
    let number = |address: IpAddr| match address {
        IpAddr::V4(it) => (u128::from(it.to_bits()), 32),
        IpAddr::V6(it) => (it.to_bits(), 128),
    };
    let ((base, width), (address, other)) = (number(base), number(address.parse().ok()?));
    let bits = bits.unwrap_or(width);
    if width != other || bits > width {
        return Some(false);
    }
    let kept = width - bits;
    Some(base.checked_shr(kept).unwrap_or(0) == address.checked_shr(kept).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operator: &str, wanted: &[&str], given: Option<&[&str]>) -> Option<bool> {
        let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        holds(operator, &owned(wanted), given.map(owned).as_deref())
    }

    #[test]
    fn strings() {
        assert_eq!(check("StringEquals", &["a", "b"], Some(&["b"])), Some(true));
        assert_eq!(check("StringEquals", &["a"], Some(&["A"])), Some(false));
        assert_eq!(check("StringNotEquals", &["a", "b"], Some(&["b"])), Some(false));
        assert_eq!(
            check(
                "StringLike",
                &["s3.*.amazonaws.com"],
                Some(&["s3.eu-west-1.amazonaws.com"])
            ),
            Some(true)
        );
        assert_eq!(check("StringNotLike", &["s3.*"], Some(&["sns.x"])), Some(true));
    }

    #[test]
    fn an_absent_key_satisfies_only_what_denies_or_is_optional() {
        assert_eq!(check("StringEquals", &["a"], None), Some(false));
        assert_eq!(check("StringNotEquals", &["a"], None), Some(true));
        assert_eq!(check("StringEqualsIfExists", &["a"], None), Some(true));
        assert_eq!(check("ForAllValues:StringLike", &["a"], None), Some(true));
        assert_eq!(check("ForAnyValue:StringLike", &["a"], None), Some(false));
        assert_eq!(check("Null", &["true"], None), Some(true));
        assert_eq!(check("Null", &["false"], None), Some(false));
        assert_eq!(check("Null", &["false"], Some(&["x"])), Some(true));
    }

    #[test]
    fn sets_of_values() {
        assert_eq!(
            check("ForAllValues:StringLike", &["run#*"], Some(&["run#1", "run#2"])),
            Some(true)
        );
        assert_eq!(
            check("ForAllValues:StringLike", &["run#*"], Some(&["run#1", "claim#2"])),
            Some(false)
        );
        assert_eq!(
            check("ForAnyValue:StringEquals", &["x"], Some(&["y", "x"])),
            Some(true)
        );
    }

    #[test]
    fn arns_take_wildcards_in_equals_too() {
        let wanted = ["arn:aws:sns:*:123456789012:topic"];
        assert_eq!(
            check(
                "ArnEquals",
                &wanted,
                Some(&["arn:aws:sns:us-east-1:123456789012:topic"])
            ),
            Some(true)
        );
        assert_eq!(
            check(
                "ArnLike",
                &wanted,
                Some(&["arn:aws:sns:us-east-1:999999999999:topic"])
            ),
            Some(false)
        );
    }

    #[test]
    fn numbers_dates_booleans_and_networks() {
        assert_eq!(check("NumericLessThanEquals", &["10"], Some(&["10"])), Some(true));
        assert_eq!(check("NumericLessThan", &["10"], Some(&["10"])), Some(false));
        assert_eq!(check("NumericLessThan", &["10"], Some(&["ten"])), Some(false));
        assert_eq!(
            check(
                "DateGreaterThan",
                &["2026-01-01T00:00:00Z"],
                Some(&["2026-06-01T00:00:00Z"])
            ),
            Some(true)
        );
        assert_eq!(check("Bool", &["true"], Some(&["True"])), Some(true));
        assert_eq!(
            check("IpAddress", &["127.0.0.0/8"], Some(&["127.0.0.1"])),
            Some(true)
        );
        assert_eq!(
            check("IpAddress", &["10.0.0.0/8"], Some(&["127.0.0.1"])),
            Some(false)
        );
        assert_eq!(
            check("NotIpAddress", &["::1/128"], Some(&["127.0.0.1"])),
            Some(true)
        );
        assert_eq!(
            check("IpAddress", &["0.0.0.0/0"], Some(&["127.0.0.1"])),
            Some(true)
        );
    }

    #[test]
    fn an_unknown_operator_is_nobodys_guess() {
        assert_eq!(check("StringMatches", &["a"], Some(&["a"])), None);
        assert_eq!(check("ForSomeValues:StringLike", &["a"], Some(&["a"])), None);
    }
}
