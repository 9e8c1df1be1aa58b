//! What a model that answers says, as far as it was heard.

use std::sync::Arc;

use super::{
    ask::{
        MAX_OUTPUT_BYTES, ended_early, error as stage_error, plain, too_large, without_thoughts,
    },
    stand_in::Reader,
    tracker::size,
};
use crate::{
    llm::{CallEvent, Delta, LlmError, LlmErrorKind, Model},
    types::FinishReason,
};

/// The output of a call, taken piece by piece.
pub(super) struct Output {
    reader: Reader,
    model: Arc<Model>,
    text: String,
    bytes: usize,
    /// The client has a piece of the answer.
    pub(super) spoke: bool,
    /// As its call tells it.
    pub(super) ending: Result<FinishReason, LlmError>,
}

/// What an item of its call means.
pub(super) enum Said {
    Nothing,
    /// For the client.
    Delta(Delta),
    End,
}

impl Output {
    pub(super) fn new(reader: Reader, model: &Arc<Model>) -> Self {
        let ending = Err(ended_early(model));
        let model = Arc::clone(model);
        Self { reader, model, text: String::new(), bytes: 0, spoke: false, ending }
    }

    pub(super) fn take(&mut self, item: Result<CallEvent, LlmError>) -> Said {
        let delta = match item {
            Ok(CallEvent::Delta(delta)) => delta,
            Ok(CallEvent::Started { .. } | CallEvent::Attempt(_) | CallEvent::Waiting { .. }) => {
                return Said::Nothing;
            }
            Ok(CallEvent::Finished(completion)) => {
                self.ending = Ok(completion.reason);
                return Said::End;
            }
            Err(error) => {
                self.ending = Err(error);
                return Said::End;
            }
        };
        self.bytes = self.bytes.saturating_add(size(&delta));
        if self.bytes > MAX_OUTPUT_BYTES {
            self.ending = Err(too_large(&self.model));
            return Said::End;
        }
        if self.reader.is_client() {
            self.spoke |= !matches!(delta, Delta::Reasoning(_) | Delta::State(_));
            return Said::Delta(delta);
        }
        if let Delta::Text(piece) = delta {
            self.text.push_str(&piece);
        }
        Said::Nothing
    }

    /// How it ended as an answer, with the text for a parent: nothing is none where somebody else can
    /// give one.
    pub(super) fn ending(self) -> Result<(FinishReason, String), LlmError> {
        let reason = self.ending?;
        if self.reader.is_client() {
            let is_told = self.spoke;
            let reason = if is_told { reason } else { as_draft(reason, "", &self.model)? };
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
