//! Metric math: expressions over rows of values, one value for each period.
//!
//! A missing value makes what is computed from it missing, and so does a division by zero. Functions over
//! several rows (`SUM(METRICS())`) take what is there.

mod evaluate;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

/// One value for each period, or none.
pub(crate) type Row = Vec<Option<f64>>;

/// What an expression may refer to.
pub(crate) struct Variables<'v> {
    /// The metrics, by id; what `METRICS()` means.
    pub(crate) metrics: &'v BTreeMap<&'v str, Row>,
    /// Anything else, by id: other expressions.
    pub(crate) other: &'v dyn Fn(&str) -> Option<Row>,
    /// How many values a row has.
    pub(crate) length: usize,
    /// In seconds.
    pub(crate) period: f64,
}

/// What an expression yields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Number(f64),
    Row(Row),
    Rows(Vec<Row>),
}

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expression(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Number(f64),
    Id(String),
    List(Vec<Node>),
    /// All metrics, or those whose id contains the text.
    Metrics(Option<String>),
    Negated(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    /// `FILL(m, REPEAT)`, `FILL(m, LINEAR)`.
    Fill(Box<Node>, Filling),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Sum,
    Avg,
    Min,
    Max,
    If,
    Abs,
    Ceil,
    Floor,
    Period,
}

#[derive(Debug, Clone, PartialEq)]
enum Filling {
    With(Box<Node>),
    Repeat,
    Linear,
}

impl Expression {
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse::expression(text).map(Self)
    }

    pub(crate) fn evaluate(&self, variables: &Variables<'_>) -> Operand {
        evaluate::node(&self.0, variables)
    }

    /// The ids that it names.
    pub(crate) fn references(&self) -> impl Iterator<Item = &str> {
        let mut ids = Vec::new();
        collect(&self.0, &mut ids);
        ids.into_iter()
    }
}

fn collect<'n>(node: &'n Node, ids: &mut Vec<&'n str>) {
    match node {
        Node::Number(_) | Node::Metrics(_) => {}
        Node::Id(id) => ids.push(id),
        Node::List(nodes) | Node::Call(_, nodes) => nodes.iter().for_each(|node| collect(node, ids)),
        Node::Negated(node) => collect(node, ids),
        Node::Binary(_, left, right) => {
            collect(left, ids);
            collect(right, ids);
        }
        Node::Fill(node, filling) => {
            collect(node, ids);
            if let Filling::With(value) = filling {
                collect(value, ids);
            }
        }
    }
}
