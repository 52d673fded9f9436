// SPDX-License-Identifier: Apache-2.0
//! kube-rs against the binary: discovery, typed and dynamic objects, subresources, watchers, and what controllers are made of.
#![allow(clippy::panic, reason = "a test that sees something else says what")]

mod apiserver;

use apiserver::Apiserver;
use futures_util::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event as ClusterEvent;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::serde::{Serialize, de::DeserializeOwned};
use kube::api::{
    Api, DeleteParams, DynamicObject, EvictParams, ListParams, Patch, PatchParams, PostParams,
    Preconditions, VersionMatch, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::core::PartialObjectMeta;
use kube::core::gvk::GroupVersionKind;
use kube::core::response::{Status, StatusSummary};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event as Told, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event as Finalizer, finalizer};
use kube::runtime::wait::{await_condition, conditions, delete::delete_and_finalize};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{Controller, WatchStreamExt, reflector};
use kube::{Client, Config, Discovery, Error, Resource, ResourceExt, discovery};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// After this a test counts as hung.
const PATIENCE: Duration = Duration::from_mins(1);

/// What every object here is labelled with, so that the namespace's own objects stay out of sight.
const OURS: &str = "run=ours";

fn run<T: Future<Output = ()>>(test: T) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("it hangs") });
}

async fn config(kubeconfig: &Path) -> Config {
    let read = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(read, &options).await.expect("a configuration")
}

async fn client(server: &Apiserver) -> Client {
    Client::try_from(config(&server.kubeconfig).await).expect("a client")
}

/// An object of a type out of JSON.
fn of<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("an object of the type")
}

fn labelled(name: &str, beside: Value) -> Value {
    let mut object = beside;
    object["metadata"] = json!({ "name": name, "labels": { "run": "ours", "app": "a" } });
    object
}

fn config_map(name: &str) -> ConfigMap {
    of(labelled(name, json!({ "data": { "a": "1" } })))
}

fn pod(name: &str) -> Pod {
    of(labelled(name, json!({ "spec": { "containers": [{ "name": "one", "image": "image:1" }] } })))
}

fn of_pods(replicas: u32) -> Value {
    json!({ "spec": {
        "replicas": replicas,
        "selector": { "matchLabels": { "app": "a" } },
        "template": {
            "metadata": { "labels": { "app": "a" } },
            "spec": { "containers": [{ "name": "one", "image": "image:1" }] },
        },
    } })
}

fn names<K: ResourceExt>(objects: &[K]) -> Vec<String> {
    objects.iter().map(ResourceExt::name_any).collect()
}

/// The Status of a refusal.
fn refused<T: Debug>(result: Result<T, Error>) -> Status {
    match result {
        Err(Error::Api(status)) => *status,
        other => panic!("a Status of a failure was expected: {other:?}"),
    }
}

#[test]
fn discovery_names_the_kinds() {
    run(async {
        let server = Apiserver::start(&[]);
        let client = client(&server).await;
        let version = client.apiserver_version().await.expect("a version");
        assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "33"));
        let slow = Discovery::new(client.clone()).run().await.expect("documents for each group");
        let fast = Discovery::new(client.clone()).run_aggregated().await.expect("all at once");
        for found in [&slow, &fast] {
            let mut kinds: Vec<_> = found
                .groups()
                .flat_map(discovery::ApiGroup::recommended_resources)
                .map(|(resource, _)| resource.kind)
                .collect();
            kinds.sort();
            for kind in
                ["ConfigMap", "Deployment", "EndpointSlice", "Lease", "Pod", "PriorityClass"]
            {
                assert!(kinds.iter().any(|one| one == kind), "{kind}: {kinds:?}");
            }
            let pods = GroupVersionKind::gvk("", "v1", "Pod");
            let (resource, capabilities) = found.resolve_gvk(&pods).expect("pods");
            assert_eq!((resource.plural.as_str(), resource.api_version.as_str()), ("pods", "v1"));
            assert_eq!(capabilities.scope, discovery::Scope::Namespaced);
            assert!(capabilities.supports_operation(discovery::verbs::WATCH));
            let deployments = GroupVersionKind::gvk("apps", "v1", "Deployment");
            let (_, capabilities) = found.resolve_gvk(&deployments).expect("deployments");
            let below =
                |one: &str| capabilities.subresources.iter().any(|sub| sub.0.plural.ends_with(one));
            assert!(below("scale") && below("status"), "{:?}", capabilities.subresources);
        }
        let group = discovery::group(&client, "apps").await.expect("a group");
        assert_eq!(group.preferred_version(), Some("v1"));
        let nodes = GroupVersionKind::gvk("", "v1", "Node");
        let (_, capabilities) = discovery::pinned_kind(&client, &nodes).await.expect("nodes");
        assert_eq!(capabilities.scope, discovery::Scope::Cluster);
        assert!(discovery::group(&client, "batch").await.is_err());
    });
}

