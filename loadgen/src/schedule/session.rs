// SPDX-License-Identifier: Apache-2.0
//! One row on one service: registers the cluster, and at the end compares the service's own lists with the books.

use super::encode;
use super::load::Load;
use super::target::Client;
use crate::books::{Books, Rule};
use crate::error::Error;
use berth_proto::v1;
use berth_proto::v1::update::What;
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use hashbrown::HashMap;
use prost::Message;
use tonic::codegen::tokio_stream;

/// Nodes in one message of `SyncNodes`, and updates in one `Apply`: well below the limits of 4,096 entries and 4 MiB.
const CHUNK: usize = 1_000;

/// A load begins on an empty service: what is there would be neither ours to judge nor ours to remove. And a row that is about
/// a journal needs one.
pub async fn make_ready(client: &mut Client, replace: bool, durable: bool) -> Result<(), Error> {
    let stats = client.stats(v1::StatsRequest {}).await.map_err(Error::call("Stats"))?;
    let v1::StatsResponse { nodes, pods, journal, .. } = stats.into_inner();
    if durable && journal.is_none() {
        return Err(Error::NoJournal);
    }
    match (nodes, pods) {
        (0, 0) => Ok(()),
        _ if replace => clear(client).await,
        _ => Err(Error::Occupied { nodes, pods }),
    }
}

/// Removes all nodes and pods that the service holds.
pub async fn clear(client: &mut Client) -> Result<(), Error> {
    let nodes = tokio_stream::iter([v1::SyncNodesRequest::default()]);
    client.sync_nodes(nodes).await.map_err(Error::call("SyncNodes"))?;
    let pods = tokio_stream::iter([v1::SyncPodsRequest::default()]);
    client.sync_pods(pods).await.map_err(Error::call("SyncPods"))?;
    Ok(())
}

/// Registers nodes; they replace those that are there.
pub async fn register_nodes(client: &mut Client, nodes: &[Node]) -> Result<(), Error> {
    let message =
        |chunk: &[Node]| v1::SyncNodesRequest { nodes: chunk.iter().map(encode::node).collect() };
    let messages: Vec<v1::SyncNodesRequest> = nodes.chunks(CHUNK).map(message).collect();
    let answer = client.sync_nodes(tokio_stream::iter(messages)).await;
    let answer = answer.map_err(Error::call("SyncNodes"))?.into_inner();
    let told = answer.added_count + answer.changed_count + answer.unchanged_count;
    if told as usize != nodes.len() {
        let text = format!("{} nodes were registered, and {told} counted", nodes.len());
        return Err(Error::Setup(text));
    }
    Ok(())
}

/// Registers everything that the load needs.
pub async fn register(client: &mut Client, load: &Load) -> Result<(), Error> {
    let source = load.source();
    register_nodes(client, source.nodes()).await?;
    let groups = source.groups().iter().map(|group| What::Group(encode::group(group)));
    let budgets = source.budgets().iter().map(|budget| What::Budget(encode::budget(budget)));
    let pods = source.resident().iter().map(|pod| What::Pod(encode::bound(pod)));
    let all = groups.chain(budgets).chain(pods);
    apply(client, all.map(|what| v1::Update { what: Some(what) })).await
}

/// Undoes what [`register`] did.
pub async fn unregister(client: &mut Client, load: &Load) -> Result<(), Error> {
    let gone = |kind: &str, namespace: &Str, name: &Str, group_kind: String| {
        What::Gone(v1::ObjectKey {
            kind: kind.to_owned(),
            namespace: namespace.to_string(),
            name: name.to_string(),
            group_kind,
        })
    };
    let groups = load.source().groups().iter();
    let groups =
        groups.map(|group| gone("Group", &group.namespace, &group.name, encode::group(group).kind));
    let budgets = load.source().budgets().iter();
    let budgets = budgets
        .map(|budget| gone("DisruptionBudget", &budget.namespace, &budget.name, String::new()));
    let all = groups.chain(budgets);
    apply(client, all.map(|what| v1::Update { what: Some(what) })).await?;
    clear(client).await
}

