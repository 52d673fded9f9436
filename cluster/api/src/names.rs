// SPDX-License-Identifier: Apache-2.0
//! Names, as upstream's apimachinery judges them (`util/validation`). Each function gives the sentences of what is wrong.

use core::net::IpAddr;

fn too_long(name: &str, most: usize, problems: &mut Vec<String>) {
    if name.len() > most {
        problems.push(format!("must be no more than {most} characters"));
    }
}

/// The sentence of a text that does not match: what it has to be, examples, the expression.
fn mismatch(must: &str, regex: &str, examples: &[&str]) -> String {
    let quoted: Vec<String> = examples.iter().map(|one| format!("'{one}', ")).collect();
    format!("{must} (e.g. {}regex used for validation is '{regex}')", quoted.join(" or "))
}

/// A name of labels with dots between (RFC 1123), at most 253 characters: the name of most objects. Of a prefix (`generateName`) the
/// end may be a dash.
pub fn dns_subdomain(name: &str, prefix: bool) -> Vec<String> {
    let name = unprefixed(name, prefix);
    let mut problems = Vec::new();
    too_long(&name, 253, &mut problems);
    if !name.split('.').all(is_label) {
        problems.push(mismatch(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
             and end with an alphanumeric character",
            "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        ));
    }
    problems
}

/// A label (RFC 1123), at most 63 characters: the name of a namespace.
pub fn dns_label(name: &str, prefix: bool) -> Vec<String> {
    let name = unprefixed(name, prefix);
    let mut problems = Vec::new();
    too_long(&name, 63, &mut problems);
    if !is_label(&name) {
        problems.push(mismatch(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
             with an alphanumeric character",
            "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "123-abc"],
        ));
    }
    problems
}

/// A label that starts with a letter (RFC 1035), at most 63 characters: the name of a service.
pub fn dns_1035_label(name: &str, prefix: bool) -> Vec<String> {
    let name = unprefixed(name, prefix);
    let mut problems = Vec::new();
    too_long(&name, 63, &mut problems);
    if !is_label(&name) || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        problems.push(mismatch(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    problems
}

/// A part of a path: the name of roles and their bindings.
pub fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if !prefix && (name == "." || name == "..") {
        return vec![format!("may not be '{name}'")];
    }
    for part in ['/', '%'] {
        if name.contains(part) {
            problems.push(format!("may not contain '{part}'"));
        }
    }
    problems
}

const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                         character";

fn qualified_mismatch(must: &str) -> String {
    let regex = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
    mismatch(must, regex, &["MyName", "my.name", "123-abc"])
}

/// A key of labels: a name, with or without a domain and a slash before it.
pub fn qualified(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let parts: Vec<&str> = name.split('/').collect();
    let last = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_owned());
            } else {
                let of_prefix = dns_subdomain(prefix, false);
                problems.extend(of_prefix.iter().map(|one| format!("prefix part {one}")));
            }
            *name
        }
        _ => {
            let text = qualified_mismatch(&format!("a qualified name {QUALIFIED}"));
            let with = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("{text} {with}")];
        }
    };
    if last.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if last.len() > 63 {
        problems.push("name part must be no more than 63 characters".to_owned());
    }
    if !is_qualified_part(last) {
        problems.push(qualified_mismatch(&format!("name part {QUALIFIED}")));
    }
    problems
}

/// A value of labels.
pub fn label_value(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    too_long(value, 63, &mut problems);
    if !value.is_empty() && !is_qualified_part(value) {
        problems.push(mismatch(
            &format!("a valid label must be an empty string or {}", &QUALIFIED["must ".len()..]),
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    problems
}

/// A key of a config map or a secret.
pub fn config_key(key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    too_long(key, 253, &mut problems);
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if key.is_empty() || !key.bytes().all(known) {
        problems.push(mismatch(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    upwards(key, &mut problems);
    problems
}

/// Names that would lead out of a directory.
fn upwards(name: &str, problems: &mut Vec<String>) {
    if name == "." || name == ".." {
        problems.push(format!("must not be '{name}'"));
    } else if name.starts_with("..") {
        problems.push("must not start with '..'".to_owned());
    }
}

/// A name of an environment variable, in the strict form.
pub fn env_var_name(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !name.bytes().all(known) || name.bytes().next().is_none_or(|byte| byte.is_ascii_digit()) {
        problems.push(mismatch(
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must \
             not start with a digit",
            "[-._a-zA-Z][-._a-zA-Z0-9]*",
            &["my.env-name", "MY_ENV.NAME", "MyEnvName1"],
        ));
    }
    upwards(name, &mut problems);
    problems
}

/// A name of an environment variable in the relaxed form, which is the usual one since 1.32.
pub fn relaxed_env_var_name(name: &str) -> Vec<String> {
    let printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    let mut problems = Vec::new();
    if name.is_empty() {
        problems.push("environment variable name must be non-empty".to_owned());
    }
    if !name.bytes().all(printable) {
        let text = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        problems.push(text.to_owned());
    }
    problems
}

/// An identifier of C.
pub fn c_identifier(name: &str) -> Vec<String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if starts && name.bytes().all(known) {
        return Vec::new();
    }
    vec![mismatch(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters \
         or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// The reason of a condition.
pub fn condition_reason(reason: &str) -> Vec<String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts = reason.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let ends = reason.bytes().next_back().is_some_and(word);
    if starts && ends && reason.bytes().all(|byte| word(byte) || b",:".contains(&byte)) {
        return Vec::new();
    }
    vec![mismatch(
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters \
         or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}

/// The name of a port (RFC 6335).
pub fn port_name(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    too_long(name, 15, &mut problems);
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(known) {
        let text = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
        problems.push(text.to_owned());
    }
    if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)".to_owned());
    }
    if name.contains("--") {
        problems.push("must not contain consecutive hyphens".to_owned());
    }
    if name.starts_with('-') || name.ends_with('-') {
        problems.push("must not begin or end with a hyphen".to_owned());
    }
    problems
}

/// The number of a port.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) {
        return Vec::new();
    }
    vec!["must be between 1 and 65535, inclusive".to_owned()]
}

/// An address of IP.
pub fn ip(text: &str) -> Vec<String> {
    if text.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
}

/// Whether the text is an address and the length of a network.
pub fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    match (address.parse::<IpAddr>(), length.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(length)) => plain && length <= 32,
        (Ok(IpAddr::V6(_)), Ok(length)) => plain && length <= 128,
        _ => false,
    }
}

/// A share in percent, e.g. `93%`.
pub fn percent(text: &str) -> Vec<String> {
    let digits = text.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let must = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![mismatch(must, "[0-9]+%", &["1%", "93%"])]
}

/// What a name made of the prefix would look like: upstream puts a letter in the place of the last two characters.
fn unprefixed(name: &str, prefix: bool) -> String {
    let mut text = name.to_owned();
    if prefix && name.len() > 1 && name.ends_with('-') {
        text.pop();
        text.pop();
        text.push('a');
    }
    text
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.iter().all(|byte| inner(byte) || *byte == b'-')
        && bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner)
}

fn is_qualified_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}
