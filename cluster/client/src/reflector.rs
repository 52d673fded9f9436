// SPDX-License-Identifier: Apache-2.0
//! Follows a kind: a list, then a watch from its revision, again and again; whatever fails is tried anew.

use crate::api::{Api, CallError};
use crate::chance::Chance;
use crate::informer::Shared;
use crate::line::{self, Line, ObjectError, Page, View};
use crate::pool::Pool;
use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt;
use kube::client::Body;
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use std::sync::Weak;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Objects of a page. More than client-go's 500: a server may look at all that come behind a page, to count them.
const PAGE: usize = 5_000;
/// The first pause after a failure, and the longest; client-go's numbers are 0.8 s and 30 s.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Seconds that a watch lasts at least, as it is asked for; up to twice as many are.
const WATCH: u64 = 300;
/// How much longer the server may take to end it, and how long it may take to answer.
const GRACE: Duration = Duration::from_secs(30);
/// The longest line of a watch: an object has 3 MiB at most.
const LINE_MAX: usize = 16 << 20;

/// Which objects are followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Its name in the plural.
    pub plural: String,
    /// Of this namespace only; empty for all.
    pub namespace: String,
    /// More of the query, such as `fieldSelector=spec.nodeName%3Dn1`; may be empty.
    pub query: String,
}

impl Resource {
    /// All objects of a kind.
    pub fn new(group: &str, version: &str, plural: &str) -> Self {
        let [group, version, plural] = [group, version, plural].map(str::to_owned);
        Self { group, version, plural, ..Self::default() }
    }

    /// The path of the collection, with a query that others can be appended to by `&`.
    fn path(&self) -> String {
        let root = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        let place = match self.namespace.as_str() {
            "" => String::new(),
            namespace => format!("/namespaces/{namespace}"),
        };
        format!("{root}{place}/{}?{}", self.plural, self.query)
    }
}

/// Why a watch ended.
enum Ended {
    /// Its time was over, or the connection was.
    Closed,
    /// Its revision is forgotten.
    Expired,
    /// Something is wrong.
    Failed(String),
    /// Nobody wants to know any more.
    Unwanted,
}

/// Pauses that grow.
struct Backoff {
    pause: Duration,
    chance: Chance,
}

impl Backoff {
    fn new(seed: u64) -> Self {
        Self { pause: PAUSE, chance: Chance::new(seed) }
    }

    /// What failed works again.
    fn over(&mut self) {
        self.pause = PAUSE;
    }

    /// Waits between half of the pause and all of it, and doubles it.
    async fn wait(&mut self, at_least: Option<u64>) {
        let half = self.pause / 2;
        let millis = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
        let wait = half + Duration::from_millis(self.chance.next() % millis);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        let least = at_least.map_or(Duration::ZERO, Duration::from_secs).min(PAUSE_MAX);
        tokio::time::sleep(wait.max(least)).await;
    }
}