/// A kind as its own type. What needs no type is asked of all kinds by [`verbs`], which is compiled once.
async fn typed<K>(api: Api<K>, beside: Value)
where
    K: Resource<DynamicType = ()> + Clone + Debug + PartialEq + Serialize,
    K: DeserializeOwned,
{
    let wanted = of(labelled("b", beside));
    let made = api.create(&PostParams::default(), &wanted).await.expect("created");
    assert_eq!(api.get("b").await.expect("read"), made);
    let list = api.list(&ListParams::default().labels(OURS)).await.expect("a list");
    assert_eq!(list.types.kind, format!("{}List", K::kind(&())));
    assert_eq!(list.items, [made]);
}

/// All verbs on one kind, of which there is `b`. `change`: a merge patch that is not of metadata alone.
async fn verbs(api: Api<DynamicObject>, kind: &str, beside: Value, change: Value) {
    let create = PostParams::default();
    let made = api.create(&create, &of(labelled("a", beside.clone()))).await.expect("created");
    assert!(made.uid().is_some() && made.creation_timestamp().is_some(), "{kind}");
    let twice = refused(api.create(&create, &of(labelled("a", beside))).await);
    assert!(twice.is_already_exists() && twice.code == 409, "{kind}: {twice:?}");
    assert_eq!(api.get("a").await.expect("read"), made, "{kind}");
    let ours = ListParams::default().labels(OURS);
    assert_eq!(names(&api.list(&ours).await.expect("a list").items), ["a", "b"], "{kind}");

    let plain = PatchParams::default();
    let labels = json!({ "metadata": { "labels": { "merge": "1" } } });
    api.patch("a", &plain, &Patch::Merge(&labels)).await.expect("merged");
    let labels = json!({ "metadata": { "labels": { "strategic": "2" } } });
    api.patch("a", &plain, &Patch::Strategic(&labels)).await.expect("merged strategically");
    let label = json!([{ "op": "add", "path": "/metadata/labels/json", "value": "3" }]);
    let patch = Patch::Json::<()>(serde_json::from_value(label).expect("a patch"));
    let patched = api.patch("a", &plain, &patch).await.expect("patched");
    for (name, value) in [("merge", "1"), ("strategic", "2"), ("json", "3"), ("run", "ours")] {
        assert_eq!(patched.labels()[name], value, "{kind}");
    }
    let changed = api.patch("a", &plain, &Patch::Merge(&change)).await.expect("changed");
    assert_ne!(changed.resource_version(), patched.resource_version(), "{kind}");

    let mut wanted = changed.clone();
    wanted.annotations_mut().insert("example.org/note".to_owned(), "x".to_owned());
    let replaced = api.replace("a", &create, &wanted).await.expect("replaced");
    assert_eq!(replaced.annotations()["example.org/note"], "x");
    let stale = refused(api.replace("a", &create, &wanted).await);
    assert!(stale.is_conflict() && stale.code == 409, "{kind}: {stale:?}");

    let metadata = api.get_metadata("a").await.expect("metadata");
    assert_eq!(metadata.metadata, replaced.metadata, "{kind}");
    let list = api.list_metadata(&ours).await.expect("a list of metadata");
    assert_eq!(names(&list.items), ["a", "b"], "{kind}");

    api.delete("a", &DeleteParams::default()).await.expect("deleted");
    let gone = refused(api.get("a").await);
    assert!(gone.is_not_found() && gone.code == 404, "{kind}: {gone:?}");
    assert_eq!(api.get_opt("a").await.expect("an answer"), None);
    api.delete_collection(&DeleteParams::default(), &ours).await.expect("all deleted");
    assert!(api.list(&ours).await.expect("a list").items.is_empty(), "{kind}");
}

