//! Expressions as alarms use them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Expression, Operand, Row, Variables};

fn evaluate(text: &str) -> Operand {
    let metrics: BTreeMap<&str, Row> = BTreeMap::from([
        ("errors", vec![Some(1.0), None, Some(3.0), Some(0.0)]),
        ("invocations", vec![Some(10.0), Some(5.0), Some(0.0), Some(4.0)]),
    ]);
    let variables = Variables {
        metrics: &metrics,
        other: &|id| (id == "e1").then(|| vec![Some(2.0); 4]),
        length: 4,
        period: 60.0,
    };
    Expression::parse(text).unwrap().evaluate(&variables)
}

fn row(text: &str) -> Row {
    match evaluate(text) {
        Operand::Row(row) => row,
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn what_error_rates_need() {
    let rate = vec![Some(10.0), None, None, Some(0.0)];
    assert_eq!(row("100 * errors / invocations"), rate);
    assert_eq!(
        row("IF(invocations > 0, 100 * errors / invocations, 0)"),
        [Some(10.0), None, Some(0.0), Some(0.0)]
    );
    assert_eq!(
        row("IF(invocations > 0, FILL(errors, 0) / invocations, 0)"),
        [Some(0.1), Some(0.0), Some(0.0), Some(0.0)]
    );
    assert_eq!(row("(errors + 1) * e1"), [Some(4.0), None, Some(8.0), Some(2.0)]);
}

#[test]
fn functions_over_rows_and_over_time() {
    assert_eq!(
        row("SUM(METRICS())"),
        [Some(11.0), Some(5.0), Some(3.0), Some(4.0)]
    );
    assert_eq!(
        row("MAX([errors, invocations])"),
        [Some(10.0), Some(5.0), Some(3.0), Some(4.0)]
    );
    assert_eq!(
        row("AVG(METRICS(\"err\"))"),
        [Some(1.0), None, Some(3.0), Some(0.0)]
    );
    assert_eq!(evaluate("SUM(errors)"), Operand::Number(4.0));
    assert_eq!(
        row("errors / MAX(invocations)"),
        [Some(0.1), None, Some(0.3), Some(0.0)]
    );
    assert_eq!(
        row("FILL(errors, REPEAT)"),
        [Some(1.0), Some(1.0), Some(3.0), Some(0.0)]
    );
    assert_eq!(
        row("FILL(errors, LINEAR)"),
        [Some(1.0), Some(2.0), Some(3.0), Some(0.0)]
    );
    assert_eq!(
        row("SUM(FILL(METRICS(), 7))"),
        [Some(11.0), Some(12.0), Some(3.0), Some(4.0)]
    );
    assert_eq!(
        row("invocations / PERIOD(invocations) * 60"),
        [Some(10.0), Some(5.0), Some(0.0), Some(4.0)]
    );
}

#[test]
fn operators_bind_as_usual() {
    for (text, expected) in [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("10 - 4 - 3", 3.0),
        ("2 * -3", -6.0),
        ("-2 + 5", 3.0),
        ("2 ^ 3 * 2", 16.0),
        ("1.5e2 / 3", 50.0),
        ("1 < 2 AND 3 >= 4 OR 5 == 5", 1.0),
        ("ABS(-2) + CEIL(0.2) + FLOOR(1.9)", 4.0),
    ] {
        assert_eq!(evaluate(text), Operand::Number(expected), "{text}");
    }
    assert_eq!(row("1 / 0"), [None; 4]);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, reason) in [
        ("", "ends too early"),
        ("1 +", "ends too early"),
        ("(1", "')' is expected"),
        ("1 2", "unexpected 2"),
        ("SUM(1, 2)", "SUM takes 1 arguments, not 2"),
        ("SEARCH('x')", "no function SEARCH"),
        ("a ? b", "unexpected '?'"),
        ("1.2.3", "is not a number"),
        ("METRICS(\"x)", "not closed"),
        (&"(".repeat(5_000), "nested too deeply"),
    ] {
        let refused = Expression::parse(text).unwrap_err();
        assert!(refused.contains(reason), "{text}: {refused}");
    }
}

#[test]
fn references_are_found_wherever_they_stand() {
    let expression = Expression::parse("IF(a > 0, [b, FILL(c, d)], -e)").unwrap();
    assert_eq!(
        expression.references().collect::<Vec<_>>(),
        ["a", "b", "c", "d", "e"]
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r#"([a-z0-9+*/^()<>=&|,."' -]|\[|\]|SUM|IF|FILL|METRICS|REPEAT|LINEAR|OR|é){0,24}"#) {
        if let Ok(expression) = Expression::parse(&text) {
            let metrics: BTreeMap<&str, Row> = BTreeMap::from([("a", vec![Some(1.0), None])]);
            let variables = Variables { metrics: &metrics, other: &|_| None, length: 2, period: 60.0 };
            let _ = expression.evaluate(&variables);
        }
    }

    #[test]
    fn a_row_keeps_its_length(left in "[a-z]", right in "[a-z]") {
        let Operand::Row(row) = evaluate(&format!("{left} / {right} + 1")) else { panic!("a row of rows is a row") };
        prop_assert_eq!(row.len(), 4);
    }
}
