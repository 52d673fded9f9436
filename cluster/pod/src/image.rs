// SPDX-License-Identifier: Apache-2.0
//! Names of images: whether one can be asked for at all, and how often it is pulled if nothing is said.

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Before each start.
    Always,
    /// If the engine has none of that name.
    IfNotPresent,
    /// Never: it must be there.
    Never,
}

impl PullPolicy {
    /// As a container says, or else by its image's name: what is called `latest`, or nothing, may have changed.
    pub(crate) fn of(text: Option<&str>, image: &str) -> Self {
        match text {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            Some("IfNotPresent") => Self::IfNotPresent,
            _ if is_latest(image) => Self::Always,
            _ => Self::IfNotPresent,
        }
    }
}

/// The longest name without tag and digest; the registry's protocol has this bound.
const NAME_MAX: usize = 255;
/// The longest tag, likewise.
const TAG_MAX: usize = 128;
/// Hexadecimal digits of an image's id, which cannot be pulled by it.
const ID_DIGITS: usize = 64;
/// The fewest digits of a digest.
const DIGEST_MIN: usize = 32;

fn is_latest(image: &str) -> bool {
    let (_, tag, digest) = split(image);
    digest.is_none() && tag.is_none_or(|tag| tag == "latest")
}

/// Name, tag, digest.
fn split(image: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let path = rest.rfind('/').map_or(0, |at| at + 1);
    match rest[path..].split_once(':') {
        Some((last, tag)) => (&rest[..path + last.len()], Some(tag), digest),
        None => (rest, None, digest),
    }
}

/// What is wrong with the name of an image, in the words of the reference parser that upstream uses.
pub(crate) fn check(image: &str) -> Result<(), String> {
    let invalid = || Err("invalid reference format".to_owned());
    if image.len() == ID_DIGITS
        && image.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
    {
        return Err(format!(
            "invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"
        ));
    }
    let (name, tag, digest) = split(image);
    if !tag.is_none_or(is_tag) || !digest.is_none_or(is_digest) {
        return invalid();
    }
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (Some(first), rest),
        _ => (None, name),
    };
    if !domain.is_none_or(is_domain) {
        return invalid();
    }
    let lower = path.to_ascii_lowercase();
    if !lower.split('/').all(is_component) {
        return invalid();
    }
    if lower != path {
        let library = if domain.is_none() && !path.contains('/') { "library/" } else { "" };
        return Err(format!(
            "invalid reference format: repository name ({library}{path}) must be lowercase"
        ));
    }
    if name.len() > NAME_MAX {
        return Err(format!("repository name must not be more than {NAME_MAX} characters"));
    }
    Ok(())
}

/// Whether what stands before the first slash is a host, and not a part of the path.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_domain(domain: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = domain.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let plain = address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        return !address.is_empty()
            && plain
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) =
        domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_component(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = bytes.first().is_some_and(|byte| word(*byte))
        && bytes.last().is_some_and(|byte| word(*byte));
    let between =
        |gap: &str| matches!(gap, "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-');
    ends && part
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|gap| gap.is_empty() || between(gap))
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= TAG_MAX
        && bytes.first().is_some_and(|byte| word(*byte))
        && bytes.iter().all(|byte| word(*byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((kind, digits)) = digest.split_once(':') else { return false };
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let known = match kind {
        "sha256" => digits.len() == 64,
        "sha384" => digits.len() == 96,
        "sha512" => digits.len() == 128,
        _ => digits.len() >= DIGEST_MIN,
    };
    let named = kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+.".contains(&byte));
    named && kind.starts_with(|c: char| c.is_ascii_alphabetic()) && hexadecimal && known
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_that_can_be_asked_for() {
        for image in [
            "busybox",
            "busybox:1.36",
            "library/busybox",
            "localhost/a",
            "localhost:5000/a/b-c__d.e:T_1.x-y",
            "Host/a",
            "registry.example.com:443/a/b",
            "[2001:db8::1]:5000/a",
            &format!("a@{DIGEST}"),
            &format!("a:1@{DIGEST}"),
        ] {
            assert_eq!(check(image), Ok(()), "{image}");
        }
    }

    #[test]
    fn names_that_cannot() {
        let invalid = "invalid reference format";
        let id = "a".repeat(64);
        for (image, why) in [
            ("", invalid),
            (" busybox", invalid),
            ("busybox:", invalid),
            ("busybox:a b", invalid),
            ("a//b", invalid),
            ("-a", invalid),
            ("a___b", invalid),
            ("a.-b", invalid),
            ("a@sha256:0123", invalid),
            ("a@nothing", invalid),
            ("-h.x/a", invalid),
            ("h:x/a", invalid),
            ("x:y:z", invalid),
            ("a/\u{e4}", invalid),
            (
                "BusyBox",
                "invalid reference format: repository name (library/BusyBox) must be lowercase",
            ),
            (
                &id,
                &format!(
                    "invalid repository name ({id}), cannot specify 64-byte hexadecimal strings"
                ),
            ),
            (
                &format!("{}x", "a/".repeat(128)),
                "repository name must not be more than 255 characters",
            ),
        ] {
            assert_eq!(check(image), Err(why.to_owned()), "{image}");
        }
    }

    #[test]
    fn without_a_policy_the_tag_decides() {
        use PullPolicy::{Always, IfNotPresent, Never};
        let digest = format!("a@{DIGEST}");
        for (said, image, policy) in [
            (None, "a", Always),
            (None, "a:latest", Always),
            (None, "h:5000/a", Always),
            (None, "a:1", IfNotPresent),
            (None, digest.as_str(), IfNotPresent),
            (Some("Never"), "a", Never),
            (Some("IfNotPresent"), "a", IfNotPresent),
            (Some("Always"), "a:1", Always),
            (Some(""), "a:1", IfNotPresent),
        ] {
            assert_eq!(PullPolicy::of(said, image), policy, "{said:?} {image}");
        }
    }
}
