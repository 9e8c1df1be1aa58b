//! What an answer says of tokens and cost.

use serde_json::{Value, json};

use super::{FORMS, asking, inner, last_of, objects_of, path_of};
use crate::support::{Chorus, Script, Upstream, four_stages};

/// Prompt and completion tokens, under the names of the form.
fn reported(last: &Value) -> Option<(u64, u64)> {
    let usage = last.get("usage").or_else(|| last.get("usageMetadata"));
    let usage = usage.filter(|usage| usage.is_object()).unwrap_or(last);
    let first = |names: [&str; 4]| names.into_iter().find_map(|name| usage[name].as_u64());
    let prompt = ["prompt_tokens", "input_tokens", "prompt_eval_count", "promptTokenCount"];
    let completion = ["completion_tokens", "output_tokens", "eval_count", "candidatesTokenCount"];
    Some((first(prompt)?, first(completion)?))
}

/// The objects of an answer, and the run's id in its headers.
async fn answered(chorus: &Chorus, form: &str, body: &Value) -> (Vec<Value>, String) {
    let response = chorus.post(&path_of(form, body), body).await;
    assert_eq!(response.status(), 200, "{form}");
    let id = response.headers()["x-chorus-workflow-id"].to_str().expect("an id").to_owned();
    (objects_of(response).await, id)
}

#[tokio::test]
async fn usage_is_the_answers_own_and_the_sum_stands_beside_it() {
    // As many tokens in every call: prompt 11, completion 7.
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("first", Script::says("one draft")),
        ("second", Script::says("two drafts")),
        ("writer", Script::says("fused")),
        ("broken", Script::fails(500)),
    ])
    .await;
    let setup = four_stages(&["first", "second"]).with_models(&["broken"]).without_retries();
    let chorus = setup.over(&upstream).await;
    let mut dying = setup.clone();
    dying.plan()["synthesizer"] = json!({ "ref": "broken" });
    for form in FORMS {
        // Each with a circuit of its own, which so few failures do not open.
        let dying = dying.over(&upstream).await;
        for stream in [false, true] {
            for (chorus, model, calls, ended) in
                [(&chorus, "chorus", 5, 5), (&chorus, "writer", 1, 1), (&dying, "chorus", 5, 4)]
            {
                let mut body = asking(form, Some(model), stream);
                body["include_workflow"] = json!(true);
                if form.starts_with("/v1/") && !form.contains("responses") {
                    body["stream_options"] = json!({ "include_usage": true });
                }
                let (objects, id) = answered(chorus, form, &body).await;
                let last = last_of(&objects);
                let case = format!("{form} {model} {stream}: {last}");
                assert_eq!(reported(last), Some((11, 7)), "{case}");
                let spent = &last["chorus"];
                let total = json!({
                    "prompt_tokens": ended * 11, "completion_tokens": ended * 7,
                    "total_tokens": ended * 18,
                });
                assert_eq!(spent["total_usage"], total, "{case}");
                assert_eq!(
                    (&spent["calls"], &spent["cost_usd"]),
                    (&json!(calls), &json!(0.0)),
                    "{case}"
                );
                assert_eq!(spent["workflow_id"], id, "{case}");
                let mut traced = objects.iter().filter_map(|it| inner(it).get("workflow"));
                let trace = traced.next().expect("the record");
                assert_eq!(trace["usage"]["total_tokens"], ended * 18, "{case}");
            }
        }
    }
}

/// Strict clients stop at an object they do not expect: it is on the last ones alone.
#[tokio::test]
async fn the_sum_is_on_final_objects_alone() {
    let upstream = Upstream::start([("m", Script::says("one two three").in_deltas(3))]).await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    for form in FORMS {
        let (objects, _) = answered(&chorus, form, &asking(form, Some("m"), true)).await;
        let with = objects.iter().map(|object| inner(object).get("chorus").is_some());
        let with: Vec<bool> = with.collect();
        assert_eq!(with.iter().filter(|with| **with).count(), 1, "{form}: {objects:?}");
        assert_eq!(with.last(), Some(&true), "{form}: {objects:?}");
    }
}

#[tokio::test]
async fn the_sum_over_all_calls_can_be_reported_as_before() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("first", Script::says("one draft")),
        ("writer", Script::says("fused")),
    ])
    .await;
    let setup = four_stages(&["first"]).with("[server]\nusage = \"total\"");
    let chorus = setup.over(&upstream).await;
    for form in FORMS {
        let (objects, _) = answered(&chorus, form, &asking(form, None, false)).await;
        let last = last_of(&objects);
        let sum = last["chorus"]["total_usage"]["prompt_tokens"].as_u64().expect("a sum");
        assert!(sum > 11, "{last}");
        assert_eq!(reported(last).map(|(prompt, _)| prompt), Some(sum), "{form}: {last}");
    }
}
