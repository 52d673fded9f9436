// SPDX-License-Identifier: Apache-2.0
//! The images that a pod needs.

use super::SpecView;
use crate::error::{ObjectError, Path};
use crate::field::text;
use berth_scheduler_model::Str;

/// Images of init containers, containers and image volumes, in that order.
pub(super) fn read(view: &SpecView, spec: &Path<'_>) -> Result<Vec<Str>, ObjectError> {
    let mut images = Vec::new();
    for (list, containers) in
        [("initContainers", &view.init_containers), ("containers", &view.containers)]
    {
        let at = spec.field(list);
        for (index, container) in containers.iter().enumerate() {
            images.push(text(&normalized(&container.image), &at.index(index).field("image"))?);
        }
    }
    let at = spec.field("volumes");
    for (index, volume) in view.volumes.iter().enumerate() {
        if let Some(reference) = volume.image() {
            images.push(text(&normalized(reference), &at.index(index).field("image.reference"))?);
        }
    }
    Ok(images)
}

/// Adds `:latest` where there is no tag: no colon behind the last slash (`imagelocality.normalizedImageName`).
fn normalized(image: &str) -> String {
    match (image.rfind(':'), image.rfind('/')) {
        (Some(colon), Some(slash)) if colon > slash => image.to_owned(),
        (Some(_), None) => image.to_owned(),
        _ => format!("{image}:latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::normalized;

    #[test]
    fn only_names_without_a_tag_get_one() {
        for (image, want) in [
            ("nginx", "nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("reg.io:5000/app", "reg.io:5000/app:latest"),
            ("reg.io:5000/app:v1", "reg.io:5000/app:v1"),
            ("reg.io/base@sha256:0123", "reg.io/base@sha256:0123"),
            ("", ":latest"),
        ] {
            assert_eq!(normalized(image), want);
        }
    }
}
