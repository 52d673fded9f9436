// SPDX-License-Identifier: Apache-2.0
//! Slow start: many like calls begin with one, and double as long as all succeed. What a quota refuses is asked for once, not 500 times.

use std::future::Future;
use tokio::task::JoinSet;

/// The most pods that a controller makes or deletes at a time (upstream's number).
pub(crate) const BURST: usize = 500;

/// Calls `count` times, in batches of 1, 2, 4 and so on, until one of a batch fails. Returns how many succeeded, and the first error.
pub(crate) async fn slow_start<E, F>(count: usize, call: impl Fn(usize) -> F) -> (usize, Option<E>)
where
    E: Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    let (mut succeeded, mut begun, mut size) = (0, 0, 1);
    while begun < count {
        let batch = size.min(count - begun);
        let mut tasks = JoinSet::new();
        for number in begun..begun + batch {
            tasks.spawn(call(number));
        }
        begun += batch;
        let mut failure = None;
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok(Ok(())) => succeeded += 1,
                Ok(Err(error)) => drop(failure.get_or_insert(error)),
                Err(error) => tracing::error!(%error, "a call of a batch ended in a panic"),
            }
        }
        if failure.is_some() {
            return (succeeded, failure);
        }
        size *= 2;
    }
    (succeeded, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_fails_is_the_last() {
        for (count, room, begun) in
            [(0, 9, 0), (10, 100, 10), (500, 0, 1), (500, 2, 3), (500, 5, 7), (4, 3, 4)]
        {
            let calls = Arc::new(AtomicUsize::new(0));
            let call = |_| {
                let number = calls.fetch_add(1, Ordering::Relaxed);
                async move { if number < room { Ok(()) } else { Err("full") } }
            };
            let (succeeded, error) = slow_start(count, call).await;
            assert_eq!(calls.load(Ordering::Relaxed), begun);
            assert_eq!(succeeded, begun.min(room));
            assert_eq!(error.is_some(), begun > room);
        }
    }
}
