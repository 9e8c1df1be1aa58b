//! What a model that answers says, as far as it was heard.

use std::sync::Arc;

use super::{
    fallback::Reader,
    model_call::{
        MAX_OUTPUT_BYTES, ended_early, error as stage_error, no_memory, plain, too_large,
        without_thoughts,
    },
    recorder::size,
};
use crate::{
    llm::{CallEvent, Delta, LlmError, LlmErrorKind, Model},
    types::FinishReason,
    workflow::context::RunContext,
};

/// The output of a call, taken piece by piece.
pub(super) struct Output {
    reader: Reader,
    model: Arc<Model>,
    run: Arc<RunContext>,
    text: String,
    bytes: usize,
    /// What a client that waits for the whole answer gets at its end: when the model dies in the
    /// middle, another one can still answer.
    held: Option<Held>,
    /// The client has a piece of the answer.
    pub(super) spoke: bool,
    /// How its call ended.
    pub(super) ending: Result<FinishReason, LlmError>,
}

struct Held {
    deltas: Vec<Delta>,
    /// When the answer began, since the run did.
    began_ms: Option<u64>,
}

/// What an item of its call means.
pub(super) enum Said {
    Nothing,
    /// Something for the client.
    Delta(Delta),
    End,
}

impl Output {
    pub(super) fn new(reader: Reader, model: &Arc<Model>, run: &Arc<RunContext>) -> Self {
        let ending = Err(ended_early(model));
        let (model, run) = (Arc::clone(model), Arc::clone(run));
        let is_whole = reader.is_client() && !run.request.stream;
        let held = is_whole.then(|| Held { deltas: Vec::new(), began_ms: None });
        Self { reader, model, run, text: String::new(), bytes: 0, held, spoke: false, ending }
    }

    pub(super) fn take(&mut self, item: Result<CallEvent, LlmError>) -> Said {
        let delta = match item {
            Ok(CallEvent::Delta(delta)) => delta,
            // What an attempt said that was broken off is taken back.
            Ok(CallEvent::Started { .. }) => {
                self.bytes = 0;
                if let Some(held) = &mut self.held {
                    (held.deltas, held.began_ms) = (Vec::new(), None);
                }
                return Said::Nothing;
            }
            Ok(CallEvent::Attempt(_) | CallEvent::Waiting { .. }) => return Said::Nothing,
            Ok(CallEvent::Finished(completion)) => {
                self.ending = Ok(completion.reason);
                return Said::End;
            }
            Err(error) => {
                self.ending = Err(error);
                return Said::End;
            }
        };
        let bytes = size(&delta);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_OUTPUT_BYTES {
            self.ending = Err(too_large(&self.model));
            return Said::End;
        }
        // Of what is streamed nothing is kept; what is not stands there as pieces and as a whole.
        let is_kept = self.held.is_some() || !self.reader.is_client();
        if is_kept && self.run.keep(bytes.saturating_mul(2)).is_err() {
            self.ending = Err(no_memory(&self.model));
            return Said::End;
        }
        if self.reader.is_client() {
            let speaks = !matches!(delta, Delta::Reasoning(_) | Delta::State(_));
            let Some(held) = &mut self.held else {
                self.spoke |= speaks;
                return Said::Delta(delta);
            };
            if speaks && held.began_ms.is_none() {
                held.began_ms = Some(self.run.elapsed_ms());
            }
            held.deltas.push(delta);
            return Said::Nothing;
        }
        if let Delta::Text(piece) = delta {
            self.text.push_str(&piece);
        }
        Said::Nothing
    }

    /// Gives what was held back, once the output has ended well.
    pub(super) fn release(&mut self) -> Vec<Delta> {
        let held = self.held.take().filter(|_| self.ending.is_ok());
        let Some(Held { deltas, began_ms }) = held else { return Vec::new() };
        if let Some(began_ms) = began_ms {
            self.spoke = true;
            self.run.watch.first_token(began_ms);
        }
        deltas
    }

    /// How it ended as an answer, with the text for a parent: nothing is none where somebody else can
    /// give one.
    pub(super) fn ending(self) -> Result<(FinishReason, String), LlmError> {
        let reason = self.ending?;
        if self.reader.is_client() {
            let has_spoken = self.spoke;
            let reason = if has_spoken { reason } else { as_draft(reason, "", &self.model)? };
            return Ok((reason, self.text));
        }
        let text = without_thoughts(self.text);
        Ok((as_draft(reason, &text, &self.model)?, text))
    }
}

/// How the output ended as a draft for the parent, which takes neither nothing nor what was
/// withheld.
fn as_draft(reason: FinishReason, text: &str, model: &Model) -> Result<FinishReason, LlmError> {
    let (kind, what) = match reason {
        FinishReason::ContentFilter => {
            (LlmErrorKind::ContentFilter, "the upstream withheld the answer")
        }
        _ if text.trim().is_empty() => (LlmErrorKind::Empty, "it answered without any text"),
        reason => return Ok(plain(reason)),
    };
    Err(stage_error(model, kind, what))
}
