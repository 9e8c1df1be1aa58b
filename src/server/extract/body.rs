//! A request's body as bytes: as large, and as slow, as it may be.

use std::time::Duration;

use axum::{body::Body, extract::Request, http::header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::{config::Server, server::error::AppError, types::Share};

/// How long a client may pause while it sends its body.
const BODY_PAUSE: Duration = Duration::from_secs(30);
/// How long a body may take in all: the largest one at two megabits a second.
const BODY_LIMIT: Duration = Duration::from_secs(300);
/// A declared length is believed so far, in bytes: memory is taken for what has come.
const BELIEVED: usize = 64 * 1024;

/// What a byte of a body takes: as it came, and as it is read and sent on.
const TIMES: usize = 2;

/// Reads a body of at most as many bytes as there may be, which are taken from `memory`.
pub(super) async fn read(
    request: Request,
    server: &Server,
    memory: &Share,
) -> Result<Bytes, AppError> {
    let limit = server.request_body_limit;
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    // Most clients do not read an answer before they have sent everything, so a body that is not
    // hopelessly large is read to its end and thrown away.
    let patience = limit.saturating_mul(2);
    if declared.is_some_and(|length| length > patience) {
        return Err(AppError::BodyTooLarge { limit });
    }
    let mut kept = BytesMut::with_capacity(declared.unwrap_or_default().min(limit).min(BELIEVED));
    let mut seen = 0_usize;
    let begun = Instant::now();
    let mut chunks = Body::into_data_stream(request.into_body());
    while let Some(chunk) =
        next_by(&mut chunks, patience_ends(begun, seen, server.min_body_rate)).await?
    {
        seen = seen.saturating_add(chunk.len());
        if seen > patience {
            break;
        }
        if seen <= limit {
            memory.take(chunk.len().saturating_mul(TIMES)).map_err(|_| AppError::NoMemory)?;
            make_room(&mut kept, chunk.len(), declared.filter(|length| *length <= limit));
            kept.extend_from_slice(&chunk);
        }
    }
    if seen > limit { Err(AppError::BodyTooLarge { limit }) } else { Ok(kept.freeze()) }
}

/// Makes room for so many bytes more. A length that was declared is believed once a quarter of it is
/// there; else a body that grows would stand in memory one and a half times.
fn make_room(kept: &mut BytesMut, more: usize, declared: Option<usize>) {
    let needed = kept.len().saturating_add(more);
    if needed > kept.capacity()
        && let Some(declared) =
            declared.filter(|length| (needed..=needed.saturating_mul(4)).contains(length))
    {
        kept.reserve(declared.saturating_sub(kept.len()));
    }
}

/// When a body that began to come at `begun`, and of which so many bytes have been seen, is given up
/// unless there are more, by a rate in bytes a second; at 0 there is none.
fn patience_ends(begun: Instant, seen: usize, rate: u64) -> Instant {
    let earned = u64::try_from(seen).unwrap_or(u64::MAX).checked_div(rate).unwrap_or(u64::MAX);
    let in_all = BODY_PAUSE.saturating_add(Duration::from_secs(earned)).min(BODY_LIMIT);
    (begun + in_all).min(Instant::now() + BODY_PAUSE)
}

async fn next_by(
    chunks: &mut (impl futures::Stream<Item = Result<Bytes, axum::Error>> + Unpin),
    end: Instant,
) -> Result<Option<Bytes>, AppError> {
    match timeout_at(end, chunks.next()).await {
        Ok(chunk) => chunk.transpose().map_err(|_| AppError::invalid("the request body broke off")),
        Err(_) => Err(AppError::BodyStalled),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::types::Memory;

    async fn read_chunks(chunks: Vec<&'static str>, limit: usize) -> Result<Bytes, AppError> {
        let chunks = chunks.into_iter().map(|text| Ok::<_, std::io::Error>(Bytes::from(text)));
        let server = Server { request_body_limit: limit, ..Server::default() };
        let memory = Memory::new(None).share();
        read(Request::new(Body::from_stream(futures::stream::iter(chunks))), &server, &memory).await
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit() {
        assert_eq!(read_chunks(vec!["ab", "cd"], 4).await.unwrap(), "abcd");
        for chunks in [vec!["ab", "cde"], vec!["abcdefghijkl"], vec!["abcd", "efgh", "ijkl"]] {
            let error = read_chunks(chunks, 4).await.unwrap_err();
            assert!(matches!(error, AppError::BodyTooLarge { limit: 4 }), "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_given_up_and_a_slow_one_is_not() {
        let drip = |times: usize, pause: u64| {
            Request::new(Body::from_stream(async_stream::stream! {
                for _ in 0..times {
                    sleep(Duration::from_secs(pause)).await;
                    yield Ok::<_, std::io::Error>(Bytes::from("x"));
                }
            }))
        };
        let any_rate = Server { min_body_rate: 0, ..Server::default() };
        for (times, pause, server, is_read) in [
            (5, 5, &Server::default(), true),
            (5, 20, &Server::default(), false),
            (5, 20, &any_rate, true),
            (1, 40, &any_rate, false),
            // However fast it is.
            (400, 1, &any_rate, false),
        ] {
            let body = read(drip(times, pause), server, &Memory::new(None).share()).await;
            let as_wanted = match &body {
                Ok(body) => is_read && body.len() == times,
                Err(error) => !is_read && matches!(error, AppError::BodyStalled),
            };
            assert!(as_wanted, "{times} {pause}: {body:?}");
        }
    }
}
