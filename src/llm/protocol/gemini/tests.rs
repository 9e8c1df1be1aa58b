//! Bodies and replies as tables.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    config::Model,
    llm::{
        Call, LlmErrorKind,
        protocol::{
            counts::Counts, gemini::read::finish, openai, parameter::Refused, piece::ToolPiece,
        },
        testing,
    },
    types::{FinishReason, Prompt, Protocol, ToolCall},
};

const BASE: &str = "https://generativelanguage.googleapis.com";

fn model() -> Model {
    testing::model(Protocol::Gemini, BASE)
}

fn body_of(call: &Call, refused: &[Parameter]) -> Value {
    let refused: Refused = refused.iter().copied().collect();
    body(&Ask { config: &model(), call, refused: &refused }).into_value()
}

#[test]
fn every_field_is_mapped_and_can_be_refused() {
    let sampling = testing::full_sampling(1.4);
    let call = testing::tool_call_of(Prompt {
        sampling,
        max_tokens: Some(99),
        stop: ["a", "", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec(),
        effort: Some(Effort::Low),
        parallel_tool_calls: Some(false),
        ..Prompt::default()
    });
    let mut want = json!({
        "contents": [{"role": "user", "parts": [{"text": "use f"}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "description": "does f",
            "parametersJsonSchema": {"type": "object"}}]}],
        "generationConfig": {"temperature": 1.4, "topP": 0.9, "topK": 40, "seed": 7,
            "presencePenalty": 0.1, "frequencyPenalty": 0.2, "maxOutputTokens": 99,
            "stopSequences": ["a", "b", "c", "d", "e"],
            "thinkingConfig": {"includeThoughts": true, "thinkingLevel": "low"}},
    });
    assert_eq!(body_of(&call, &[]), want);
    let mut refused = Vec::new();
    for (parameter, field) in [
        (Parameter::Temperature, "temperature"),
        (Parameter::TopP, "topP"),
        (Parameter::TopK, "topK"),
        (Parameter::Seed, "seed"),
        (Parameter::PresencePenalty, "presencePenalty"),
        (Parameter::FrequencyPenalty, "frequencyPenalty"),
        (Parameter::Effort, "thinkingConfig"),
    ] {
        refused.push(parameter);
        want["generationConfig"].as_object_mut().unwrap().remove(field);
        assert_eq!(body_of(&call, &refused), want, "without {field}");
    }
    let plain = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    assert_eq!(body_of(&testing::call("hi"), &[]), plain);
    for (given, sent) in [(-1, json!(-1)), (i64::from(i32::MAX) + 6, json!(5))] {
        assert_eq!(seed(given), sent);
    }
}

#[test]
fn tool_choices_are_mapped() {
    for (choice, want) in [
        (ToolChoice::None, json!({"mode": "NONE"})),
        (ToolChoice::Auto, json!({"mode": "AUTO"})),
        (ToolChoice::Required, json!({"mode": "ANY"})),
        (ToolChoice::Named("f".into()), json!({"mode": "ANY", "allowedFunctionNames": ["f"]})),
    ] {
        let call = testing::tool_call_of(Prompt { tool_choice: Some(choice), ..Prompt::default() });
        assert_eq!(body_of(&call, &[])["toolConfig"], json!({"functionCallingConfig": want}));
    }
}

/// Two calls in one turn, one in the next, with their results.
fn calls_and_results() -> Call {
    let calls = |ids: &[&str]| {
        let mut calling = Message::text(Role::Assistant, "");
        let call = |id: &&str| ToolCall {
            id: (*id).into(),
            name: "f".into(),
            arguments: "{\"a\":1}".into(),
        };
        calling.tool_calls = ids.iter().map(call).collect();
        calling
    };
    let result = |id: &str, text: &str| {
        let mut result = Message::text(Role::Tool, text);
        result.tool_call_id = Some(id.into());
        result
    };
    let mut seen = result("three", "{\"b\":2}");
    let image = Image::Inline { media_type: "image/png".into(), base64: "QQ==".into() };
    seen.parts.push(Part::Image(image));
    let messages = vec![
        Message::text(Role::System, "be"),
        Message::text(Role::User, "go"),
        calls(&["one", "two"]),
        result("one", "Rome"),
        result("two", "[1]"),
        calls(&["three"]),
        seen,
    ];
    Call { messages: messages.into(), ..testing::call_with_tools() }
}

