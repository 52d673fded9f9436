// SPDX-License-Identifier: Apache-2.0
//! Names of images, read as Docker reads them. Everything that goes into a path of the engine's API goes through here first.

use std::fmt;

/// The registry of names without one.
const USUAL_REGISTRY: &str = "docker.io";
/// Bytes of registry and repository together.
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// A name of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// A text that names no image: for Kubernetes' users the reason is `InvalidImageName`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("couldn't parse image name {text:?}: invalid reference format{hint}")]
pub struct ReferenceError {
    text: String,
    hint: String,
}

impl Reference {
    /// Reads `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`; without tag and digest, the tag is `latest`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let error = |hint: String| ReferenceError { text: text.chars().take(512).collect(), hint };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[last..].split_once(':') {
            Some((name, tag)) => (&rest[..last + name.len()], Some(tag)),
            None => (rest, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (first, path),
            _ => (USUAL_REGISTRY, name),
        };
        let registry = if registry == "index.docker.io" { USUAL_REGISTRY } else { registry };
        let official = registry == USUAL_REGISTRY && !path.contains('/');
        let repository = if official { format!("library/{path}") } else { path.to_owned() };
        if path.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(error(format!(": repository name ({repository}) must be lowercase")));
        }
        let fits = is_host(registry)
            && repository.split('/').all(is_component)
            && registry.len() + 1 + repository.len() <= NAME_MAX
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest)
            && !is_hex(name, 64);
        if !fits {
            return Err(error(String::new()));
        }
        let usual = digest.is_none().then_some("latest");
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.or(usual).map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// Whose credentials a pull needs: `docker.io`, `registry.example:5000` ...
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// What follows the registry, such as `library/busybox`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if it says one or has neither tag nor digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Registry and repository, as Docker shows them: without what is usual.
    pub(crate) fn name(&self) -> String {
        if self.registry != USUAL_REGISTRY {
            return format!("{}/{}", self.registry, self.repository);
        }
        let short = self.repository.strip_prefix("library/");
        short.unwrap_or(&self.repository).to_owned()
    }

    /// By what it is pulled: the digest wins.
    pub(crate) fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or_default()
    }
}

impl fmt::Display for Reference {
    /// As Docker shows it. Where there is a digest, the tag says nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.digest.is_some() { '@' } else { ':' };
        write!(f, "{}{mark}{}", self.name(), self.version())
    }
}

/// A first part with a dot, a port or a capital is a host; others belong to the repository.
fn is_registry(first: &str) -> bool {
    let capital = first.bytes().any(|b| b.is_ascii_uppercase());
    first == "localhost" || first.contains(['.', ':']) || capital
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let named = host.split('.').all(is_label);
    let port_fits =
        port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    port_fits && v6.map_or(named, |v6| v6.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Small letters and digits; between them one dot, one or two underscores, or dashes.
fn is_component(text: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    if !ends.into_iter().all(|end| end.is_some_and(alnum)) {
        return false;
    }
    let mut between = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    between.all(|mark| matches!(mark, "" | "." | "_" | "__") || mark.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let first = text.bytes().next().is_some_and(word);
    first && text.len() <= TAG_MAX && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| is_hex(digits, 64))
        || text.strip_prefix("sha512:").is_some_and(|digits| is_hex(digits, 128))
}

/// Whether a text is an image's id.
pub(crate) fn is_image_id(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| is_hex(digits, 64))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, registry, repository, shown) in [
            ("busybox", "docker.io", "library/busybox", "busybox:latest"),
            ("busybox:1", "docker.io", "library/busybox", "busybox:1"),
            ("a/b_c__d-e--f.g", "docker.io", "a/b_c__d-e--f.g", "a/b_c__d-e--f.g:latest"),
            ("docker.io/library/busybox", "docker.io", "library/busybox", "busybox:latest"),
            ("index.docker.io/x", "docker.io", "library/x", "x:latest"),
            ("localhost/x", "localhost", "x", "localhost/x:latest"),
            ("localhost:5000/x:V_1.2-3", "localhost:5000", "x", "localhost:5000/x:V_1.2-3"),
            ("r.example/a/b/c:t", "r.example", "a/b/c", "r.example/a/b/c:t"),
            ("[::1]:5000/x", "[::1]:5000", "x", "[::1]:5000/x:latest"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((reference.registry(), reference.repository()), (registry, repository));
            assert_eq!(reference.to_string(), shown);
            assert_eq!(Reference::parse(shown).unwrap(), reference, "what is shown names the same");
        }
        let both = Reference::parse(&format!("x:tag@{digest}")).unwrap();
        assert_eq!((both.tag(), both.digest()), (Some("tag"), Some(digest.as_str())));
        assert_eq!(both.to_string(), format!("x@{digest}"));
    }

    #[test]
    fn names_that_would_lead_elsewhere_are_refused() {
        let (long, hex) = ("a".repeat(256), "a".repeat(64));
        for text in [
            "",
            ":",
            "/",
            "a/",
            "/a",
            "a//b",
            "../containers/x",
            "a/../b",
            "a?b=c",
            "a#b",
            "a b",
            "a%2fb",
            "x:",
            "x:-t",
            "x:a/b",
            "x@y",
            "x@sha256:ab",
            "x:t:u",
            "a_-b",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "-.x/y",
            "r:x/y",
            "r:/y",
            "ä",
            "x\n",
            &long,
            &hex,
            "@",
            "x@",
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
        let error = Reference::parse("Busybox").unwrap_err().to_string();
        assert_eq!(
            error,
            "couldn't parse image name \"Busybox\": invalid reference format: repository name (library/Busybox) must be lowercase"
        );
        let error = Reference::parse("a b").unwrap_err().to_string();
        assert_eq!(error, "couldn't parse image name \"a b\": invalid reference format");
    }
}
