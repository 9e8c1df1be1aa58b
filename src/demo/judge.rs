//! The answers in JSON: what the analyzer and the selector are asked for, and JSON for clients that
//! want it. Pure.

use serde_json::{Map, Value, json};

use super::{
    ask::{Ask, Form, Language, fenced},
    cast::Character,
};

/// The JSON that `ask` demands, or `None` when prose will do. Upstreams that step down from schema
/// to plain JSON, or to none, are still understood by the words of the prompt.
pub(super) fn json_for(ask: &Ask, character: Character) -> Option<String> {
    let value = match (ask.form(), character) {
        (Form::Schema("analysis", _), _) => analysis(ask),
        (Form::Schema("verdict", schema), _) => verdict(ask, schema),
        (Form::Schema(_, schema), _) => instance(schema, &character.answer(ask), 0),
        (Form::Json | Form::Text, Character::Judge) if shows_candidates(ask) => {
            verdict(ask, &Value::Null)
        }
        (Form::Json | Form::Text, Character::Judge) if ask.system().contains("task_type") => {
            analysis(ask)
        }
        (Form::Json, _) => json!({"simulated": true, "answer": character.answer(ask)}),
        (Form::Text, _) => return None,
    };
    Some(value.to_string())
}

/// First keyword that is met wins.
const TASKS: [(&str, f32, &[&str]); 4] = [
    ("code", 0.2, &["code", "function", "bug", "rust", "python", "代码", "函数", "程序"]),
    ("math", 0.1, &["calculate", "solve", "equation", "proof", "计算", "方程", "证明"]),
    ("translation", 0.3, &["translate", "翻译"]),
    ("creative", 1.1, &["poem", "story", "imagine", "诗", "故事", "想象"]),
];

fn analysis(ask: &Ask) -> Value {
    let question = ask.question().to_lowercase();
    let met = |(_, _, words): &&(&str, f32, &[&str])| words.iter().any(|w| question.contains(w));
    let (task, temperature) = TASKS
        .iter()
        .find(met)
        .map_or(("question", 0.7), |(task, temperature, _)| (*task, *temperature));
    let language = match ask.language() {
        Language::English => "en",
        Language::Chinese => "zh",
    };
    // An f32 such as 0.7 would be written with all the digits of its f64.
    let temperature: f64 = temperature.to_string().parse().unwrap_or(0.7);
    json!({"task_type": task, "temperature": temperature, "language": language})
}

fn shows_candidates(ask: &Ask) -> bool {
    !fenced(&ask.text(), "candidate", "label").is_empty()
}

/// The longest candidate is best: it is a demonstration.
fn verdict(ask: &Ask, schema: &Value) -> Value {
    let candidates = fenced(&ask.text(), "candidate", "label");
    let longest = candidates.iter().map(|(_, text)| text.len()).max().unwrap_or(0);
    let best = candidates.iter().find(|(_, text)| text.len() == longest);
    let scores: Map<String, Value> = (candidates.iter())
        .map(|(label, text)| (label.clone(), json!(1 + 9 * text.len() / longest.max(1))))
        .collect();
    let label = best.map_or("1", |(label, _)| label.as_str());
    json!({
        "reason": "The most thorough draft (simulated verdict).",
        "scores": scores,
        "best": typed(label, schema.pointer("/properties/best")),
    })
}

/// A label as the schema wants it: text, or the number it reads as.
fn typed(label: &str, schema: Option<&Value>) -> Value {
    let wanted = |kind| schema.is_some_and(|schema| schema.get("type") == Some(&json!(kind)));
    let options = schema.and_then(|schema| schema.get("enum")).and_then(Value::as_array);
    let is_label = |option: &&Value| match option {
        Value::String(text) => text == label,
        Value::Number(number) => number.to_string() == label,
        _ => false,
    };
    if let Some(option) = options.and_then(|options| options.iter().find(is_label)) {
        return option.clone();
    }
    match label.parse::<u64>() {
        Ok(number) if wanted("integer") || wanted("number") => json!(number),
        _ => json!(label),
    }
}

