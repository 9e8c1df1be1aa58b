//! Which refusals are understood, and what is done about them.

use serde_json::json;

use super::*;
use crate::{
    config::StructuredOutput,
    llm::{
        protocol::{
            all::wire,
            parameter::{Refused, format_ceiling},
        },
        testing,
    },
    types::Protocol,
};

fn diagnosis(protocol: Protocol, status: u16, error: &Value, body: &Value) -> Option<Repair> {
    let refusal = Refusal::of_response(status, error.to_string().as_bytes());
    diagnose(&refusal, wire(protocol), &body.into(), &testing::call("hi"))
}

#[test]
fn a_named_parameter_is_found() {
    use Parameter as P;
    let body = json!({
        "max_tokens": 5, "temperature": 1.4, "top_p": 0.9, "top_k": 3, "min_p": 0.1, "seed": 1,
        "presence_penalty": 0.1, "frequency_penalty": 0.1, "stream_options": {},
        "reasoning_effort": "none", "parallel_tool_calls": true, "messages": [],
        "response_format": {"type": "json_schema"},
    });
    for (error, want) in [
        (
            json!({"error": {"param": "max_tokens", "code": "unsupported_parameter", "message":
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                 'max_completion_tokens' instead."}}),
            Some(P::MaxTokens),
        ),
        (
            json!({"error": {"param": "temperature", "code": "unsupported_value", "message":
                "Unsupported value: 'temperature' does not support 1.4 with this model. Only \
                 the default (1) value is supported."}}),
            Some(P::Temperature),
        ),
        (
            json!({"error": {"message": "Unrecognized request argument supplied: top_k"}}),
            Some(P::TopK),
        ),
        (
            json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "min_p"],
                "msg": "Extra inputs are not permitted"}]}),
            Some(P::MinP),
        ),
        (
            json!({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}),
            Some(P::Seed),
        ),
        (json!({"message": "unknown field: seed"}), Some(P::Seed)),
        (json!({"error": "stream_options is not supported"}), Some(P::StreamOptions)),
        (
            json!({"error": {"message": "unsupported", "param": "presence_penalty"}}),
            Some(P::PresencePenalty),
        ),
        (json!({"error": {"message": "frequency_penalty unsupported"}}), Some(P::FrequencyPenalty)),
        (
            json!({"error": {"message": "reasoning is not supported by this model"}}),
            Some(P::Effort),
        ),
        (json!({"error": "unknown parameter parallel_tool_calls"}), Some(P::ParallelToolCalls)),
        (
            json!({"error": {"message": "This response_format type is unavailable now"}}),
            Some(P::Schema),
        ),
        (json!({"error": {"message": "json_schema is not supported"}}), Some(P::Schema)),
        // Not the name but the value, or nothing of ours:
        (
            json!({"error": {"message": "max_tokens is too large: 5. At most 4 are supported",
                "param": "max_tokens"}}),
            None,
        ),
        (json!({"error": {"message": "the seed of doubt is not supported"}}), None),
        (json!({"error": {"message": "logit_bias is not supported"}}), None),
        (json!({"error": {"message": "bad luck"}}), None),
    ] {
        let want = want.map(Repair::Without);
        assert_eq!(diagnosis(Protocol::OpenAi, 400, &error, &body), want, "{error}");
    }
    let error = json!({"error": "temperature is not supported"});
    let found = diagnosis(Protocol::OpenAi, 500, &error, &body);
    assert_eq!(found, Some(Repair::Without(P::Temperature)), "a gateway's 500");
    assert_eq!(diagnosis(Protocol::OpenAi, 429, &error, &body), None, "another matter");
    let error = json!({"error": "the temperature probe only works after a restart"});
    assert_eq!(diagnosis(Protocol::OpenAi, 500, &error, &body), None, "no plain refusal");
    assert_eq!(
        diagnosis(Protocol::OpenAi, 422, &error, &json!({"top_p": 1})),
        None,
        "only what was sent"
    );
}

