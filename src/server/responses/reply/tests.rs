//! Golden sequences, each also held against the contract by a checker of its own.

use serde_json::{Value, json};

use super::{checker, *};
use crate::{
    llm::LlmErrorKind,
    server::{
        dialect::Dialect,
        frames::{Channel, written},
        responses::entry::Item,
        test_support::*,
    },
    types::{Message, Role},
    workflow::{Event, StageStatus, WorkflowError},
};

const CLIENT: Client = [0; 32];

fn reply(keep: Option<Keep>, include_workflow: bool) -> ResponseReply {
    ResponseReply::new("m", Resource::default(), keep, ClientTools::default(), include_workflow)
}

fn checked(reply: ResponseReply, events: Vec<Event>) -> Vec<Value> {
    let shown = Channel::SHOWN;
    let text = written(reply, Dialect::OpenAi, shown, events);
    let events = checker::read(&text).unwrap();
    checker::check(&events).unwrap();
    events
}

/// One event a line; ids become numbers in the order they appear, and times become `[time]`. The
/// resource is shown once in full elsewhere, so here only what differs.
fn golden(events: &[Value]) -> String {
    let mut ids = Vec::new();
    let lines = events.iter().map(|event| {
        let mut event = event.clone();
        if let Some(response) = event.get_mut("response").and_then(Value::as_object_mut) {
            response.retain(|name, value| {
                matches!(name.as_str(), "id" | "status" | "output") && *value != json!([])
                    || matches!(name.as_str(), "incomplete_details" | "error" | "usage")
                        && !value.is_null()
                    || matches!(name.as_str(), "warnings" | "completed_at")
            });
        }
        redact(&mut event, &mut ids);
        format!("{event}\n")
    });
    lines.collect()
}

fn redact(value: &mut Value, ids: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value.as_str()) {
                    ("id" | "item_id", Some(id)) => {
                        let place = ids.iter().position(|known| known == id);
                        let place = place.unwrap_or_else(|| {
                            ids.push(id.to_owned());
                            ids.len() - 1
                        });
                        let (prefix, _) = id.split_once('_').unwrap();
                        *value = format!("{prefix}_{place}").into();
                    }
                    ("created_at" | "completed_at", None) if !value.is_null() => {
                        *value = "[time]".into();
                    }
                    _ => redact(value, ids),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| redact(value, ids)),
        _ => {}
    }
}

#[test]
fn a_stream_opens_and_closes_all_it_sends() {
    let events = checked(
        reply(None, false),
        vec![token("Hel"), token("lo"), end(finished(FinishReason::Stop))],
    );
    insta::assert_snapshot!(golden(&events), @r#"
    {"type":"response.created","sequence_number":0,"response":{"id":"resp_0","completed_at":null,"status":"in_progress"}}
    {"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_0","completed_at":null,"status":"in_progress"}}
    {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"type":"message","id":"msg_1","status":"in_progress","role":"assistant","content":[]}}
    {"type":"response.content_part.added","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
    {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hel","logprobs":[]}
    {"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"lo","logprobs":[]}
    {"type":"response.output_text.done","sequence_number":6,"item_id":"msg_1","output_index":0,"content_index":0,"text":"Hello","logprobs":[]}
    {"type":"response.content_part.done","sequence_number":7,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}}
    {"type":"response.output_item.done","sequence_number":8,"output_index":0,"item":{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}]}}
    {"type":"response.completed","sequence_number":9,"response":{"id":"resp_0","completed_at":"[time]","status":"completed","output":[{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}]}],"usage":{"input_tokens":26,"input_tokens_details":{"cached_tokens":4},"output_tokens":12,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":38}}}
    "#);
}

