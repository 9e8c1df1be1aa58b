//! What the tests of this folder share.

use std::{collections::HashMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Call, CallStream, Limit, Llm, LlmError};
use crate::{
    config::{Config, Endpoint, Model},
    types::{ApiKey, Image, Message, Part, Prompt, Protocol, Role, Sampling, ToolDefinition},
};

/// Plays a model without a socket.
pub(crate) type Script = Arc<dyn Fn(Call) -> CallStream + Send + Sync>;

impl Llm {
    /// The config's models, those with a script played by it.
    pub(crate) fn scripted(
        config: &Config,
        scripts: &HashMap<String, Script>,
    ) -> Result<Self, LlmError> {
        let mut llm = Self::new(config)?;
        for (name, model) in &mut llm.models {
            if let (Some(model), Some(script)) = (Arc::get_mut(model), scripts.get(name)) {
                model.script = Some(Arc::clone(script));
            }
        }
        Ok(llm)
    }
}

/// A model at this base, with nothing special.
pub(super) fn model(protocol: Protocol, api_base: &str) -> Model {
    let plain = Model::plain("m", api_base);
    Model {
        endpoints: vec![Endpoint {
            api_key: ApiKey::new("sk-test-key-000"),
            ..Endpoint::plain(api_base)
        }],
        protocol,
        upstream_model: "up".into(),
        context_tokens: 8192,
        ..plain
    }
}

/// A streamed call of one user message.
pub(super) fn call(text: &str) -> Call {
    let messages = vec![Message::text(Role::User, text)];
    let limit = Limit::Total(Duration::from_secs(20));
    Call { folded: false, ..Call::new(messages.into(), Prompt::default(), limit) }
}

/// The same, of which this is wanted.
pub(super) fn call_of(text: &str, prompt: Prompt) -> Call {
    Call { prompt, ..call(text) }
}

pub(super) fn call_with_image() -> Call {
    let mut message = Message::text(Role::User, "what is this?");
    let image = Image::Inline { media_type: "image/png".into(), base64: "QUJD".into() };
    message.parts.push(Part::Image(image));
    Call { messages: vec![message].into(), ..call("") }
}

pub(super) fn call_with_tools() -> Call {
    let tool = ToolDefinition {
        name: "f".into(),
        description: Some("does f".into()),
        parameters: Some(json!({"type": "object"})),
        strict: None,
        unknown: serde_json::Map::new(),
    };
    call_of("use f", Prompt { tools: Arc::from([tool]), ..Prompt::default() })
}

/// The same, of which this is wanted besides the tools.
pub(super) fn tool_call_of(prompt: Prompt) -> Call {
    let call = call_with_tools();
    Call { prompt: Prompt { tools: call.prompt.tools, ..prompt }, ..call }
}

/// Any JSON whose keys and words the protocols know, so that decoders get past the first look.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    const WORDS: &str = "type|index|delta|content|content_block|message|text|thinking|tool_use|id|\
        name|input|usage|error|stop_reason|message_delta|content_block_start|content_block_delta|\
        candidates|parts|functionCall|args|thought|finishReason|promptFeedback|blockReason|object|\
        properties|items|anyOf|string|choices|tool_calls|function|arguments|done|STOP|OTHER|[a-z]{0,3}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        WORDS.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((WORDS, inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Every parameter of sampling that a request can have.
pub(super) fn full_sampling(temperature: f32) -> Sampling {
    Sampling {
        temperature: Some(temperature),
        top_p: Some(0.9),
        top_k: Some(40),
        min_p: Some(0.05),
        seed: Some(7),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.2),
        repeat_penalty: Some(1.1),
        repetition_penalty: None,
    }
}
