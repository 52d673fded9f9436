// SPDX-License-Identifier: Apache-2.0
//! A client whose way to the server is exchanged while it is used: certificates of clients end, and are renewed before.

use crate::api::Api;
use http::{Request, Response};
use kube::client::Body;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use tower_service::Service;

/// Exchanges the way of an [`Api`] that was made by [`Api::changing`].
#[derive(Clone)]
pub struct Way(Arc<RwLock<kube::Client>>);

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Way(..)")
    }
}

impl Way {
    /// Calls from now on go as those of `to`; what is under way ends as it began.
    pub fn change(&self, to: &Api) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = to.client().clone();
    }
}

impl Api {
    /// One that goes the way of `first`, until another one is said.
    #[must_use]
    pub fn changing(first: &Self) -> (Self, Way) {
        let way = Way(Arc::new(RwLock::new(first.client().clone())));
        (Self::new(kube::Client::new(Current(way.clone()), "default")), way)
    }
}

struct Current(Way);

impl Service<Request<Body>> for Current {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        // The client that a call goes to waits for its turn itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move { client.send(request).await })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::*;
    use std::convert::Infallible;

    /// A server that answers with a text.
    #[derive(Clone)]
    struct Says(&'static str);

    impl Service<Request<Body>> for Says {
        type Response = Response<http_body_util::Full<bytes::Bytes>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            std::future::ready(Ok(Response::new(self.0.into())))
        }
    }

    #[tokio::test]
    async fn calls_go_the_way_that_was_said_last() {
        let [one, other] = ["one", "other"].map(|text| Api::within(Says(text), ()));
        let (api, way) = Api::changing(&one);
        let again = api.clone();
        assert_eq!(&api.get("/x").await.unwrap()[..], b"one");
        way.change(&other);
        assert_eq!(&api.get("/x").await.unwrap()[..], b"other");
        assert_eq!(&again.get("/x").await.unwrap()[..], b"other");
    }
}
