//! What a client asked for, once its dialect has been read away.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{Image, JsonSchema, Message, Part, Protocol, Role, Session};

/// How much of each part of a message counts when conversations are told apart.
const AFFINITY_BYTES: usize = 16 * 1024;

/// The header by which Chorus knows requests of its own: how many times one was passed on. Every call
/// of an upstream has it, one higher than what came in.
pub const HOPS: &str = "x-chorus-hops";

/// What is wanted of a model besides its turn in a conversation: the same for a request that comes
/// in and for a call that goes out. `None` leaves it to whoever answers. `Debug` shows shapes and
/// lengths, never text.
#[derive(Clone, Default)]
pub struct Prompt {
    /// Temperature and its relatives.
    pub sampling: Sampling,
    /// Sequences that end the answer.
    pub stop: Vec<String>,
    /// Upper bound of the answer, in tokens.
    pub max_tokens: Option<u32>,
    /// The form the answer must have; a call steps it down to what its model understands.
    pub format: OutputFormat,
    /// How much the answering model should reason.
    pub effort: Option<Effort>,
    /// Functions the answer may call.
    pub tools: Arc<[ToolDefinition]>,
    /// Whether it may, must or must not call them.
    pub tool_choice: Option<ToolChoice>,
    /// OpenAI's `parallel_tool_calls`.
    pub parallel_tool_calls: Option<bool>,
    /// The one user message goes verbatim to the plain completion endpoint (Ollama's `raw`, direct
    /// calls only).
    pub raw: bool,
    /// Fields Chorus does not know, for a direct call to an upstream of the same protocol.
    pub extra: Option<Extra>,
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt")
            .field("sampling", &self.sampling)
            .field("format", &self.format)
            .field("tools", &self.tools)
            .field("extra", &self.extra)
            .finish_non_exhaustive()
    }
}

/// One request for an answer, from any endpoint. `None` means the client did not say. `Debug` shows
/// shapes and lengths, never text.
#[derive(Clone)]
pub struct Request {
    /// The model name as the client sent it; empty when it sent none.
    pub model: String,
    /// The conversation, shared by every call made for it.
    pub messages: Arc<[Message]>,
    /// What is asked for besides.
    pub prompt: Prompt,
    /// Whether the answer is read as it is written, and not as a whole only.
    pub stream: bool,
    /// The caller: the name of the `[[client]]` whose key came with it.
    pub caller: Option<Arc<str>>,
    /// The agent's session that it belongs to, where the agent says so.
    pub session: Option<Session>,
    /// How many times Chorus has asked Chorus on its way here; see [`HOPS`].
    pub hops: u32,
    /// The context in tokens that is asked for, where it does not stand in `extra`.
    pub num_ctx: Option<u32>,
    /// What came with it and no model is shown, but one of the client's own protocol that is asked
    /// alone: names and kinds of tools, items and content.
    pub left_out: Vec<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("model", &self.model)
            .field("messages", &self.messages)
            .field("prompt", &self.prompt)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A request with nothing but a model and a conversation.
    pub fn new(model: impl Into<String>, messages: Vec<Message>) -> Self {
        Self {
            model: model.into(),
            messages: messages.into(),
            prompt: Prompt::default(),
            stream: true,
            caller: None,
            session: None,
            hops: 0,
            num_ctx: None,
            left_out: Vec::new(),
        }
    }

    /// The context in tokens that is asked for: Ollama's `options.num_ctx`, on whatever endpoint.
    #[must_use]
    pub fn context_wanted(&self) -> Option<u32> {
        self.num_ctx.or_else(|| Self::context_in(&self.prompt.extra.as_ref()?.fields))
    }

    /// The same in the fields of a request: `options.num_ctx`, or `num_ctx` alone.
    #[must_use]
    pub fn context_in(fields: &Map<String, Value>) -> Option<u32> {
        let within = fields.get("options").and_then(|options| options.get("num_ctx"));
        let wanted = within.or_else(|| fields.get("num_ctx"))?;
        let wanted = wanted.as_f64().or_else(|| wanted.as_str()?.trim().parse().ok())?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let wanted = wanted as u32;
        (wanted > 0).then_some(wanted)
    }

    /// A number of who asks, the same for all their requests.
    #[must_use]
    pub fn caller_number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.caller.hash(&mut hasher);
        hasher.finish()
    }

    /// The same for every request that is best answered where the one before was: of one agent in one
    /// session, and where none is named, of one conversation.
    #[must_use]
    pub fn affinity(&self) -> u64 {
        let Some(session) = &self.session else { return self.conversation_number() };
        let mut hasher = DefaultHasher::new();
        (&self.caller, session.number()).hash(&mut hasher);
        hasher.finish()
    }

    /// The text of what the user said last.
    #[must_use]
    pub fn last_words(&self) -> Option<String> {
        let spoken = self.messages.iter().rev().find(|message| message.role == Role::User)?;
        Some(spoken.joined_text())
    }

    /// The same for every request of a conversation: of who asks, and of what it began with, up to
    /// the first user message.
    #[must_use]
    pub fn conversation_number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.caller.hash(&mut hasher);
        for message in self.messages.iter() {
            for part in &message.parts {
                match part {
                    Part::Text(text) => beginning(text).hash(&mut hasher),
                    Part::Image(Image::Url { url, .. }) => beginning(url).hash(&mut hasher),
                    Part::Image(Image::Inline { base64, .. }) => {
                        beginning(base64).hash(&mut hasher);
                    }
                    Part::Other(value) => beginning(&value.to_string()).hash(&mut hasher),
                }
            }
            if message.role == Role::User {
                break;
            }
        }
        hasher.finish()
    }
}