#[test]
fn every_kind_goes_through_all_verbs() {
    run(async {
        let server = Apiserver::start(&[]);
        let client = client(&server).await;
        macro_rules! kinds {
            ($($kind:ty: $beside:expr, $change:expr;)* in $place:expr, $with:expr) => {
                $({
                    let resource = ApiResource::erase::<$kind>(&());
                    let api: Api<$kind> = $place;
                    Box::pin(typed(api, $beside)).await;
                    let api = $with(&resource);
                    verbs(api, &resource.kind, $beside, $change).await;
                })*
            };
        }
        let rules =
            json!({ "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }] });
        let fewer = json!({ "rules": [] });
        let bound = |kind: &str| {
            json!({
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "r" },
                "subjects": [{ "kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io" }],
            })
        };
        let subjects = json!({ "subjects": null });
        let image = json!({ "name": "one", "image": "image:2" });
        kinds! {
            ConfigMap: json!({ "data": { "a": "1" } }), json!({ "data": { "b": "2" } });
            Secret: json!({ "stringData": { "a": "1" } }), json!({ "data": { "b": "Mg==" } });
            ServiceAccount: json!({}), json!({ "automountServiceAccountToken": false });
            Service: json!({ "spec": { "ports": [{ "port": 80 }] } }), json!({ "spec": { "selector": { "a": "b" } } });
            Endpoints: json!({ "subsets": [{ "addresses": [{ "ip": "10.1.2.3" }] }] }), json!({ "subsets": null });
            Pod: json!({ "spec": { "containers": [{ "name": "one", "image": "image:1" }] } }),
                 json!({ "metadata": { "annotations": { "a": "b" } } });
            Deployment: of_pods(1), json!({ "spec": { "template": { "spec": { "containers": [image] } } } });
            ReplicaSet: of_pods(1), json!({ "spec": { "replicas": 2 } });
            Lease: json!({ "spec": { "holderIdentity": "a", "renewTime": "2026-01-02T03:04:05.000006Z" } }),
                   json!({ "spec": { "holderIdentity": "b" } });
            EndpointSlice: json!({ "addressType": "IPv4", "endpoints": [{ "addresses": ["10.1.2.3"] }] }),
                           json!({ "endpoints": [{ "addresses": ["10.1.2.4"] }] });
            PodDisruptionBudget: json!({ "spec": { "minAvailable": 1 } }), json!({ "spec": { "minAvailable": "50%" } });
            Role: rules.clone(), fewer.clone();
            RoleBinding: bound("Role"), subjects.clone();
            in Api::namespaced(client.clone(), "default"),
               |resource| Api::namespaced_with(client.clone(), "default", resource)
        }
        kinds! {
            Node: json!({}), json!({ "spec": { "unschedulable": true } });
            PriorityClass: json!({ "value": 7 }), json!({ "description": "d" });
            ClusterRole: rules.clone(), fewer.clone();
            ClusterRoleBinding: bound("ClusterRole"), subjects.clone();
            in Api::all(client.clone()), |resource| Api::all_with(client.clone(), resource)
        }
    });
}

#[test]
fn refusals_are_statuses() {
    run(async {
        let server = Apiserver::start(&[]);
        let client = client(&server).await;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
        let create = PostParams::default();
        let status = refused(maps.get("nothing").await);
        assert_eq!(
            (status.reason.as_str(), status.status),
            ("NotFound", Some(StatusSummary::Failure))
        );
        assert_eq!(status.message, "configmaps \"nothing\" not found");
        let details = status.details.expect("details");
        assert_eq!((details.name.as_str(), details.kind.as_str()), ("nothing", "configmaps"));
        let status = refused(maps.create(&create, &config_map("Not_A_Name")).await);
        assert!(status.is_invalid() && status.code == 422, "{status:?}");
        assert_eq!(status.details.expect("details").causes[0].field, "metadata.name");
        let nowhere: Api<ConfigMap> = Api::namespaced(client.clone(), "nowhere");
        assert!(refused(nowhere.create(&create, &config_map("c")).await).is_not_found());

        let made = maps.create(&create, &config_map("c")).await.expect("created");
        let wrong = Preconditions { uid: Some("other".to_owned()), resource_version: None };
        let status = refused(maps.delete("c", &DeleteParams::default().preconditions(wrong)).await);
        assert!(status.is_conflict(), "{status:?}");
        let odd = json!({ "dada": {} });
        let strict = PatchParams::default().validation_strict();
        let status = refused(maps.patch("c", &strict, &Patch::Merge(&odd)).await);
        assert!(status.message.contains("unknown field \"dada\""), "{status:?}");
        let dry = PatchParams::default().dry_run();
        let tried = json!({ "data": { "a": "2" } });
        maps.patch("c", &dry, &Patch::Merge(&tried)).await.expect("tried");
        maps.delete("c", &DeleteParams::default().dry_run()).await.expect("tried");
        assert_eq!(maps.get("c").await.expect("it is as it was"), made);
        // Server-side apply is not built: the client is told so, and nothing else happens.
        let apply = PatchParams::apply("test");
        assert_eq!(refused(maps.patch("c", &apply, &Patch::Apply(&made)).await).code, 415);

        let mut jane = config(&server.kubeconfig).await;
        jane.auth_info.impersonate = Some("jane".to_owned());
        let jane = Client::try_from(jane).expect("a client");
        let theirs: Api<ConfigMap> = Api::namespaced(jane, "default");
        let status = refused(theirs.get("c").await);
        assert!(
            status.is_forbidden() && status.message.contains("User \"jane\" cannot get"),
            "{status:?}"
        );
    });
}

#[test]
fn pages_are_of_one_revision() {
    run(async {
        let server = Apiserver::start(&[]);
        let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "default");
        for number in 0..7 {
            maps.create(&PostParams::default(), &config_map(&format!("c{number}")))
                .await
                .expect("created");
        }
        let page = ListParams::default().labels(OURS).limit(3);
        let mut list = maps.list(&page).await.expect("a page");
        let revision = list.metadata.resource_version.clone();
        maps.delete("c6", &DeleteParams::default()).await.expect("deleted");
        let mut seen = names(&list.items);
        while let Some(token) = list.metadata.continue_.filter(|token| !token.is_empty()) {
            list = maps.list(&page.clone().continue_token(&token)).await.expect("a page");
            assert_eq!(list.metadata.resource_version, revision);
            seen.extend(names(&list.items));
        }
        assert_eq!(seen, (0..7).map(|number| format!("c{number}")).collect::<Vec<_>>());
        let now = maps.list(&ListParams::default().labels(OURS)).await.expect("a list");
        assert_eq!(now.items.len(), 6);
        let by_name = ListParams::default().fields("metadata.name=c2");
        assert_eq!(names(&maps.list(&by_name).await.expect("a list").items), ["c2"]);
        let then = ListParams::default().labels(OURS).at(&revision.expect("a revision"));
        let then = maps.list(&then.matching(VersionMatch::Exact)).await.expect("a list of then");
        assert_eq!(then.items.len(), 7);
    });
}