/// Follows until nobody wants to know.
pub(crate) async fn follow<V: View>(api: Api, resource: Resource, to: Weak<Shared<V>>, seed: u64) {
    let path = resource.path();
    let mut pool = Pool::default();
    let (mut backoff, mut expired) = (Backoff::new(seed), Backoff::new(seed));
    loop {
        let (items, mut revision) = match list(&api, &path, &mut pool).await {
            Ok(found) => found,
            Err(error) => {
                if error.is_not_served() {
                    // There is none of it, as long as the server does not have the kind.
                    tracing::debug!(path, "a kind is not served, and looked for now and then");
                    let Some(shared) = to.upgrade() else { return };
                    shared.replace(Vec::new());
                } else {
                    tracing::warn!(%error, "a list failed and is tried again");
                }
                backoff.wait(error.retry_after()).await;
                continue;
            }
        };
        let Some(shared) = to.upgrade() else { return };
        shared.replace(items);
        shared.reached(&revision);
        drop(shared);
        backoff.over();
        let listed = Instant::now();
        loop {
            let began = Instant::now();
            let before = revision.clone();
            let seconds = WATCH + backoff.chance.next() % WATCH;
            match watch(&api, &path, seconds, &mut revision, (&to, &mut pool)).await {
                Ended::Unwanted => return,
                Ended::Expired => {
                    // A server that forgets at once what it has told is not asked as fast as it answers.
                    if listed.elapsed() > PAUSE_MAX {
                        expired.over();
                    } else {
                        expired.wait(None).await;
                    }
                    break;
                }
                // A server that ends each watch at once is not asked as fast as it answers.
                Ended::Closed if revision != before || began.elapsed() > PAUSE_MAX => {
                    backoff.over();
                }
                Ended::Closed => backoff.wait(None).await,
                Ended::Failed(error) => {
                    tracing::info!(path, error, "a watch failed and is begun anew");
                    backoff.wait(None).await;
                }
            }
        }
    }
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the list cannot be read: {0}")]
    Object(#[from] ObjectError),
    #[error("no answer in time")]
    Late,
}

impl ListError {
    /// Whether the server does not know the kind.
    fn is_not_served(&self) -> bool {
        matches!(self, Self::Call(error) if error.code() == Some(404))
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Call(CallError::Refused { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

type Listed<V> = (Vec<std::sync::Arc<crate::Item<V>>>, String);

/// Everything that is there, and as of when.
async fn list<V: View>(api: &Api, path: &str, pool: &mut Pool) -> Result<Listed<V>, ListError> {
    let mut items = Vec::new();
    let mut more = String::new();
    loop {
        let next = match more.as_str() {
            "" => format!("{path}&limit={PAGE}"),
            token => format!("{path}&limit={PAGE}&continue={}", escaped(token)),
        };
        let body = timeout(GRACE * 2, api.get(&next)).await.map_err(|_| ListError::Late)??;
        let page: Page<V> = line::page(&body, pool)?;
        for (id, error) in &page.unreadable {
            tracing::warn!(namespace = %id.namespace, name = %id.name, %error, "an object is left out");
        }
        items.extend(page.items);
        if page.more.is_empty() {
            return Ok((items, page.revision));
        }
        more = page.more;
    }
}

/// A token or revision in a query.
fn escaped(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// Watches from a revision, and carries it forward.
async fn watch<V: View>(
    api: &Api,
    path: &str,
    seconds: u64,
    revision: &mut String,
    (to, pool): (&Weak<Shared<V>>, &mut Pool),
) -> Ended {
    let asked = format!(
        "{path}&watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={seconds}",
        escaped(revision)
    );
    let answer = match timeout(GRACE, api.open(Method::GET, &asked, None)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if matches!(error.code(), Some(410 | 504)) => return Ended::Expired,
        Ok(Err(error)) => return Ended::Failed(error.to_string()),
        Err(_) => return Ended::Failed("no answer in time".to_owned()),
    };
    let Some(shared) = to.upgrade() else { return Ended::Unwanted };
    shared.watches(true);
    drop(shared);
    let ended = read(answer.into_body(), seconds, revision, (to, pool)).await;
    if let Some(shared) = to.upgrade() {
        shared.watches(false);
    }
    ended
}

/// Reads what is watched until it ends.
async fn read<V: View>(
    mut body: Body,
    seconds: u64,
    revision: &mut String,
    (to, pool): (&Weak<Shared<V>>, &mut Pool),
) -> Ended {
    let mut buffer = BytesMut::new();
    let end = Instant::now() + Duration::from_secs(seconds) + GRACE;
    loop {
        let piece: Bytes = match tokio::time::timeout_at(end, body.frame()).await {
            Err(_) | Ok(None) => return Ended::Closed,
            Ok(Some(Err(error))) => return Ended::Failed(error.to_string()),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        let seen = buffer.len();
        buffer.extend_from_slice(&piece);
        if buffer.len() > LINE_MAX {
            return Ended::Failed("a line without an end".to_owned());
        }
        let mut from = seen;
        while let Some(length) = buffer[from..].iter().position(|byte| *byte == b'\n') {
            let text = buffer.split_to(from + length);
            buffer.advance(1);
            from = 0;
            if let Some(ended) = take(&text, revision, to, pool) {
                return ended;
            }
        }
    }
}

/// Takes a line in.
fn take<V: View>(
    text: &[u8],
    revision: &mut String,
    to: &Weak<Shared<V>>,
    pool: &mut Pool,
) -> Option<Ended> {
    let Some(shared) = to.upgrade() else { return Some(Ended::Unwanted) };
    if text.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    match line::line::<V>(text, pool) {
        Ok(Line::Set(item)) => {
            item.id.resource_version.as_str().clone_into(revision);
            shared.set(item);
            shared.reached(revision);
        }
        Ok(Line::Gone(id)) => {
            id.resource_version.as_str().clone_into(revision);
            shared.remove(&id);
            shared.reached(revision);
        }
        Ok(Line::Bookmark(at)) => {
            *revision = at;
            shared.reached(revision);
        }
        Ok(Line::Unreadable(id, error)) => {
            tracing::warn!(namespace = %id.namespace, name = %id.name, %error, "an object is left out");
            id.resource_version.as_str().clone_into(revision);
            shared.remove(&id);
        }
        Ok(Line::Failed { code: 410 | 504, .. }) => return Some(Ended::Expired),
        Ok(Line::Failed { code, message }) => {
            return Some(Ended::Failed(format!("{message} ({code})")));
        }
        Err(error) => return Some(Ended::Failed(format!("an event cannot be read: {error}"))),
    }
    None
}