#[test]
fn refusals_in_other_spellings_are_understood() {
    use Parameter as P;
    let openai = json!({
        "max_tokens": 5, "temperature": 1.4, "top_p": 0.9, "top_k": 3, "min_p": 0.1, "seed": 1,
        "presence_penalty": 0.1, "frequency_penalty": 0.1, "stream_options": {}, "stop": ["x"],
        "reasoning_effort": "high", "parallel_tool_calls": true, "messages": [], "tools": [],
        "tool_choice": "auto", "repetition_penalty": 1.1,
    });
    let gemini = json!({"contents": [], "generationConfig": {"topK": 3, "seed": 7,
        "presencePenalty": 0.1, "frequencyPenalty": 0.1, "stopSequences": ["x"]}});
    let ollama = json!({"options": {"top_k": 3, "seed": 7, "min_p": 0.1, "stop": ["x"]}});
    let anthropic = json!({"top_k": 3, "stop_sequences": ["x"], "messages": []});
    use Protocol::{Anthropic, Gemini, Ollama, OpenAi};
    for (protocol, body, message, want) in [
        (OpenAi, &openai, "m does not support parameter presencePenalty", P::PresencePenalty),
        (
            OpenAi,
            &openai,
            "Argument not supported on this model: presencePenalty",
            P::PresencePenalty,
        ),
        (OpenAi, &openai, "Argument not supported on this model: stop", P::Stop),
        (
            OpenAi,
            &openai,
            "Unsupported parameter: 'stop' is not supported with this model.",
            P::Stop,
        ),
        (OpenAi, &openai, "Unsupported parameter(s): topK", P::TopK),
        (OpenAi, &openai, "json: unknown field \"top_k\"", P::TopK),
        (OpenAi, &openai, "Unrecognized request argument supplied: seed", P::Seed),
        (
            OpenAi,
            &openai,
            "gemini does not support parameters: ['frequency_penalty'], for model=m",
            P::FrequencyPenalty,
        ),
        (OpenAi, &openai, "reasoningEffort is not supported", P::Effort),
        (OpenAi, &openai, "reasoning-effort: unknown parameter", P::Effort),
        (OpenAi, &openai, "streamOptions is not allowed", P::StreamOptions),
        (OpenAi, &openai, "Unknown parameter: parallelToolCalls", P::ParallelToolCalls),
        (OpenAi, &openai, "the model does not support tool_choice", P::ToolChoice),
        (
            OpenAi,
            &openai,
            "The toolChoice parameter is not available in thinking mode",
            P::ToolChoice,
        ),
        (OpenAi, &openai, "maxTokens is not supported, use max_completion_tokens", P::MaxTokens),
        (OpenAi, &openai, "模型不支持stop参数", P::Stop),
        (OpenAi, &openai, "The stop parameter can not be used with reasoning models", P::Stop),
        (OpenAi, &openai, "stop words are not supported", P::Stop),
        (OpenAi, &openai, "Stop tokens unsupported", P::Stop),
        (OpenAi, &openai, "seed not implemented", P::Seed),
        (OpenAi, &openai, "Random seed is not supported", P::Seed),
        (OpenAi, &openai, "Thinking is not supported by this model", P::Effort),
        (OpenAi, &openai, "temperature is not supported in thinking mode", P::Temperature),
        (OpenAi, &openai, "include_usage is not supported", P::StreamOptions),
        (OpenAi, &openai, "Stream options not supported", P::StreamOptions),
        (OpenAi, &openai, "repetition_penalty is not supported", P::RepeatPenalty),
        (OpenAi, &openai, "presence_penalty is unsupported with thinking", P::PresencePenalty),
        (OpenAi, &openai, "penalty parameters are not supported", P::PresencePenalty),
        (OpenAi, &openai, "sampling parameters are not supported", P::Temperature),
        (Ollama, &ollama, "stop sequences are not supported", P::Stop),
        (
            Gemini,
            &gemini,
            "Unknown name \"presence_penalty\" at 'generation_config'",
            P::PresencePenalty,
        ),
        (Gemini, &gemini, "stop_sequences is not supported", P::Stop),
        (Gemini, &gemini, "TOP_K is not supported by this model", P::TopK),
        (Ollama, &ollama, "unsupported option: seed", P::Seed),
        (Ollama, &ollama, "topK is not supported", P::TopK),
        (Ollama, &ollama, "stop is not supported by this model", P::Stop),
        (Anthropic, &anthropic, "stop_sequences: Extra inputs are not permitted", P::Stop),
        (Anthropic, &anthropic, "topK: Extra inputs are not permitted", P::TopK),
    ] {
        let error = json!({"error": {"message": message, "type": "invalid_request_error"}});
        let found = diagnosis(protocol, 400, &error, body);
        assert_eq!(found, Some(Repair::Without(want)), "{message}");
        // A gateway's 502 may be a provider's 400.
        let message = format!("litellm.BadRequestError: OpenAIException - {message}");
        let found = diagnosis(protocol, 502, &json!({"error": {"message": message}}), body);
        assert_eq!(found, Some(Repair::Without(want)), "{message}");
    }
    for (error, want) in [
        (
            json!({"error": {"message": "unsupported", "param": "presencePenalty"}}),
            P::PresencePenalty,
        ),
        (json!({"error": {"message": "unsupported", "param": "body.stop"}}), P::Stop),
        (
            json!({"detail": [{"loc": ["body", "stop"], "msg": "Extra inputs are not permitted"}]}),
            P::Stop,
        ),
        (json!({"detail": "body -> stop\n  Extra inputs are not permitted"}), P::Stop),
        (json!({"errors": [{"message": "unknown field \"stop\""}]}), P::Stop),
    ] {
        let found = diagnosis(OpenAi, 422, &error, &openai);
        assert_eq!(found, Some(Repair::Without(want)), "{error}");
    }
    for (message, want) in [
        ("presence_penalty is incompatible with thinking", P::PresencePenalty),
        ("please remove presence_penalty", P::PresencePenalty),
    ] {
        let error = json!({"error": {"message": message}});
        let found = diagnosis(OpenAi, 400, &error, &openai);
        assert_eq!(found, Some(Repair::Without(want)), "{message}");
    }
    for message in [
        "the bus stop of your town is not supported",
        "this model does not support it, stop asking",
        "cannot read the seed catalogue",
        "Invalid text: please stop",
        "the presence of a penalty is not allowed",
    ] {
        let error = json!({"error": {"message": message, "type": "invalid_request_error"}});
        assert_eq!(diagnosis(OpenAi, 400, &error, &openai), None, "{message}");
    }
}

