// SPDX-License-Identifier: Apache-2.0
//! In which form a client wants its answer: the header `Accept`.

use berth_cluster_api::Refusal;

/// What an object or a list is made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As it is.
    Object,
    /// Rows for people (`Table`), in the given version of meta.k8s.io.
    Table(MetaVersion),
    /// Metadata alone (`PartialObjectMetadata`).
    Metadata(MetaVersion),
    /// A list of metadata (`PartialObjectMetadataList`).
    MetadataList(MetaVersion),
}

/// Versions of meta.k8s.io.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaVersion {
    /// `v1`
    V1,
    /// `v1beta1`
    V1beta1,
}

impl MetaVersion {
    /// As in `apiVersion`.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// A form that a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// What it is made into.
    pub shape: Shape,
    /// How it is written.
    pub encoding: Encoding,
}

impl Form {
    /// JSON, as it is.
    pub const PLAIN: Self = Self { shape: Shape::Object, encoding: Encoding::Json };
}

/// One of the media types in `Accept`.
struct Wanted<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> Wanted<'a> {
    fn new(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let mut quality = 1.0;
        let mut parameters = Vec::new();
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            if name == "q" {
                quality = value.parse().unwrap_or(0.0);
            } else {
                parameters.push((name, value));
            }
        }
        Self { media, parameters, quality }
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(have, _)| *have == name).map(|(_, value)| *value)
    }

    fn encoding(&self) -> Option<Encoding> {
        match self.media {
            "application/json" | "*/*" | "application/*" | "" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            _ => None,
        }
    }

    fn shape(&self) -> Option<Shape> {
        let Some(shape) = self.parameter("as") else { return Some(Shape::Object) };
        let version = match self.parameter("v") {
            Some("v1") => MetaVersion::V1,
            Some("v1beta1") => MetaVersion::V1beta1,
            _ => return None,
        };
        match (shape, self.parameter("g")) {
            ("Table", Some("meta.k8s.io")) => Some(Shape::Table(version)),
            ("PartialObjectMetadata", Some("meta.k8s.io")) => Some(Shape::Metadata(version)),
            ("PartialObjectMetadataList", Some("meta.k8s.io")) => {
                Some(Shape::MetadataList(version))
            }
            _ => None,
        }
    }
}

/// The best of the forms in `accept` that there is; `rows`: whether what is answered can be made a table.
///
/// # Errors
/// 406 where there is none.
pub fn negotiate(accept: &str, rows: bool) -> Result<Form, Refusal> {
    if accept == "application/json" || accept.is_empty() {
        return Ok(Form::PLAIN);
    }
    let mut wanted: Vec<Wanted<'_>> =
        accept.split(',').map(|one| Wanted::new(one.trim())).collect();
    // Among equals the first one wins.
    wanted.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    let found = wanted.iter().find_map(|one| {
        let shape = one.shape().filter(|shape| rows || !matches!(shape, Shape::Table(_)))?;
        Some(Form { encoding: one.encoding()?, shape })
    });
    // Of what the path could be written as, protobuf too is known to upstream, which says so by another sentence.
    let known = |one: &Wanted<'_>| {
        one.encoding().is_some() || one.media == "application/vnd.kubernetes.protobuf"
    };
    found.ok_or_else(|| {
        if wanted.iter().any(known) {
            not_acceptable()
        } else {
            Refusal::new(406, "NotAcceptable", "406: Not Acceptable")
        }
    })
}

/// 406, with what there is.
pub(crate) fn not_acceptable() -> Refusal {
    let text = "only the following media types are accepted: application/json, application/yaml";
    Refusal::new(406, "NotAcceptable", text)
}

/// Whether the client takes aggregated discovery (KEP-3352), and in which version.
pub fn aggregated_discovery(accept: &str) -> Option<&'static str> {
    accept.split(',').map(|one| Wanted::new(one.trim())).find_map(|one| {
        let right = one.parameter("as") == Some("APIGroupDiscoveryList")
            && one.parameter("g") == Some("apidiscovery.k8s.io")
            && one.media == "application/json";
        match one.parameter("v") {
            Some("v2") if right => Some("v2"),
            Some("v2beta1") if right => Some("v2beta1"),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_there_is_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(kubectl, true).unwrap().shape, Shape::Table(MetaVersion::V1));
        let typed = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(negotiate(kubectl, false), Ok(Form::PLAIN));
        assert_eq!(negotiate(typed, true), Ok(Form::PLAIN));
        let odd = "application/xml;q=0.9, application/json;q=0.1";
        assert_eq!(negotiate(odd, true), Ok(Form::PLAIN));
        assert_eq!(negotiate("application/foo, */*", true), Ok(Form::PLAIN));
        assert_eq!(negotiate("text/html", true).unwrap_err().code, 406);
        assert_eq!(
            negotiate("application/json;as=Rows;v=v1;g=meta.k8s.io", true).unwrap_err().code,
            406
        );
    }
}