#[test]
fn conversations_are_mapped() {
    let call = calls_and_results();
    let part = |id: &str| json!({"functionCall": {"id": id, "name": "f", "args": {"a": 1}}});
    let signed = |id: &str, with: &str| {
        let mut part = part(id);
        part["thoughtSignature"] = with.into();
        part
    };
    let response = |id: &str, response: Value| json!({"functionResponse": {"id": id, "name": "f", "response": response}});
    let body = body_of(&call, &[]);
    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "be"}]}));
    assert_eq!(
        body["contents"],
        json!([
            {"role": "user", "parts": [{"text": "go"}]},
            {"role": "model", "parts": [signed("one", PLACEHOLDER), part("two")]},
            {"role": "user", "parts": [response("one", json!({"output": "Rome"})),
                response("two", json!({"output": [1]}))]},
            {"role": "model", "parts": [signed("three", PLACEHOLDER)]},
            {"role": "user", "parts": [response("three", json!({"b": 2})),
                {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}]},
        ])
    );
    // A model that knows no signatures refuses the placeholder.
    let body = body_of(&call, &[Parameter::PlaceholderSignature]);
    assert_eq!(body["contents"][1]["parts"], json!([part("one"), part("two")]));
}

#[test]
fn calls_go_back_as_they_were_signed() {
    for (known, want) in [
        (vec![("one", "sig1"), ("two", "")], [Some("sig1"), None, Some(PLACEHOLDER)]),
        (vec![("one", ""), ("two", "sig2"), ("three", "")], [None, Some("sig2"), None]),
        (vec![], [Some(PLACEHOLDER), None, Some(PLACEHOLDER)]),
    ] {
        let call = calls_and_results();
        let mut messages = call.messages.to_vec();
        for message in messages.iter_mut().filter(|message| !message.tool_calls.is_empty()) {
            let calls = known.iter().map(|(id, signature)| {
                let beside = json!({"google": {"thought_signature": signature}});
                ((*id).to_owned(), openai::extra_content(&beside))
            });
            message.extras.get_or_insert_default().state.calls = calls.collect();
        }
        let call = Call { messages: messages.into(), turns_of: Some(1), ..call };
        let body = body_of(&call, &[]);
        let parts = ["/contents/1/parts/0", "/contents/1/parts/1", "/contents/3/parts/0"];
        let signed = parts.map(|at| body.pointer(at).unwrap().get("thoughtSignature"));
        assert_eq!(signed.map(|value| value.and_then(Value::as_str)), want);
    }
}

#[test]
fn forms_step_down() {
    let schema = json!({"type": "object"});
    let format = OutputFormat::Schema {
        name: "o".into(),
        schema: Arc::new(schema.clone().into()),
        strict: None,
        description: None,
    };
    let by_schema =
        json!({"responseMimeType": "application/json", "responseJsonSchema": schema.clone()});
    let by_type = json!({"responseMimeType": "application/json"});
    for (refused, want, field) in [
        (vec![], Some(&by_schema), Some(("generationConfig.responseJsonSchema", true))),
        (
            vec![Parameter::Schema],
            Some(&by_type),
            Some(("generationConfig.responseMimeType", false)),
        ),
        (vec![Parameter::Schema, Parameter::Json], None, None),
    ] {
        let call = testing::call_of("hi", Prompt { format: format.clone(), ..Prompt::default() });
        let body = body_of(&call, &refused);
        assert_eq!(body.get("generationConfig"), want, "{refused:?}");
        assert_eq!(Gemini.format_field(body.as_object().unwrap()), field);
        let system = body["systemInstruction"]["parts"][0]["text"].as_str().unwrap();
        assert!(system.contains("JSON"), "the prompt always says it");
    }
}

#[test]
fn efforts_are_mapped() {
    let (least, name) = (Parameter::LeastEffort, Parameter::EffortName);
    for (effort, refused, want) in [
        (Effort::None, vec![], json!({"thinkingLevel": "minimal"})),
        (Effort::None, vec![least], json!({"thinkingLevel": "low"})),
        (Effort::None, vec![name], json!({"thinkingBudget": 0})),
        (Effort::None, vec![name, least], json!({"thinkingBudget": 1024})),
        (Effort::On, vec![], json!({"includeThoughts": true})),
        (Effort::Minimal, vec![name], json!({"includeThoughts": true, "thinkingBudget": 512})),
        (Effort::Medium, vec![], json!({"includeThoughts": true, "thinkingLevel": "medium"})),
        (Effort::Max, vec![], json!({"includeThoughts": true, "thinkingLevel": "high"})),
        (Effort::High, vec![name], json!({"includeThoughts": true, "thinkingBudget": 24_576})),
    ] {
        let call = testing::call_of("hi", Prompt { effort: Some(effort), ..Prompt::default() });
        let body = body_of(&call, &refused);
        assert_eq!(body["generationConfig"]["thinkingConfig"], want, "{effort:?} {refused:?}");
    }
}