#[test]
fn the_resource_has_every_key() {
    let events = checked(reply(None, false), vec![token("Hi"), end(finished(FinishReason::Stop))]);
    let mut first = events.first().unwrap().clone();
    redact(&mut first, &mut Vec::new());
    insta::assert_snapshot!(first.to_string(), @r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_0","object":"response","created_at":"[time]","completed_at":null,"status":"in_progress","incomplete_details":null,"model":"m","previous_response_id":null,"instructions":null,"output":[],"error":null,"tools":[],"tool_choice":"auto","truncation":"disabled","parallel_tool_calls":true,"text":{"format":{"type":"text"}},"top_p":1.0,"presence_penalty":0.0,"frequency_penalty":0.0,"top_logprobs":0,"temperature":1.0,"reasoning":null,"user":null,"usage":null,"max_output_tokens":null,"max_tool_calls":null,"store":true,"background":false,"service_tier":"default","metadata":{},"safety_identifier":null,"prompt_cache_key":null}}"#);
}

#[test]
fn progress_and_reasoning_are_a_summary_that_ends_before_the_answer() {
    let story = vec![
        worker("b", StageStatus::Ok),
        reasoning("hm"),
        token("Hi"),
        worker("late", StageStatus::Ok),
        reasoning("too late"),
        end(degraded()),
    ];
    insta::assert_snapshot!(golden(&checked(reply(None, false), story)), @r#"
    {"type":"response.created","sequence_number":0,"response":{"id":"resp_0","completed_at":null,"status":"in_progress"}}
    {"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_0","completed_at":null,"status":"in_progress"}}
    {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"type":"reasoning","id":"rs_1","status":"in_progress","summary":[]}}
    {"type":"response.reasoning_summary_part.added","sequence_number":3,"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}
    {"type":"response.reasoning_summary_text.delta","sequence_number":4,"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"worker b: ok, 2.0 s⁣\n"}
    {"type":"response.reasoning_summary_text.delta","sequence_number":5,"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"hm"}
    {"type":"response.reasoning_summary_text.done","sequence_number":6,"item_id":"rs_1","output_index":0,"summary_index":0,"text":"worker b: ok, 2.0 s⁣\nhm"}
    {"type":"response.reasoning_summary_part.done","sequence_number":7,"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"worker b: ok, 2.0 s⁣\nhm"}}
    {"type":"response.output_item.done","sequence_number":8,"output_index":0,"item":{"type":"reasoning","id":"rs_1","status":"completed","summary":[{"type":"summary_text","text":"worker b: ok, 2.0 s⁣\nhm"}]}}
    {"type":"response.output_item.added","sequence_number":9,"output_index":1,"item":{"type":"message","id":"msg_2","status":"in_progress","role":"assistant","content":[]}}
    {"type":"response.content_part.added","sequence_number":10,"item_id":"msg_2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
    {"type":"response.output_text.delta","sequence_number":11,"item_id":"msg_2","output_index":1,"content_index":0,"delta":"Hi","logprobs":[]}
    {"type":"response.output_text.done","sequence_number":12,"item_id":"msg_2","output_index":1,"content_index":0,"text":"Hi","logprobs":[]}
    {"type":"response.content_part.done","sequence_number":13,"item_id":"msg_2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}}
    {"type":"response.output_item.done","sequence_number":14,"output_index":1,"item":{"type":"message","id":"msg_2","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}]}}
    {"type":"response.completed","sequence_number":15,"response":{"id":"resp_0","completed_at":"[time]","status":"completed","output":[{"type":"reasoning","id":"rs_1","status":"completed","summary":[{"type":"summary_text","text":"worker b: ok, 2.0 s⁣\nhm"}]},{"type":"message","id":"msg_2","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}]}],"usage":{"input_tokens":26,"input_tokens_details":{"cached_tokens":4},"output_tokens":12,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":38},"warnings":[{"stage":"worker","name":"b","code":"timeout"}]}}
    "#);
}

#[test]
fn tool_calls_are_items_with_their_own_deltas() {
    let story = vec![
        token("Let me see."),
        call(0, Some(("call_1", "weather")), "{\"ci"),
        call(1, Some(("call_2", "now")), ""),
        call(0, None, "ty\":\"Rome\"}"),
        end(finished(FinishReason::ToolCalls)),
    ];
    insta::assert_snapshot!(golden(&checked(reply(None, false), story)), @r#"
    {"type":"response.created","sequence_number":0,"response":{"id":"resp_0","completed_at":null,"status":"in_progress"}}
    {"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_0","completed_at":null,"status":"in_progress"}}
    {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"type":"message","id":"msg_1","status":"in_progress","role":"assistant","content":[]}}
    {"type":"response.content_part.added","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
    {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Let me see.","logprobs":[]}
    {"type":"response.output_text.done","sequence_number":5,"item_id":"msg_1","output_index":0,"content_index":0,"text":"Let me see.","logprobs":[]}
    {"type":"response.content_part.done","sequence_number":6,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Let me see.","annotations":[],"logprobs":[]}}
    {"type":"response.output_item.done","sequence_number":7,"output_index":0,"item":{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Let me see.","annotations":[],"logprobs":[]}]}}
    {"type":"response.output_item.added","sequence_number":8,"output_index":1,"item":{"type":"function_call","id":"fc_2","call_id":"call_1","name":"weather","arguments":"","status":"in_progress"}}
    {"type":"response.function_call_arguments.delta","sequence_number":9,"item_id":"fc_2","output_index":1,"delta":"{\"ci"}
    {"type":"response.output_item.added","sequence_number":10,"output_index":2,"item":{"type":"function_call","id":"fc_3","call_id":"call_2","name":"now","arguments":"","status":"in_progress"}}
    {"type":"response.function_call_arguments.delta","sequence_number":11,"item_id":"fc_2","output_index":1,"delta":"ty\":\"Rome\"}"}
    {"type":"response.function_call_arguments.done","sequence_number":12,"item_id":"fc_2","output_index":1,"arguments":"{\"city\":\"Rome\"}"}
    {"type":"response.output_item.done","sequence_number":13,"output_index":1,"item":{"type":"function_call","id":"fc_2","call_id":"call_1","name":"weather","arguments":"{\"city\":\"Rome\"}","status":"completed"}}
    {"type":"response.function_call_arguments.delta","sequence_number":14,"item_id":"fc_3","output_index":2,"delta":"{}"}
    {"type":"response.function_call_arguments.done","sequence_number":15,"item_id":"fc_3","output_index":2,"arguments":"{}"}
    {"type":"response.output_item.done","sequence_number":16,"output_index":2,"item":{"type":"function_call","id":"fc_3","call_id":"call_2","name":"now","arguments":"{}","status":"completed"}}
    {"type":"response.completed","sequence_number":17,"response":{"id":"resp_0","completed_at":"[time]","status":"completed","output":[{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Let me see.","annotations":[],"logprobs":[]}]},{"type":"function_call","id":"fc_2","call_id":"call_1","name":"weather","arguments":"{\"city\":\"Rome\"}","status":"completed"},{"type":"function_call","id":"fc_3","call_id":"call_2","name":"now","arguments":"{}","status":"completed"}],"usage":{"input_tokens":26,"input_tokens_details":{"cached_tokens":4},"output_tokens":12,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":38}}}
    "#);
}

#[test]
fn an_answer_that_was_cut_is_incomplete() {
    let story = vec![reasoning("hm"), token("Hel"), end(finished(FinishReason::Length))];
    insta::assert_snapshot!(golden(&checked(reply(None, false), story)), @r#"
    {"type":"response.created","sequence_number":0,"response":{"id":"resp_0","completed_at":null,"status":"in_progress"}}
    {"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_0","completed_at":null,"status":"in_progress"}}
    {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"type":"reasoning","id":"rs_1","status":"in_progress","summary":[]}}
    {"type":"response.reasoning_summary_part.added","sequence_number":3,"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}
    {"type":"response.reasoning_summary_text.delta","sequence_number":4,"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"hm"}
    {"type":"response.reasoning_summary_text.done","sequence_number":5,"item_id":"rs_1","output_index":0,"summary_index":0,"text":"hm"}
    {"type":"response.reasoning_summary_part.done","sequence_number":6,"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"hm"}}
    {"type":"response.output_item.done","sequence_number":7,"output_index":0,"item":{"type":"reasoning","id":"rs_1","status":"completed","summary":[{"type":"summary_text","text":"hm"}]}}
    {"type":"response.output_item.added","sequence_number":8,"output_index":1,"item":{"type":"message","id":"msg_2","status":"in_progress","role":"assistant","content":[]}}
    {"type":"response.content_part.added","sequence_number":9,"item_id":"msg_2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
    {"type":"response.output_text.delta","sequence_number":10,"item_id":"msg_2","output_index":1,"content_index":0,"delta":"Hel","logprobs":[]}
    {"type":"response.output_text.done","sequence_number":11,"item_id":"msg_2","output_index":1,"content_index":0,"text":"Hel","logprobs":[]}
    {"type":"response.content_part.done","sequence_number":12,"item_id":"msg_2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"Hel","annotations":[],"logprobs":[]}}
    {"type":"response.output_item.done","sequence_number":13,"output_index":1,"item":{"type":"message","id":"msg_2","status":"incomplete","role":"assistant","content":[{"type":"output_text","text":"Hel","annotations":[],"logprobs":[]}]}}
    {"type":"response.incomplete","sequence_number":14,"response":{"id":"resp_0","completed_at":null,"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"reasoning","id":"rs_1","status":"completed","summary":[{"type":"summary_text","text":"hm"}]},{"type":"message","id":"msg_2","status":"incomplete","role":"assistant","content":[{"type":"output_text","text":"Hel","annotations":[],"logprobs":[]}]}],"usage":{"input_tokens":26,"input_tokens_details":{"cached_tokens":4},"output_tokens":12,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":38}}}
    "#);
    for story in [vec![], vec![reasoning("hm")], vec![call(0, Some(("call_1", "f")), "{\"a")]] {
        let ending = [end(finished(FinishReason::ContentFilter))];
        let events = checked(reply(None, false), story.into_iter().chain(ending).collect());
        let response = &events.last().unwrap()["response"];
        assert_eq!(response["incomplete_details"]["reason"], "content_filter");
    }
}

#[test]
fn a_broken_stream_says_so_in_every_way() {
    let broken = || Event::Failed(failed(upstream(LlmErrorKind::Truncated)));
    let story = vec![reasoning("hm"), token("Hel"), broken()];
    insta::assert_snapshot!(golden(&checked(reply(None, false), story)), @r#"
    {"type":"response.created","sequence_number":0,"response":{"id":"resp_0","completed_at":null,"status":"in_progress"}}
    {"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_0","completed_at":null,"status":"in_progress"}}
    {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"type":"reasoning","id":"rs_1","status":"in_progress","summary":[]}}
    {"type":"response.reasoning_summary_part.added","sequence_number":3,"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}
    {"type":"response.reasoning_summary_text.delta","sequence_number":4,"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"hm"}
    {"type":"response.reasoning_summary_text.done","sequence_number":5,"item_id":"rs_1","output_index":0,"summary_index":0,"text":"hm"}
    {"type":"response.reasoning_summary_part.done","sequence_number":6,"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"hm"}}
    {"type":"response.output_item.done","sequence_number":7,"output_index":0,"item":{"type":"reasoning","id":"rs_1","status":"completed","summary":[{"type":"summary_text","text":"hm"}]}}
    {"type":"response.output_item.added","sequence_number":8,"output_index":1,"item":{"type":"message","id":"msg_2","status":"in_progress","role":"assistant","content":[]}}
    {"type":"response.content_part.added","sequence_number":9,"item_id":"msg_2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
    {"type":"response.output_text.delta","sequence_number":10,"item_id":"msg_2","output_index":1,"content_index":0,"delta":"Hel","logprobs":[]}
    {"type":"error","sequence_number":11,"code":"server_error","message":"model 'writer': it broke","param":null,"error":{"type":"server_error","code":"server_error","message":"model 'writer': it broke","param":null}}
    {"type":"response.failed","sequence_number":12,"response":{"id":"resp_0","completed_at":null,"status":"failed","output":[{"type":"reasoning","id":"rs_1","status":"completed","summary":[{"type":"summary_text","text":"hm"}]},{"type":"message","id":"msg_2","status":"incomplete","role":"assistant","content":[{"type":"output_text","text":"Hel","annotations":[],"logprobs":[]}]}],"error":{"code":"server_error","message":"model 'writer': it broke"}}}
    "#);
    let limit = || Event::Failed(failed(WorkflowError::RateLimited { retry_after: None }));
    let events = checked(reply(None, false), vec![token("Hel"), limit()]);
    assert_eq!(events.last().unwrap()["response"]["error"]["code"], "rate_limit_exceeded");
    let calling = vec![call(0, Some(("call_1", "f")), "{"), call(1, Some(("call_2", "g")), "")];
    let events = checked(reply(None, false), calling.into_iter().chain([broken()]).collect());
    let output = events.last().unwrap()["response"]["output"].as_array().unwrap();
    assert!(output.iter().all(|item| item["status"] == "incomplete"), "{output:?}");
}

#[test]
fn a_plain_answer_is_the_resource_alone() {
    let answer = Answer {
        text: "Hello".to_owned(),
        reasoning: "hm".to_owned(),
        tool_calls: vec![ToolCall {
            id: "call_1".to_owned(),
            name: "f".to_owned(),
            arguments: String::new(),
        }],
        ..Answer::default()
    };
    let mut object = json_of(&reply(None, false).whole(answer, &degraded()).unwrap());
    checker::check_resource(&object).unwrap();
    redact(&mut object, &mut Vec::new());
    insta::assert_snapshot!(object.to_string(), @r#"{"id":"resp_0","object":"response","created_at":"[time]","completed_at":"[time]","status":"completed","incomplete_details":null,"model":"m","previous_response_id":null,"instructions":null,"output":[{"type":"reasoning","id":"rs_1","status":"completed","summary":[{"type":"summary_text","text":"hm"}]},{"type":"message","id":"msg_2","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}]},{"type":"function_call","id":"fc_3","call_id":"call_1","name":"f","arguments":"{}","status":"completed"}],"error":null,"tools":[],"tool_choice":"auto","truncation":"disabled","parallel_tool_calls":true,"text":{"format":{"type":"text"}},"top_p":1.0,"presence_penalty":0.0,"frequency_penalty":0.0,"top_logprobs":0,"temperature":1.0,"reasoning":null,"user":null,"usage":{"input_tokens":26,"input_tokens_details":{"cached_tokens":4},"output_tokens":12,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":38},"max_output_tokens":null,"max_tool_calls":null,"store":true,"background":false,"service_tier":"default","metadata":{},"safety_identifier":null,"prompt_cache_key":null,"warnings":[{"stage":"worker","name":"b","code":"timeout"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}"#);
    for reason in [FinishReason::Length, FinishReason::ContentFilter, FinishReason::ToolCalls] {
        let answer = Answer { text: "Hel".to_owned(), ..Answer::default() };
        let object = json_of(&reply(None, false).whole(answer, &finished(reason)).unwrap());
        checker::check_resource(&object).unwrap();
        assert_eq!(object["status"] == "incomplete", reason != FinishReason::ToolCalls);
    }
}

#[test]
fn a_plain_answer_says_what_the_stream_says() {
    let story = || {
        vec![
            reasoning("hm"),
            token("Hel"),
            token("lo"),
            call(0, Some(("call_1", "f")), "{\"a\":"),
            call(0, None, "1}"),
        ]
    };
    let mut answer = Answer::default();
    for event in story() {
        let Event::Delta(delta) = event else { panic!("{event:?} is no delta") };
        answer.push(&delta);
    }
    let whole = reply(None, false).whole(answer, &finished(FinishReason::Stop)).unwrap();
    let mut whole = json_of(&whole);
    let ending = [end(finished(FinishReason::Stop))];
    let events = checked(reply(None, false), story().into_iter().chain(ending).collect());
    let mut streamed = events.last().unwrap()["response"].clone();
    for object in [&mut whole, &mut streamed] {
        redact(object, &mut Vec::new());
    }
    assert_eq!(whole, streamed);
}

#[test]
fn the_record_is_sent_only_when_asked() {
    for asked in [false, true] {
        let events =
            checked(reply(None, asked), vec![token("Hi"), end(finished(FinishReason::Stop))]);
        let with = events.iter().filter(|event| event["response"].get("workflow").is_some());
        assert_eq!(with.count(), usize::from(asked));
        assert_eq!(events.last().unwrap()["response"].get("workflow").is_some(), asked);
    }
}

#[test]
fn a_whole_answer_is_kept_and_a_broken_one_is_not() {
    let said = |id: &str| Entry {
        id: Some(id.to_owned()),
        item: Arc::new(Item::Message(Message::text(Role::User, "hi"))),
    };
    let endings: [fn() -> Event; 3] = [
        || end(finished(FinishReason::Stop)),
        || end(finished(FinishReason::Length)),
        || Event::Failed(failed(upstream(LlmErrorKind::Truncated))),
    ];
    for (ending, want) in endings.into_iter().zip([Some(3), Some(3), None]) {
        let store = Arc::new(Store::default());
        let keep = Keep { store: Arc::clone(&store), client: CLIENT, context: vec![said("msg_0")] };
        let story =
            vec![reasoning("hm"), token("Hi"), call(0, Some(("call_1", "f")), "{}"), ending()];
        let events = checked(reply(Some(keep), false), story);
        let response = &events.last().unwrap()["response"];
        let kept = store.context(CLIENT, response["id"].as_str().unwrap());
        assert_eq!(kept.as_ref().map(Vec::len), want);
        let Some(kept) = kept else { continue };
        let ids: Vec<&str> = kept.iter().filter_map(|entry| entry.id.as_deref()).collect();
        let sent_ids = |place: usize| response["output"][place]["id"].as_str().unwrap();
        assert_eq!(ids, ["msg_0", sent_ids(1), sent_ids(2)]);
        let Item::Call(call) = &*kept[2].item else { panic!("no call") };
        assert_eq!(call.id, "call_1");
    }
}

/// The checker would notice.
#[test]
fn a_damaged_sequence_is_refused() {
    let story = vec![
        reasoning("hm"),
        token("Hel"),
        token("lo"),
        call(0, Some(("call_1", "f")), "{}"),
        end(finished(FinishReason::Stop)),
    ];
    let good = checked(reply(None, false), story);
    for place in 0..good.len() {
        // Without it, and numbered as if it had never been.
        let mut without = good.clone();
        without.remove(place);
        for (number, event) in without.iter_mut().enumerate() {
            event["sequence_number"] = number.into();
        }
        assert!(checker::check(&without).is_err(), "without {}", good[place]);
        // Without one of its fields.
        for name in good[place].as_object().unwrap().keys() {
            let mut lacking = good.clone();
            lacking[place].as_object_mut().unwrap().shift_remove(name);
            assert!(checker::check(&lacking).is_err(), "{name} of {}", good[place]);
        }
        // With another text.
        for name in ["delta", "text", "arguments", "item_id", "output_index"] {
            let mut other = good.clone();
            if other[place].get(name).is_some() {
                other[place][name] = "other".into();
                assert!(checker::check(&other).is_err(), "{name} of {}", good[place]);
            }
        }
    }
    let resource = &good.last().unwrap()["response"];
    let keys = resource.as_object().unwrap().keys();
    for name in keys.filter(|name| name.as_str() != "chorus") {
        let mut lacking = resource.clone();
        lacking.as_object_mut().unwrap().shift_remove(name);
        assert!(checker::check_resource(&lacking).is_err(), "{name}");
    }
}

#[test]
fn a_call_id_that_the_schema_does_not_allow_is_replaced() {
    for (id, kept) in [("c", true), (&"x".repeat(64), true), ("", false), (&"x".repeat(65), false)]
    {
        let ending = end(finished(FinishReason::ToolCalls));
        let events = checked(reply(None, false), vec![call(0, Some((id, "f")), "{}"), ending]);
        let mut sent_ids: Vec<&str> =
            events.iter().filter_map(|event| event["item"]["call_id"].as_str()).collect();
        let resource = &events.last().unwrap()["response"];
        sent_ids.extend(resource["output"][0]["call_id"].as_str());
        assert_eq!(sent_ids.len(), 3);
        assert!(sent_ids.iter().all(|other| *other == sent_ids[0]), "{sent_ids:?}");
        assert_eq!(sent_ids[0] == id, kept, "{sent_ids:?}");
        assert!((1..=64).contains(&sent_ids[0].len()));
    }
}
