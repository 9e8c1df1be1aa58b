//! What not every protocol can say.

use crate::types::Protocol;

/// Something that not every protocol can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// A picture by its URL.
    ImageUrl,
    /// That tools must not or must be called, or which.
    ToolChoice,
    /// A form of output for a plain completion.
    PlainFormat,
    /// A plain completion at all.
    Plain,
    /// "Some JSON", without a schema.
    JsonMode,
    /// Tool calls and results in the history of a request without tools.
    OldToolTurns,
    /// A conversation in which nobody says anything.
    Silence,
    /// A system turn that stays where it is, behind others.
    LateSystem,
}

/// Whether requests of a protocol cannot say this.
pub(super) fn lacks(protocol: Protocol, what: Feature) -> bool {
    match protocol {
        Protocol::OpenAi => what == Feature::PlainFormat,
        Protocol::Ollama => matches!(what, Feature::ImageUrl | Feature::ToolChoice),
        Protocol::Anthropic => matches!(
            what,
            Feature::Plain
                | Feature::JsonMode
                | Feature::OldToolTurns
                | Feature::LateSystem
                | Feature::Silence
        ),
        // A URL would need its media type beside it, which is not known.
        Protocol::Gemini => {
            matches!(
                what,
                Feature::Plain | Feature::ImageUrl | Feature::LateSystem | Feature::Silence
            )
        }
    }
}