/// Enough bytes of a text to tell conversations apart, and its length; images are large.
fn beginning(text: &str) -> (&[u8], usize) {
    let bytes = text.as_bytes();
    (bytes.get(..AFFINITY_BYTES).unwrap_or(bytes), bytes.len())
}

/// Sampling parameters that workers inherit from the request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 2; the temperature rule decides what is really sent.
    pub temperature: Option<f32>,
    /// Nucleus sampling.
    pub top_p: Option<f32>,
    /// Other servers than OpenAI's own take it.
    pub top_k: Option<u32>,
    /// Ollama, llama.cpp, vLLM and the like only.
    pub min_p: Option<f32>,
    /// Makes answers reproducible; a worker's copies add their number.
    pub seed: Option<i64>,
    /// OpenAI's presence penalty.
    pub presence_penalty: Option<f32>,
    /// OpenAI's frequency penalty.
    pub frequency_penalty: Option<f32>,
    /// Ollama's repeat penalty.
    pub repeat_penalty: Option<f32>,
    /// The same by the name that vLLM, TGI and others have for it.
    pub repetition_penalty: Option<f32>,
}

/// The form an answer must have. `Debug` never shows the schema.
#[derive(Clone, Default, PartialEq)]
pub enum OutputFormat {
    /// Anything.
    #[default]
    Text,
    /// Some JSON value.
    Json,
    /// JSON that a schema describes.
    Schema {
        /// OpenAI demands a name; `[a-zA-Z0-9_-]{1,64}`.
        name: String,
        /// A JSON Schema.
        schema: Arc<JsonSchema>,
        /// OpenAI's `strict`.
        strict: Option<bool>,
        /// OpenAI's `description`.
        description: Option<String>,
    },
}

impl fmt::Debug for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "Text",
            Self::Json => "Json",
            Self::Schema { .. } => "Schema(<redacted>)",
        })
    }
}

/// How much a model should reason before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// No reasoning: `think: false`, effort `none`.
    None,
    /// The model's own default: `think: true`.
    On,
    /// OpenAI's `minimal`.
    Minimal,
    /// `low`.
    Low,
    /// `medium`.
    Medium,
    /// `high`.
    High,
    /// OpenAI's `xhigh`.
    XHigh,
    /// Ollama's `max`.
    Max,
}

/// A function that a model may call. `Debug` shows its name only.
#[derive(Clone, PartialEq)]
pub struct ToolDefinition {
    /// The function's name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Option<Value>,
    /// OpenAI's `strict`.
    pub strict: Option<bool>,
    /// Fields Chorus does not know, for an upstream of the protocol that the client speaks; those of
    /// the function are under `function`.
    pub unknown: Map<String, Value>,
}

impl fmt::Debug for ToolDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolDefinition({})", self.name)
    }
}

/// Whether tools may, must or must not be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// Never.
    None,
    /// The model decides.
    Auto,
    /// It must call at least one.
    Required,
    /// This one.
    Named(String),
}

/// Fields Chorus does not know, kept for an upstream that may. `Debug` shows their names only.
#[derive(Clone)]
pub struct Extra {
    /// The protocol whose spelling they have.
    pub protocol: Protocol,
    /// Top-level fields; for Ollama, unknown options are under `options`.
    pub fields: Map<String, Value>,
    /// What is unknown within fields that are known, sent where those are.
    pub within: Map<String, Value>,
    /// The first thing of the request that nobody but an upstream of this protocol can take.
    pub only_there: Option<OnlyThere>,
    /// The features before their time that fields of the request are of (Anthropic's
    /// `anthropic-beta`), as a list with commas.
    pub betas: Option<Arc<str>>,
}

impl Extra {
    /// Whether one of the fields is another server's way to ask for a form of the answer.
    #[must_use]
    pub fn asks_for_form(&self) -> bool {
        FORM_FIELDS.iter().any(|name| self.fields.get(*name).is_some_and(|value| !value.is_null()))
    }

    /// These fields, and nothing else that is unknown.
    #[must_use]
    pub fn new(protocol: Protocol, fields: Map<String, Value>) -> Self {
        Self { protocol, fields, within: Map::new(), only_there: None, betas: None }
    }
}

/// Fields that other servers have beside OpenAI's to ask for a form of the answer.
pub const FORM_FIELDS: [&str; 5] =
    ["response_format", "guided_json", "structured_outputs", "json_schema", "format"];

/// Something that only an upstream of the client's own protocol can take, in words for all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlyThere {
    /// The field.
    pub param: String,
    /// The message for the caller.
    pub message: String,
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extra({:?}", self.protocol)?;
        self.fields.keys().try_for_each(|name| write!(f, ", {name}"))?;
        f.write_str(")")
    }
}
