// SPDX-License-Identifier: Apache-2.0
//! The server: a tower `Service` over a store and a set of kinds.

use crate::accept::{Form, negotiate};
use crate::access::Access;
use crate::admission::{self, Admission, Request, Tolerations};
use crate::agent::{self, Agents};
use crate::answer::{Answer, refused, warn};
use crate::ask::{Ask, verb};
use crate::count::Requests;
use crate::environment::{Environment, Machine};
use crate::fault::Faults;
use crate::fence;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::path::{Resource, Target, parse};
use crate::query::Query;
use crate::resources::Resources;
use crate::{grant, impersonate, page, verb as verbs, write};
use berth_cluster_api::kinds::service::allocate::Ranges;
use berth_cluster_api::registry::Subresource;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_auth::rbac::{Attributes, forbidden};
use berth_cluster_auth::token::{Issuer, StaticTokens};
use berth_cluster_auth::user::User;
use berth_cluster_store::Store;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Bounds. The defaults are upstream's.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Bytes of events that may wait for a watcher before it is closed.
    pub watch_bytes: usize,
    /// How long a request may take that is no watch.
    pub request_time: Duration,
    /// Seconds that a watch lasts at least if its client does not say; at most twice that.
    pub watch_seconds: u64,
    /// Watches of one user.
    pub watches: usize,
    /// Requests that only read, at a time.
    pub reading: usize,
    /// Requests that write, at a time.
    pub writing: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_bytes: 3 << 20,
            watch_bytes: 8 << 20,
            request_time: Duration::from_mins(1),
            watch_seconds: 1_800,
            watches: 8_000,
            reading: 400,
            writing: 200,
        }
    }
}

/// An apiserver. Clones are the same server.
#[derive(Debug, Clone)]
pub struct Server(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) access: Access,
    pub(crate) options: Options,
    pub(crate) identity: Identity,
    pub(crate) ranges: Ranges,
    resources: RwLock<Arc<Resources>>,
    admission: Vec<Box<dyn Admission>>,
    faults: Faults,
    pub(crate) limits: Limits,
    pub(crate) requests: Requests,
    pub(crate) agents: Option<Agents>,
    stopping: watch::Sender<bool>,
}

/// Puts a server together.
#[derive(Debug)]
pub struct Builder {
    store: Store,
    resources: Resources,
    environment: Arc<dyn Environment>,
    options: Options,
    identity: Identity,
    faults: Faults,
    ranges: Ranges,
    without: Vec<String>,
    tolerations: Tolerations,
    agents: Option<Agents>,
}

impl Builder {
    /// Serves these kinds, in place of the built-in ones.
    #[must_use]
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = resources;
        self
    }

    /// Takes time and chance from here.
    #[must_use]
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// With other bounds.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Believes these tokens.
    #[must_use]
    pub fn tokens(mut self, tokens: StaticTokens) -> Self {
        self.identity.tokens = tokens;
        self
    }

    /// Believes the tokens of ServiceAccounts, which are for this server if they are for the issuer.
    #[must_use]
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.identity.audiences = vec![issuer.url().to_owned()];
        self.identity.issuer = Some(Arc::new(issuer));
        self
    }

    /// Takes addresses of services and ports of nodes from here.
    #[must_use]
    pub fn ranges(mut self, ranges: Ranges) -> Self {
        self.ranges = ranges;
        self
    }

    /// Pods stay so long on a node that is lost, if they do not say it themselves.
    #[must_use]
    pub fn tolerations(mut self, tolerations: Tolerations) -> Self {
        self.tolerations = tolerations;
        self
    }

    /// Without these links of the chain of admission, by upstream's names: `NamespaceLifecycle`, `ServiceAccount`, `Priority`.
    #[must_use]
    pub fn without_admission(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.without.extend(names);
        self
    }

    /// Calls the agents of nodes: for logs, exec, attach, port-forward, and their own pages. Without this it says that it does not.
    #[must_use]
    pub fn agents(mut self, agents: Agents) -> Self {
        self.agents = Some(agents);
        self
    }

    /// With faults, to be tried how clients take them.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// The server.
    pub fn build(self) -> Server {
        let mut admission = admission::chain(self.tolerations);
        admission.retain(|link| !self.without.iter().any(|name| name == link.name()));
        Server(Arc::new(Inner {
            access: Access::new(self.store.clone()),
            store: self.store,
            environment: self.environment,
            limits: Limits::new(&self.options),
            requests: Requests::default(),
            agents: self.agents,
            options: self.options,
            identity: self.identity,
            ranges: self.ranges,
            resources: RwLock::new(Arc::new(self.resources)),
            admission,
            faults: self.faults,
            stopping: watch::channel(false).0,
        }))
    }
}

impl Server {
    /// A server over a store, with the built-in kinds.
    pub fn builder(store: Store) -> Builder {
        Builder {
            store,
            resources: Resources::new(berth_cluster_api::kinds::builtin()),
            environment: Arc::new(Machine),
            options: Options::default(),
            identity: Identity::default(),
            faults: Faults::default(),
            ranges: Ranges::default(),
            without: Vec::new(),
            tolerations: Tolerations::default(),
            agents: None,
        }
    }