#[test]
fn subresources_are_read_and_written() {
    run(async {
        let server = Apiserver::start(&[]);
        let client = client(&server).await;
        let (create, plain) = (PostParams::default(), PatchParams::default());
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
        deployments.create(&create, &of(labelled("d", of_pods(1)))).await.expect("created");
        let mut scale = deployments.get_scale("d").await.expect("a scale");
        assert_eq!(
            scale.status.as_ref().and_then(|status| status.selector.as_deref()),
            Some("app=a")
        );
        let spec = scale.spec.as_mut().expect("a spec");
        assert_eq!(spec.replicas, Some(1));
        spec.replicas = Some(4);
        deployments.replace_scale("d", &create, &scale).await.expect("scaled");
        let five = json!({ "spec": { "replicas": 5 } });
        deployments.patch_scale("d", &plain, &Patch::Merge(&five)).await.expect("scaled");
        let restarted = deployments.restart("d").await.expect("restarted");
        assert_eq!(restarted.spec.and_then(|spec| spec.replicas), Some(5));

        let status = json!({ "status": { "replicas": 5 }, "spec": { "replicas": 9 } });
        deployments.patch_status("d", &plain, &Patch::Merge(&status)).await.expect("patched");
        let mut read = deployments.get_status("d").await.expect("read");
        assert_eq!(read.spec.as_ref().and_then(|spec| spec.replicas), Some(5));
        read.status.get_or_insert_default().ready_replicas = Some(2);
        let read = deployments.replace_status("d", &create, &read).await.expect("replaced");
        let status = read.status.expect("a status");
        assert_eq!((status.replicas, status.ready_replicas), (Some(5), Some(2)));

        let nodes: Api<Node> = Api::all(client.clone());
        nodes.create(&create, &of(labelled("n", json!({})))).await.expect("created");
        let unschedulable =
            |node: Node| node.spec.and_then(|spec| spec.unschedulable).unwrap_or_default();
        assert!(unschedulable(nodes.cordon("n").await.expect("cordoned")));
        assert!(!unschedulable(nodes.uncordon("n").await.expect("uncordoned")));
        let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
        pods.create(&create, &pod("p")).await.expect("created");
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "p" },
            "target": { "apiVersion": "v1", "kind": "Node", "name": "n" },
        });
        let bind =
            async || pods.create_subresource::<_, Status>("binding", "p", &create, &binding).await;
        assert_eq!(bind().await.expect("bound").status, Some(StatusSummary::Success));
        assert!(refused(bind().await).is_conflict());
        let on = ListParams::default().fields("spec.nodeName=n");
        assert_eq!(names(&pods.list(&on).await.expect("a list").items), ["p"]);

        let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), "default");
        let budget =
            json!({ "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "a" } } } });
        budgets.create(&create, &of(labelled("b", budget))).await.expect("created");
        let running = json!({ "status": { "phase": "Running" } });
        pods.patch_status("p", &plain, &Patch::Merge(&running)).await.expect("patched");
        // Left to itself the client tries again for minutes.
        let mut once = config(&server.kubeconfig).await;
        once.default_retry = false;
        let once: Api<Pod> = Api::namespaced(Client::try_from(once).expect("a client"), "default");
        let status = refused(once.evict("p", &EvictParams::default()).await);
        assert_eq!(status.code, 429);
        assert!(status.message.contains("disruption budget"), "{status:?}");
        budgets.delete("b", &DeleteParams::default()).await.expect("deleted");
        pods.evict("p", &EvictParams::default()).await.expect("evicted");
        // It is on a node, whose agent would end it.
        assert!(pods.get("p").await.expect("it ends").meta().deletion_timestamp.is_some());
        pods.delete("p", &DeleteParams::default().grace_period(0)).await.expect("deleted");
        assert!(pods.get_opt("p").await.expect("an answer").is_none());

        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        accounts.create(&create, &of(labelled("s", json!({})))).await.expect("created");
        let request: TokenRequest =
            of(json!({ "spec": { "audiences": [], "expirationSeconds": 600 } }));
        let token = accounts.create_token_request("s", &create, &request).await.expect("a token");
        let mut theirs = config(&server.kubeconfig).await;
        theirs.auth_info = kube::config::AuthInfo::default();
        theirs.auth_info.token = Some(token.status.expect("a status").token.into());
        let theirs: Api<Pod> =
            Api::namespaced(Client::try_from(theirs).expect("a client"), "default");
        let status = refused(theirs.list(&ListParams::default()).await);
        assert!(status.is_forbidden(), "{status:?}");
        assert!(status.message.contains("system:serviceaccount:default:s"), "{status:?}");
    });
}

