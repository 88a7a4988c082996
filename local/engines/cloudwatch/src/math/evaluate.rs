//! Evaluating an expression, period by period.

use super::{Filling, Function, Node, Operand, Operator, Row, Variables};

pub(super) fn node(node_: &Node, variables: &Variables<'_>) -> Operand {
    match node_ {
        Node::Number(number) => Operand::Number(*number),
        Node::Id(id) => Operand::Row(
            variables
                .metrics
                .get(id.as_str())
                .cloned()
                .or_else(|| (variables.other)(id))
                .unwrap_or_else(|| vec![None; variables.length]),
        ),
        Node::List(nodes) => Operand::Rows(
            nodes
                .iter()
                .flat_map(|one| rows(node(one, variables), variables.length))
                .collect(),
        ),
        Node::Metrics(filter) => Operand::Rows(
            variables
                .metrics
                .iter()
                .filter(|(id, _)| filter.as_deref().is_none_or(|part| id.contains(part)))
                .map(|(_, row)| row.clone())
                .collect(),
        ),
        Node::Negated(one) => map(node(one, variables), &|value| Some(-value)),
        Node::Binary(operator, left, right) => {
            let (left, right) = (node(left, variables), node(right, variables));
            combine(left, right, variables.length, &|left, right| {
                apply(*operator, left, right)
            })
        }
        Node::Call(function, nodes) => call(
            *function,
            nodes.iter().map(|one| node(one, variables)).collect(),
            variables,
        ),
        Node::Fill(one, filling) => {
            let value = match filling {
                Filling::With(value) => Some(node(value, variables)),
                Filling::Repeat | Filling::Linear => None,
            };
            let fill = |row: Row| match (&value, filling) {
                (Some(value), _) => {
                    let other = row_of(value.clone(), variables.length);
                    row.into_iter()
                        .zip(other)
                        .map(|(one, other)| one.or(other))
                        .collect()
                }
                (None, Filling::Linear) => linear(&row),
                (None, _) => repeated(row),
            };
            match node(one, variables) {
                Operand::Rows(rows) => Operand::Rows(rows.into_iter().map(fill).collect()),
                Operand::Row(row) => Operand::Row(fill(row)),
                number @ Operand::Number(_) => number,
            }
        }
    }
}

fn apply(operator: Operator, left: f64, right: f64) -> Option<f64> {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    let equal = (left - right).abs() <= f64::EPSILON * left.abs().max(right.abs()).max(1.0);
    let value = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        Operator::Power => left.powf(right),
        Operator::Equal => truth(equal),
        Operator::Unequal => truth(!equal),
        Operator::Less => truth(left < right),
        Operator::LessOrEqual => truth(left <= right),
        Operator::Greater => truth(left > right),
        Operator::GreaterOrEqual => truth(left >= right),
        Operator::And => truth(is_true(left) && is_true(right)),
        Operator::Or => truth(is_true(left) || is_true(right)),
    };
    // What is no number is no data.
    value.is_finite().then_some(value)
}

fn is_true(value: f64) -> bool {
    value.abs() > 0.0
}

fn rows(operand: Operand, length: usize) -> Vec<Row> {
    match operand {
        Operand::Number(number) => vec![vec![Some(number); length]],
        Operand::Row(row) => vec![row],
        Operand::Rows(rows) => rows,
    }
}

fn row_of(operand: Operand, length: usize) -> Row {
    rows(operand, length)
        .into_iter()
        .next()
        .unwrap_or_else(|| vec![None; length])
}

fn map(operand: Operand, change: &dyn Fn(f64) -> Option<f64>) -> Operand {
    let row = |row: Row| -> Row { row.into_iter().map(|value| value.and_then(change)).collect() };
    match operand {
        Operand::Number(number) => change(number).map_or(Operand::Number(0.0), Operand::Number),
        Operand::Row(one) => Operand::Row(row(one)),
        Operand::Rows(all) => Operand::Rows(all.into_iter().map(row).collect()),
    }
}

