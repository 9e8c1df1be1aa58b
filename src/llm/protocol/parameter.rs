//! What of a request upstreams may refuse, and what of it was refused. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{config::StructuredOutput, llm::Call, types::ToolChoice};

/// Something of a request that upstreams refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::llm) enum Parameter {
    /// `max_tokens`: then `max_completion_tokens` is sent.
    MaxTokens,
    /// `max_completion_tokens`: then `max_tokens`, unless that was refused as well.
    MaxCompletionTokens,
    Temperature,
    TopP,
    TopK,
    MinP,
    Seed,
    PresencePenalty,
    FrequencyPenalty,
    RepeatPenalty,
    StreamOptions,
    /// A stream: then the answer is asked for whole.
    Stream,
    /// Stop sequences: Chorus ends the answer there itself.
    Stop,
    /// Efforts below `low`: then `low`, the least that every reasoning model knows.
    LeastEffort,
    /// A reasoning effort by its name, where a budget of tokens can be sent instead.
    EffortName,
    /// `reasoning_effort`, `think`, `thinking`: reasoning at all.
    Effort,
    ParallelToolCalls,
    /// Whether tools may or must be called: then said in words, where it matters.
    ToolChoice,
    /// A schema as output form: then JSON mode.
    Schema,
    /// JSON mode: then only the instruction.
    Json,
    /// Pictures: nothing can be left out, the call fails.
    Images,
    /// Tools: left out when none may be called, else the call fails.
    Tools,
    /// Features before their time, which a header names.
    Betas,
    /// `prompt_cache_key`: prompts are kept without it, too.
    PromptCacheKey,
    /// What stands for the signature of a tool call that this model did not sign.
    PlaceholderSignature,
    /// What the model left on its turns (`reasoning_content` and its like).
    TurnState,
    /// Turns of a shape that the model's template does not take; see [`super::shape`].
    Shape(Shape),
}

/// What a model has refused so far. Small, cloned for each attempt.
pub(in crate::llm) type Refused = BTreeSet<Parameter>;

/// The strictest form of output that may still be sent.
pub(super) fn format_ceiling(configured: StructuredOutput, refused: &Refused) -> StructuredOutput {
    let known = if refused.contains(&Parameter::Json) {
        StructuredOutput::None
    } else if refused.contains(&Parameter::Schema) {
        StructuredOutput::Json
    } else {
        StructuredOutput::Schema
    };
    configured.min(known)
}

/// Whether the call may have tools called; with tool choice `none` they are only shown.
pub(super) fn needs_tools(call: &Call) -> bool {
    !call.prompt.tools.is_empty() && call.prompt.tool_choice != Some(ToolChoice::None)
}

/// A field of a request that upstreams refuse.
#[derive(Debug)]
pub(in crate::llm) struct Field {
    /// Its place in the body, as a JSON pointer.
    pub(super) at: &'static str,
    /// What its refusal means.
    pub(super) means: Parameter,
    /// The words it goes by in messages, in lower case.
    pub(super) words: &'static [&'static str],
}

/// A row of a protocol's table of refusable fields.
pub(super) const fn field(
    at: &'static str,
    means: Parameter,
    words: &'static [&'static str],
) -> Field {
    Field { at, means, words }
}

impl Field {
    /// Its value, when it was sent.
    pub(super) fn find<'a>(&self, body: &'a Map<String, Value>) -> Option<&'a Value> {
        let mut steps = self.at.split('/').skip(1);
        let first = body.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(step))
    }

    /// Whether it is the field of this name of the body itself.
    pub(super) fn is(&self, name: &str) -> bool {
        self.at.strip_prefix('/') == Some(name)
    }

    /// The field of the body that it is, or is in.
    pub(super) fn root(&self) -> &str {
        root(self.at.trim_start_matches('/'), '/')
    }

    /// Its name as errors give it: `generationConfig.seed`.
    pub(super) fn name(&self) -> String {
        self.at.trim_start_matches('/').replace('/', ".")
    }
}

/// The first step of a path.
pub(super) fn root(path: &str, separator: char) -> &str {
    path.split(separator).next().unwrap_or_default()
}

/// A demand of a chat template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::llm) enum Shape {
    /// No system message but the first: later ones join it, the last turn becomes the person's.
    OneSystem,
    /// No system message at all: it stands before the person's first words.
    NoSystem,
    /// The person and the model speak in turns, the person first: neighbours are merged.
    Alternating,
    /// The person, or a tool, speaks last: somebody asks the model to go on.
    PersonLast,
    /// No tool calls without what their model thought: those of other models become text.
    ThoughtfulCalls,
}