#[test]
fn dynamic_objects_need_nothing_but_discovery() {
    run(async {
        let server = Apiserver::start(&[]);
        let client = client(&server).await;
        let leases = GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease");
        let (resource, _) = discovery::pinned_kind(&client, &leases).await.expect("leases");
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
        let lease =
            DynamicObject::new("l", &resource).data(json!({ "spec": { "holderIdentity": "a" } }));
        let made = api.create(&PostParams::default(), &lease).await.expect("created");
        assert_eq!(made.data["spec"]["holderIdentity"], "a");
        assert_eq!(made.types.as_ref().map(|types| types.kind.as_str()), Some("Lease"));
        let mut entry = api.entry("l").await.expect("an entry").and_modify(|lease| {
            lease.data["spec"]["holderIdentity"] = "b".into();
        });
        let kube::api::entry::Entry::Occupied(occupied) = &mut entry else { panic!("it is there") };
        occupied.commit(&PostParams::default()).await.expect("committed");
        let typed: Api<Lease> = Api::namespaced(client, "default");
        let spec = typed.get("l").await.expect("read").spec.expect("a spec");
        assert_eq!(spec.holder_identity.as_deref(), Some("b"));
        let all = api.list(&ListParams::default()).await.expect("a list");
        // Items of a list do not say what they are: the client fills it in.
        assert_eq!(names(&all.items), ["l"]);
    });
}

