//! Reads a filter clause.

use super::{Filter, Literal, Op};
use crate::connector::naming;
use crate::error::BillingError;

/// Most bytes of a clause.
const CLAUSE_BYTES_MAX: usize = 4096;

/// Most comparisons of a clause.
const COMPARISONS_MAX: usize = 64;

/// How deep parentheses may be nested.
const DEPTH_MAX: usize = 16;

/// The field that errors name.
const FIELD: &str = "conditions";

/// A piece of a clause, with the place where it begins, in bytes from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Name(String),
    Text(String),
    Number(String),
    Op(Op),
    And,
    Or,
    Open,
    Close,
}

/// Reads a clause.
///
/// # Errors
/// `Invalid`, naming `conditions`, the place and what was expected there.
pub fn parse(clause: &str) -> Result<Filter, BillingError> {
    if clause.len() > CLAUSE_BYTES_MAX {
        return Err(wrong(0, &format!("is longer than {CLAUSE_BYTES_MAX} bytes")));
    }
    let tokens = tokens(clause)?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: clause.len(), comparisons: 0 };
    let filter = parser.any(0)?;
    match parser.tokens.get(parser.at) {
        None => Ok(filter),
        Some((place, _)) => Err(wrong(*place, "expects AND, OR or the end")),
    }
}

fn wrong(place: usize, reason: &str) -> BillingError {
    BillingError::invalid(FIELD, format!("{reason} at character {}", place + 1))
}

fn tokens(clause: &str) -> Result<Vec<(usize, Token)>, BillingError> {
    let mut tokens = Vec::new();
    let mut rest = clause;
    loop {
        rest = rest.trim_start();
        let place = clause.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '\'' => text(rest).ok_or_else(|| wrong(place, "has a quote that is not closed"))?,
            '"' => return Err(wrong(place, "expects texts in single quotes")),
            '=' | '!' | '<' | '>' => {
                op(rest).ok_or_else(|| wrong(place, "expects =, !=, <, <=, > or >="))?
            }
            '-' | '0'..='9' => {
                let length = length(rest, |it| it.is_ascii_alphanumeric() || "+-.".contains(it));
                let number = &rest[..length];
                if super::Exact::parse(number).is_none() {
                    return Err(wrong(place, "has what is no number"));
                }
                (Token::Number(number.to_owned()), length)
            }
            it if it.is_ascii_alphabetic() || it == '_' => {
                let length = length(rest, |it| it.is_ascii_alphanumeric() || "_.-".contains(it));
                (word(&rest[..length]), length)
            }
            _ => return Err(wrong(place, "has a character that means nothing")),
        };
        tokens.push((place, token));
        rest = &rest[length..];
    }
}

fn length(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|it| !is_part(it)).unwrap_or(text.len())
}

/// A text in single quotes, of which those in it are doubled, and its length with quotes.
fn text(rest: &str) -> Option<(Token, usize)> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != '\'' {
            text.push(letter);
        } else if letters.peek().is_some_and(|(_, next)| *next == '\'') {
            text.push('\'');
            letters.next();
        } else {
            return Some((Token::Text(text), at + 1));
        }
    }
    None
}

fn op(rest: &str) -> Option<(Token, usize)> {
    const OPS: [(&str, Op); 6] = [
        ("!=", Op::NotEqual),
        ("<=", Op::LessOrEqual),
        (">=", Op::GreaterOrEqual),
        ("=", Op::Equal),
        ("<", Op::Less),
        (">", Op::Greater),
    ];
    let found = OPS.iter().find(|(sign, _)| rest.starts_with(sign));
    found.map(|(sign, op)| (Token::Op(*op), sign.len()))
}

fn word(word: &str) -> Token {
    match word.to_ascii_uppercase().as_str() {
        "AND" => Token::And,
        "OR" => Token::Or,
        _ => Token::Name(word.to_owned()),
    }
}

struct Parser<'a> {
    tokens: &'a [(usize, Token)],
    at: usize,
    end: usize,
    comparisons: usize,
}

// === impl Parser ===

impl<'a> Parser<'a> {
    fn next(&mut self) -> (usize, Option<&'a Token>) {
        let found = self.tokens.get(self.at);
        self.at += 1;
        found.map_or((self.end, None), |(place, token)| (*place, Some(token)))
    }

    fn take(&mut self, token: &Token) -> bool {
        let is_next = self.tokens.get(self.at).is_some_and(|(_, next)| next == token);
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self, depth: usize) -> Result<Filter, BillingError> {
        let mut parts = vec![self.all(depth)?];
        while self.take(&Token::Or) {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Filter, BillingError> {
        let mut parts = vec![self.one(depth)?];
        while self.take(&Token::And) {
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Filter, BillingError> {
        let (place, token) = self.next();
        match token {
            Some(Token::Open) if depth < DEPTH_MAX => {
                let inside = self.any(depth + 1)?;
                match self.next() {
                    (_, Some(Token::Close)) => Ok(inside),
                    (place, _) => Err(wrong(place, "expects a closing parenthesis")),
                }
            }
            Some(Token::Open) => Err(wrong(place, "is nested too deep")),
            Some(Token::Name(name)) => self.comparison(place, name),
            Some(
                Token::Text(_)
                | Token::Number(_)
                | Token::Op(_)
                | Token::And
                | Token::Or
                | Token::Close,
            )
            | None => Err(wrong(place, "expects a field")),
        }
    }

    fn comparison(&mut self, place: usize, name: &str) -> Result<Filter, BillingError> {
        self.comparisons += 1;
        if self.comparisons > COMPARISONS_MAX {
            return Err(wrong(place, &format!("has more than {COMPARISONS_MAX} comparisons")));
        }
        let field = naming::path(name).map_err(|_| wrong(place, "has what is no field"))?;
        let op = match self.next() {
            (_, Some(Token::Op(op))) => *op,
            (place, _) => return Err(wrong(place, "expects =, !=, <, <=, > or >=")),
        };
        let value = match self.next() {
            (_, Some(Token::Text(text) | Token::Number(text))) => Literal::new(text),
            (_, Some(Token::Name(word))) if is_truth(word) => Literal::new(word),
            (place, _) => return Err(wrong(place, "expects a number or a text in single quotes")),
        };
        Ok(Filter::Compare { field, op, value })
    }
}

fn is_truth(word: &str) -> bool {
    word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false")
}