    /// The kinds that are served.
    pub fn resources(&self) -> Arc<Resources> {
        self.0.resources()
    }

    /// Serves other kinds from now on; requests that run go on with those that they began with.
    pub fn serve_kinds(&self, resources: Resources) {
        *self.0.resources.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(resources);
    }

    /// Ends the watches, and takes no new one.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Answers a request.
    pub async fn answer<B>(&self, request: http::Request<B>) -> Answer
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let body = Box::pin(read(body, self.0.options.body_bytes));
        let mut counted = "other";
        let answer = match self.0.serve(parts, body, &mut counted).await {
            Ok(answer) => answer,
            Err(refusal) => refused(&refusal),
        };
        self.0.requests.count(counted, answer.status().as_u16(), began.elapsed());
        answer
    }
}

type Reading = std::pin::Pin<Box<dyn Future<Output = Result<Bytes, Refusal>> + Send>>;

async fn read<B>(body: B, most: usize) -> Result<Bytes, Refusal>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = || {
        let text = format!("Request entity too large: limit is {most}");
        Refusal::new(413, "RequestEntityTooLarge", text)
    };
    // One that says that it is too large is not waited for.
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let whole = Limited::new(body, most).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            too_large()
        } else {
            Refusal::bad_request(format!("the body of the request cannot be read: {error}"))
        }
    })?;
    Ok(whole.to_bytes())
}

impl<B> tower_service::Service<http::Request<B>> for Server
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.answer(request).await) })
    }
}