/// What a watcher tells, in short.
fn brief<K: ResourceExt>(event: &Event<K>) -> String {
    match event {
        Event::Init => "init".to_owned(),
        Event::InitApply(object) => format!("there {}", object.name_any()),
        Event::InitDone => "done".to_owned(),
        Event::Apply(object) => format!("applied {}", object.name_any()),
        Event::Delete(object) => format!("deleted {}", object.name_any()),
    }
}

async fn told<K: ResourceExt>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    count: usize,
) -> Vec<String> {
    events.map_ok(|event| brief(&event)).take(count).try_collect().await.expect("events")
}

#[test]
fn watchers_tell_what_is_there_and_what_comes() {
    run(async {
        let server = Apiserver::start(&[]);
        let client = client(&server).await;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
        let create = PostParams::default();
        let by_list = watcher::Config::default().labels(OURS);
        for (at, config) in [by_list.clone().page_size(1), by_list.clone().streaming_lists()]
            .into_iter()
            .enumerate()
        {
            let [there, also, comes] = ["a", "b", "c"].map(|name| format!("{name}{at}"));
            for name in [&there, &also] {
                maps.create(&create, &config_map(name)).await.expect("created");
            }
            let mut events = pin!(watcher::watcher(maps.clone(), config));
            let mut wanted =
                vec!["init".to_owned(), format!("there {there}"), format!("there {also}")];
            wanted.push("done".to_owned());
            assert_eq!(told(&mut events, 4).await, wanted);
            maps.create(&create, &config_map(&comes)).await.expect("created");
            let data = json!({ "data": { "b": "2" } });
            maps.patch(&there, &PatchParams::default(), &Patch::Merge(&data))
                .await
                .expect("patched");
            let unlabelled = json!({ "metadata": { "labels": null } });
            maps.patch(&also, &PatchParams::default(), &Patch::Merge(&unlabelled))
                .await
                .expect("patched");
            maps.delete(&there, &DeleteParams::default()).await.expect("deleted");
            maps.delete(&comes, &DeleteParams::default()).await.expect("deleted");
            let wanted = [
                ("applied", &comes),
                ("applied", &there),
                ("deleted", &also),
                ("deleted", &there),
                ("deleted", &comes),
            ];
            let wanted: Vec<_> =
                wanted.iter().map(|(word, name)| format!("{word} {name}")).collect();
            assert_eq!(told(&mut events, 5).await, wanted);
        }
        maps.create(&create, &config_map("m")).await.expect("created");
        for config in [by_list.clone(), by_list.streaming_lists()] {
            let metadata: Api<PartialObjectMeta<ConfigMap>> =
                Api::namespaced(client.clone(), "default");
            let events = pin!(watcher::watcher(metadata, config));
            assert_eq!(told(events, 3).await, ["init", "there m", "done"]);
        }
    });
}

