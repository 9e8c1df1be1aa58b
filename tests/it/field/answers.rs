//! What upstreams say is read as they mean it: ends, thoughts, tool calls, counts, framing.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    Beat, Chorus, ENDPOINTS, Event, Script, Setup, Upstream, four_stages, question, text_of,
};

pub(super) const CHAT: &str = "/v1/chat/completions";
/// Longer than a moment, shorter than what an end is waited for.
const PAUSE: Duration = Duration::from_millis(1300);
pub(super) const PROTOCOLS: [&str; 4] = ["openai", "ollama", "anthropic", "gemini"];

/// The upstream's model `m` alone, `d` beside it, and a workflow of both that `writer` fuses.
pub(super) fn setup(protocol: &str) -> Setup {
    let setup = four_stages(&["m", "d"]).without_retries();
    setup.model_keys("m", &format!("protocol = \"{protocol}\""))
}

pub(super) async fn cast(m: Script) -> Upstream {
    Upstream::start([
        ("judge", Script::judges_for("draft")),
        ("writer", Script::fuses()),
        ("m", m),
        ("d", Script::says("the other draft")),
    ])
    .await
}

/// What a client gets.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) text: String,
    pub(super) thoughts: String,
    pub(super) reason: Option<String>,
    pub(super) calls: Vec<(String, String)>,
    pub(super) error: Option<Value>,
    pub(super) usage: Value,
    pub(super) all: Vec<Value>,
}

pub(super) async fn reply(chorus: &Chorus, path: &str, body: &Value) -> Reply {
    let events = chorus.stream(path, body).await;
    let mut reply = Reply { status: events.status, ..Reply::default() };
    for event in events.all().await {
        let object = match event {
            Event::Object(object) => object,
            Event::Broken(_) => {
                reply.error.get_or_insert(json!("broken"));
                continue;
            }
            Event::Done | Event::Comment => continue,
        };
        reply.text.push_str(text_of(&object));
        let choice = &object["choices"][0];
        let said = [&choice["delta"], &choice["message"], &object["message"]];
        let said = said.into_iter().find(|said| said.is_object()).unwrap_or(&Value::Null);
        for name in ["reasoning_content", "thinking"] {
            reply.thoughts.push_str(said[name].as_str().unwrap_or_default());
        }
        for (place, call) in said["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let at = call["index"].as_u64().map_or(place, |index| index as usize);
            while reply.calls.len() <= at {
                reply.calls.push(Default::default());
            }
            let function = &call["function"];
            reply.calls[at].0.push_str(function["name"].as_str().unwrap_or_default());
            match &function["arguments"] {
                Value::String(text) => reply.calls[at].1.push_str(text),
                Value::Null => {}
                object => reply.calls[at].1.push_str(&object.to_string()),
            }
        }
        let reason = choice["finish_reason"].as_str().or(object["done_reason"].as_str());
        reply.reason = reason.map(str::to_owned).or(reply.reason);
        if !object["error"].is_null() {
            reply.error = Some(object["error"].clone());
        }
        if object["usage"].is_object() {
            reply.usage = object["usage"].clone();
        }
        reply.all.push(object);
    }
    reply
}

pub(super) async fn asked(chorus: &Chorus, path: &str, model: &str, stream: bool) -> Reply {
    let mut body = question(path, model, "hi", stream);
    body["include_workflow"] = json!(true);
    if stream && path == CHAT {
        body["stream_options"] = json!({"include_usage": true});
    }
    reply(chorus, path, &body).await
}

pub(super) fn trace(reply: &Reply) -> &Value {
    reply.all.iter().find_map(|object| object.get("workflow")).unwrap_or(&Value::Null)
}

pub(super) fn text(text: &str) -> Beat {
    Beat::Text(text.to_owned())
}

pub(super) fn raw(bytes: &str) -> Beat {
    Beat::Raw(bytes.to_owned())
}

/// An answer of one frame, in OpenAI's protocol.
pub(super) fn chunk(choice: Value) -> String {
    format!("data: {}\n\n", json!({"choices": [choice]}))
}

pub(super) fn says(text: &str) -> String {
    chunk(json!({"index": 0, "delta": {"content": text}}))
}

pub(super) fn ends(reason: &str) -> String {
    chunk(json!({"index": 0, "delta": {}, "finish_reason": reason}))
}