async fn apply(
    client: &mut Client,
    mut updates: impl Iterator<Item = v1::Update>,
) -> Result<(), Error> {
    loop {
        let chunk: Vec<v1::Update> = updates.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        let request = v1::ApplyRequest { updates: chunk, all_or_nothing: true };
        let answer = client.apply(request).await.map_err(Error::call("Apply"))?.into_inner();
        if let Some(error) = answer.errors.first() {
            let text = format!("the service refused {}: {}", error.field, error.message);
            return Err(Error::Setup(text));
        }
    }
}

/// Registers the specs that come again as templates.
pub async fn register_templates(client: &mut Client, load: &mut Load) -> Result<(), Error> {
    for (class, encoded) in load.templates() {
        let spec =
            v1::PodSpec::decode(encoded).map_err(|_| Error::Setup("a spec is broken".into()))?;
        let request = v1::RegisterTemplateRequest { spec: Some(spec) };
        let answer = Box::pin(client.register_template(request)).await;
        let answer = answer.map_err(Error::call("RegisterTemplate"))?.into_inner();
        load.use_template(class, answer.template);
    }
    Ok(())
}

/// Pods that are placed: uid and node.
pub type Placed = HashMap<String, Str, foldhash::fast::FixedState>;

/// Compares what the service lists with the books: each pod on its node, each node's sums.
pub async fn compare(client: &mut Client, load: &mut Load) -> Result<(), Error> {
    let residents = load.source().resident().iter();
    let residents = residents.filter_map(|pod| Some((pod.uid.to_string(), pod.node.clone()?)));
    let placed = load.placed_pods().map(|(uid, node)| (uid.as_str().to_owned(), node.clone()));
    let placed: Placed = residents.chain(placed).collect();
    compare_pods(client, &mut load.books, placed).await?;
    compare_nodes(client, &mut load.books).await
}

/// Compares the pods that the service lists with those that it placed.
pub async fn compare_pods(
    client: &mut Client,
    books: &mut Books,
    mut expected: Placed,
) -> Result<(), Error> {
    let mut token = String::new();
    loop {
        let request = v1::ListPodsRequest { page_token: token, ..v1::ListPodsRequest::default() };
        let page = client.list_pods(request).await.map_err(Error::call("ListPods"))?.into_inner();
        for pod in page.pods {
            match expected.remove(&pod.uid) {
                Some(node) if *node == *pod.node => {}
                known => {
                    let text = || {
                        format!("pod {} is listed on {:?}, booked on {known:?}", pod.uid, pod.node)
                    };
                    books.violate(Rule::Lists, text);
                }
            }
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    if !expected.is_empty() {
        let text = || format!("{} pods that are placed are not listed", expected.len());
        books.violate(Rule::Lists, text);
    }
    Ok(())
}

/// Compares the nodes that the service lists, and what is on them, with the books.
pub async fn compare_nodes(client: &mut Client, books: &mut Books) -> Result<(), Error> {
    let mut token = String::new();
    let mut seen = 0;
    loop {
        let request = v1::ListNodesRequest { page_size: 0, page_token: token };
        let page = client.list_nodes(request).await.map_err(Error::call("ListNodes"))?.into_inner();
        for info in page.nodes {
            seen += 1;
            compare_node(books, &info);
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    if seen != books.nodes() {
        let text = || format!("{seen} nodes are listed");
        books.violate(Rule::Lists, text);
    }
    Ok(())
}

fn compare_node(books: &mut Books, info: &v1::NodeInfo) {
    let name = info.node.as_ref().map(|node| &*node.name).unwrap_or_default();
    let booked = books.taken(name);
    let amount = |resource: &str, read: fn(&str) -> Option<i64>| {
        info.requested.get(resource).map_or(Some(0), |text| read(text))
    };
    let milli = |text: &str| berth_scheduler_model::quantity::milli(text).ok();
    let units = |text: &str| berth_scheduler_model::quantity::units(text).ok();
    let listed = (amount("cpu", milli), amount("memory", units), i64::from(info.pods));
    let same = booked.is_some_and(|room| listed == (Some(room.cpu), Some(room.memory), room.pods));
    if !same {
        let text = || format!("node {name:?} is listed with {listed:?}, booked with {booked:?}");
        books.violate(Rule::Lists, text);
    }
}
