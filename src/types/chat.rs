//! A conversation, independent of the protocol it arrived in or leaves by.

use std::fmt;

use serde_json::Value;

use super::{TurnExtras, TurnState};

/// The author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions (`system`, OpenAI's `developer`).
    System,
    /// The person asking.
    User,
    /// A model's earlier answer.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    /// The name both upstream protocols use on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a conversation. `Debug` shows shapes and lengths, never text.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The author.
    pub role: Role,
    /// Text and images in the order they were sent.
    pub parts: Vec<Part>,
    /// Calls an assistant turn made.
    pub tool_calls: Vec<ToolCall>,
    /// The id of the call that a tool turn answers (OpenAI).
    pub tool_call_id: Option<String>,
    /// The name of the tool that a tool turn answers for (Ollama).
    pub tool_name: Option<String>,
    /// What came with it beside that; `None` for nothing.
    pub extras: Option<Box<TurnExtras>>,
}

impl Message {
    /// A message of one text part.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            parts: vec![Part::Text(text.into())],
            tool_calls: Vec::new(),
            tool_call_id: None,
            tool_name: None,
            extras: None,
        }
    }

    /// What its model wants back with it, where that is anything.
    #[must_use]
    pub fn state(&self) -> Option<&TurnState> {
        self.extras.as_ref().map(|extras| &extras.state).filter(|state| !state.is_empty())
    }

    /// All text parts, joined by a newline.
    #[must_use]
    pub fn joined_text(&self) -> String {
        let texts: Vec<&str> = self
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Image(_) | Part::Other(_) => None,
            })
            .collect();
        texts.join("\n")
    }

    /// Whether any part is an image.
    #[must_use]
    pub fn has_image(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Image(_)))
    }
}

/// A piece of a message's content.
#[derive(Clone, PartialEq)]
pub enum Part {
    /// Plain text.
    Text(String),
    /// A picture.
    Image(Image),
    /// A part of a kind Chorus does not know, for an upstream of the protocol it is spelled in.
    Other(Value),
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Image(Image::Inline { media_type, base64 }) => {
                write!(f, "Image({media_type}, {} bytes of base64)", base64.len())
            }
            Self::Image(Image::Url { .. }) => f.write_str("Image(url)"),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}

/// The source of a picture's bytes.
#[derive(Clone, PartialEq)]
pub enum Image {
    /// They are in the request itself.
    Inline {
        /// `image/png` and the like.
        media_type: String,
        /// Standard base64, no `data:` prefix.
        base64: String,
    },
    /// They are on the web; Chorus does not download them, only upstreams that take URLs can use
    /// it.
    Url {
        /// `http` or `https`.
        url: String,
        /// OpenAI's `detail`, passed on.
        detail: Option<String>,
    },
}

/// A call a model wants made. `Debug` never shows the arguments.
#[derive(Clone, PartialEq)]
pub struct ToolCall {
    /// The id its result must name.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// The arguments as JSON text.
    pub arguments: String,
}

impl ToolCall {
    /// Whether its arguments are there to their end, as JSON.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolCall({}, {} bytes of arguments)", self.name, self.arguments.len())
    }
}
