//! How stages are asked: as streams, whatever becomes of them.

use super::*;
use crate::support::Client;

/// Two drafts, and one model for analysis, scores and verdict.
fn staged(protocol: &str) -> Setup {
    let plan = json!({
        "analyzer": {"ref": "judge"}, "workers": ["one", "two", "three"],
        "reranker": {"ref": "judge", "top_k": 2}, "selector": {"ref": "judge"},
        "synthesizer": {"ref": "writer"},
    });
    let setup = Setup::of(plan).with_models(&["judge", "writer", "one", "two", "three"]);
    setup.model_keys("judge", &format!("protocol = \"{protocol}\""))
}

async fn cast(judge: Script) -> Upstream {
    Upstream::start([
        ("judge", judge),
        ("writer", Script::fuses()),
        ("one", Script::says("the first one")),
        ("two", Script::says("another text of it")),
        ("three", Script::says("what nobody expects")),
    ])
    .await
}

/// The stages of the trace that failed.
fn failed(objects: &[Value]) -> Vec<&'static str> {
    let trace = objects.iter().find_map(|object| object.get("workflow")).expect("a trace");
    let stages = ["analyzer", "reranker", "selector", "synthesizer"];
    stages.into_iter().filter(|stage| trace[*stage]["success"] != true).collect()
}

async fn asked(chorus: &Client, stream: bool) -> Vec<Value> {
    let mut body = question(CHAT, "chorus", "hi", stream);
    body["include_workflow"] = json!(true);
    chorus.objects(CHAT, &body).await
}

#[tokio::test]
async fn every_stage_is_asked_as_a_stream() {
    for protocol in PROTOCOLS {
        let upstream = cast(Script::judges_for("first")).await;
        let chorus = staged(protocol).over(&upstream).await;
        for stream in [false, true] {
            let objects = asked(&chorus, stream).await;
            assert_eq!(failed(&objects), [""; 0], "{protocol}: {objects:?}");
        }
        for seen in upstream.seen() {
            let streamed = seen.body["stream"] == true || seen.path.contains(":streamGenerate");
            assert!(streamed, "{protocol}: {} {}", seen.path, seen.body);
        }
    }
}

#[tokio::test]
async fn a_model_without_streams_is_asked_whole_and_that_is_remembered() {
    for words in [
        "Streaming is not supported for this model.",
        "Unsupported value: 'stream' does not support true with this model.",
        "stream must be false",
    ] {
        for protocol in ["openai", "ollama", "anthropic"] {
            let message = json!({"error": {"message": words}}).to_string();
            let judge = Script::judges_for("first")
                .when_asked("\"stream\":true", Script::fails_saying(400, &message));
            let upstream = cast(judge).await;
            let chorus = staged(protocol).without_retries().over(&upstream).await;
            let tried = || {
                let judged = upstream.seen_by("judge");
                judged.iter().filter(|seen| seen.body["stream"] == true).count()
            };
            let mut known = None;
            for stream in [false, true] {
                let objects = asked(&chorus, stream).await;
                assert_eq!(failed(&objects), [""; 0], "{protocol}: {objects:?}");
                // Stages that begin at the same time each try it once.
                assert_eq!(tried(), *known.get_or_insert_with(tried), "{protocol}: remembered");
                let (status, text) = reply(&chorus, "judge", "hi", stream).await;
                assert_eq!(status, 200, "{protocol}: {text}");
            }
            assert!(tried() <= 3, "{protocol} {words}: {}", tried());
        }
    }
}

#[tokio::test]
async fn nothing_runs_on_when_the_client_has_left() {
    for protocol in PROTOCOLS {
        // A server that notices at its next word: whole answers have none.
        let upstream = cast(Script::says("thinking about it").in_deltas(4).hangs_after(2)).await;
        let chorus = staged(protocol).over(&upstream).await;
        let body = question(CHAT, "chorus", "hi", false);
        {
            let asking = chorus.try_post(CHAT, &body, &[]);
            tokio::select! {
                _ = asking => panic!("the analyzer never answers"),
                () = upstream.asked(1) => {}
            }
        }
        upstream.idle().await;
        assert!(upstream.hang_ups() >= 1, "{protocol}");
        let judged = upstream.seen_by("judge");
        let streamed = |seen: &crate::support::Seen| {
            seen.body["stream"] == true || seen.path.contains(":streamGenerate")
        };
        assert!(judged.iter().all(streamed), "{protocol}");
    }
}

#[tokio::test]
async fn a_stage_that_breaks_off_is_asked_again() {
    let quick = "[workflow.retry]\nmax_retries = 2\nbase_delay_ms = 1\nmax_delay_ms = 2\n";
    for protocol in PROTOCOLS {
        // Twice cut in the middle of a verdict that must not be read together with the next.
        let judge = Script::judges_for("another").in_deltas(4);
        let judge = judge.clone().cut_after(2).first(2, judge);
        let upstream = cast(judge).await;
        let plan = json!({"workers": ["one", "two"], "selector": "judge", "synthesizer": "writer"});
        let setup = Setup::of(plan).with_models(&["judge", "writer", "one", "two"]);
        let setup = setup.model_keys("judge", &format!("protocol = \"{protocol}\"")).with(quick);
        let chorus = setup.over(&upstream).await;
        let objects = asked(&chorus, true).await;
        let trace = objects.iter().find_map(|object| object.get("workflow")).expect("a trace");
        assert_eq!(trace["selector"]["selected_worker"], "two", "{protocol}: {trace}");
        assert_eq!(trace["selector"]["success"], true, "{protocol}: {trace}");
        assert_eq!(upstream.seen_by("judge").len(), 3, "{protocol}");
    }
}