/// The smallest value of a schema, with `text` wherever it wants a string.
fn instance(schema: &Value, text: &str, depth: u8) -> Value {
    const DEEPEST: u8 = 16;
    if depth >= DEEPEST {
        return Value::Null;
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        kind => kind.and_then(Value::as_str),
    };
    match kind {
        Some("string") => json!(text),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => match schema.get("items") {
            Some(items) => json!([instance(items, text, depth + 1)]),
            None => json!([]),
        },
        _ => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let members = properties.into_iter().flatten();
            let members = members
                .map(|(name, schema)| (name.clone(), instance(schema, text, depth + 1)))
                .collect();
            Value::Object(members)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(system: &str, question: &str, format: &Value) -> Ask {
        let messages = json!([{"role": "system", "content": system},
            {"role": "user", "content": question}]);
        let body = json!({"model": "m", "messages": messages, "response_format": format});
        Ask::read(body.to_string().as_bytes()).unwrap()
    }

    fn schema(name: &str, schema: &Value) -> Value {
        json!({"type": "json_schema", "json_schema": {"name": name, "schema": schema}})
    }

    fn answer(ask: &Ask) -> Value {
        serde_json::from_str(&json_for(ask, Character::Judge).unwrap()).unwrap()
    }

    #[test]
    fn tasks_are_recognised() {
        for (question, want) in [
            ("Write a Rust function", json!(["code", 0.2, "en"])),
            ("写一首关于秋天的诗", json!(["creative", 1.1, "zh"])),
            ("why is the sky blue?", json!(["question", 0.7, "en"])),
        ] {
            let got = answer(&ask("", question, &schema("analysis", &Value::Null)));
            assert_eq!(json!([got["task_type"], got["temperature"], got["language"]]), want);
            let got = answer(&ask("JSON with task_type", question, &Value::Null));
            assert_eq!(got["task_type"], want[0], "without a schema");
        }
    }

    #[test]
    fn the_verdict_names_a_label_in_the_type_asked_for() {
        let prompt = "<candidate-1f label=\"1\">short</candidate-1f>\n\
                      <candidate-1f label=\"2\">a longer one</candidate-1f>";
        for (best, want) in [
            (json!({"type": "string"}), json!("2")),
            (json!({"type": "integer"}), json!(2)),
            (json!({"enum": ["1", "2"]}), json!("2")),
            (json!({"type": "integer", "enum": [1, 2]}), json!(2)),
        ] {
            let wanted = schema("verdict", &json!({"properties": {"best": best}}));
            let got = answer(&ask("", prompt, &wanted));
            assert_eq!(got["best"], want);
            assert_eq!(got["scores"], json!({"1": 4, "2": 10}));
        }
        let got = answer(&ask("reason, scores, best", prompt, &json!({"type": "json_object"})));
        assert_eq!(got["best"], "2");
    }

    #[test]
    fn other_schemas_get_their_smallest_value() {
        let wanted = json!({"type": "object", "properties": {
            "city": {"type": ["string", "null"]}, "size": {"type": "integer", "minimum": 3},
            "kind": {"enum": ["a", "b"]}, "tags": {"type": "array", "items": {"type": "boolean"}},
        }});
        let ask = ask("", "why?", &schema("place", &wanted));
        let got: Value = serde_json::from_str(&json_for(&ask, Character::Writer).unwrap()).unwrap();
        assert!(got["city"].as_str().unwrap().contains("Simulated"));
        assert_eq!(json!([got["size"], got["kind"], got["tags"]]), json!([3, "a", [true]]));
    }

    #[test]
    fn prose_is_prose() {
        assert_eq!(json_for(&ask("", "hi", &Value::Null), Character::Warm), None);
        let wanted = json!({"type": "json_object"});
        let got = answer(&ask("", "hi", &wanted));
        assert_eq!(got["simulated"], true);
    }
}
