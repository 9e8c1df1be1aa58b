//! Bodies to requests, as tables.

use serde_json::json;

use super::*;
use crate::types::{ToolChoice, growth::assert_linear};

fn read(more: Value) -> Result<Parsed<()>, AppError> {
    let mut body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let Parted { known, rest } =
        serde_json::from_value::<Parted<GenerateRequest>>(body).expect("a body");
    known.read("m", false, rest)
}

fn param_of(more: Value) -> Option<String> {
    match read(more) {
        Err(AppError::Invalid { param, message }) => {
            let param = param.expect("a field to blame");
            assert!(message.starts_with(&param), "{message}");
            Some(param)
        }
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    }
}

#[test]
fn both_spellings_are_read_and_the_other_fields_kept() {
    let camel = json!({"systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"temperature": 0.5, "topP": 0.9, "topK": 40.0, "maxOutputTokens": 9,
            "stopSequences": ["END", ""], "seed": 7, "responseModalities": ["TEXT"]},
        "safetySettings": [], "include_workflow": true});
    let snake = json!({"system_instruction": {"parts": {"text": "Be brief."}},
        "generation_config": {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "max_output_tokens": 9,
            "stop_sequences": ["END"], "seed": 7, "responseModalities": ["TEXT"]},
        "safetySettings": [], "include_workflow": true});
    for body in [camel, snake] {
        let parsed = read(body).unwrap();
        let prompt = &parsed.request.prompt;
        assert!(parsed.include_workflow && !parsed.reasoning && !parsed.stream);
        assert_eq!(parsed.request.messages[0].joined_text(), "Be brief.");
        assert_eq!((prompt.max_tokens, prompt.stop.as_slice()), (Some(9), &["END".to_owned()][..]));
        let sampling = &prompt.sampling;
        assert_eq!(
            (sampling.temperature, sampling.top_k, sampling.seed),
            (Some(0.5), Some(40), Some(7))
        );
        let extra = prompt.extra.as_ref().unwrap();
        assert_eq!(extra.protocol, Protocol::Gemini);
        assert_eq!(extra.fields["safetySettings"], json!([]));
        assert_eq!(extra.within["generationConfig"], json!({"responseModalities": ["TEXT"]}));
    }
}

#[test]
fn thinking_is_an_effort_and_whether_it_is_shown() {
    use Effort::{High, Low, Medium, Minimal, None as Off, On};
    for (thinking, effort, shown) in [
        (json!({}), None, false),
        (json!({"includeThoughts": true}), None, true),
        (json!({"thinkingBudget": 0}), Some(Off), false),
        (json!({"thinkingBudget": -1, "includeThoughts": true}), Some(On), true),
        (json!({"thinkingBudget": 512}), Some(Low), false),
        (json!({"thinking_budget": 8192, "include_thoughts": true}), Some(Medium), true),
        (json!({"thinkingBudget": 24_576}), Some(High), false),
        (json!({"thinkingLevel": "MINIMAL"}), Some(Minimal), false),
        (json!({"thinkingLevel": "high"}), Some(High), false),
    ] {
        let parsed = read(json!({"generationConfig": {"thinkingConfig": thinking}})).unwrap();
        assert_eq!((parsed.request.prompt.effort, parsed.reasoning), (effort, shown), "{thinking}");
    }
}

#[test]
fn functions_are_offered_and_googles_own_tools_kept_apart() {
    let open_api = json!({"type": "OBJECT", "properties": {"city": {"type": "STRING"}}});
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    for (name, value) in [
        ("parameters", &open_api),
        ("parametersJsonSchema", &schema),
        ("parameters_json_schema", &schema),
    ] {
        let function = json!({"name": "f", "description": "d", name: value});
        let parsed = read(json!({"tools": [{"functionDeclarations": [function]},
            {"googleSearch": {}}]}))
        .unwrap();
        let [tool] = &parsed.request.prompt.tools[..] else { panic!("one function") };
        assert_eq!((tool.name.as_str(), tool.description.as_deref()), ("f", Some("d")));
        assert_eq!(tool.parameters.as_ref(), Some(&schema), "{name}");
        assert_eq!(parsed.request.left_out, ["googleSearch"]);
        let extra = parsed.request.prompt.extra.unwrap();
        assert_eq!(extra.fields["tools"], json!([{"googleSearch": {}}]));
    }
}

