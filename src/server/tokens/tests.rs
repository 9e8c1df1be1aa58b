//! The estimate against counts of `o200k_base`.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::types::{Image, Role, ToolCall};

#[test]
fn estimates_are_within_15_percent() {
    for (kind, text, counted) in [
        ("English", include_str!("samples/english.txt"), 722),
        ("Chinese", include_str!("samples/chinese.txt"), 1142),
        ("Rust", include_str!("samples/rust.txt"), 757),
        ("Python", include_str!("samples/python.txt"), 790),
        ("JSON", include_str!("samples/json.txt"), 268),
    ] {
        let estimated = of_text(text);
        let off = (estimated.abs_diff(counted) * 100).div_ceil(counted);
        assert!(off <= 15, "{kind}: {estimated} instead of {counted}, {off} % off");
    }
}

#[test]
fn words_are_taken_apart_as_tokenizers_do() {
    for (text, same_as) in [
        ("HTTPWord", "HTTP Word"),
        ("camelCase", "camel Case"),
        ("a  \n  b", "a\nb"),
        ("123456", "123\u{0}456"),
    ] {
        let (one, other) = (of_text(text), of_text(same_as));
        assert!(one.abs_diff(other) <= 1, "{text}: {one}, {same_as}: {other}");
    }
    assert_eq!(of_text(""), 0);
    assert_eq!(of_text("Word"), 1);
}

#[test]
fn everything_that_a_model_reads_counts() {
    let plain = || Request::new("m", vec![Message::text(Role::User, "What is the weather?")]);
    let tokens = of_request(&plain());
    let mut with_tool = plain();
    with_tool.prompt.tools = [ToolDefinition {
        name: "weather".to_owned(),
        description: Some("Tells the weather of a city.".to_owned()),
        parameters: Some(json!({"type": "object", "properties": {"city": {"type": "string"}}})),
        strict: None,
        unknown: Map::new(),
    }]
    .into();
    assert!(of_request(&with_tool) > tokens + 20);
    let message = Message {
        parts: vec![Part::Image(Image::Url { url: "https://a.example".to_owned(), detail: None })],
        tool_calls: vec![ToolCall {
            id: "c".to_owned(),
            name: "weather".to_owned(),
            arguments: "{\"city\":\"Rome\"}".to_owned(),
        }],
        ..Message::text(Role::Assistant, "")
    };
    assert!(of_request(&Request::new("m", vec![message])) > PICTURE + 8);
}

proptest! {
    #[test]
    fn a_text_takes_about_as_much_as_its_halves(one in "\\PC{0,60}", other in "\\PC{0,60}") {
        let whole = of_text(&format!("{one}\n{other}"));
        let halves = of_text(&one) + of_text(&other);
        prop_assert!(whole.abs_diff(halves) <= 4, "{whole} {halves}");
    }
}