pub(super) const DONE: &str = "data: [DONE]\n\n";

#[tokio::test]
async fn a_finish_reason_before_or_between_texts_ends_nothing() {
    let early = || {
        vec![Beat::Finish("stop"), Beat::Wait(PAUSE), text("one "), Beat::Wait(PAUSE), text("two")]
    };
    let between = || vec![text("one "), Beat::Finish("stop"), Beat::Wait(PAUSE), text("two")];
    let kinds = PROTOCOLS.into_iter().filter(|protocol| *protocol != "ollama"); // `done` ends it
    let stories = kinds.flat_map(|protocol| [(protocol, early()), (protocol, between())]);
    join_all(stories.map(|(protocol, beats)| async move {
        let beats = beats.into_iter().chain([Beat::Finish("stop"), Beat::Usage(9, 4), Beat::End]);
        let upstream = cast(Script::plays(beats)).await;
        let chorus = setup(protocol).over(&upstream).await;
        for (path, model, stream) in [
            (CHAT, "m", true),
            (CHAT, "m", false),
            ("/api/chat", "m", true),
            (CHAT, "chorus", false),
        ] {
            let reply = asked(&chorus, path, model, stream).await;
            let shown = format!("{protocol} {path} {model} {stream}: {reply:?}");
            assert!(reply.status == 200 && reply.error.is_none(), "{shown}");
            assert!(reply.text.contains("one two"), "{shown}");
        }
    }))
    .await;
}

