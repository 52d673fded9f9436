// SPDX-License-Identifier: Apache-2.0
//! Calls from within the process: what the server itself needs done goes through the same door as everything else.

use crate::identity::Caller;
use crate::server::Server;
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_json::Value;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};

/// Calls as one user.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    server: Server,
    user: User,
}

/// A call that was refused, as the client sees it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// The HTTP status.
    pub code: u16,
    /// The sentence.
    pub message: String,
}

impl Local {
    /// Calls as the server itself, which may do everything.
    pub(crate) fn new(server: &Server) -> Self {
        let user = User::authenticated("system:apiserver", "", vec![MASTERS.to_owned()]);
        Self { server: server.clone(), user }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>, CallError> {
        match self.call(Method::GET, path, None).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Calls. A body is JSON; of a patch it is a merge patch.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let failed = |code: u16, message: String| CallError { code, message };
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::new(Full::new(Bytes::from(text)));
        let media = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| failed(400, format!("no path: {path}")))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
        request.extensions_mut().insert(Caller(self.user.clone()));
        let answer = self.server.answer(request).await;
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        let value: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
        if code < 300 {
            return Ok(value);
        }
        let message = value["message"].as_str().unwrap_or("no answer");
        Err(failed(code, format!("{path}: {message}")))
    }
}
