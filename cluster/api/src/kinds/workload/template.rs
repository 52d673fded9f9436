// SPDX-License-Identifier: Apache-2.0
//! PodTemplates: descriptions of pods, kept by themselves.

use super::cells::containers;
use super::first_generation;
use crate::field::{Errors, Path};
use crate::kinds::access::{count_generation, make};
use crate::kinds::pod::{default_template, validate_template};
use crate::kinds::row::{column, name_column, row};
use crate::kinds::view::View;
use crate::registry::{Kind, Part, Rules};
use crate::{Map, cells};
use berth_cluster_json::Value;

/// The row.
pub(super) fn kind() -> Kind {
    let columns = vec![
        name_column(),
        column("Containers", "string", "Names of each container in the template."),
        column("Images", "string", "Images referenced by each container in the template."),
        column("Pod Labels", "string", "The labels for the pod template."),
    ];
    Kind { columns, ..row("", "PodTemplate", "podtemplates", &[], Template) }
}

#[derive(Debug)]
struct Template;

impl Rules for Template {
    fn default(&self, object: &mut Map) {
        if let Some(template) = make(object, "template") {
            default_template(template);
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, _part: Part) {
        count_generation(new, old, &["template"]);
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        validate_template(object.at("template"), &Path::new("template"), errors);
    }

    fn validate_update(&self, new: &Map, _old: &Map, _part: Part, errors: &mut Errors) {
        // upstream looks at the whole twice
        self.validate(new, errors);
    }

    fn cells(&self, object: &Map, _now: i64) -> Vec<Value> {
        let template = object.at("template");
        let [names, images] = containers(template);
        let labels = cells::labels(template.at("metadata").map("labels"));
        vec![cells::name(object), names.into(), images.into(), labels.into()]
    }
}