#[test]
fn a_value_out_of_range_is_left_out_of_this_call_only() {
    let body = json!({"temperature": 1.4, "top_p": 0.9, "max_tokens": 9, "messages": [],
        "thinking": {"type": "enabled", "budget_tokens": 1024}});
    for (protocol, message, want) in [
        (Protocol::Anthropic, "temperature: must be less than 1", Some(Parameter::Temperature)),
        (
            Protocol::OpenAi,
            "Invalid temperature value, the valid range of temperature is [0, 2]",
            Some(Parameter::Temperature),
        ),
        (Protocol::OpenAi, "top_p must be > 0.0 and <= 1.0", Some(Parameter::TopP)),
        (
            Protocol::Anthropic,
            "thinking.budget_tokens: Input should be greater than or equal to 2048",
            Some(Parameter::Effort),
        ),
        (Protocol::Anthropic, "max_tokens: 9000 > 8192, which is the maximum allowed", None),
    ] {
        let error = json!({"error": {"type": "invalid_request_error", "message": message}});
        let found = diagnosis(protocol, 400, &error, &body);
        assert_eq!(found, want.map(Repair::WithoutNow), "{message}");
    }
}

#[test]
fn what_only_speaks_of_a_parameter_does_not_refuse_it() {
    let body = json!({"temperature": 0.4, "top_k": 3, "max_tokens": 9, "messages": [], "tools": [],
        "thinking": {"type": "adaptive"}, "system": "s",
        "output_config": {"effort": "low", "format": {"type": "json_schema"}}});
    for (message, param) in [
        // The type of the error is no complaint.
        ("the temperature in Rome", ""),
        ("thinking", ""),
        // It says where the fault is, and that is elsewhere.
        ("messages.0.content: the temperature is not supported, and the effort is only 3", ""),
        ("messages[3].content[0]: unexpected `thinking`", ""),
        ("system: text must not speak of temperature", ""),
        ("tools.0.custom.input_schema: JSON schema is invalid. json_schema grammar", ""),
        ("max_tokens: must leave room for thinking", ""),
        ("Invalid text: the temperature, json_schema", "messages.0.content"),
        ("Invalid text: temperature", "messages[0]"),
    ] {
        let error = json!({"error":
            {"type": "invalid_request_error", "message": message, "param": param}});
        assert_eq!(diagnosis(Protocol::Anthropic, 400, &error, &body), None, "{message}");
    }
    // Named outright it is meant, wherever the fault is said to be.
    let body = json!({"messages": [], "response_format": {"type": "json_object"}});
    let error = json!({"error": {"param": "messages", "message":
        "'messages' must contain the word 'json' in some form, to use 'response_format'."}});
    let found = diagnosis(Protocol::OpenAi, 400, &error, &body);
    assert_eq!(found, Some(Repair::Without(Parameter::Json)));
}

