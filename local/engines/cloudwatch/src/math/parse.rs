//! From text to an expression: precedence climbing over a few tokens.

use super::{Filling, Function, Node, Operator};

/// Deeper nesting is refused, so that no text exhausts the stack.
const DEEPEST: usize = 64;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Word(String),
    Text(String),
    Symbol(&'static str),
}

/// Longer symbols first.
const SYMBOLS: [&str; 18] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "^", "(", ")", "[", "]", ",",
];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let used = if first.is_ascii_digit() || first == '.' {
            let mut end = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            // An exponent, as in 1e-3.
            let exponent = rest[end..].strip_prefix(['e', 'E']);
            if let Some(after) = exponent {
                let digits = after.strip_prefix(['+', '-']).unwrap_or(after);
                let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                if count > 0 {
                    end += 1 + (after.len() - digits.len()) + count;
                }
            }
            let number = rest[..end]
                .parse()
                .map_err(|_| format!("'{}' is not a number", &rest[..end]))?;
            tokens.push(Token::Number(number));
            end
        } else if first.is_ascii_alphabetic() {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            end
        } else if first == '"' || first == '\'' {
            let end = rest[1..].find(first).ok_or("a text is not closed")?;
            tokens.push(Token::Text(rest[1..=end].to_owned()));
            end + 2
        } else {
            let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
            let symbol = symbol.ok_or_else(|| format!("unexpected '{first}'"))?;
            tokens.push(Token::Symbol(symbol));
            symbol.len()
        };
        rest = rest[used..].trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

pub(super) fn expression(text: &str) -> Result<Node, String> {
    let mut parser = Parser {
        tokens: tokens(text)?.into_iter().peekable(),
        depth: 0,
    };
    let node = parser.operation(0)?;
    match parser.tokens.next() {
        None => Ok(node),
        Some(token) => Err(format!("unexpected {}", shown(&token))),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Number(number) => number.to_string(),
        Token::Word(text) | Token::Text(text) => format!("'{text}'"),
        Token::Symbol(symbol) => format!("'{symbol}'"),
    }
}

/// The operator and how strongly it binds.
fn operator(token: &Token) -> Option<(Operator, u8)> {
    let text = match token {
        Token::Symbol(symbol) => symbol,
        Token::Word(word) => word.as_str(),
        Token::Number(_) | Token::Text(_) => return None,
    };
    Some(match text {
        "||" | "OR" => (Operator::Or, 1),
        "&&" | "AND" => (Operator::And, 2),
        "==" => (Operator::Equal, 3),
        "!=" => (Operator::Unequal, 3),
        "<" => (Operator::Less, 3),
        "<=" => (Operator::LessOrEqual, 3),
        ">" => (Operator::Greater, 3),
        ">=" => (Operator::GreaterOrEqual, 3),
        "+" => (Operator::Add, 4),
        "-" => (Operator::Subtract, 4),
        "*" => (Operator::Multiply, 5),
        "/" => (Operator::Divide, 5),
        "^" => (Operator::Power, 6),
        _ => return None,
    })
}

impl Parser {
    fn expect(&mut self, symbol: &'static str) -> Result<(), String> {
        match self.tokens.next() {
            Some(Token::Symbol(found)) if found == symbol => Ok(()),
            Some(other) => Err(format!("'{symbol}' is expected, not {}", shown(&other))),
            None => Err(format!("'{symbol}' is expected at the end")),
        }
    }

    fn takes(&mut self, symbol: &'static str) -> bool {
        self.tokens
            .next_if(|token| *token == Token::Symbol(symbol))
            .is_some()
    }

    fn operation(&mut self, weakest: u8) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deeply".to_owned());
        }
        let mut left = self.operand()?;
        while let Some((operator, strength)) = self.tokens.peek().and_then(operator) {
            if strength <= weakest {
                break;
            }
            self.tokens.next();
            let right = self.operation(strength)?;
            left = Node::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Node, String> {
        match self.tokens.next() {
            Some(Token::Number(number)) => Ok(Node::Number(number)),
            Some(Token::Symbol("-")) => self.operation(5).map(|node| Node::Negated(Box::new(node))),
            Some(Token::Symbol("(")) => {
                let node = self.operation(0)?;
                self.expect(")")?;
                Ok(node)
            }
            Some(Token::Symbol("[")) => {
                let mut nodes = vec![self.operation(0)?];
                while self.takes(",") {
                    nodes.push(self.operation(0)?);
                }
                self.expect("]")?;
                Ok(Node::List(nodes))
            }
            Some(Token::Word(word)) if word.starts_with(|first: char| first.is_ascii_lowercase()) => {
                Ok(Node::Id(word))
            }
            Some(Token::Word(word)) => {
                self.expect("(")?;
                self.call(&word)
            }
            Some(other) => Err(format!("unexpected {}", shown(&other))),
            None => Err("it ends too early".to_owned()),
        }
    }

    /// After the opening parenthesis.
    fn call(&mut self, name: &str) -> Result<Node, String> {
        if name == "METRICS" {
            let filter = match self.tokens.next_if(|token| matches!(token, Token::Text(_))) {
                Some(Token::Text(text)) => Some(text),
                _ => None,
            };
            self.expect(")")?;
            return Ok(Node::Metrics(filter));
        }
        if name == "FILL" {
            let filled = Box::new(self.operation(0)?);
            self.expect(",")?;
            let word = |word: &'static str| move |token: &Token| *token == Token::Word(word.to_owned());
            let filling = if self.tokens.next_if(word("REPEAT")).is_some() {
                Filling::Repeat
            } else if self.tokens.next_if(word("LINEAR")).is_some() {
                Filling::Linear
            } else {
                Filling::With(Box::new(self.operation(0)?))
            };
            self.expect(")")?;
            return Ok(Node::Fill(filled, filling));
        }
        let (function, arguments) = match name {
            "SUM" => (Function::Sum, 1),
            "AVG" => (Function::Avg, 1),
            "MIN" => (Function::Min, 1),
            "MAX" => (Function::Max, 1),
            "IF" => (Function::If, 3),
            "ABS" => (Function::Abs, 1),
            "CEIL" => (Function::Ceil, 1),
            "FLOOR" => (Function::Floor, 1),
            "PERIOD" => (Function::Period, 1),
            _ => return Err(format!("the local cloud has no function {name}")),
        };
        let mut nodes = vec![self.operation(0)?];
        while self.takes(",") {
            nodes.push(self.operation(0)?);
        }
        self.expect(")")?;
        if nodes.len() != arguments {
            return Err(format!("{name} takes {arguments} arguments, not {}", nodes.len()));
        }
        Ok(Node::Call(function, nodes))
    }
}
