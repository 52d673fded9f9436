// SPDX-License-Identifier: Apache-2.0
//! The grammar of selectors of labels, with upstream's sentences for what does not follow it.

use super::lexer::{Item, Token, lex};
use super::{Operator, Requirement};

struct Parser<'a> {
    items: Vec<Item<'a>>,
    at: usize,
}

/// Reads a selector.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser { items: lex(text), at: 0 };
    let mut terms = Vec::new();
    loop {
        match parser.peek() {
            (Token::Word, _) | (Token::Sign, "!") => {}
            (Token::End, _) => return Ok(terms),
            (_, text) => {
                return Err(format!("found '{text}', expected: !, identifier, or 'end of string'"));
            }
        }
        let wrap = |problem| format!("unable to parse requirement: {problem}");
        terms.push(parser.requirement().map_err(wrap)?);
        match parser.next() {
            (Token::End, _) => return Ok(terms),
            (Token::Sign, ",") => match parser.peek() {
                (Token::Word, _) | (Token::Sign, "!") => {}
                (_, text) => return Err(format!("found '{text}', expected: identifier after ','")),
            },
            (_, text) => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
        }
    }
}

impl<'a> Parser<'a> {
    /// The next item where `in` and `notin` mean something.
    fn peek_operator(&self) -> Item<'a> {
        self.items.get(self.at).copied().unwrap_or((Token::End, ""))
    }

    /// The next item where `in` and `notin` are but words.
    fn peek(&self) -> Item<'a> {
        match self.peek_operator() {
            (Token::Sign, word @ ("in" | "notin")) => (Token::Word, word),
            other => other,
        }
    }

    fn next(&mut self) -> Item<'a> {
        let item = self.peek();
        self.at += 1;
        item
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut item = self.next();
        let not = item == (Token::Sign, "!");
        if not {
            item = self.next();
        }
        let (Token::Word, key) = item else {
            return Err(format!("found '{}', expected: identifier", item.1));
        };
        let end = matches!(self.peek(), (Token::End, _) | (Token::Sign, ","));
        let (operator, mut values) = match (not, end) {
            (true, _) => (Operator::DoesNotExist, Vec::new()),
            (false, true) => (Operator::Exists, Vec::new()),
            (false, false) => self.comparison()?,
        };
        values.sort();
        values.dedup();
        let term = Requirement { key: key.to_owned(), operator, values };
        match term.problem() {
            Some(problem) => Err(problem),
            None => Ok(term),
        }
    }

    fn comparison(&mut self) -> Result<(Operator, Vec<String>), String> {
        let (token, sign) = self.peek_operator();
        self.at += 1;
        let operator = match sign {
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            "=" | "==" => Operator::Equals,
            "!=" => Operator::NotEquals,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            _ => {
                let known = "'=', '!=', '==', 'in', notin'";
                return Err(format!("found '{sign}', expected: {known}"));
            }
        };
        debug_assert_eq!(token, Token::Sign);
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.value()?],
        };
        Ok((operator, values))
    }

    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            (Token::End, _) | (Token::Sign, ",") => Ok(String::new()),
            (Token::Word, word) => {
                self.at += 1;
                Ok(word.to_owned())
            }
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            (Token::Sign, "(") => {}
            (_, text) => return Err(format!("found '{text}' expected: '('")),
        }
        match self.peek() {
            (Token::Word, _) | (Token::Sign, ",") => {
                let values = self.words()?;
                match self.next() {
                    (Token::Sign, ")") => Ok(values),
                    (_, text) => Err(format!("found '{text}', expected: ')'")),
                }
            }
            (Token::Sign, ")") => {
                self.at += 1;
                Ok(vec![String::new()])
            }
            (_, text) => Err(format!("found '{text}', expected: ',', ')' or identifier")),
        }
    }

    /// Words with commas between; where there is no word, it is an empty one.
    fn words(&mut self) -> Result<Vec<String>, String> {
        let mut words = Vec::new();
        loop {
            match self.next() {
                (Token::Word, word) => {
                    words.push(word.to_owned());
                    match self.peek() {
                        (Token::Sign, ",") => {}
                        (Token::Sign, ")") => return Ok(words),
                        (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Token::Sign, ",") => {
                    if words.is_empty() {
                        words.push(String::new());
                    }
                    match self.peek() {
                        (Token::Sign, ")") => {
                            words.push(String::new());
                            return Ok(words);
                        }
                        (Token::Sign, ",") => {
                            self.at += 1;
                            words.push(String::new());
                        }
                        _ => {}
                    }
                }
                (_, text) => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
    }
}
