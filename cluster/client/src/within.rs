// SPDX-License-Identifier: Apache-2.0
//! A client of a server in the same process: no socket, no TLS, and an identity that no header can set.

use crate::api::Api;
use bytes::Bytes;
use http::{Request, Response};
use kube::client::Body;
use std::task::{Context, Poll};
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Api {
    /// Over a server that is a service. `caller` travels with each request as an extension: it says who calls, in the type that the
    /// server looks for, unless [`Api::with_caller`] says another.
    pub fn within<S, B, T>(server: S, caller: T) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        T: Clone + Send + Sync + 'static,
    {
        Self::new(kube::Client::new(Within { server, caller }, "default"))
    }
}

struct Within<S, T> {
    server: S,
    caller: T,
}

impl<S, T> Service<Request<Body>> for Within<S, T>
where
    S: Service<Request<Body>>,
    T: Clone + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.server.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        // Only code of this process can have said who calls ([`Api::with_caller`]).
        if request.extensions().get::<T>().is_none() {
            request.extensions_mut().insert(self.caller.clone());
        }
        self.server.call(request)
    }
}