#[test]
fn a_plain_watch_has_bookmarks_and_ends() {
    run(async {
        let server = Apiserver::start(&[]);
        let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "default");
        let made = maps.create(&PostParams::default(), &config_map("a")).await.expect("created");
        let from = made.resource_version().expect("a version");
        maps.delete("a", &DeleteParams::default()).await.expect("deleted");
        let params = WatchParams::default().labels(OURS).timeout(1);
        let events: Vec<_> =
            maps.watch(&params, &from).await.expect("a watch").try_collect().await.expect("events");
        let [WatchEvent::Deleted(gone), ..] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((gone.name_any(), gone.uid()), ("a".to_owned(), made.uid()));
        let streaming = WatchParams::streaming_lists().labels(OURS).timeout(5);
        let mut events = pin!(maps.watch(&streaming, "0").await.expect("a watch"));
        let first = events.try_next().await.expect("an event").expect("an event");
        let WatchEvent::Bookmark(bookmark) = first else { panic!("{first:?}") };
        assert_eq!(bookmark.metadata.annotations["k8s.io/initial-events-end"], "true");
    });
}

#[test]
fn a_reflector_is_right_again_after_a_restart() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Apiserver::start_on(&format!("sled:{}", folder.path().display()), &[]);
        let before = client(&server).await;
        let maps: Api<ConfigMap> = Api::namespaced(before.clone(), "default");
        let create = PostParams::default();
        for name in ["stays", "goes"] {
            maps.create(&create, &config_map(name)).await.expect("created");
        }
        let mut tasks = Vec::new();
        let mut stores = Vec::new();
        for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
            let (store, writer) = reflector::store();
            let watcher = watcher::watcher(maps.clone(), config.labels(OURS)).default_backoff();
            tasks.push(tokio::spawn(reflector(writer, watcher).for_each(|_| async {})));
            store.wait_until_ready().await.expect("it is filled");
            stores.push(store);
        }
        // What the reflectors know last is forgotten at the restart: they have to list again, though nobody tells them so but a watch.
        let secrets: Api<Secret> = Api::namespaced(before, "default");
        for number in 0..20 {
            let secret = of(labelled(&format!("s{number}"), json!({})));
            secrets.create(&create, &secret).await.expect("created");
        }
        server.restart();
        let maps: Api<ConfigMap> = Api::namespaced(client(&server).await, "default");
        maps.delete("goes", &DeleteParams::default()).await.expect("deleted");
        maps.create(&create, &config_map("comes")).await.expect("created");
        for store in &stores {
            let seen = || {
                let mut seen: Vec<_> = store.state().iter().map(|one| one.name_any()).collect();
                seen.sort();
                seen
            };
            // It ends, or the test's time does.
            while seen() != ["comes", "stays"] {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        for task in tasks {
            task.abort();
        }
    });
}