#[test]
fn a_choice_is_read_in_all_its_forms() {
    let tools = json!([{"functionDeclarations": [{"name": "f"}, {"name": "g"}, {"name": "h"}]}]);
    let chosen = |config: Value| {
        read(json!({"tools": tools, "toolConfig": {"functionCallingConfig": config}}))
    };
    for (config, want, offered) in [
        (json!({}), None, 3),
        (json!({"mode": "AUTO"}), Some(ToolChoice::Auto), 3),
        (json!({"mode": "VALIDATED"}), Some(ToolChoice::Auto), 3),
        (json!({"mode": "none"}), Some(ToolChoice::None), 3),
        (json!({"mode": "ANY"}), Some(ToolChoice::Required), 3),
        (
            json!({"mode": "ANY", "allowedFunctionNames": ["g"]}),
            Some(ToolChoice::Named("g".into())),
            3,
        ),
        (
            json!({"mode": "ANY", "allowed_function_names": ["f", "g"]}),
            Some(ToolChoice::Required),
            2,
        ),
    ] {
        let prompt = chosen(config.clone()).unwrap().request.prompt;
        assert_eq!((prompt.tool_choice, prompt.tools.len()), (want, offered), "{config}");
    }
    for config in
        [json!({"mode": "SOME"}), json!({"mode": "ANY", "allowedFunctionNames": ["x"]}), json!(5)]
    {
        assert!(chosen(config.clone()).is_err(), "{config}");
    }
}

#[test]
fn the_form_of_the_answer_is_read_in_all_its_places() {
    let open_api = json!({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}});
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    for config in [
        json!({"responseMimeType": "application/json", "responseSchema": open_api}),
        json!({"responseMimeType": "application/json", "responseJsonSchema": schema}),
        json!({"responseMimeType": "application/json", "_responseJsonSchema": schema}),
        json!({"response_schema": open_api}),
    ] {
        let parsed = read(json!({"generationConfig": config})).unwrap();
        let OutputFormat::Schema { schema: found, .. } = parsed.request.prompt.format else {
            panic!("no schema in {config}")
        };
        assert_eq!(**found, schema, "{config}");
    }
    let json_mode =
        read(json!({"generationConfig": {"responseMimeType": "application/json"}})).unwrap();
    assert_eq!(json_mode.request.prompt.format, OutputFormat::Json);
}

#[test]
fn what_is_wrong_is_named() {
    for (more, param) in [
        (json!({"contents": []}), "contents"),
        (json!({"contents": 5}), "contents"),
        (json!({"generationConfig": {"temperature": 3}}), "generationConfig.temperature"),
        (json!({"generationConfig": {"maxOutputTokens": 0}}), "generationConfig.maxOutputTokens"),
        (json!({"generationConfig": {"candidateCount": 2}}), "generationConfig.candidateCount"),
        (
            json!({"generationConfig": {"responseMimeType": "text/x.enum"}}),
            "generationConfig.responseMimeType",
        ),
        (
            json!({"generationConfig": {"thinkingConfig": {"thinkingLevel": "x"}}}),
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (json!({"tools": 5}), "tools"),
        (json!({"tools": [5]}), "tools[0]"),
        (
            json!({"tools": [{"functionDeclarations": [{}]}]}),
            "tools[0].functionDeclarations[0].name",
        ),
        (json!({"toolConfig": 5}), "toolConfig"),
    ] {
        assert_eq!(param_of(more.clone()).as_deref(), Some(param), "{more}");
    }
}

#[test]
fn every_list_is_read_in_a_time_that_is_linear_in_it() {
    let call = |at: usize| json!({"functionCall": {"id": format!("c{at}"), "name": "f"}});
    let unnamed = |_| json!({"functionCall": {"name": "f"}});
    let result = |at: usize| json!({"functionResponse": {"id": format!("c{at}"), "name": "f", "response": {}}});
    let text = |at: usize| json!({"text": format!("t{at}")});
    let tool = |at: usize| json!({"name": format!("f{at}")});
    type Order = fn(usize, usize) -> usize;
    let orders: [(&str, Order); 2] =
        [("in order", |at, _| at), ("in reverse", |at, count| count - 1 - at)];
    for (what, order) in orders {
        assert_linear(
            what,
            |count| {
                let all = |item: &dyn Fn(usize) -> Value| (0..count).map(item).collect::<Value>();
                json!({"systemInstruction": {"parts": all(&text)},
                    "tools": [{"functionDeclarations": all(&tool)}],
                    "toolConfig": {"functionCallingConfig": {"mode": "ANY",
                        "allowedFunctionNames": all(&|at| format!("f{}", order(at, count)).into())}},
                    "generationConfig": {"stopSequences": all(&|at| at.to_string().into())},
                    "contents": [{"role": "user", "parts": all(&text)},
                        {"role": "model", "parts": all(&call)},
                        {"role": "user", "parts": all(&|at| result(order(at, count)))},
                        {"role": "model", "parts": all(&unnamed)}]})
            },
            |body| read(body).unwrap(),
        );
    }
    assert_linear(
        "contents",
        |count| {
            let contents = (0..count).map(|_| json!({"role": "user", "parts": [{"text": "hi"}]}));
            json!({"contents": contents.collect::<Value>()})
        },
        |body| read(body).unwrap(),
    );
}