#[test]
fn efforts_step_down() {
    let value = json!({"error": {"param": "reasoning_effort", "message":
        "Unsupported value: 'none' is not supported. Supported values are: 'low' and 'high'."}});
    let name = json!({"error": "Unrecognized request argument supplied: reasoning_effort"});
    for (error, effort, want) in [
        (&value, "none", Parameter::LeastEffort),
        (&value, "low", Parameter::Effort),
        (&name, "none", Parameter::Effort),
    ] {
        let body = json!({"reasoning_effort": effort});
        let found = diagnosis(Protocol::OpenAi, 400, error, &body);
        assert_eq!(found, Some(Repair::Without(want)), "{effort}");
    }
}

#[test]
fn formats_step_down() {
    let error = json!({"error": {"param": "response_format", "message": "not supported"}});
    let body = json!({"response_format": {"type": "json_object"}});
    let found = diagnosis(Protocol::OpenAi, 400, &error, &body);
    assert_eq!(found, Some(Repair::Without(Parameter::Json)));
    for (refused, want) in [
        (vec![], StructuredOutput::Schema),
        (vec![Parameter::Schema], StructuredOutput::Json),
        (vec![Parameter::Schema, Parameter::Json], StructuredOutput::None),
    ] {
        let refused = refused.into_iter().collect();
        assert_eq!(format_ceiling(StructuredOutput::Schema, &refused), want);
    }
    let ceiling = format_ceiling(StructuredOutput::None, &Refused::new());
    assert_eq!(ceiling, StructuredOutput::None);
}

#[test]
fn ollama_refuses_think_tools_and_format() {
    let body = json!({"think": true, "tools": [{}], "format": {"type": "object"},
        "options": {"temperature": 1}});
    for (error, want) in [
        ("\"m\" does not support thinking", Repair::Without(Parameter::Effort)),
        ("registry.ollama.ai/library/m does not support tools", Repair::Without(Parameter::Tools)),
        ("invalid format: expected \"json\"", Repair::Without(Parameter::Schema)),
    ] {
        let found = diagnosis(Protocol::Ollama, 400, &json!({"error": error}), &body);
        assert_eq!(found, Some(want), "{error}");
    }
}

