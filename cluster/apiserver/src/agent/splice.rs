// SPDX-License-Identifier: Apache-2.0
//! Two connections that have changed their protocol, and the bytes between them.

use super::MESSAGE_MAX;
use super::dial::{Call, Reply};
use super::headers::{Upgrade, from_agent};
use crate::answer::{Answer, Body, text};
use crate::guard::Lasting;
use crate::listener::told;
use crate::server::Inner;
use berth_cluster_api::Refusal;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{sleep, timeout};

/// Bytes of a direction that are under way.
const BUFFER: usize = 32 << 10;
/// How long one direction goes on after the other has ended.
const REST: Duration = Duration::from_secs(10);

/// Lets the agent change the protocol, and the client then, too.
pub(super) async fn serve(
    server: &Inner,
    call: Call,
    client: OnUpgrade,
    wanted: Upgrade,
    parts: &Parts,
) -> Result<Answer, Refusal> {
    let mut reply = call.send(server, Bytes::new()).await?;
    if reply.response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return failed(reply).await;
    }
    let headers = from_agent(&parts.headers, wanted, reply.response.headers())
        .map_err(|why| Refusal::new(502, "BadGateway", format!("the agent switched to {why}")))?;
    let agent = hyper::upgrade::on(&mut reply.response);
    let Reply { agents, place, .. } = reply;
    let mut stopping = server.stopping();
    let lasting = parts.extensions.get::<Lasting>().cloned();
    tokio::spawn(async move {
        let _place = place;
        let both = async { tokio::try_join!(client, agent) };
        let Ok(Ok((client, agent))) = timeout(agents.connect, both).await else {
            return tracing::debug!("a connection did not change its protocol");
        };
        if let Some(lasting) = lasting {
            lasting.begin();
        }
        tokio::select! {
            biased;
            () = told(&mut stopping) => {}
            ended = between(TokioIo::new(client), TokioIo::new(agent), agents.idle) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a stream to an agent ended");
                }
            }
        }
    });
    let mut answer = Response::new(Body::Whole(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = headers;
    Ok(answer)
}

/// What the agent said in place of a switch. The client's connection ends with it: nothing that follows may be taken for a stream.
async fn failed(reply: Reply) -> Result<Answer, Refusal> {
    let status = reply.response.status();
    if status.as_u16() < 400 {
        return Err(Refusal::new(502, "BadGateway", format!("the agent answered with {status}")));
    }
    let media = reply.response.headers().get(CONTENT_TYPE).cloned();
    let mut words = reply.words().await?;
    words.truncate(words.floor_char_boundary(MESSAGE_MAX));
    let mut answer = text(status, words);
    let headers = answer.headers_mut();
    headers.extend(media.map(|media| (CONTENT_TYPE, media)));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(answer)
}

/// Passes bytes on until both directions have ended, or nothing has happened for too long.
async fn between<C, A>(client: C, agent: A, idle: Duration) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    A: AsyncRead + AsyncWrite,
{
    let moved = AtomicU64::new(0);
    let (from_client, to_client) = split(client);
    let (from_agent, to_agent) = split(agent);
    let up = pass(from_client, to_agent, &moved);
    let down = pass(from_agent, to_client, &moved);
    tokio::pin!(up, down);
    let watch = async {
        loop {
            let before = moved.load(Ordering::Relaxed);
            sleep(idle).await;
            if moved.load(Ordering::Relaxed) == before {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        // What the agent said last has reached the client; nobody is left to hear more of it.
        ended = &mut down => ended,
        ended = &mut up => {
            ended?;
            timeout(REST, down).await.unwrap_or(Ok(()))
        }
        () = watch => Err(io::Error::new(io::ErrorKind::TimedOut, "idle for too long")),
    }
}

async fn pass<R, W>(mut from: R, mut to: W, moved: &AtomicU64) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
        moved.fetch_add(1, Ordering::Relaxed);
    }
}
