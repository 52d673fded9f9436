// SPDX-License-Identifier: Apache-2.0
//! The usual JSON, read fast: what is unusual in any way is left to a reader that can say what is wrong with it.

use crate::{Map, Text, Value};
use serde_json::Number;

/// Reads a text of JSON (RFC 8259), if it is of the usual kind: no name twice in an object, whole numbers, not deeper than `depth`. None
/// means that `serde_json` has to look at it, which may well find nothing wrong.
pub fn usual(bytes: &[u8], depth: usize) -> Option<Value> {
    // All at once is faster than text by text.
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(depth)?;
    parser.space();
    (parser.at == bytes.len()).then_some(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// What comes next behind spaces.
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        if byte > b' ' {
            return Some(byte);
        }
        self.space();
        self.peek()
    }

    /// Takes a byte that has to be there.
    fn take(&mut self, byte: u8) -> Option<()> {
        let found = self.next()? == byte;
        self.at += usize::from(found);
        found.then_some(())
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        let found = self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(value)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        match self.next()? {
            b'"' => Some(Value::String(self.string()?)),
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.array(depth.checked_sub(1)?),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut map = Map::new();
        if self.next()? == b'}' {
            self.at += 1;
            return Some(Value::Object(map));
        }
        loop {
            if self.next()? != b'"' {
                return None;
            }
            let name = self.string()?;
            self.take(b':')?;
            let value = self.value(depth)?;
            if map.insert(name, value).is_some() {
                return None;
            }
            match self.next()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        self.at += 1;
        Some(Value::Object(map))
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut items = Vec::new();
        if self.next()? == b']' {
            self.at += 1;
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            match self.next()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return None,
            }
        }
        self.at += 1;
        Some(Value::Array(items))
    }

    /// A text whose quote is next.
    fn string(&mut self) -> Option<Text> {
        let begin = self.at + 1;
        let plain = crate::write::plain(self.text.as_bytes().get(begin..)?);
        let end = begin + plain;
        match self.text.as_bytes().get(end)? {
            b'"' => {
                self.at = end + 1;
                Some(Text::from(self.text.get(begin..end)?))
            }
            b'\\' => self.escaped(end),
            _ => None,
        }
    }

    /// A text with escapes, of which the first is at `from`.
    fn escaped(&mut self, mut from: usize) -> Option<Text> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(from)? {
                b'"' => break,
                // What is escaped is no end.
                b'\\' => from += 2,
                _ => from += 1,
            }
            from += crate::write::plain(bytes.get(from..)?);
        }
        let whole = self.text.get(self.at..=from)?;
        self.at = from + 1;
        serde_json::from_str::<Text>(whole).ok()
    }

    /// A whole number of at most 18 digits.
    fn number(&mut self) -> Option<Value> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let negative = rest.first() == Some(&b'-');
        let digits = rest.get(usize::from(negative)..)?;
        let count = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
        let more = digits.get(count).is_some_and(|byte| matches!(byte, b'.' | b'e' | b'E'));
        let leading = digits.first() == Some(&b'0') && (count > 1 || negative);
        if count == 0 || count > 18 || more || leading {
            return None;
        }
        let number = digits.iter().take(count);
        let number = number.fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        self.at += count + usize::from(negative);
        Some(Value::Number(if negative {
            Number::from(-number)
        } else {
            Number::from(number.unsigned_abs())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: usize = 20;

    /// What is taken is what `serde_json` makes of it.
    fn checked(text: &[u8]) -> bool {
        let Some(value) = usual(text, DEPTH) else { return false };
        let read = serde_json::from_slice::<Value>(text);
        assert_eq!(Some(value), read.ok(), "{}", String::from_utf8_lossy(text));
        true
    }

    #[test]
    fn the_usual_is_read_as_serde_reads_it() {
        for text in [
            r#"{"b":[1,-2,0,{}],"a":{"x":null,"y":true,"z":false},"c":"d"}"#,
            " [ ] ",
            "{ }",
            "\n{\t\"a\" :\r[ 1 , 2 ] } ",
            r#""\u00e9\n\\\"\/\ud83d\ude00x""#,
            r#""aé😀""#,
            "999999999999999999",
            "-999999999999999999",
            "\"\"",
            "null",
        ] {
            assert!(checked(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_unusual_or_wrong_is_left_to_others() {
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{a:1}",
            "[1 2]",
            "1.5",
            "1e3",
            "01",
            "-0",
            "-",
            "1234567890123456789",
            "nul",
            "truex",
            "\"a",
            "\"\\",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\n\"",
            "{\"a\":1,\"a\":2}",
            "1 1",
            "+1",
            "[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]",
        ] {
            assert_eq!(usual(text.as_bytes(), DEPTH), None, "{text}");
        }
        assert_eq!(usual(b"\"\xff\"", DEPTH), None);
    }

    #[test]
    fn whatever_bytes_come_what_is_taken_is_right() {
        let base =
            r#"{"a":[1,-20,{"b":"c\n\"d"},null,true],"metadata":{"name":"x","é":"😀","n":0}} "#
                .as_bytes();
        let mut state = 7_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut taken = 0;
        for _ in 0..200_000 {
            let mut text = base.to_vec();
            for _ in 0..=random(3) {
                let at = random(text.len());
                let bytes = b"{}[]\",:\\ 0129-.eEntfu\x00\x1f\xc3\xa9";
                let byte = bytes[random(bytes.len())];
                match random(3) {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    _ => drop(text.remove(at)),
                }
            }
            taken += u32::from(checked(&text));
        }
        assert!(taken > 1_000, "{taken}");
    }
}
