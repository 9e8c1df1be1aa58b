//! What is really asked of a model: a call, bent to the model's configuration and to what it has
//! refused before. Pure; the protocols turn it into a body.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use serde_json::{Map, Number, Value};

use super::{
    body::Body,
    conversation::{Form, Written},
    feature::{Feature, lacks},
    parameter::{Parameter, Refused, format_ceiling, needs_tools},
    prompt, shape,
};
use crate::{
    config::{self, Mode, StructuredOutput},
    llm::{Call, protocol::parameter::Field},
    types::{
        Extra, Image, Message, OutputFormat, Part, Role, ToolChoice, ToolDefinition, TurnExtras,
        TurnState, UnknownFields, overlay,
    },
};

/// A call of this model, knowing what it refused.
#[derive(Clone, Copy)]
pub(in crate::llm) struct Ask<'a> {
    pub(in crate::llm) config: &'a config::Model,
    pub(in crate::llm) call: &'a Call,
    pub(in crate::llm) refused: &'a Refused,
}

impl Ask<'_> {
    /// Whether the plain completion endpoint is asked, not the chat endpoint.
    pub(in crate::llm) fn is_plain(&self) -> bool {
        self.call.prompt.raw || self.config.mode == Mode::Completion
    }

    /// Whether a stream is asked for.
    pub(in crate::llm) fn streams(&self) -> bool {
        self.call.stream && self.may_send(Parameter::Stream)
    }

    /// What of the input the model cannot take, in words.
    pub(in crate::llm) fn unsupported(&self) -> Option<String> {
        let name = &self.config.name;
        if self.is_plain() && self.lacks(Feature::Plain) {
            return Some(format!("raw prompts are not supported by model '{name}'"));
        }
        let mut images = self.call.messages.iter().flat_map(|message| {
            message.parts.iter().filter_map(|part| match part {
                Part::Image(image) => Some(image),
                Part::Text(_) | Part::Other(_) => None,
            })
        });
        if self.call.messages.iter().any(Message::has_image) {
            if self.is_plain() {
                return Some(format!(
                    "images are not supported by model '{name}' (plain completion)"
                ));
            }
            if self.config.vision == Some(false) || self.refused.contains(&Parameter::Images) {
                return Some(format!("images are not supported by model '{name}'"));
            }
            if self.lacks(Feature::ImageUrl)
                && images.any(|image| matches!(image, Image::Url { .. }))
            {
                return Some(format!("image URLs are not supported by model '{name}'"));
            }
        }
        if self.lacks(Feature::Silence) && self.says_nothing() {
            return Some(format!(
                "messages: nothing is said in them, and model '{name}' needs a text"
            ));
        }
        if needs_tools(self.call) {
            if self.is_plain() {
                return Some(format!(
                    "tools are not supported by model '{name}' (plain completion)"
                ));
            }
            if !self.knows_tools() {
                return Some(format!("tools are not supported by model '{name}'"));
            }
        }
        None
    }

    /// Whether not a word would be sent.
    fn says_nothing(&self) -> bool {
        self.call.appendix.is_none()
            && self.call.prompt.format == OutputFormat::Text
            && self.call.messages.iter().all(prompt::is_blank)
    }

    fn lacks(&self, what: Feature) -> bool {
        let refused = what == Feature::ToolChoice && !self.may_send(Parameter::ToolChoice);
        refused || lacks(self.config.protocol, what)
    }

    /// Whether tools may or must be called, where the model takes a word on it.
    pub(super) fn tool_choice(&self) -> Option<&ToolChoice> {
        self.call.prompt.tool_choice.as_ref().filter(|_| self.may_send(Parameter::ToolChoice))
    }

    fn knows_tools(&self) -> bool {
        self.config.tools != Some(false) && !self.refused.contains(&Parameter::Tools)
    }

    /// Whether a parameter may be sent.
    pub(super) fn may_send(&self, parameter: Parameter) -> bool {
        !self.refused.contains(&parameter)
    }

    /// The temperature to send, clamped to the model's range.
    pub(super) fn temperature(&self) -> Option<f32> {
        let may = self.config.send_temperature && self.may_send(Parameter::Temperature);
        let wanted = self.call.prompt.sampling.temperature.filter(|_| may)?;
        Some(wanted.clamp(0.0, self.config.max_temperature))
    }

    /// The tools to show. Where there is no tool choice (Ollama), with `none` they are left out, with
    /// a named one only that is shown; `required` cannot be said there and becomes an instruction.
    pub(super) fn tools(&self) -> Vec<&ToolDefinition> {
        if self.is_plain() || !self.knows_tools() {
            return Vec::new();
        }
        let silent = self.lacks(Feature::ToolChoice);
        let shown = |tool: &&ToolDefinition| match &self.call.prompt.tool_choice {
            Some(ToolChoice::None) if silent => false,
            Some(ToolChoice::Named(name)) if silent => tool.name == *name,
            _ => true,
        };
        self.call.prompt.tools.iter().filter(shown).collect()
    }

    /// The form of output the protocol is asked to enforce.
    pub(super) fn enforced_format(&self) -> StructuredOutput {
        if self.is_plain() && self.lacks(Feature::PlainFormat) {
            return StructuredOutput::None;
        }
        let wanted = match self.call.prompt.format {
            OutputFormat::Text => return StructuredOutput::None,
            OutputFormat::Json => StructuredOutput::Json,
            OutputFormat::Schema { .. } => StructuredOutput::Schema,
        };
        match format_ceiling(self.config.structured_output, self.refused).min(wanted) {
            StructuredOutput::Json if self.lacks(Feature::JsonMode) => StructuredOutput::None,
            form => form,
        }
    }

    /// Puts the conversation into a body of the chat endpoint: what was written for another call
    /// that shares the messages, where nothing of this one's own is said in them.
    /// `write` is how the protocol writes messages.
    pub(super) fn insert_conversation(
        &self,
        body: &mut Body,
        write: impl FnOnce(Cow<'_, [Message]>, &mut Written),
    ) {
        let write = || {
            let mut written = Written::default();
            write(self.messages(), &mut written);
            Arc::new(written)
        };
        let form = self.form();
        let own = self.call.prompt.format != OutputFormat::Text
            || self.call.appendix.is_some()
            || self.needs_call_instruction()
            || shape::is_refused(self.refused)
            || !self.may_send(Parameter::PlaceholderSignature)
            || (self.returns_anything()
                && self.call.messages.iter().any(|one| one.extras.is_some()));
        body.splice(match own {
            true => write(),
            false => self.call.messages.written(self.config.protocol, form, write),
        });
    }

    /// Whether the model gets back what it left on its turns.
    pub(super) fn returns_state(&self) -> bool {
        self.call.turns_of.is_some() && self.may_send(Parameter::TurnState) && !self.is_plain()
    }

    /// Whether anything goes with the turns that not every model is shown.
    fn returns_anything(&self) -> bool {
        self.returns_state() || self.extra().is_some()
    }

    /// Takes what this model is not shown off the turns.
    fn keep_own(&self, messages: &mut [Message]) {
        let (own, fields) = (self.returns_state(), self.extra().is_some());
        for message in messages {
            if !fields {
                message.parts.retain_mut(is_for_others);
            }
            if let Some(extras) = &mut message.extras {
                if !own {
                    extras.state = TurnState::default();
                }
                if !fields {
                    extras.unknown = UnknownFields::default();
                }
            }
            if message.extras.as_deref() == Some(&TurnExtras::default()) {
                message.extras = None;
            }
        }
    }

    /// Puts in what the client sent that nobody here knows, when it is spelled in the model's protocol,
    /// but for what of `refusable` the model has refused.
    pub(super) fn insert_extra(&self, body: &mut Map<String, Value>, refusable: &[Field]) {
        let Some(extra) = self.extra() else { return };
        let is_refused = |name: &str| {
            refusable.iter().any(|field| field.is(name) && !self.may_send(field.means))
        };
        for (name, value) in extra.fields.iter().filter(|(name, _)| !is_refused(name)) {
            body.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for (name, within) in &extra.within {
            if let (Some(Value::Object(field)), Value::Object(within)) =
                (body.get_mut(name), within)
            {
                overlay(field, within);
            }
        }
    }

    /// What becomes of tool turns: plain text where no tools are shown though the request had some,
    /// or the protocol wants tools with them.
    fn form(&self) -> Form {
        if !prompt::has_tool_turns(&self.call.messages) {
            return Form::Toolless;
        }
        let hidden = !self.call.prompt.tools.is_empty() && self.tools().is_empty();
        let unsaid = self.call.prompt.tools.is_empty() && self.lacks(Feature::OldToolTurns);
        if hidden || unsaid || self.is_plain() || !self.knows_tools() {
            Form::Flattened
        } else {
            Form::Linked
        }
    }

    /// Whether a tool call is demanded of a protocol that has no word for it.
    fn needs_call_instruction(&self) -> bool {
        self.lacks(Feature::ToolChoice)
            && matches!(
                self.call.prompt.tool_choice,
                Some(ToolChoice::Required | ToolChoice::Named(_))
            )
            && !self.tools().is_empty()
    }

    /// The conversation to send: tool turns complete or as plain text, and with an instruction on
    /// the form of the answer.
    pub(super) fn messages(&self) -> Cow<'_, [Message]> {
        match self.goes_as_it_is() {
            true => Cow::Borrowed(&self.call.messages),
            false => Cow::Owned(self.bent()),
        }
    }

    /// The same, where something is changed.
    pub(super) fn bent(&self) -> Vec<Message> {
        let mut messages = self.call.messages.to_vec();
        self.keep_own(&mut messages);
        shape::tidy(&mut messages);
        match self.form() {
            Form::Toolless => {}
            Form::Linked => prompt::link_tools(&mut messages),
            Form::Flattened => prompt::flatten_tools(&mut messages),
        }
        if let Some(appendix) = &self.call.appendix {
            let late = !self.lacks(Feature::LateSystem) && shape::takes_late_system(self.refused);
            let role = if late { Role::System } else { Role::User };
            prompt::append(&mut messages, role, appendix);
        }
        if self.needs_call_instruction() {
            prompt::add_to_system(&mut messages, prompt::CALL_A_TOOL);
        }
        if let Some(instruction) = self.instruction(&messages) {
            prompt::add_to_system(&mut messages, &instruction);
        }
        shape::mend(&mut messages, self.refused);
        messages
    }

    /// Whether nothing would be changed of the conversation, which may be long.
    fn goes_as_it_is(&self) -> bool {
        let messages = &self.call.messages;
        let is_plain = |message: &Message| {
            let is_known = |part: &Part| !matches!(part, Part::Other(_));
            message.extras.is_none() && message.parts.iter().all(is_known)
        };
        self.call.appendix.is_none()
            && self.call.prompt.format == OutputFormat::Text
            && !self.needs_call_instruction()
            && !shape::is_refused(self.refused)
            && messages.iter().all(is_plain)
            && shape::is_tidy(messages)
            && match self.form() {
                Form::Toolless => true,
                Form::Linked => prompt::are_linked(messages),
                Form::Flattened => false,
            }
    }

    /// The prompt of a plain completion.
    pub(super) fn prompt(&self) -> String {
        if self.call.prompt.raw {
            let texts: Vec<String> = self.call.messages.iter().map(Message::joined_text).collect();
            return texts.join("\n");
        }
        prompt::render(&self.messages())
    }

    /// The texts that stop the output. A rendered conversation also stops before the next turn, or the
    /// model would go on with the person's part.
    pub(super) fn stop(&self) -> Vec<&str> {
        if !self.may_send(Parameter::Stop) {
            return Vec::new();
        }
        let mut stop: Vec<&str> = self.call.prompt.stop.iter().map(String::as_str).collect();
        let lone = self.call.messages.len() == 1;
        if self.is_plain() && !self.call.prompt.raw && !lone && stop.len() < MOST_STOPS {
            stop.push(prompt::NEXT_TURN);
        }
        stop
    }

    /// Unknown fields, when they are spelled in the model's protocol.
    pub(super) fn extra(&self) -> Option<&Extra> {
        self.call.prompt.extra.as_ref().filter(|extra| extra.protocol == self.config.protocol)
    }

    fn instruction(&self, messages: &[Message]) -> Option<String> {
        let enforced = self.enforced_format();
        // A schema is always shown: what only enforces it does not tell the model what it means.
        // A client that asks for JSON mode has to say JSON itself; then nothing is added.
        if enforced == StructuredOutput::Json
            && self.call.prompt.format == OutputFormat::Json
            && messages.iter().any(|m| m.joined_text().to_lowercase().contains("json"))
        {
            return None;
        }
        prompt::instruction(&self.call.prompt.format)
    }
}

/// OpenAI's most stop sequences.
pub(super) const MOST_STOPS: usize = 4;

/// A float as people write it: 0.7, not 0.699999988.
pub(super) fn number(value: f32) -> Value {
    // The nearest f32 to some hundredths, as nearly all are, was written as those.
    let hundredths = (value * 100.0).round();
    let exact = if hundredths.abs() < 1e6 && hundredths / 100.0 == value {
        Some(f64::from(hundredths) / 100.0)
    } else {
        value.to_string().parse().ok()
    };
    exact.and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

/// Whether there is something left of a part for a model of another protocol: a tool that a search of
/// the client's has found (Anthropic's `tool_reference`) is named, since else nothing was found.
fn is_for_others(part: &mut Part) -> bool {
    let Part::Other(block) = part else { return true };
    let is_reference = block.get("type").is_some_and(|kind| kind == "tool_reference");
    let name = block.get("tool_name").and_then(Value::as_str).filter(|_| is_reference);
    match name.map(|name| format!("The tool {name} can be called now.")) {
        Some(text) => {
            *part = Part::Text(text);
            true
        }
        None => false,
    }
}
