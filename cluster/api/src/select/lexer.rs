// SPDX-License-Identifier: Apache-2.0
//! Words and signs of a selector of labels.

/// A word or a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// A key or a value.
    Word,
    /// One of the signs, or `in` and `notin`.
    Sign,
    /// Signs which mean nothing together.
    Unknown,
    /// The end.
    End,
}

/// A token and its text.
pub(super) type Item<'a> = (Token, &'a str);

const SIGNS: [&str; 9] = [")", ",", "!", "==", "=", ">", "<", "!=", "("];

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

/// Splits the text. A sign is as long as it can be.
pub(super) fn lex(text: &str) -> Vec<Item<'_>> {
    let bytes = text.as_bytes();
    let (mut at, mut items) = (0, Vec::new());
    while at < bytes.len() {
        let start = at;
        if is_space(bytes[at]) {
            at += 1;
        } else if is_special(bytes[at]) {
            at += 1;
            if at < bytes.len() && SIGNS.contains(&text.get(start..=at).unwrap_or("")) {
                at += 1;
            }
            items.push((Token::Sign, &text[start..at]));
        } else {
            while at < bytes.len() && !is_space(bytes[at]) && !is_special(bytes[at]) {
                at += 1;
            }
            let word = &text[start..at];
            let sign = word == "in" || word == "notin";
            let token = if word.contains('\0') { Token::Unknown } else { Token::Word };
            items.push((if sign { Token::Sign } else { token }, word));
        }
    }
    items
}
