// SPDX-License-Identifier: Apache-2.0
//! What is still in a namespace that goes away, and how its conditions tell it (upstream's namespaced resources deleter).

use berth_cluster_json::{Value, json};
use berth_cluster_store::Entry;
use std::collections::BTreeMap;

/// What is left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// Objects by resource and group, `deployments.apps`.
    objects: BTreeMap<String, usize>,
    /// Objects that a finalizer holds, by finalizer.
    finalizers: BTreeMap<String, usize>,
    /// What could not be deleted, and why.
    failures: Vec<String>,
}

impl Content {
    /// Counts an object.
    pub(super) fn add(&mut self, group: &str, plural: &str, entry: &Entry) {
        *self.objects.entry(format!("{plural}.{group}")).or_default() += 1;
        let object: Value = serde_json::from_slice(&entry.bytes).unwrap_or_default();
        let finalizers = object["metadata"]["finalizers"].as_array();
        for finalizer in finalizers.into_iter().flatten().filter_map(Value::as_str) {
            *self.finalizers.entry(finalizer.to_owned()).or_default() += 1;
        }
    }

    /// Notes what could not be deleted.
    pub(super) fn failed(&mut self, why: String) {
        self.failures.push(why);
    }

    /// Whether the namespace is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.failures.is_empty()
    }

    /// The conditions of the namespace. Times are those of `before` where nothing changed.
    pub(super) fn conditions(&self, before: &[Value], now: &str) -> Vec<Value> {
        let list = |all: &BTreeMap<String, usize>, what: &str| {
            let texts =
                all.iter().map(|(name, count)| format!("{name} {what} {count} resource instances"));
            texts.collect::<Vec<_>>().join(", ")
        };
        let [deleted, remaining, held] = [
            "All content successfully deleted, may be waiting on finalization",
            "All content successfully removed",
            "All content-preserving finalizers finished",
        ];
        let rows = [
            (
                "NamespaceDeletionDiscoveryFailure",
                None,
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                None,
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            (
                "NamespaceDeletionContentFailure",
                (!self.failures.is_empty()).then(|| {
                    (
                        "ContentDeletionFailed",
                        format!(
                            "Failed to delete all resource types, {} remaining: {}",
                            self.failures.len(),
                            self.failures.join(", ")
                        ),
                    )
                }),
                "ContentDeleted",
                deleted,
            ),
            (
                "NamespaceContentRemaining",
                (!self.objects.is_empty()).then(|| {
                    (
                        "SomeResourcesRemain",
                        format!("Some resources are remaining: {}", list(&self.objects, "has")),
                    )
                }),
                "ContentRemoved",
                remaining,
            ),
            (
                "NamespaceFinalizersRemaining",
                (!self.finalizers.is_empty()).then(|| {
                    let texts = list(&self.finalizers, "in");
                    (
                        "SomeFinalizersRemain",
                        format!("Some content in the namespace has finalizers remaining: {texts}"),
                    )
                }),
                "ContentHasNoFinalizers",
                held,
            ),
        ];
        rows.into_iter()
            .map(|(kind, bad, reason, message)| {
                condition(kind, bad, (reason, message), before, now)
            })
            .collect()
    }
}

fn condition(
    kind: &str,
    bad: Option<(&str, String)>,
    (reason, message): (&str, &str),
    before: &[Value],
    now: &str,
) -> Value {
    let (status, reason, message) = match bad {
        Some((reason, message)) => ("True", reason, message),
        None => ("False", reason, message.to_owned()),
    };
    let same = before.iter().find(|one| one["type"] == kind && one["status"] == status);
    let since = same.map_or_else(|| Value::from(now), |one| one["lastTransitionTime"].clone());
    json!({
        "type": kind, "status": status, "lastTransitionTime": since,
        "reason": reason, "message": message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_what_holds_a_namespace_and_keep_their_times() {
        let mut content = Content::default();
        content.objects.insert("pods.".to_owned(), 2);
        content.finalizers.insert("a.b/c".to_owned(), 1);
        let first = content.conditions(&[], "t1");
        let of = |all: &[Value], kind: &str| {
            all.iter().find(|one| one["type"] == kind).cloned().unwrap_or_default()
        };
        let remaining = of(&first, "NamespaceContentRemaining");
        assert_eq!(
            remaining["message"],
            "Some resources are remaining: pods. has 2 resource instances"
        );
        assert_eq!(of(&first, "NamespaceFinalizersRemaining")["status"], "True");
        let second = Content::default().conditions(&first, "t2");
        assert_eq!(of(&second, "NamespaceContentRemaining")["lastTransitionTime"], "t2");
        assert_eq!(of(&second, "NamespaceDeletionContentFailure")["lastTransitionTime"], "t1");
        assert!(Content::default().is_empty() && !content.is_empty());
    }
}