fn combine(left: Operand, right: Operand, length: usize, join: &dyn Fn(f64, f64) -> Option<f64>) -> Operand {
    let pairwise = |left: Row, right: Row| -> Row {
        left.into_iter()
            .zip(right)
            .map(|(left, right)| join(left?, right?))
            .collect()
    };
    match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => match join(left, right) {
            Some(number) => Operand::Number(number),
            None => Operand::Row(vec![None; length]),
        },
        (Operand::Rows(left), right) => {
            let right = row_of(right, length);
            Operand::Rows(left.into_iter().map(|one| pairwise(one, right.clone())).collect())
        }
        (left, Operand::Rows(right)) => {
            let left = row_of(left, length);
            Operand::Rows(right.into_iter().map(|one| pairwise(left.clone(), one)).collect())
        }
        (left, right) => Operand::Row(pairwise(row_of(left, length), row_of(right, length))),
    }
}

fn call(function: Function, arguments: Vec<Operand>, variables: &Variables<'_>) -> Operand {
    let length = variables.length;
    let mut arguments = arguments.into_iter();
    let Some(first) = arguments.next() else {
        return Operand::Row(vec![None; length]);
    };
    match function {
        Function::Sum | Function::Avg | Function::Min | Function::Max => match first {
            // Over several rows: a row. Over one row: a number.
            Operand::Rows(rows) => Operand::Row(
                (0..length)
                    .map(|index| {
                        reduce(
                            function,
                            rows.iter().filter_map(|row| row.get(index).copied().flatten()),
                        )
                    })
                    .collect(),
            ),
            Operand::Row(row) => match reduce(function, row.into_iter().flatten()) {
                Some(number) => Operand::Number(number),
                None => Operand::Row(vec![None; length]),
            },
            number @ Operand::Number(_) => number,
        },
        Function::Abs => map(first, &|value| Some(value.abs())),
        Function::Ceil => map(first, &|value| Some(value.ceil())),
        Function::Floor => map(first, &|value| Some(value.floor())),
        Function::Period => Operand::Number(variables.period),
        Function::If => {
            let mut row = || {
                arguments
                    .next()
                    .map_or_else(|| vec![None; length], |operand| row_of(operand, length))
            };
            let (then, otherwise) = (row(), row());
            let condition = row_of(first, length);
            let choose = condition.into_iter().zip(then).zip(otherwise);
            Operand::Row(
                choose
                    .map(|((holds, then), other)| if is_true(holds?) { then } else { other })
                    .collect(),
            )
        }
    }
}

fn reduce(function: Function, values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    #[expect(clippy::cast_precision_loss, reason = "a row has few values")]
    let count = values.len() as f64;
    let sum = || values.iter().sum::<f64>();
    if values.is_empty() {
        return None;
    }
    match function {
        Function::Avg => Some(sum() / count),
        Function::Min => values.into_iter().reduce(f64::min),
        Function::Max => values.into_iter().reduce(f64::max),
        _ => Some(sum()),
    }
}

/// The last value that was there, in place of one that is not.
fn repeated(row: Row) -> Row {
    let mut last = None;
    row.into_iter()
        .map(|value| {
            last = value.or(last);
            last
        })
        .collect()
}

/// Values on the straight line between those beside the gap.
fn linear(row: &Row) -> Row {
    #[expect(clippy::cast_precision_loss, reason = "a row has few values")]
    let place = |index: usize| index as f64;
    (0..row.len())
        .map(|index| {
            let before = (0..=index).rev().find_map(|at| row[at].map(|value| (at, value)));
            let after = (index..row.len()).find_map(|at| row[at].map(|value| (at, value)));
            match (before, after) {
                (Some((at, value)), Some((other_at, other))) if other_at > at => {
                    Some(value + (other - value) * place(index - at) / place(other_at - at))
                }
                (Some((_, value)), Some(_)) => Some(value),
                _ => None,
            }
        })
        .collect()
}
