// SPDX-License-Identifier: Apache-2.0
//! Making a token for a ServiceAccount (KEP-1205): `POST .../serviceaccounts/NAME/token`.

use crate::answer::Answer;
use crate::ask::Ask;
use crate::body::{self, Expected};
use crate::server::Inner;
use crate::shape::write;
use crate::verb::get::newest;
use crate::write::metadata_mut;
use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::schema::lookup;
use berth_cluster_api::{Map, Refusal, time};
use berth_cluster_auth::token::{Bound, Object, Request};
use berth_cluster_json::{Value, json};
use http::StatusCode;
use std::sync::Arc;

const GROUP: &str = "authentication.k8s.io";
/// Seconds that a token holds: what is given where nothing is asked for, the least, and the most.
const SECONDS: (i64, i64, i64) = (3_600, 600, 1 << 32);

/// POST of a `TokenRequest`.
pub(crate) async fn issue(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let validation = body::validation(ask, "CreateOptions")?;
    let dry_run = ask.dry_run("CreateOptions")?;
    let schema = lookup(GROUP, "v1", "TokenRequest")
        .ok_or_else(|| Refusal::internal("no schema of TokenRequest"))?;
    let of = Expected { group: GROUP, version: "v1", kind: "TokenRequest", schema: &schema };
    let mut wanted = body::read(ask, &of, validation)?.object;
    server.admit_below(ask, &wanted)?;
    let Some(issuer) = &server.identity.issuer else { return Err(Refusal::method_not_allowed()) };
    let account = newest(&server.store, &ask.key()).await?.ok_or_else(|| ask.not_found())?;
    let name = &ask.target.name;
    let request = Request {
        namespace: ask.namespace().to_owned(),
        account: Object { name: name.clone(), uid: account.meta.uid.clone() },
        audiences: audiences(&wanted, issuer.url()),
        seconds: seconds(&wanted)?,
        bound: bound(server, ask, &wanted)?,
        warn_after: None,
    };
    let token = if dry_run {
        String::new()
    } else {
        issuer.sign(&request, ask.now.seconds).map_err(Refusal::internal)?
    };
    let expires = time::seconds(ask.now.seconds + request.seconds).unwrap_or_default();
    wanted.insert("status".to_owned(), json!({ "token": token, "expirationTimestamp": expires }));
    if let Some(Value::Object(spec)) = wanted.get_mut("spec") {
        spec.insert("audiences".to_owned(), request.audiences.into());
        spec.insert("expirationSeconds".to_owned(), request.seconds.into());
    }
    let now = time::seconds(ask.now.seconds).unwrap_or_default();
    let metadata = metadata_mut(&mut wanted);
    metadata.insert("name".to_owned(), name.as_str().into());
    metadata.insert("namespace".to_owned(), ask.namespace().into());
    metadata.insert("creationTimestamp".to_owned(), now.into());
    Ok(write(StatusCode::CREATED, ask.form.encoding, &Value::Object(wanted)))
}

fn spec(wanted: &Map) -> &Value {
    wanted.get("spec").unwrap_or(&Value::Null)
}

fn audiences(wanted: &Map, own: &str) -> Vec<String> {
    let all = spec(wanted)["audiences"].as_array();
    let all: Vec<String> =
        all.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if all.is_empty() { vec![own.to_owned()] } else { all }
}

fn seconds(wanted: &Map) -> Result<i64, Refusal> {
    let (usual, least, most) = SECONDS;
    let seconds = spec(wanted)["expirationSeconds"].as_i64().unwrap_or(usual);
    let mut errors = Errors::new();
    let path = Path::new("spec").child("expirationSeconds");
    if seconds < least {
        errors.invalid(&path, seconds, "may not specify a duration less than 10 minutes");
    } else if seconds > most {
        errors.invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    if errors.is_empty() {
        return Ok(seconds);
    }
    Err(Refusal::invalid(GROUP, "TokenRequest", "", &errors))
}

/// What the token dies with: it has to be there, and for a pod, it has to run as this account.
fn bound(server: &Inner, ask: &Ask, wanted: &Map) -> Result<Option<Bound>, Refusal> {
    let reference = &spec(wanted)["boundObjectRef"];
    if reference.is_null() {
        return Ok(None);
    }
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let (kind, name, uid) = (text("kind"), text("name"), text("uid"));
    let (plural, place) = match kind {
        "Pod" => ("pods", format!("pods/{}/{name}", ask.namespace())),
        "Secret" => ("secrets", format!("secrets/{}/{name}", ask.namespace())),
        "Node" => ("nodes", format!("nodes/{name}")),
        other => {
            return Err(Refusal::bad_request(format!(
                "cannot bind token to object of type {}, Kind={other}",
                text("apiVersion")
            )));
        }
    };
    let entry = server.store.latest(&place).ok_or_else(|| Refusal::not_found("", plural, name))?;
    if !uid.is_empty() && uid != entry.meta.uid {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Refusal::conflict("", plural, name, &why));
    }
    let object = Object { name: name.to_owned(), uid: entry.meta.uid.clone() };
    Ok(Some(match kind {
        "Pod" => {
            let pod = crate::shape::parse(&entry.bytes)?;
            let own = pod.get("spec").and_then(|spec| spec["serviceAccountName"].as_str());
            if own != Some(&ask.target.name) {
                return Err(Refusal::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    ask.target.name
                )));
            }
            let node =
                pod.get("spec").and_then(|spec| spec["nodeName"].as_str()).unwrap_or_default();
            let of = server.store.latest(&format!("nodes/{node}"));
            let node =
                of.map(|entry| Object { name: node.to_owned(), uid: entry.meta.uid.clone() });
            Bound::Pod(object, node)
        }
        "Secret" => Bound::Secret(object),
        _ => Bound::Node(object),
    }))
}