#[test]
fn a_finalizer_is_put_and_taken_away() {
    run(async {
        let server = Apiserver::start(&[]);
        let client = client(&server).await;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
        maps.create(&PostParams::default(), &config_map("a")).await.expect("created");
        // Put, applied, cleaned up: one call each, as a controller makes them.
        let mut seen = Vec::new();
        for turn in 0..3 {
            let object = Arc::new(maps.get("a").await.expect("read"));
            let step = finalizer(&maps, "example.org/f", object, |event| {
                seen.push(matches!(event, Finalizer::Cleanup(_)));
                async { Ok::<_, Error>(Action::await_change()) }
            });
            step.await.expect("a step");
            if turn == 1 {
                assert_eq!(maps.get("a").await.expect("read").finalizers(), ["example.org/f"]);
                maps.delete("a", &DeleteParams::default()).await.expect("marked");
                assert!(maps.get("a").await.expect("held").meta().deletion_timestamp.is_some());
            }
        }
        assert_eq!(seen, [false, true]);
        assert!(maps.get_opt("a").await.expect("an answer").is_none());

        let namespaces: Api<Namespace> = Api::all(client.clone());
        let space = of(json!({ "metadata": { "name": "t" } }));
        namespaces.create(&PostParams::default(), &space).await.expect("created");
        await_condition(namespaces.clone(), "t", conditions::is_created())
            .await
            .expect("it is there");
        delete_and_finalize(namespaces.clone(), "t", &DeleteParams::default())
            .await
            .expect("it goes");
        assert!(namespaces.get_opt("t").await.expect("an answer").is_none());
    });
}

#[test]
fn a_controller_reconciles_and_records_events() {
    run(async {
        let server = Apiserver::start(&[]);
        let client = client(&server).await;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
        let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
        maps.create(&PostParams::default(), &config_map("a")).await.expect("created");
        let reconcile = |map: Arc<ConfigMap>, secrets: Arc<Api<Secret>>| async move {
            let mut secret: Secret = of(labelled(&map.name_any(), json!({})));
            secret.owner_references_mut().extend(map.controller_owner_ref(&()));
            let name = map.name_any();
            let entry = secrets.entry(&name).await?;
            drop(entry.or_insert(|| secret).commit(&PostParams::default()).await);
            Ok::<_, Error>(Action::await_change())
        };
        let ours = watcher::Config::default().labels(OURS);
        let turns = Controller::new(maps.clone(), ours.clone()).owns(secrets.clone(), ours).run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_millis(100)),
            Arc::new(secrets.clone()),
        );
        let mut turns = pin!(turns);
        turns.next().await.expect("a turn").expect("reconciled");
        let made = secrets.get("a").await.expect("it was made");
        assert_eq!(made.owner_references()[0].kind, "ConfigMap");
        // What it owns is made again when it goes.
        secrets.delete("a", &DeleteParams::default()).await.expect("deleted");
        while secrets
            .get_opt("a")
            .await
            .expect("an answer")
            .is_none_or(|again| again.uid() == made.uid())
        {
            turns.next().await.expect("a turn").expect("reconciled");
        }

        let map = maps.get("a").await.expect("read");
        let reporter =
            Reporter { controller: "example.org/c".to_owned(), instance: Some("c-1".to_owned()) };
        let recorder = Recorder::new(client.clone(), reporter);
        let event = Told {
            type_: EventType::Normal,
            reason: "Done".to_owned(),
            note: Some("it is done".to_owned()),
            action: "Doing".to_owned(),
            secondary: None,
        };
        for _ in 0..3 {
            recorder.publish(&event, &map.object_ref(&())).await.expect("published");
        }
        let events: Api<ClusterEvent> = Api::namespaced(client, "default");
        let events = events.list(&ListParams::default()).await.expect("a list").items;
        let [event] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(event.regarding.as_ref().and_then(|about| about.uid.clone()), map.uid());
        assert_eq!(event.series.as_ref().map(|series| series.count), Some(3));
    });
}
