//! The upstream protocols: both, chat and plain completion, streamed and whole.

use serde_json::json;

use crate::support::{ENDPOINTS, Script, Upstream, four_stages, question, text_of};

const CHAT: &str = "/v1/chat/completions";
const OLLAMA: &str = "protocol = \"ollama\"";
const COMPLETION: &str = "mode = \"completion\"";

fn spoken() -> [(&'static str, String); 4] {
    [
        ("/v1/chat/completions", String::new()),
        ("/v1/completions", COMPLETION.to_owned()),
        ("/api/chat", OLLAMA.to_owned()),
        ("/api/generate", format!("{OLLAMA}\n{COMPLETION}")),
    ]
}

#[tokio::test]
async fn each_protocol_and_mode_answers_alike() {
    for (spoken, keys) in spoken() {
        let sample = "你好，世界 👋";
        let upstream = Upstream::start([("m", Script::says(sample).split_everywhere())]).await;
        let setup = four_stages(&["m"]).model_keys("m", &keys);
        let chorus = setup.over(&upstream).await;
        for path in ENDPOINTS {
            for stream in [false, true] {
                let mut body = question(path, "m", "hi there", stream);
                body["stream_options"] = json!({"include_usage": true});
                let objects = chorus.objects(path, &body).await;
                let text: String = objects.iter().map(text_of).collect();
                assert_eq!(text, sample, "{spoken} {path} {stream}");
                let last = objects.last().unwrap();
                let used = match path {
                    CHAT => [&last["usage"]["prompt_tokens"], &last["usage"]["completion_tokens"]],
                    _ => [&last["prompt_eval_count"], &last["eval_count"]],
                };
                assert_eq!(used, [&json!(11), &json!(7)], "{spoken} {path} {stream}: {last}");
            }
        }
        for seen in upstream.seen() {
            assert_eq!(seen.path, spoken);
            assert_eq!(seen.header("authorization"), Some("Bearer sk-key-of-m"));
            assert!(seen.header("user-agent").unwrap().starts_with("chorus/"));
            assert!(seen.text().contains("hi there"), "{spoken}: {}", seen.body);
        }
    }
}

#[tokio::test]
async fn all_four_stages_run_over_each() {
    for (spoken, keys) in spoken() {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("two")),
            ("first", Script::says("draft one")),
            ("second", Script::says("draft two")),
            ("writer", Script::says("the fused answer")),
        ])
        .await;
        let mut setup = four_stages(&["first", "second"]);
        for model in ["judge", "first", "second", "writer"] {
            setup = setup.model_keys(model, &keys);
        }
        let chorus = setup.over(&upstream).await;
        let mut body = question(CHAT, "chorus", "hi there", false);
        body["include_workflow"] = json!(true);
        let (status, answer) = chorus.ask(CHAT, &body).await;
        assert_eq!((status, text_of(&answer)), (200, "the fused answer"), "{spoken}: {answer}");
        let trace = &answer["workflow"];
        assert_eq!(trace["status"], "ok", "{spoken}: {trace}");
        assert_eq!(trace["selector"]["selected_worker"], "second", "{spoken}: {trace}");
        assert_eq!(trace["analyzer"]["task_type"], "question", "{spoken}: {trace}");
        assert_eq!(answer["usage"]["total_tokens"], 5 * 18, "{spoken}: over all calls");
        assert!(trace["usage"].get("estimated").is_none(), "{spoken}: {trace}");
        assert!(upstream.seen().iter().all(|seen| seen.path == spoken));
    }
}

#[tokio::test]
async fn the_writer_is_shown_the_drafts_best_first_and_the_question_last() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("two")),
        ("zaphod", Script::says("draft one")),
        ("trillian", Script::says("draft two")),
        ("writer", Script::says("the fused answer")),
    ])
    .await;
    let chorus = four_stages(&["zaphod", "trillian"]).over(&upstream).await;
    let body = json!({"model": "chorus", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "an earlier question"},
        {"role": "assistant", "content": "an earlier answer"},
        {"role": "user", "content": "the question"},
    ]});
    let (status, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!((status, text_of(&answer)), (200, "the fused answer"), "{answer}");
    let [writer] = &upstream.seen_by("writer")[..] else { panic!("one call of the writer") };
    assert_eq!(writer.drafts(), ["draft two", "draft one"]);
    let messages = writer.body["messages"].as_array().unwrap();
    assert_eq!(messages[0]["role"], "system");
    assert_eq!(messages.last().unwrap()["role"], "user");
    assert_eq!(writer.question(), "the question");
    assert!(writer.said_by("system").contains("Be brief."));
    for worker in ["zaphod", "trillian"] {
        let [call] = &upstream.seen_by(worker)[..] else { panic!("one call of {worker}") };
        assert_eq!(call.body["messages"], body["messages"], "as the client sent it");
    }
    for call in upstream.seen_by("judge") {
        for name in ["zaphod", "trillian"] {
            assert!(!call.text().contains(name), "the judge does not know the workers' names");
        }
    }
}

#[tokio::test]
async fn what_an_upstream_does_not_count_is_estimated_and_said_so() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("").without_usage()),
        ("only", Script::says("a draft of some length").without_usage()),
        ("writer", Script::fuses().without_usage()),
    ])
    .await;
    let chorus = four_stages(&["only"]).over(&upstream).await;
    let mut body = question(CHAT, "chorus", "hi there", false);
    body["include_workflow"] = json!(true);
    let (_, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!(answer["workflow"]["usage"]["estimated"], true, "{answer}");
    assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn reasoning_and_tool_calls_pass_through() {
    let arguments = json!({"city": "罗马"});
    for (spoken, keys) in [("openai", ""), ("ollama", OLLAMA)] {
        let upstream = Upstream::start([
            ("thinker", Script::says("so it is").reasoning("let me see")),
            ("caller", Script::calls_tool("weather", arguments.clone())),
        ])
        .await;
        let setup = four_stages(&["thinker", "caller"]);
        let setup = setup.model_keys("thinker", keys).model_keys("caller", keys);
        let chorus = setup.over(&upstream).await;
        let (_, answer) = chorus.ask(CHAT, &question(CHAT, "thinker", "hi", false)).await;
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["content"], "so it is", "{spoken}");
        assert_eq!(message["reasoning_content"], "let me see", "{spoken}");

        let mut body = question(CHAT, "caller", "what weather?", false);
        let function = json!({"name": "weather", "parameters": {"type": "object"}});
        body["tools"] = json!([{"type": "function", "function": function}]);
        let (_, answer) = chorus.ask(CHAT, &body).await;
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{spoken}: {answer}");
        let call = &choice["message"]["tool_calls"][0]["function"];
        assert_eq!(call["name"], "weather");
        let sent: serde_json::Value =
            serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(sent, arguments, "{spoken}");
        assert!(upstream.seen_by("caller")[0].has("tools"), "{spoken}");
    }
}