#[test]
fn addresses_and_headers() {
    let stream = ":streamGenerateContent?alt=sse";
    for (base, version, model, want) in [
        ("", None, "gemini-x", "/v1beta/models/gemini-x"),
        ("/v1beta", None, "gemini-x", "/v1beta/models/gemini-x"),
        ("/v1", None, "models/gemini-x", "/v1/models/gemini-x"),
        ("/v1beta", Some("v1alpha"), "gemini-x", "/v1alpha/models/gemini-x"),
        ("", Some("v1"), "tunedModels/mine", "/v1/tunedModels/mine"),
        ("/proxy/vertex", None, "g", "/proxy/vertex/v1beta/models/g"),
    ] {
        let config = Model {
            api_version: version.map(str::to_owned),
            upstream_model: model.to_owned(),
            ..self::model()
        };
        let (refused, mut call) = (Refused::new(), testing::call("hi"));
        let base: Url = format!("{BASE}{base}").parse().unwrap();
        let address = |call: &Call| {
            let ask = Ask { config: &config, call, refused: &refused };
            Gemini.address(&base, &ask).unwrap().to_string()
        };
        assert_eq!(address(&call), format!("{BASE}{want}{stream}"));
        call.stream = false;
        assert_eq!(address(&call), format!("{BASE}{want}:generateContent"));
    }
    let list = Gemini.model_list(&format!("{BASE}/v1beta").parse().unwrap(), &model()).unwrap();
    assert_eq!(list.as_str(), format!("{BASE}/v1beta/models"));
    let mut headers = HeaderMap::new();
    Gemini.authenticate("key", &mut headers).unwrap();
    assert!(headers["x-goog-api-key"].is_sensitive() && !headers.contains_key("authorization"));
}

#[test]
fn chunks_and_replies_are_read() {
    let text = |text: &'static str| Piece::Text(text.into());
    let say =
        |parts: Value| json!({"candidates": [{"content": {"role": "model", "parts": parts}}]});
    for (value, want) in [
        (say(json!([{"text": "你"}])), vec![text("你")]),
        (
            say(json!([{"text": "hm", "thought": true}, {"text": "so"}])),
            vec![Piece::Reasoning("hm".into()), text("so")],
        ),
        (
            say(json!([{"functionCall": {"id": "c", "name": "f", "args": {"a": 1}},
                "thoughtSignature": "sig"}, {"functionCall": {"id": "d", "name": "g"}}])),
            vec![
                Piece::Tool(ToolPiece {
                    index: None,
                    id: Some("c".into()),
                    name: Some("f".into()),
                    arguments: "{\"a\":1}".into(),
                    begins: true,
                    beside: Some(Box::new(openai::extra_content(
                        &json!({"google": {"thought_signature": "sig"}}),
                    ))),
                }),
                Piece::Tool(ToolPiece {
                    index: None,
                    id: Some("d".into()),
                    name: Some("g".into()),
                    arguments: "{}".into(),
                    begins: true,
                    beside: None,
                }),
            ],
        ),
        (say(json!([{"executableCode": {"code": "x"}}, {"inlineData": {}}])), vec![]),
        (
            json!({"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3,
                    "thoughtsTokenCount": 4, "cachedContentTokenCount": 2}}),
            vec![
                Piece::Usage(Counts {
                    prompt: Some(5),
                    completion: Some(7),
                    cached: Some(2),
                    reasoning: Some(4),
                    ..Counts::default()
                }),
                text("x"),
                Piece::Finish(FinishReason::Stop),
            ],
        ),
        (
            json!({"promptFeedback": {"blockReason": "SAFETY"}}),
            vec![Piece::Finish(FinishReason::ContentFilter), Piece::End],
        ),
        (json!({"usageMetadata": {"promptTokenCount": 5}}), {
            vec![Piece::Usage(Counts { prompt: Some(5), ..Counts::default() })]
        }),
        (json!({}), vec![]),
    ] {
        assert_eq!(pieces(&value).ok().unwrap(), want, "{value}");
    }
    // Without an id one is made up.
    let nameless = say(json!([{"functionCall": {"name": "f"}}]));
    let made = pieces(&nameless).ok().unwrap();
    let [Piece::Tool(ToolPiece { id: Some(id), .. })] = &made[..] else { panic!("{made:?}") };
    assert!(id.starts_with("call_"));
}

#[test]
fn reasons_are_kept_apart() {
    for (reason, want) in [
        ("STOP", Some(FinishReason::Stop)),
        ("MAX_TOKENS", Some(FinishReason::Length)),
        ("SAFETY", Some(FinishReason::ContentFilter)),
        ("IMAGE_SAFETY", Some(FinishReason::ContentFilter)),
        ("SPII", Some(FinishReason::ContentFilter)),
        ("FINISH_REASON_UNSPECIFIED", None),
    ] {
        assert_eq!(finish(reason).ok().unwrap(), want, "{reason}");
    }
    for reason in
        ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "OTHER"]
    {
        let refusal = pieces(&json!({"candidates": [{"finishReason": reason}]})).err().unwrap();
        assert_eq!(refusal.error_kind(None), LlmErrorKind::InBand, "{reason}");
        assert!(!refusal.is_final(), "{reason} is worth one more try");
    }
    let error = json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
    for event in [error.clone(), json!([error])] {
        assert!(!pieces(&event).err().unwrap().is_final());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_json_panics(value in testing::any_json()) {
        let _ = pieces(&value);
        let _ = Gemini.is_reply(&value);
    }
}
