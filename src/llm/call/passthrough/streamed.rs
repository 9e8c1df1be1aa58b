//! A long answer that is handed on as it comes, so that no more of it stands in memory than a piece.

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use reqwest::Response;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use crate::llm::{
    LlmError, LlmErrorKind,
    call::{exchange::of_body, failure::Failure},
    endpoint::{Endpoint, activity::Use, balance::Lease},
};

/// Most bytes of an answer: a list of two thousand vectors of three thousand numbers fits.
const REPLY_LIMIT: usize = 256 * 1024 * 1024;

/// What is still to come, and what it holds meanwhile.
pub(super) struct Rest {
    pub(super) response: Response,
    pub(super) using: Use,
    pub(super) lease: Lease<Endpoint>,
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

impl Rest {
    /// The whole answer: what has come, and what comes by then.
    pub(super) fn behind(
        mut self,
        head: Vec<u8>,
        until: Instant,
    ) -> BoxStream<'static, Result<Bytes, LlmError>> {
        async_stream::stream! {
            let mut length = head.len();
            yield Ok(Bytes::from(head));
            let failure = loop {
                match timeout_at(until, self.response.chunk()).await {
                    Ok(Ok(Some(chunk))) => {
                        length = length.saturating_add(chunk.len());
                        if length > REPLY_LIMIT {
                            break Failure::new(LlmErrorKind::Garbled, "the reply is too large");
                        }
                        yield Ok(chunk);
                    }
                    Ok(Ok(None)) => {
                        self.using.kept();
                        return;
                    }
                    Ok(Err(error)) => break of_body(error),
                    Err(_) => {
                        break Failure::new(LlmErrorKind::Timeout, "the reply did not end in time");
                    }
                }
            };
            yield Err(failure.into_error(self.lease.endpoint(), &[]));
        }
        .boxed()
    }
}
