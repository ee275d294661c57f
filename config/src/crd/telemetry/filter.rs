//! `filter.expression`: a closed part of CEL. Comparisons (`==`, `!=`, `<`, `<=`, `>`, `>=`) of `response.code`,
//! `response.flags` (with 0 alone), `response.grpc_status` and `connection.mtls` (with `true`, `false`, or by itself),
//! joined by `&&`, `||`, `!` and parentheses.
//!
//! What is read is brought into alternatives of conditions; nesting and their number are bounded.

use crate::{
    crd::reader::Item,
    model::telemetry::{LogAlternative, LogAttribute, LogComparison, LogCondition, LogFilter},
};

/// Deepest nesting of parentheses and negations.
const MAX_DEPTH: usize = 16;
/// Most conditions that an expression may come to.
const MAX_CONDITIONS: usize = 256;

/// Reads an expression. `None`: it is not of this part of CEL, which is reported.
pub(super) fn read(item: &Item<'_>) -> Option<LogFilter> {
    let text = item.non_empty()?;
    match parse(&text) {
        Ok(filter) => Some(filter),
        Err(reason) => {
            look(item);
            item.warn(
                "filter-not-acted-on",
                format!("the expression {text:.200?} is not acted on, and so the rule is not: {reason}"),
            );
            None
        }
    }
}

/// Refuses what is no CEL at all, whatever part of it is served: quotes and brackets that do not close, and operators
/// that have nothing to work on.
pub(super) fn look(item: &Item<'_>) {
    let Some(text) = item.string() else { return };
    let (mut open, mut quote, mut escaped) = (Vec::new(), None, false);
    for c in text.chars() {
        match (quote, c) {
            (Some(_), _) if std::mem::take(&mut escaped) => {}
            (Some(_), '\\') => escaped = true,
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => open.push(')'),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ')' | ']' | '}') if open.pop() != Some(c) => return item.refuse(format!("{c:?} closes nothing")),
            (None, _) => {}
        }
    }
    let text = text.trim();
    if quote.is_some() || !open.is_empty() {
        item.refuse("a quote or bracket is not closed");
    } else if text.ends_with(['&', '|', '=', '<', '>', '!', '+', '*', '/', '%', '.', ','])
        || text.starts_with(['&', '|', '=', '<', '>', '+', '*', '/', '%', ')'])
    {
        item.refuse("an operator has nothing to work on");
    }
}

fn parse(text: &str) -> Result<LogFilter, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let any = parser.either(false, 0)?;
    match parser.peek() {
        None => Ok(LogFilter { any: any.into_iter().map(|all| LogAlternative { all }).collect() }),
        Some(Token::Word(text) | Token::Sign(text)) => Err(format!("{text:?} is not expected")),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Sign(&'t str),
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let length = match word(first) {
            true => rest.find(|c: char| !word(c)).unwrap_or(rest.len()),
            false => {
                let signs = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")"];
                let sign = signs.into_iter().find(|sign| rest.starts_with(sign));
                sign.ok_or_else(|| format!("{first:?} means nothing here"))?.len()
            }
        };
        let (token, tail) = rest.split_at(length);
        tokens.push(if word(first) { Token::Word(token) } else { Token::Sign(token) });
        rest = tail.trim_start();
    }
    Ok(tokens)
}