#[tokio::test]
async fn usage_that_comes_late_is_not_lost() {
    let beats =
        [text("hi"), Beat::Finish("stop"), Beat::Wait(PAUSE), Beat::Usage(90, 40), Beat::End];
    let upstream = cast(Script::plays(beats)).await;
    let chorus = setup("openai").over(&upstream).await;
    for stream in [true, false] {
        let reply = asked(&chorus, CHAT, "m", stream).await;
        assert_eq!(
            (&reply.usage["prompt_tokens"], &reply.usage["completion_tokens"]),
            (&json!(90), &json!(40)),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_stays_open_behind_a_finish_reason_ends_well() {
    let stories = ["openai", "anthropic", "gemini"].map(|protocol| async move {
        let upstream = cast(Script::plays([text("hi"), Beat::Finish("stop"), Beat::Hang])).await;
        let chorus = setup(protocol).over(&upstream).await;
        let reply = asked(&chorus, CHAT, "m", true).await;
        assert_eq!(
            (reply.text.as_str(), reply.reason.as_deref()),
            ("hi", Some("stop")),
            "{reply:?}"
        );
    });
    join_all(stories).await;
}

#[tokio::test]
async fn an_end_without_a_reason_is_a_cut_where_others_had_reasons() {
    for (protocol, end) in [
        ("openai", Beat::End),
        ("anthropic", Beat::End),
        ("gemini", Beat::End),
        ("ollama", raw("{\"message\":{\"content\":\"\"},\"done\":true}\n")),
    ] {
        let cut = Script::plays([text("half a draft"), end]);
        let upstream = cast(cut).await;
        for (path, stream) in [(CHAT, true), (CHAT, false), ("/api/chat", true)] {
            let chorus = setup(protocol).over(&upstream).await;
            let fresh = asked(&chorus, path, "m", stream).await;
            let shown = format!("{protocol} {path} {stream}: {fresh:?}");
            match protocol {
                // Nothing but a reason ends it, so this is a cut whatever others were like.
                "gemini" => {
                    assert!(fresh.error.is_some() && fresh.reason.is_none(), "{shown}");
                    assert_eq!(fresh.status == 200, stream, "{shown}");
                }
                // It has its terminator, and no other answer yet that would show it as a cut; most
                // servers that give no reasons never do.
                _ => {
                    assert!(fresh.status == 200 && fresh.error.is_none(), "{shown}");
                    assert_eq!(fresh.text, "half a draft", "{shown}");
                    assert_eq!(fresh.reason.as_deref(), Some("stop"), "{shown}");
                }
            }
        }
        let whole = Script::says("draft").in_deltas(1);
        let cut = || {
            Script::plays([
                text("half a draft"),
                match protocol {
                    "ollama" => raw("{\"message\":{\"content\":\"\"},\"done\":true}\n"),
                    _ => Beat::End,
                },
            ])
        };
        for (path, model, stream) in [
            (CHAT, "m", true),
            (CHAT, "m", false),
            ("/api/chat", "m", true),
            (CHAT, "chorus", false),
        ] {
            let upstream = cast(whole.clone().first(1, cut())).await;
            let chorus = setup(protocol).over(&upstream).await;
            asked(&chorus, CHAT, "m", false).await;
            let reply = asked(&chorus, path, model, stream).await;
            let shown = format!("{protocol} {path} {model} {stream}: {reply:?}");
            if model == "chorus" {
                assert_eq!(trace(&reply)["workers"][0]["error"]["code"], "truncated", "{shown}");
                assert!(!reply.text.contains("half"), "{shown}");
            } else {
                assert!(reply.error.is_some() && reply.reason.is_none(), "{shown}");
                assert_eq!(reply.status, if stream { 200 } else { 502 }, "{shown}");
            }
        }
    }
}

/// A kind of stream, its pieces of tool calls, and the calls they are.
type ToolStream = (&'static str, Vec<Value>, Option<Vec<(&'static str, &'static str)>>);

/// Pieces of tool calls as an OpenAI-compatible server streams them, and the calls they are; none:
/// they cannot be passed on.
fn tool_streams() -> Vec<ToolStream> {
    let f = |index: Value, id: Value, name: Value, arguments: &str| {
        json!({"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": arguments}})
    };
    let (null, one) = (Value::Null, "{\"a\":\"1\"}");
    vec![
        (
            "rising indices",
            vec![
                f(json!(0), json!("c"), json!("f"), ""),
                f(json!(1), null.clone(), null.clone(), "{\"a\""),
                f(json!(2), json!(""), json!(""), ":\"1\"}"),
            ],
            Some(vec![("f", one)]),
        ),
        (
            "an index on later pieces",
            vec![
                f(null.clone(), json!("c"), json!("f"), ""),
                f(json!(0), null.clone(), null.clone(), one),
            ],
            Some(vec![("f", one)]),
        ),
        (
            "index 0 for all, without ids",
            vec![
                f(json!(0), null.clone(), json!("f"), one),
                f(json!(0), null.clone(), json!("f"), "{\"a\":\"2\"}"),
            ],
            Some(vec![("f", one), ("f", "{\"a\":\"2\"}")]),
        ),
        (
            "the name on every piece",
            vec![
                f(json!(0), json!("c"), json!("f"), "{\"a\""),
                f(json!(0), json!("c"), json!("f"), ":\"1\"}"),
            ],
            Some(vec![("f", one)]),
        ),
        (
            "pieces of no call",
            vec![
                f(json!(0), json!("c"), json!("f"), one),
                f(json!(0), null.clone(), null.clone(), "{\"a\":\"2\"}"),
            ],
            None,
        ),
        ("no JSON", vec![f(json!(0), json!("c"), json!("f"), "{\"a\":")], None),
    ]
}

#[tokio::test]
async fn a_tool_runs_with_its_own_arguments_or_not_at_all() {
    for (kind, pieces, want) in tool_streams() {
        let frames = pieces
            .iter()
            .map(|piece| raw(&chunk(json!({"index": 0, "delta": {"tool_calls": [piece]}}))));
        let beats: Vec<Beat> = frames.chain([raw(&ends("tool_calls")), Beat::End]).collect();
        for (path, model, stream) in [
            (CHAT, "m", true),
            (CHAT, "m", false),
            ("/api/chat", "m", true),
            ("/api/chat", "m", false),
            (CHAT, "chorus", true),
            (CHAT, "chorus", false),
        ] {
            let upstream = Upstream::start([
                ("judge", Script::judges_for("draft")),
                ("writer", Script::plays(beats.clone())),
                (
                    "m",
                    if model == "m" {
                        Script::plays(beats.clone())
                    } else {
                        Script::says("a draft")
                    },
                ),
                ("d", Script::says("the other draft")),
            ])
            .await;
            let chorus = setup("openai").over(&upstream).await;
            let mut body = question(path, model, "hi", stream);
            body["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
            let reply = reply(&chorus, path, &body).await;
            let shown = format!("{kind} {path} {model} {stream}: {reply:?}");
            match &want {
                Some(want) => {
                    let calls: Vec<(&str, &str)> =
                        reply.calls.iter().map(|(name, text)| (&**name, &**text)).collect();
                    assert_eq!(&calls, want, "{shown}");
                }
                None => {
                    let is_failure = reply.error.is_some() || reply.calls.is_empty();
                    assert!(is_failure && reply.reason.as_deref() != Some("tool_calls"), "{shown}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_failure_reported_anywhere_fails_the_call() {
    let native = |place: fn() -> Value| {
        let mut choice = json!({"index": 0, "delta": {}, "finish_reason": "stop"});
        choice.as_object_mut().unwrap().extend(place().as_object().unwrap().clone());
        chunk(choice)
    };
    let bad = "{\"code\":500,\"message\":\"boom went the engine\"}";
    let openai = vec![
        native(|| json!({"native_finish_reason": "network_error"})),
        native(|| json!({"provider_specific_fields": {"native_finish_reason": "network_error"}})),
        ends("network_error"),
        ends("error"),
        format!("data: {bad}\n\n"),
        format!("{}data: {bad}\n\n", ends("stop")),
        format!("{bad}\n"),
        "{\n  \"error\": {\n    \"message\": \"boom\"\n  }\n}\n\n".to_owned(),
        "data: {\"error\":\"boom\"}\n\n".to_owned(),
        "event: error\ndata: boom\n\n".to_owned(),
        "data: {\"detail\":\"Internal Server Error\"}\n\n".to_owned(),
        format!("{}data: {{\"code\":500}}\n\n{DONE}", ends("stop")),
        format!("{}data: {{\"success\":false}}\n\n{DONE}", ends("stop")),
        format!("{}data: {{\"code\":500,\"msg\":\"x\",\"usage\":{{}}}}\n\n", ends("stop")),
        format!("data: {{\"code\":500,\"msg\":\"x\",\"choices\":[{{\"delta\":{{}}}}]}}\n\n{DONE}"),
        format!("{}data: {{\"msg\":\"系统繁忙\"}}\n\n{DONE}", ends("stop")),
        format!("{}data: upstream connect error\n\n{DONE}", ends("stop")),
        format!("{}Internal Server Error\n\n{DONE}", ends("stop")),
        "Internal Server Error".to_owned(),
    ];
    let others = [
        ("ollama", "{\"code\":\"500\",\"message\":\"boom\"}\n".to_owned()),
        ("ollama", "Internal Server Error\n".to_owned()),
        (
            "ollama",
            "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"error\"}\n".to_owned(),
        ),
        ("anthropic", format!("data: {bad}\n\n")),
        ("anthropic", format!("{bad}\n")),
        (
            "anthropic",
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"network_error\"}}\n\n"
                .to_owned(),
        ),
        ("gemini", format!("data: {bad}\n\n")),
        ("gemini", "data: {\"candidates\":[{\"finishReason\":\"NETWORK_ERROR\"}]}\n\n".to_owned()),
    ];
    let stories = openai.into_iter().map(|frame| ("openai", frame)).chain(others);
    for (protocol, frame) in stories {
        let upstream = cast(Script::plays([text("half"), raw(&frame), Beat::End])).await;
        for (path, model, stream) in [
            (CHAT, "m", true),
            (CHAT, "m", false),
            ("/api/generate", "m", true),
            (CHAT, "chorus", false),
        ] {
            let chorus = setup(protocol).over(&upstream).await;
            let reply = asked(&chorus, path, model, stream).await;
            let shown = format!("{protocol} {frame} {path} {model} {stream}: {reply:?}");
            if model == "chorus" {
                assert_eq!(trace(&reply)["workers"][0]["success"], false, "{shown}");
                assert!(reply.status == 200 && !reply.text.contains("half"), "{shown}");
            } else {
                assert!(reply.error.is_some() && reply.reason.is_none(), "{shown}");
                assert_eq!(reply.status == 200, stream, "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn thoughts_are_no_answer() {
    for thought in [
        "plan\n</think>\n\nthe draft",
        "<thinking>plan</thinking>the draft",
        "<thought>plan</thought>\nthe draft",
        "[THINK]plan[/THINK]the draft",
        "<seed:think>plan</seed:think>the draft",
        "<think>pl</think><think>an</think>the draft",
        "<|channel|>analysis<|message|>plan<|end|><|start|>assistant<|channel|>final<|message|>the draft",
        "<|channel>thought\nplan<channel|>the draft",
    ] {
        let upstream = cast(Script::says(thought).in_deltas(9)).await;
        let chorus = setup("openai").over(&upstream).await;
        for (path, model, stream) in [
            (CHAT, "m", true),
            (CHAT, "m", false),
            ("/api/chat", "m", false),
            (CHAT, "chorus", true),
        ] {
            let reply = asked(&chorus, path, model, stream).await;
            let shown = format!("{thought:?} {path} {model} {stream}: {reply:?}");
            if model == "chorus" {
                assert_eq!(trace(&reply)["workers"][0]["response"], "the draft", "{shown}");
                assert!(!reply.text.contains("plan"), "{shown}");
            } else if stream && thought.starts_with("plan") {
                assert!(reply.text.ends_with("the draft"), "{shown}");
            } else {
                assert_eq!((&*reply.text, &*reply.thoughts), ("the draft", "plan"), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn a_verdict_behind_a_thought_is_read() {
    let judge = Script::answers(|seen| {
        match seen.asks_for_analysis() {
        true => "so {\"x\"\n</think>{\"task_type\": \"question\"}".to_owned(),
        false => "{1} is \"bad\n</think>{\"reason\": \"r\", \"scores\": {\"1\": 1, \"2\": 9}, \"best\": 2}".to_owned(),
    }
    });
    let upstream = Upstream::start([
        ("judge", judge),
        ("writer", Script::fuses()),
        ("m", Script::says("the first draft, of the number 1")),
        ("d", Script::says("a wholly different answer, which is 2")),
    ])
    .await;
    let chorus = setup("openai").over(&upstream).await;
    let reply = asked(&chorus, CHAT, "chorus", false).await;
    assert_eq!(trace(&reply)["selector"]["status"], "ok", "{reply:?}");
    assert_eq!(trace(&reply)["analyzer"]["task_type"], "question", "{reply:?}");
}

#[tokio::test]
async fn a_stream_that_begins_inside_a_thought_is_split_where_a_model_key_says_so() {
    let upstream = cast(Script::says("plan\n</think>\n\nthe draft").in_deltas(9)).await;
    let chorus =
        setup("openai").model_keys("m", "thinking_forced_open = true").over(&upstream).await;
    for (path, stream) in [(CHAT, true), (CHAT, false), ("/api/chat", true)] {
        let reply = asked(&chorus, path, "m", stream).await;
        assert_eq!(
            (reply.text.trim(), reply.thoughts.trim()),
            ("the draft", "plan"),
            "{path} {stream}"
        );
    }
}

#[tokio::test]
async fn any_framing_is_read() {
    let whole = json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]});
    let delta = json!({"choices": [{"delta": {"content": "hi"}}]});
    let again =
        json!({"choices": [{"delta": {}, "message": {"content": "hi"}, "finish_reason": "stop"}]});
    let empty = json!({"choices": [{"delta": {"role": "assistant", "content": ""},
        "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]});
    let both = json!({"choices": [{"delta": null, "message": {"content": "hi"}, "finish_reason": "stop"}]});
    let typical = [says("hi"), ends("stop"), DONE.to_owned()].concat();
    let sse = "text/event-stream";
    let glued: String = [says("hi"), ends("stop")].concat().replace("\n\n", "\n") + "data: [DONE]";
    for (kind, label, body) in [
        ("a keep-alive in data", sse, format!("data: : keepalive\n\n{typical}")),
        ("a word in data", sse, format!("data: ping\n\n{typical}")),
        ("lone CR", sse, typical.replace('\n', "\r")),
        ("CRLF", sse, typical.replace('\n', "\r\n")),
        ("events called a page", "text/html; charset=utf-8", typical.clone()),
        ("JSON called a page", "text/html", whole.to_string()),
        ("no label", "", typical.clone()),
        ("a mark before events", sse, format!("\u{feff}{typical}")),
        ("a mark before JSON", "application/json", format!("\u{feff}{whole}")),
        ("blank lines before JSON", "application/json", format!("\n\n \n{whole}")),
        ("a terminator behind JSON", "application/json", format!("{whole}{DONE}")),
        ("a terminator behind a line", "application/json", format!("{whole}\n\n{DONE}")),
        ("a delta of null", sse, format!("data: {both}\n\n{DONE}")),
        ("a delta of null, whole", "application/json", both.to_string()),
        ("a message behind deltas", sse, format!("data: {delta}\n\ndata: {again}\n\n{DONE}")),
        ("choices of null", sse, format!("data: {{\"choices\":null}}\n\n{typical}")),
        ("no space", sse, typical.replace("data: ", "data:")),
        ("an empty delta beside a message", sse, format!("data: {empty}\n\n{DONE}")),
        ("an empty delta beside a message, whole", "application/json", empty.to_string()),
        ("signs of life in words", sse, format!("data: [START]\n\ndata: connected\n\n{typical}")),
        (
            "numbers that are none",
            sse,
            format!(
                "data: {{\"choices\":[{{\"delta\":{{\"content\":\"\"}},\"logprobs\":NaN}}]}}\n\n{typical}"
            ),
        ),
        (
            "an error that is none",
            sse,
            format!(
                "data: {{\"error\":{{\"code\":0,\"message\":\"\"}},\"choices\":[]}}\n\n{typical}"
            ),
        ),
        (
            "a remark",
            sse,
            format!(
                "data: {{\"warning\":{{\"message\":\"deprecated\"}},\"choices\":[]}}\n\n{typical}"
            ),
        ),
        ("no blank lines", sse, glued),
        (
            "several objects in one event",
            sse,
            format!("data: {}{}\n\n{DONE}", says("hi")[6..].trim(), ends("stop")[6..].trim()),
        ),
        (
            "JSON over several lines",
            "application/json",
            serde_json::to_string_pretty(&whole).unwrap(),
        ),
    ] {
        let pieces = [
            Script::sends(label, body.as_bytes()),
            Script::sends(label, body.as_bytes()).split_everywhere(),
        ];
        for script in pieces {
            let upstream = cast(script).await;
            let chorus = setup("openai").over(&upstream).await;
            for (path, model, stream) in [
                (CHAT, "m", true),
                (CHAT, "m", false),
                ("/api/generate", "m", true),
                (CHAT, "chorus", false),
            ] {
                let reply = asked(&chorus, path, model, stream).await;
                let shown = format!("{kind} {path} {model} {stream}: {reply:?}");
                assert!(reply.status == 200 && reply.error.is_none(), "{shown}");
                match model {
                    "m" => assert_eq!(
                        (&*reply.text, reply.reason.as_deref()),
                        ("hi", Some("stop")),
                        "{shown}"
                    ),
                    _ => assert_eq!(trace(&reply)["workers"][0]["response"], "hi", "{shown}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn lines_of_json_are_read_under_any_label() {
    let line = json!({"message": {"content": "hi"}, "done": true, "done_reason": "stop"});
    for (label, body) in [
        ("text/html", format!("{line}\n")),
        ("application/json", serde_json::to_string_pretty(&line).unwrap()),
        ("text/plain", format!("\u{feff}\n{line}")),
        ("application/x-ndjson", format!("{line}\r")),
        ("text/event-stream", format!("data: {line}\n\n")),
    ] {
        let upstream = cast(Script::sends(label, body.as_bytes())).await;
        let chorus = setup("ollama").over(&upstream).await;
        for stream in [true, false] {
            let reply = asked(&chorus, "/api/chat", "m", stream).await;
            assert_eq!(
                (&*reply.text, reply.reason.as_deref()),
                ("hi", Some("stop")),
                "{label}: {reply:?}"
            );
        }
    }
}

#[tokio::test]
async fn counts_are_read_wherever_they_stand() {
    let usage = json!({"prompt_tokens": 90, "completion_tokens": 40});
    let with = |name: &str, value: Value| {
        let mut usage = usage.clone();
        usage[name] = value;
        usage
    };
    let end = |usage: Value| {
        format!(
            "data: {}\n\n",
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]})
        )
    };
    let apart = |usage: Value| {
        format!("{}data: {}\n\n", ends("stop"), json!({"choices": [], "usage": usage}))
    };
    let groq = format!(
        "data: {}\n\n",
        json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": usage}})
    );
    let zeros = format!(
        "{}data: {}\n\n",
        apart(usage.clone()),
        json!({"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}})
    );
    for (kind, frames, cached) in [
        ("inside the choice", end(usage.clone()), 0),
        ("cached beside them", apart(with("cached_tokens", json!(30))), 30),
        ("cache hits", apart(with("prompt_cache_hit_tokens", json!(30))), 30),
        ("Groq's own", groq, 0),
        ("zeros behind", zeros, 0),
    ] {
        let upstream = cast(Script::plays([text("hi"), raw(&frames), Beat::End])).await;
        let chorus = setup("openai").over(&upstream).await;
        for stream in [true, false] {
            let reply = asked(&chorus, CHAT, "m", stream).await;
            let got = ["prompt_tokens", "completion_tokens"].map(|name| reply.usage[name].as_u64());
            assert_eq!(got, [Some(90), Some(40)], "{kind} {stream}: {reply:?}");
            let details = &reply.usage["prompt_tokens_details"]["cached_tokens"];
            assert_eq!(details.as_u64().unwrap_or(0), cached, "{kind} {stream}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_answer_with_a_reason_is_passed_on_as_it_is() {
    for protocol in PROTOCOLS {
        for reason in ["stop", "length"] {
            let script = Script::says("").finishing_with(reason);
            let upstream = cast(script).await;
            let chorus = setup(protocol).over(&upstream).await;
            for path in ENDPOINTS.into_iter().chain(["/v1/completions"]) {
                if path == "/v1/completions" && matches!(protocol, "anthropic" | "gemini") {
                    continue; // they have no plain completion
                }
                for stream in [true, false] {
                    let reply = asked(&chorus, path, "m", stream).await;
                    let shown = format!("{protocol} {path} {stream}: {reply:?}");
                    assert!(reply.status == 200 && reply.error.is_none(), "{shown}");
                    assert_eq!(
                        (&*reply.text, reply.reason.as_deref()),
                        ("", Some(reason)),
                        "{shown}"
                    );
                }
            }
            for stream in [true, false] {
                let body = json!({"model": "m", "input": "hi", "stream": stream});
                let response = chorus.post("/v1/responses", &body).await;
                assert_eq!(response.status(), 200, "{protocol}");
                let text = response.text().await.unwrap();
                let status = if reason == "stop" { "completed" } else { "incomplete" };
                assert!(text.contains(&format!("\"status\":\"{status}\"")), "{protocol}: {text}");
            }
            // In a workflow it is no draft.
            let reply = asked(&chorus, CHAT, "chorus", false).await;
            assert_eq!(trace(&reply)["workers"][0]["error"]["code"], "empty_answer", "{reply:?}");
            assert!(reply.text.contains("the other draft"), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_of_thoughts_alone_is_passed_on_as_it_is() {
    let upstream = cast(Script::says("<think>so much to").finishing_with("length")).await;
    let chorus = setup("openai").over(&upstream).await;
    for stream in [true, false] {
        let reply = asked(&chorus, CHAT, "m", stream).await;
        let got = (reply.status, &*reply.text, &*reply.thoughts, reply.reason.as_deref());
        assert_eq!(got, (200, "", "so much to", Some("length")));
    }
}

#[tokio::test]
async fn nothing_without_a_reason_is_an_error() {
    let upstream = cast(Script::plays([Beat::End])).await;
    let chorus = setup("openai").over(&upstream).await;
    for stream in [true, false] {
        let reply = asked(&chorus, CHAT, "m", stream).await;
        assert!(reply.error.is_some() && reply.reason.is_none(), "{reply:?}");
    }
}

#[tokio::test]
async fn an_empty_writer_is_not_an_answer() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("draft")),
        ("writer", Script::says("")),
        ("m", Script::says("a draft")),
        ("d", Script::says("the other answer")),
    ])
    .await;
    for stream in [true, false] {
        let chorus = setup("openai").over(&upstream).await;
        let reply = asked(&chorus, CHAT, "chorus", stream).await;
        assert_eq!((reply.status, &*reply.text), (200, "a draft"), "{reply:?}");
    }
}

#[tokio::test]
async fn an_echo_of_the_assistants_last_words_is_cut() {
    let upstream = cast(Script::says("The draft is: 42").in_deltas(7)).await;
    let chorus = setup("openai").over(&upstream).await;
    for (path, model, stream) in
        [(CHAT, "m", true), (CHAT, "m", false), ("/api/chat", "m", true), (CHAT, "chorus", false)]
    {
        let body = json!({"model": model, "stream": stream, "include_workflow": true, "messages": [
            {"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "The draft is:"}]});
        let reply = reply(&chorus, path, &body).await;
        let text = match model {
            "m" => &reply.text,
            _ => trace(&reply)["workers"][0]["response"].as_str().unwrap(),
        };
        assert_eq!(text, " 42", "{path} {model} {stream}: {reply:?}");
    }
}

#[tokio::test]
async fn a_demanded_tool_call_that_did_not_come_is_an_error() {
    let tools =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    for choice in [json!("required"), json!({"type": "function", "function": {"name": "f"}})] {
        for (model, stream) in [("m", true), ("m", false), ("chorus", true), ("chorus", false)] {
            let prose = || Script::says("no call");
            let upstream = Upstream::start([
                ("judge", Script::judges_for("draft")),
                ("writer", prose()),
                ("m", prose()),
                ("d", Script::says("the other draft")),
            ])
            .await;
            let chorus = setup("openai").over(&upstream).await;
            let mut body = question(CHAT, model, "hi", stream);
            (body["tools"], body["tool_choice"]) = (tools.clone(), choice.clone());
            let failed = reply(&chorus, CHAT, &body).await;
            assert!(failed.error.is_some(), "{choice} {model} {stream}: {failed:?}");
            assert_eq!(&*failed.text, "", "{choice} {model}: nothing was shown");
            // A workflow's stream opens with its first draft.
            let status = if (model, stream) == ("chorus", true) { 200 } else { 502 };
            assert_eq!(failed.status, status, "{choice} {model} {stream}: {failed:?}");
        }
    }
    // Once more where that may help.
    let late = Script::says("no call").first(1, Script::calls_tool("f", json!({"a": 1})));
    let upstream = cast(late).await;
    let chorus = four_stages(&["m", "d"])
        .with("[workflow.retry]\nmax_retries = 1\nbase_delay_ms = 1")
        .over(&upstream)
        .await;
    let mut body = question(CHAT, "m", "hi", true);
    (body["tools"], body["tool_choice"]) = (tools, json!("required"));
    let reply = reply(&chorus, CHAT, &body).await;
    assert_eq!(reply.calls, [("f".to_owned(), "{\"a\":1}".to_owned())], "{reply:?}");
}

#[tokio::test]
async fn a_stop_sequence_ends_the_text_whatever_the_upstream_does() {
    for protocol in PROTOCOLS {
        for (path, model, stream) in [
            (CHAT, "m", true),
            (CHAT, "m", false),
            ("/api/chat", "m", true),
            (CHAT, "chorus", true),
        ] {
            // It never stops by itself.
            let goes_on = || Script::says("one two END three ").in_deltas(9).hangs_after(9);
            let upstream = Upstream::start([
                ("judge", Script::judges_for("draft")),
                ("writer", goes_on()),
                ("m", if model == "m" { goes_on() } else { Script::says("a draft") }),
                ("d", Script::says("the other draft")),
            ])
            .await;
            let setup = setup(protocol).model_keys("writer", &format!("protocol = \"{protocol}\""));
            let chorus = setup.over(&upstream).await;
            let stops = json!(["a1", "b2", "c3", "d4", "e5", "END"]);
            let mut body = question(path, model, "hi", stream);
            match path {
                CHAT => body["stop"] = stops,
                _ => body["options"] = json!({"stop": stops}),
            }
            let reply = reply(&chorus, path, &body).await;
            let shown = format!("{protocol} {path} {model} {stream}: {reply:?}");
            assert_eq!(
                (&*reply.text, reply.reason.as_deref()),
                ("one two ", Some("stop")),
                "{shown}"
            );
            upstream.hung_up_on(1).await;
            let asked = upstream.seen_by(if model == "m" { "m" } else { "writer" });
            let sent = asked[0].body["stop"].as_array().map_or(0, Vec::len);
            assert!(sent <= 4, "{shown}");
        }
    }
}