impl Inner {
    pub(crate) fn resources(&self) -> Arc<Resources> {
        Arc::clone(&self.resources.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells when the server stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// How long a watch lasts whose client does not say: not all for as long, or they would all come back at once.
    pub(crate) fn watch_time(&self) -> Duration {
        let least = self.options.watch_seconds;
        Duration::from_secs(least + self.environment.random() % least.max(1))
    }

    /// Waits for what the chain of admission needs, a second at most.
    pub(crate) async fn await_needed(&self, request: &Request<'_>, object: &Map) {
        const TRIES: usize = 50;
        const PAUSE: Duration = Duration::from_millis(20);
        let namespace = format!("namespaces/{}", request.ask.namespace());
        for key in self.admission.iter().filter_map(|link| link.awaits(request, object)) {
            for _ in 0..TRIES {
                if self.store.latest(&key).is_some() || self.store.latest(&namespace).is_none() {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Asks the chain of admission about something that is made below an object and kept nowhere: a token, an eviction.
    pub(crate) fn admit_below(&self, ask: &Ask, sent: &Map) -> Result<(), Refusal> {
        self.admission.iter().try_for_each(|link| link.admit_below(self, ask, sent))
    }

    /// Asks the chain of admission.
    pub(crate) fn admit(&self, request: &Request<'_>, object: &mut Map) -> Result<(), Refusal> {
        self.admission.iter().try_for_each(|link| link.admit(self, request, object))
    }

    /// Whether the user holds what the role or binding gives.
    pub(crate) fn may_grant(&self, ask: &Ask, new: &Map, old: Option<&Map>) -> Result<(), Refusal> {
        grant::check(self, ask, new, old)
    }

    /// Whether the user may do this, too.
    pub(crate) fn authorize_as(&self, ask: &Ask, verb: &str) -> Result<(), Refusal> {
        self.authorize(&attributes(&ask.user, verb, &ask.target, &ask.query))
    }

    pub(crate) fn authorize(&self, asked: &Attributes<'_>) -> Result<(), Refusal> {
        let decision = self.access.allowed(asked);
        if decision.allowed { Ok(()) } else { Err(forbidden(asked, &decision.reason)) }
    }

    /// Answers. `counted`: what it is counted as.
    async fn serve(
        self: &Arc<Self>,
        parts: Parts,
        body: Reading,
        counted: &mut &'static str,
    ) -> Result<Answer, Refusal> {
        let now = self.environment.now();
        let user = self.identity.user(&parts, now.seconds, &self.store)?;
        let user = impersonate::user(self, &parts, user)?;
        let target = parse(parts.uri.path())?;
        let query = Query::new(parts.uri.query().unwrap_or_default());
        match target {
            Target::Page(path) => {
                *counted = "page";
                page::serve(self, &parts, &user, &path).await
            }
            Target::Resource(target) if !self.knows(&target) => {
                let path = parts.uri.path();
                self.authorize(&attributes(&user, "get", &target, &query))?;
                page::unknown(path)
            }
            Target::Resource(target) => {
                let verb = verb(&parts.method, &target, &query);
                *counted = verb.ok_or_else(Refusal::method_not_allowed)?;
                if agent::concerns(&target) {
                    self.authorize(&attributes(&user, counted, &target, &query))?;
                    *counted = "connect";
                    let (target, query, user) = (&target, &query, &user);
                    let request = agent::Request { parts, user, target, query };
                    return agent::serve(self, request, body).await;
                }
                let ask = self.understand(&parts, user, counted, target, query)?;
                let deprecated = ask.kind.rules.deprecated();
                let mut answer = self.carry_out(ask, body).await?;
                warn(&mut answer, deprecated.as_slice());
                Ok(answer)
            }
        }
    }

    /// Whether the group is served; of the core group everything is a resource.
    fn knows(&self, target: &Resource) -> bool {
        target.group.is_empty()
            || self.resources().versions().any(|(group, ..)| group == target.group)
    }

    /// Who asks for what, if they may.
    fn understand(
        &self,
        parts: &Parts,
        user: User,
        verb: &'static str,
        target: Resource,
        query: Query,
    ) -> Result<Ask, Refusal> {
        self.authorize(&attributes(&user, verb, &target, &query))?;
        let resources = self.resources();
        let (kind, target) = find(&resources, target)?;
        let sub = match target.subresource.as_str() {
            "" => None,
            name => {
                let sub = kind.subresource(name);
                Some(sub.ok_or_else(Refusal::no_such_path)?)
            }
        };
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let media = text(CONTENT_TYPE).and_then(|media| media.split(';').next());
        let media = media.unwrap_or_default().trim().to_owned();
        // What is kept nowhere has no rows.
        let rows = !kind.rules.is_question()
            && !matches!(
                sub,
                Some(Subresource::Binding | Subresource::Eviction | Subresource::Token)
            );
        let form = text(ACCEPT).map_or(Ok(Form::PLAIN), |accept| negotiate(accept, rows))?;
        let fence = fence::demanded(&parts.headers, verb)?;
        let now = self.environment.now();
        Ok(Ask {
            resources,
            kind,
            sub,
            verb,
            target,
            query,
            form,
            user,
            now,
            media,
            body: Bytes::new(),
            fence,
        })
    }

    async fn carry_out(self: &Arc<Self>, mut ask: Ask, body: Reading) -> Result<Answer, Refusal> {
        if ask.verb == "watch" {
            if *self.stopping.borrow() {
                return Err(Refusal::too_many_requests("the server is stopping", 1));
            }
            return verbs::serve(self, ask).await;
        }
        let _place = self.limits.enter(&ask).await?;
        let work = async {
            self.faults.before(&*self.environment, &ask).await?;
            let reads = ["get", "list"].contains(&ask.verb);
            if !reads {
                ask.body = body.await?;
            }
            let answer = match verbs::serve(self, ask).await {
                Err(refusal) if !reads => return Err(write::settled(self, refusal).await),
                other => other?,
            };
            self.faults.after(&*self.environment).map(|()| answer)
        };
        let in_time = tokio::time::timeout(self.options.request_time, work).await;
        in_time.unwrap_or_else(|_| Err(timeout()))
    }
}

fn timeout() -> Refusal {
    let text = "Timeout: request did not complete within the allotted timeout";
    Refusal::new(504, "Timeout", text)
}

/// Verbs that take a selector.
const READ_MANY: [&str; 3] = ["list", "watch", "deletecollection"];

/// What is asked of roles.
fn attributes<'a>(
    user: &'a User,
    verb: &'a str,
    target: &'a Resource,
    query: &'a Query,
) -> Attributes<'a> {
    let selected = match verb {
        verb if READ_MANY.contains(&verb) && target.name.is_empty() => named(query),
        _ => "",
    };
    Attributes {
        version: &target.version,
        subresource: &target.subresource,
        namespace: &target.namespace,
        name: if selected.is_empty() { &target.name } else { selected },
        fields: if READ_MANY.contains(&verb) { query.text("fieldSelector") } else { "" },
        ..Attributes::resource(user, verb, &target.group, &target.resource)
    }
}

/// The one object that a selector leaves.
fn named(query: &Query) -> &str {
    let selector = query.text("fieldSelector");
    let name = selector.strip_prefix("metadata.name=").unwrap_or_default();
    let name = name.strip_prefix('=').unwrap_or(name);
    if name.contains([',', '=', '\\', '!']) { "" } else { name }
}

/// The kind of a path. A namespaced one is not found outside of namespaces, nor the other way round.
fn find(
    resources: &Resources,
    target: Resource,
) -> Result<(Arc<berth_cluster_api::registry::Kind>, Resource), Refusal> {
    let found = resources.find(&target.group, &target.version, &target.resource);
    let kind = Arc::clone(found.ok_or_else(Refusal::no_such_path)?);
    // A namespace is in itself, and in no other.
    let own = &*kind.stored_as == "namespaces" && target.namespace == target.name;
    if !kind.namespaced && !own && !target.namespace.is_empty() {
        return Err(Refusal::no_such_path());
    }
    if !target.rest.is_empty() {
        return Err(Refusal::no_such_path());
    }
    Ok((kind, target))
}
