// SPDX-License-Identifier: Apache-2.0
//! `$(NAME)` in a text (upstream's `third_party/forked/golang/expansion`): `$$` is a dollar, and what is unknown stays as it is written.

use std::convert::Infallible;

/// What an operator leads to.
enum Read<'a> {
    /// Text, and how many bytes of the input it took.
    Text(&'a str, usize),
    /// The name of a variable, likewise.
    Name(&'a str, usize),
}

/// The text with all variables that `value` knows in place; others stay as they are written.
pub(crate) fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let known = |name: &str| Ok(value(name).unwrap_or_else(|| format!("$({name})")));
    match walk::<Infallible>(text, known) {
        Ok(expanded) => expanded,
    }
}

/// The same where an unknown variable is an error, which is its name: of `subPathExpr`.
pub(crate) fn expand_all_known(
    text: &str,
    value: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    walk(text, |name| value(name).ok_or_else(|| name.to_owned()))
}

fn walk<E>(text: &str, value: impl Fn(&str) -> Result<String, E>) -> Result<String, E> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if rest.is_empty() {
            expanded.push('$');
            return Ok(expanded);
        }
        let taken = match read(rest) {
            Read::Text(text, taken) => {
                expanded.push_str(text);
                taken
            }
            Read::Name(name, taken) => {
                expanded.push_str(&value(name)?);
                taken
            }
        };
        rest = &rest[taken..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// What stands behind a dollar. The dollar itself is still owed where it is text.
fn read(rest: &str) -> Read<'_> {
    match rest.as_bytes()[0] {
        b'$' => Read::Text("$", 1),
        b'(' => match rest.find(')') {
            Some(end) => Read::Name(&rest[1..end], end + 1),
            // An operator that does not end is text.
            None => Read::Text("$(", 1),
        },
        _ => Read::Text("$", 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Option<String> {
        let known = [("A", "1"), ("B", "$(A)"), ("EMPTY", ""), ("a b", "x"), ("", "nameless")];
        known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn variables_are_put_in_once() {
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(B)", "$(A)"),
            ("$(EMPTY)", ""),
            ("$(C)", "$(C)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$A", "$A"),
            ("$", "$"),
            ("a$", "a$"),
            ("$$", "$"),
            ("$(A", "$(A"),
            ("$($(A)", "$($(A)"),
            ("$(a b)", "x"),
            ("$()", "nameless"),
            ("$é$(A)", "$é1"),
            ("$(A)) )$(", "1) )$("),
            ("\n$(A)\n$(C)$$(C)", "\n1\n$(C)$(C)"),
        ] {
            assert_eq!(expand(text, value), want, "{text:?}");
        }
    }

    #[test]
    fn an_unknown_one_can_be_an_error() {
        assert_eq!(expand_all_known("a/$(A)", value).as_deref(), Ok("a/1"));
        assert_eq!(expand_all_known("a/$(C)/$(D)", value), Err("C".to_owned()));
        assert_eq!(expand_all_known("$$(C)", value).as_deref(), Ok("$(C)"));
    }
}
