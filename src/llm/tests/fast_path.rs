//! Frames read without a tree say what they say with one.

use proptest::prelude::*;

use super::{protocols::sample, *};
use crate::llm::protocol::{all::wire, error_frame};

/// The frames of a stream's sample.
fn frames(protocol: Protocol) -> Vec<Value> {
    let text = sample(protocol);
    let data = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// Changes what these steps lead to: an object gets a field of this name, all else is replaced.
fn change(value: &mut Value, steps: &[prop::sample::Index], name: &str, with: &Value) {
    let inner = parts(value);
    if let ([step, rest @ ..], false) = (steps, inner.is_empty()) {
        let at = step.index(inner.len());
        return change(inner.into_iter().nth(at).expect("within"), rest, name, with);
    }
    match value {
        Value::Object(fields) if !name.is_empty() => {
            fields.insert(name.to_owned(), with.clone());
        }
        value => *value = with.clone(),
    }
}

#[test]
fn the_fast_path_reads_without_a_tree() {
    for protocol in Protocol::ALL {
        let mut fast_path = 0;
        for frame in frames(protocol) {
            let (text, mut read) = (frame.to_string(), Vec::new());
            if wire(protocol).fast_path(&text, &mut |piece| read.push(piece)) {
                assert_eq!(wire(protocol).pieces(&frame).ok(), Some(read), "{frame}");
                assert!(wire(protocol).is_reply(&frame) || protocol == Protocol::Anthropic);
                fast_path += 1;
            } else {
                assert_eq!(read, [], "{frame}");
            }
        }
        assert!(
            fast_path >= 3,
            "{protocol:?}: the thought and both texts at least, not {fast_path}"
        );
    }
}

/// Where an error may stand there is a closer look: the fast paths know every such place.
#[test]
fn what_may_be_an_error_takes_no_fast_path() {
    let places = error_frame::CODES.into_iter().chain(["error", "success", "base_resp"]);
    for (place, which) in places.flat_map(|place| Protocol::ALL.map(|which| (place, which))) {
        for mut frame in frames(which) {
            change(&mut frame, &[], place, &json!(500));
            let fast_path = wire(which).fast_path(&frame.to_string(), &mut |_| {});
            assert!(!fast_path, "{which:?}: {frame}");
        }
    }
}

/// What may stand beside, or in the place of, what a frame has.
const NAMES: &str = "error object choices usage usageMetadata usage_metadata metrics timings delta text \
    amazon-bedrock-invocationMetrics content response type finish_reason finishReason stop_reason \
    functionCall tool_calls reasoning reasoning_content reasoning_details refusal done done_reason \
    thinking thought signature parts x_groq prompt_eval_count eval_count promptFeedback index";

/// Every place in every frame, one change at a time.
#[test]
fn wherever_something_else_stands_a_frame_says_the_same_with_and_without_a_tree() {
    let names = NAMES.split_whitespace().chain([""]).chain(error_frame::WORDS);
    let names: Vec<&str> = names.chain(error_frame::CODES).collect();
    let counts = json!({"prompt_tokens": 3, "completion_tokens": 4, "input_tokens": 3,
        "output_tokens": 4, "promptTokenCount": 3, "candidatesTokenCount": 4,
        "prompt_eval_count": 3, "eval_count": 4});
    let values = json!([counts, {}, [], ["x"], "x", "error", "", 7, null, true]);
    for which in Protocol::ALL {
        for frame in frames(which) {
            for (place, name) in
                (0..places(&frame)).flat_map(|at| names.iter().map(move |n| (at, n)))
            {
                for with in values.as_array().expect("a list") {
                    let mut frame = frame.clone();
                    change_at(&mut frame, &mut { place }, name, with);
                    same_with_and_without_a_tree(which, &frame);
                }
            }
        }
    }
}

fn same_with_and_without_a_tree(which: Protocol, frame: &Value) {
    let (text, mut read) = (frame.to_string(), Vec::new());
    let fast_path = wire(which).fast_path(&text, &mut |piece| read.push(piece));
    let want = if fast_path { wire(which).pieces(frame).ok() } else { Some(Vec::new()) };
    assert_eq!(want, Some(read), "{which:?} {fast_path}: {frame}");
}

fn parts(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    }
}

/// How many values it is made of, itself included.
fn places(value: &Value) -> usize {
    1 + parts(&mut value.clone()).into_iter().map(|part| places(part)).sum::<usize>()
}

/// [`change`] of the value that so many others come before.
fn change_at(value: &mut Value, before: &mut usize, name: &str, with: &Value) -> bool {
    if *before == 0 {
        change(value, &[], name, with);
        return true;
    }
    *before -= 1;
    parts(value).into_iter().any(|part| change_at(part, before, name, with))
}

/// What the property below once found: usage that is null says nothing, with and without a tree.
#[test]
fn no_usage_is_none_with_or_without_a_tree() {
    for which in Protocol::ALL {
        for mut frame in frames(which) {
            for name in ["usage", "usageMetadata"] {
                change(&mut frame, &[], name, &Value::Null);
            }
            let (text, mut read) = (frame.to_string(), Vec::new());
            if wire(which).fast_path(&text, &mut |piece| read.push(piece)) {
                assert_eq!(wire(which).pieces(&frame).ok(), Some(read), "{which:?}: {frame}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn with_or_without_a_tree_a_frame_says_the_same(
        which in prop::sample::select(Protocol::ALL.to_vec()),
        changes in prop::collection::vec(
            (
                prop::collection::vec(any::<prop::sample::Index>(), 0..7),
                prop::sample::select(vec![
                    "", "error", "object", "choices", "usage", "usageMetadata", "message", "delta",
                    "text", "content", "response", "finish_reason", "finishReason", "functionCall",
                    "tool_calls", "reasoning", "reasoning_details", "refusal", "done", "thinking",
                ]),
                prop_oneof![any_json(), Just(Value::Null), Just(json!([])), Just(json!("error"))],
            ),
            1..3,
        ),
    ) {
        for mut frame in frames(which) {
            for (steps, name, with) in &changes {
                change(&mut frame, steps, name, with);
            }
            let (text, mut read) = (frame.to_string(), Vec::new());
            if wire(which).fast_path(&text, &mut |piece| read.push(piece)) {
                prop_assert_eq!(wire(which).pieces(&frame).ok(), Some(read), "{}", frame);
            } else {
                prop_assert_eq!(read, Vec::new());
            }
        }
    }
}
