//! The usual chunk or reply, read without a tree: text, thoughts, a finish reason, usage.

use serde::Deserialize;

use crate::llm::protocol::{
    counts::Counts,
    ending::finish_reason,
    fast::{self, First, Object, Seen, Text, frame, present},
    piece::{Emit, Piece},
};

frame! {
    struct Chunk<'a> {
        #[serde(borrow)]
        choices: First<Object<Choice<'a>>>,
        /// Boxed, as few chunks have it, and all are moved.
        #[serde(default)]
        usage: Option<Box<Object<Usage>>>,
        #[serde(default)]
        object: Option<&'a str>,
        /// Other places for usage, and words that are an error's where there is no choice.
        #[serde(
            default,
            alias = "type",
            alias = "x_groq",
            alias = "timings",
            alias = "meta",
            alias = "message",
            alias = "msg",
            alias = "error_message",
            alias = "error_msg",
            alias = "errorMessage",
            alias = "errorMsg",
            alias = "errmsg",
            alias = "err_msg",
            alias = "errMsg",
            alias = "ret_msg",
            alias = "retMsg",
            alias = "resultMsg",
            alias = "detail",
            alias = "errors",
            alias = "reason"
        )]
        unusual: (),
    }
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    delta: Option<Object<Said<'a>>>,
    /// Boxed, as no chunk has it.
    #[serde(borrow, default, deserialize_with = "present")]
    message: Option<Box<Object<Said<'a>>>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    finish_reason: Option<&'a str>,
    #[serde(default)]
    error: (),
    /// Another place for usage, and what a gateway's provider ended with.
    #[serde(default, alias = "usage", alias = "native_finish_reason")]
    unusual: (),
    /// LiteLLM has the latter in an object.
    #[serde(default, rename = "provider_specific_fields")]
    provider: Option<Object<Provider>>,
}

#[derive(Deserialize)]
struct Provider {
    #[serde(default, rename = "native_finish_reason")]
    unusual: (),
}

#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(default)]
    reasoning_details: Seen,
    #[serde(default)]
    tool_calls: Seen,
    #[serde(default)]
    function_call: (),
    #[serde(default, rename = "provider_specific_fields")]
    provider: (),
    /// What is shown and given back by names of its own.
    #[serde(
        default,
        alias = "thinking",
        alias = "reasoning_text",
        alias = "thinking_blocks",
        alias = "extra_content",
        alias = "reasoning_opaque",
        alias = "reasoning_signature",
        alias = "reasoning_content_signature",
        alias = "encrypted_content"
    )]
    unusual: (),
    #[serde(default)]
    error: (),
    #[serde(default)]
    usage: (),
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<Object<PromptDetails>>,
    #[serde(default)]
    completion_tokens_details: Option<Object<CompletionDetails>>,
    /// Counts by other names, and what is none.
    #[serde(
        default,
        alias = "error",
        alias = "input_tokens",
        alias = "output_tokens",
        alias = "input_tokens_details",
        alias = "output_tokens_details",
        alias = "cached_tokens",
        alias = "prompt_cache_hit_tokens",
        alias = "cache_read_input_tokens",
        alias = "reasoning_tokens",
        alias = "promptTokens",
        alias = "completionTokens",
        alias = "inputTokens",
        alias = "outputTokens",
        alias = "totalTokens"
    )]
    unusual: (),
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

/// What the frame says, when all of it is as usual.
pub(super) fn read<'f>(frame: &'f str, emit: &mut Emit<'_, 'f>) -> bool {
    fast::read(frame).is_some_and(|chunk| say(chunk, emit).is_some())
}

/// `None`, with nothing emitted, when something in it is unusual after all. Without a choice it is the
/// usage, as most streams end, or it may be an error.
fn say<'f>(chunk: Chunk<'f>, emit: &mut Emit<'_, 'f>) -> Option<()> {
    let Chunk { choices: First(choice), usage, object, error: (), unusual: (), code: () } = chunk;
    if object == Some("error") {
        return None;
    }
    let Some(Object(choice)) = choice else {
        emit(Piece::Usage(counts(&usage?.0)));
        return Some(());
    };
    let Choice { delta, message, text, finish_reason: reason, error: (), unusual: (), provider } =
        choice;
    let _no_native_reason = provider.map(|Object(Provider { unusual: () })| ());
    if delta.is_some() && message.is_some() {
        return None;
    }
    let said = delta.or(message.map(|message| *message));
    let Object(said) = said.unwrap_or(Object(Said::default()));
    let Said { function_call: (), provider: (), unusual: (), error: (), usage: (), .. } = &said;
    let reasoning = said.reasoning_content.filter(Text::is_filled);
    let reasoning = reasoning.or(said.reasoning.filter(Text::is_filled));
    if said.tool_calls.0 || said.reasoning_details.0 {
        return None;
    }
    let reason = reason.filter(|reason| !matches!(*reason, "" | "null"));
    let reason = reason.map(finish_reason).transpose().ok()?;
    if let Some(usage) = usage {
        emit(Piece::Usage(counts(&usage.0)));
    }
    if let Some(Text(thought)) = reasoning {
        emit(Piece::Reasoning(thought));
    }
    let texts = [said.content, said.refusal, text].into_iter().flatten();
    texts.filter(Text::is_filled).for_each(|Text(text)| emit(Piece::Text(text)));
    if let Some(reason) = reason {
        emit(Piece::Finish(reason));
    }
    Some(())
}

fn counts(usage: &Usage) -> Counts {
    let Usage { prompt_tokens: prompt, completion_tokens: completion, unusual: (), .. } = *usage;
    let prompt_details = usage.prompt_tokens_details.as_ref();
    let details = usage.completion_tokens_details.as_ref();
    let counts = Counts {
        prompt,
        completion,
        cached: prompt_details.and_then(|Object(details)| details.cached_tokens),
        reasoning: details.and_then(|Object(details)| details.reasoning_tokens),
        ..Counts::default()
    };
    counts.within(usage.total_tokens)
}
