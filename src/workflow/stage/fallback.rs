//! A finished text as the answer: who may read it, whether it satisfies the request, and the pieces
//! in which it is sent.

use crate::{
    types::{OutputFormat, ToolChoice},
    workflow::{context::RunContext, step::Candidate},
};

/// A finished text is sent in pieces of this many characters.
const PIECE_CHARS: usize = 32;

/// The reader of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::workflow) enum Reader {
    /// The client: streamed, with the request's form, stop, length, tools and effort.
    Client,
    /// The parent workflow, whose answer is this level's: folded, with the request's form.
    AnsweringParent,
    /// The parent workflow: one more draft.
    Parent,
}

impl Reader {
    pub(in crate::workflow) fn is_client(self) -> bool {
        self == Self::Client
    }

    pub(in crate::workflow) fn answers(self) -> bool {
        matches!(self, Self::Client | Self::AnsweringParent)
    }
}

/// Whether the answer may call tools. Nobody but its writer has them.
pub(super) fn may_call(run: &RunContext, reader: Reader) -> bool {
    let request = &run.request;
    let may =
        !request.prompt.tools.is_empty() && request.prompt.tool_choice != Some(ToolChoice::None);
    reader.is_client() && may
}

/// Whether a draft may be the answer once every writer has failed: not when a tool may have to be
/// called, since an agent would take the prose for the end of its task.
pub(super) fn satisfies(run: &RunContext, reader: Reader) -> bool {
    let demanded =
        matches!(run.request.prompt.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
    !(may_call(run, reader) || (reader.is_client() && demanded))
}

/// Whether a draft may be the answer though a writer could still be asked: not when that might call
/// a tool, nor when the draft, of whom it was not asked, is longer than the request allows or goes
/// on after one of its stops.
pub(in crate::workflow) fn spares_the_writer(
    run: &RunContext,
    reader: Reader,
    draft: &Candidate,
) -> bool {
    let request = &run.request;
    let most = request.prompt.max_tokens.map_or(u64::MAX, u64::from);
    let stops = request.prompt.stop.iter().any(|stop| draft.text.contains(stop.as_str()));
    let kept = draft.usage.completion_tokens <= most && !stops;
    !may_call(run, reader) && (!reader.answers() || kept) && has_form(run, reader, &draft.text)
}

/// Whether a text has the form the request asked for, where that is this reader's.
pub(super) fn has_form(run: &RunContext, reader: Reader, text: &str) -> bool {
    !reader.answers() || is_of_form(text, &run.request.prompt.format)
}

/// Whether a text has a form, as far as that can be seen.
fn is_of_form(text: &str, format: &OutputFormat) -> bool {
    match format {
        OutputFormat::Text => true,
        OutputFormat::Json | OutputFormat::Schema { .. } => {
            serde_json::from_str::<serde::de::IgnoredAny>(text.trim()).is_ok()
        }
    }
}

/// A finished text in pieces of about 32 characters.
pub(in crate::workflow) fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::with_capacity(text.len() / PIECE_CHARS + 1);
    let mut characters = text.chars().peekable();
    while characters.peek().is_some() {
        pieces.push(characters.by_ref().take(PIECE_CHARS).collect());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn pieces_are_of_32_characters_and_lose_nothing() {
        let text = "多个模型".repeat(20);
        let pieces = pieces(&text);
        assert_eq!(pieces.concat(), text);
        assert_eq!(pieces.iter().map(|p| p.chars().count()).collect::<Vec<_>>(), [32, 32, 16]);
    }

    #[test]
    fn a_draft_is_a_fallback_only_in_the_form_that_was_asked_for() {
        let schema = OutputFormat::Schema {
            name: "x".to_owned(),
            schema: Arc::new(serde_json::json!({}).into()),
            strict: None,
            description: None,
        };
        for (text, format, want) in [
            ("prose", OutputFormat::Text, true),
            ("prose", OutputFormat::Json, false),
            (" {\"a\":1}\n", OutputFormat::Json, true),
            ("{\"a\":1} and more", schema.clone(), false),
            ("[1]", schema, true),
        ] {
            assert_eq!(is_of_form(text, &format), want, "{text}");
        }
    }
}