#[test]
fn pictures_and_tools_that_are_needed_cannot_be_left_out() {
    let call = testing::call_with_image();
    let body = json!({"messages": []});
    for (status, message, want) in [
        (500, "image input is not supported - hint: you may need to provide the mmproj", true),
        (404, "No endpoints found that support image input", true),
        (400, "messages[0]: unknown variant `image_url`, expected `text`", true),
        (400, "Invalid image data: only PNG is supported", false),
        (
            400,
            "You uploaded an unsupported image. Please make sure your image has of one of the \
             following formats: ['png', 'jpeg', 'gif', 'webp'].",
            false,
        ),
        (400, "Unsupported MIME type: image/bmp", false),
        (400, "messages.0.content.0.image.source.media_type: unexpected value", false),
        (429, "image input is not supported", false),
    ] {
        let error = json!({"error": {"message": message}}).to_string();
        let refusal = Refusal::of_response(status, error.as_bytes());
        let found = diagnose(&refusal, wire(Protocol::OpenAi), &(&body).into(), &call);
        let want = want.then_some(Repair::Unsupported(Parameter::Images));
        assert_eq!(found, want, "{message}");
    }
    let call = testing::call_with_tools();
    let refusal =
        Refusal::of_response(500, br#"{"error":{"message":"tools param requires --jinja flag"}}"#);
    let body = json!({"tools": [{}]});
    let found = diagnose(&refusal, wire(Protocol::OpenAi), &(&body).into(), &call);
    assert_eq!(found, Some(Repair::Unsupported(Parameter::Tools)));
}

#[test]
fn anthropic_refusals_are_understood() {
    use Parameter as P;
    let body = |thinking: Value, output: Value| {
        json!({"temperature": 0.5, "top_p": 0.9, "top_k": 3, "thinking": thinking,
            "output_config": output, "tool_choice": {"disable_parallel_tool_use": true}})
    };
    let adaptive = body(json!({"type": "adaptive"}), json!({"effort": "high"}));
    let enabled = body(json!({"type": "enabled", "budget_tokens": 1024}), json!({}));
    let form = body(Value::Null, json!({"format": {"type": "json_schema"}}));
    let both = body(json!({"type": "adaptive"}), json!({"effort": "max", "format": {}}));
    for (body, message, want) in [
        (&adaptive, "adaptive thinking is not supported on this model", Some(P::EffortName)),
        (&adaptive, "This model does not support the effort parameter.", Some(P::EffortName)),
        (&adaptive, "'claude-x' does not support thinking.", Some(P::Effort)),
        (
            &enabled,
            "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" \
             and \"output_config.effort\" to control thinking behavior.",
            Some(P::Effort),
        ),
        (
            &form,
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
            Some(P::TopP),
        ),
        (&form, "`temperature` is deprecated for this model.", Some(P::Temperature)),
        (&form, "top_k: Extra inputs are not permitted", Some(P::TopK)),
        (
            &form,
            "tool_choice.disable_parallel_tool_use: Extra inputs are not permitted",
            Some(P::ParallelToolCalls),
        ),
        (&form, "output_config.format: Extra inputs are not permitted", Some(P::Schema)),
        (&form, "output_config: Extra inputs are not permitted", Some(P::Schema)),
        (&adaptive, "output_config: Extra inputs are not permitted", Some(P::EffortName)),
        (&both, "output_config.effort: Input should be 'low' or 'high'", Some(P::EffortName)),
        (&both, "output_config.effort: Extra inputs are not permitted", Some(P::EffortName)),
        (&form, "messages: roles must alternate", None),
    ] {
        let error = json!({"type": "error",
            "error": {"type": "invalid_request_error", "message": message}});
        let found = diagnosis(Protocol::Anthropic, 400, &error, body);
        assert_eq!(found, want.map(Repair::Without), "{message}");
    }
}

#[test]
fn gemini_refusals_are_understood() {
    use Parameter as P;
    let body = |thinking: Value| {
        json!({"contents": [], "generationConfig": {"temperature": 0.5, "topP": 0.9, "topK": 3,
            "seed": 7, "presencePenalty": 0.1, "frequencyPenalty": 0.1, "thinkingConfig": thinking,
            "responseMimeType": "application/json", "responseJsonSchema": {}}})
    };
    let level = body(json!({"thinkingLevel": "minimal"}));
    let high = body(json!({"thinkingLevel": "high"}));
    let budget = body(json!({"thinkingBudget": 0}));
    for (body, message, want) in [
        (&level, "Thinking level is not supported for this model.", Some(P::EffortName)),
        (
            &level,
            "Thinking level MINIMAL is not supported for this model. Please retry with other \
             thinking level.",
            Some(P::LeastEffort),
        ),
        (
            &high,
            "Invalid JSON payload received. Unknown name \"thinkingLevel\" at \
            'generation_config.thinking_config': Cannot find field.",
            Some(P::EffortName),
        ),
        (&high, "Thinking is not supported by this model.", Some(P::Effort)),
        (
            &budget,
            "Budget 0 is invalid. This model only works in thinking mode.",
            Some(P::LeastEffort),
        ),
        (
            &budget,
            "The thinking budget 0 is invalid. Please choose a value between 128 and 32768.",
            Some(P::LeastEffort),
        ),
        (&budget, "Thinking is not enabled for this model", Some(P::Effort)),
        (&budget, "Penalty is not enabled for models/gemini-x", Some(P::PresencePenalty)),
        (
            &budget,
            "Unknown name \"topK\" at 'generation_config': Cannot find field.",
            Some(P::TopK),
        ),
        (
            &budget,
            "Unknown name \"seed\" at 'generation_config': Cannot find field.",
            Some(P::Seed),
        ),
        (
            &budget,
            "Function calling with a response mime type: 'application/json' is unsupported",
            Some(P::Schema),
        ),
        (
            &budget,
            "Unknown name \"responseJsonSchema\" at 'generation_config': Cannot find field.",
            Some(P::Schema),
        ),
        (&budget, "Thought signature is not valid.", Some(P::PlaceholderSignature)),
        (&budget, "contents is not specified", None),
    ] {
        let error =
            json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}});
        let found = diagnosis(Protocol::Gemini, 400, &error, body);
        assert_eq!(found, want.map(Repair::Without), "{message}");
    }
}
