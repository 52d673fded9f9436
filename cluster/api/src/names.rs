// SPDX-License-Identifier: Apache-2.0
//! Names, as upstream's apimachinery judges them (`util/validation`). Each function gives the sentences of what is wrong.

/// A name of labels with dots between (RFC 1123), at most 253 characters: the name of most objects. Of a prefix (`generateName`) the
/// end may be a dash.
pub fn dns_subdomain(name: &str, prefix: bool) -> Vec<String> {
    let name = unprefixed(name, prefix);
    let mut problems = Vec::new();
    if name.len() > 253 {
        problems.push("must be no more than 253 bytes".to_owned());
    }
    if !name.split('.').all(is_label) {
        problems.push(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
             and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                .to_owned(),
        );
    }
    problems
}

/// What a name made of the prefix would look like: its last dash stands before more characters.
fn unprefixed(name: &str, prefix: bool) -> String {
    match name.strip_suffix('-') {
        Some(rest) if prefix && !rest.is_empty() => format!("{rest}a"),
        _ => name.to_owned(),
    }
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.iter().all(|byte| inner(byte) || *byte == b'-')
        && bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner)
}