/// Alternatives of conditions.
type Alternatives = Vec<Vec<LogCondition>>;

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Option<Token<'t>> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn skip(&mut self, sign: &str) -> bool {
        let is_there = self.peek() == Some(Token::Sign(sign));
        self.at += usize::from(is_there);
        is_there
    }

    /// `a || b`. With `negated`, what holds where the text does not: `!(a || b)` is `!a && !b`.
    fn either(&mut self, negated: bool, depth: usize) -> Result<Alternatives, String> {
        let mut found = self.both(negated, depth)?;
        while self.skip("||") {
            let more = self.both(negated, depth)?;
            found = if negated { and(&found, &more)? } else { or(found, more)? };
        }
        Ok(found)
    }

    /// `a && b`, which binds more tightly.
    fn both(&mut self, negated: bool, depth: usize) -> Result<Alternatives, String> {
        let mut found = self.single(negated, depth)?;
        while self.skip("&&") {
            let more = self.single(negated, depth)?;
            found = if negated { or(found, more)? } else { and(&found, &more)? };
        }
        Ok(found)
    }

    fn single(&mut self, negated: bool, depth: usize) -> Result<Alternatives, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} deep"));
        }
        if self.skip("!") {
            return self.single(!negated, depth + 1);
        }
        if self.skip("(") {
            let found = self.either(negated, depth + 1)?;
            return self.skip(")").then_some(found).ok_or_else(|| "a parenthesis is not closed".to_owned());
        }
        let mut condition = self.condition()?;
        if negated {
            condition.comparison = condition.comparison.negated();
        }
        Ok(vec![vec![condition]])
    }

    fn condition(&mut self) -> Result<LogCondition, String> {
        let attribute = match self.next() {
            Some(Token::Word("response.code")) => LogAttribute::ResponseCode,
            Some(Token::Word("response.flags")) => LogAttribute::ResponseFlags,
            Some(Token::Word("response.grpc_status")) => LogAttribute::GrpcStatus,
            Some(Token::Word("connection.mtls")) => LogAttribute::MutualTls,
            Some(Token::Word(word)) => return Err(format!("{word:?} is not an attribute that is served")),
            Some(Token::Sign(sign)) => return Err(format!("{sign:?} stands where an attribute should")),
            None => return Err("it ends where an attribute should stand".to_owned()),
        };
        let comparison = match self.peek() {
            Some(Token::Sign("==")) => LogComparison::Equal,
            Some(Token::Sign("!=")) => LogComparison::NotEqual,
            Some(Token::Sign("<")) => LogComparison::Less,
            Some(Token::Sign("<=")) => LogComparison::AtMost,
            Some(Token::Sign(">")) => LogComparison::Greater,
            Some(Token::Sign(">=")) => LogComparison::AtLeast,
            _ if attribute == LogAttribute::MutualTls => {
                return Ok(LogCondition { attribute, comparison: LogComparison::Equal, number: 1 });
            }
            _ => return Err("an attribute is not compared with anything".to_owned()),
        };
        self.at += 1;
        let Some(Token::Word(value)) = self.next() else { return Err("a comparison has no second side".to_owned()) };
        let number = match (attribute, value) {
            (LogAttribute::MutualTls, "true") => Some(1),
            (LogAttribute::MutualTls, "false") => Some(0),
            (LogAttribute::MutualTls, _) => None,
            (LogAttribute::ResponseFlags, "0") => Some(0),
            (LogAttribute::ResponseFlags, _) => return Err("response.flags is compared with 0 alone".to_owned()),
            (LogAttribute::ResponseCode | LogAttribute::GrpcStatus, number) => number.parse().ok(),
        };
        let number = number.ok_or_else(|| format!("{value:?} cannot be compared with"))?;
        let equality = matches!(comparison, LogComparison::Equal | LogComparison::NotEqual);
        if attribute == LogAttribute::MutualTls && !equality {
            return Err("connection.mtls is equal or not".to_owned());
        }
        Ok(LogCondition { attribute, comparison, number })
    }
}

fn or(mut left: Alternatives, right: Alternatives) -> Result<Alternatives, String> {
    left.extend(right);
    bounded(left)
}

fn and(left: &Alternatives, right: &Alternatives) -> Result<Alternatives, String> {
    if left.len().saturating_mul(right.len()) > MAX_CONDITIONS {
        return Err(format!("it comes to more than {MAX_CONDITIONS} conditions"));
    }
    bounded(left.iter().flat_map(|l| right.iter().map(move |r| [&l[..], r].concat())).collect())
}

fn bounded(alternatives: Alternatives) -> Result<Alternatives, String> {
    match alternatives.iter().map(Vec::len).sum::<usize>() > MAX_CONDITIONS {
        true => Err(format!("it comes to more than {MAX_CONDITIONS} conditions")),
        false => Ok(alternatives),
    }
}

#[cfg(test)]
mod tests;
