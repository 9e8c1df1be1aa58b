//! Model names: unknown ones, aliases, what is listed and shown.

use serde_json::{Value, json};

use super::{FORMS, GOOGLES, asking, inner, last_of, objects_from};
use crate::support::{Chorus, Script, Upstream, four_stages};

const ALIASES: &str = r#"
[[alias]]
name = "gpt-4o"
model = "first"
[[alias]]
name = "gpt-*"
model = "chorus"
"#;

async fn over(tables: &str) -> (Upstream, Chorus) {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("first", Script::says("from first")),
        ("second", Script::says("from second")),
        ("writer", Script::says("fused")),
    ])
    .await;
    let setup = four_stages(&["first", "second"]).model_keys("judge", "listed = false");
    let setup = setup.model_keys("second", "context_tokens = 4096\nvision = false");
    let chorus = setup.with(tables).over(&upstream).await;
    (upstream, chorus)
}

#[tokio::test]
async fn an_unknown_model_name_runs_and_bills_nothing() {
    let (upstream, chorus) = over("").await;
    for form in FORMS {
        for stream in [false, true] {
            let body = asking(form, Some("frist"), stream);
            let (status, objects) = objects_from(&chorus, form, &body).await;
            let [object] = &objects[..] else { panic!("{form}: {objects:?}") };
            assert_eq!(status, 404, "{form} {stream}: {object}");
            let words = object["error"].as_str().or(object["error"]["message"].as_str());
            let words = words.expect("words");
            assert!(words.contains("did you mean 'first'?"), "{form}: {words}");
            assert!(words.contains("there are: chorus, writer, first, second"), "{form}: {words}");
            let error = &object["error"];
            let (code, want) = match form {
                "/v1/messages" => (&error["type"], "not_found_error"),
                GOOGLES => (&error["status"], "NOT_FOUND"),
                _ => (error.get("code").unwrap_or(&object["code"]), "model_not_found"),
            };
            assert_eq!(code, want, "{form}: {object}");
        }
    }
    for path in ["/v1/embeddings", "/api/embed", "/api/embeddings", "/api/show"] {
        let (status, object) = chorus.ask(path, &json!({"model": "gpt-4o", "input": "x"})).await;
        assert_eq!(status, 404, "{path}: {object}");
        assert!(object.to_string().contains("model_not_found"), "{path}: {object}");
    }
    assert_eq!(upstream.seen().len(), 0, "nobody was asked");
}

#[tokio::test]
async fn no_name_is_the_workflow() {
    let (_upstream, chorus) = over("").await;
    for form in FORMS {
        for model in [None, Some("")] {
            let (status, objects) = objects_from(&chorus, form, &asking(form, model, false)).await;
            let model = objects[0].get("model").or(objects[0].get("modelVersion"));
            assert_eq!((status, model), (200, Some(&json!("chorus"))), "{form}");
        }
    }
}

#[tokio::test]
async fn where_the_workflow_answers_unknown_names_it_says_so() {
    let (_upstream, chorus) = over("[server]\nunknown_model = \"workflow\"").await;
    let warning = json!({ "stage": "request", "name": "gpt-4o", "code": "unknown_model" });
    for form in FORMS {
        for stream in [false, true] {
            let (status, objects) =
                objects_from(&chorus, form, &asking(form, Some("gpt-4o"), stream)).await;
            assert_eq!(status, 200, "{form}");
            let warned = objects.iter().filter_map(|object| inner(object).get("warnings"));
            let warned: Vec<&Value> = warned.collect();
            assert_eq!(warned, [&json!([warning])], "{form} {stream}: {objects:?}");
        }
        let (_, objects) = objects_from(&chorus, form, &asking(form, Some("chorus"), false)).await;
        assert!(objects[0].get("warnings").is_none(), "{form}: {objects:?}");
    }
}

#[tokio::test]
async fn an_alias_is_the_name_of_what_it_means_everywhere() {
    let (upstream, chorus) = over(ALIASES).await;
    for form in FORMS {
        for stream in [false, true] {
            for (alias, calls) in [("gpt-4o", 1), ("gpt-5/mini", 5), ("gpt-4o:latest", 1)] {
                let (status, objects) =
                    objects_from(&chorus, form, &asking(form, Some(alias), stream)).await;
                assert_eq!(status, 200, "{form} {alias}: {objects:?}");
                let last = last_of(&objects);
                let named = objects.iter().find_map(|object| {
                    let model = ["model", "modelVersion"];
                    let model = model.into_iter().find_map(|name| inner(object).get(name));
                    model.or_else(|| object["message"].get("model"))
                });
                assert_eq!(named, Some(&json!(alias)), "{form}: the name that was sent");
                assert_eq!(last["chorus"]["calls"], calls, "{form} {alias}: {last}");
            }
        }
    }
    let direct = upstream.seen_by("first");
    assert!(direct.iter().all(|seen| seen.model() == "first"), "the upstream knows its own name");
    let (status, one) = (chorus.get("/v1/models/gpt-5/mini").await.status(), "gpt-5/mini");
    assert_eq!(status, 200);
    let (status, shown) = chorus.ask("/api/show", &json!({ "model": one })).await;
    assert_eq!((status, &shown["model_info"]["general.basename"]), (200, &json!(one)));
    assert_eq!(shown["model_info"]["chorus.context_length"], 4096, "the workflow's");
    let (_, shown) = chorus.ask("/api/show", &json!({ "model": "gpt-4o" })).await;
    assert_eq!(shown["model_info"]["chorus.context_length"], 32_768, "the model's");
    let (status, objects_from) =
        chorus.ask("/v1/embeddings", &json!({"model": one, "input": "x"})).await;
    assert_eq!(status, 400, "an alias of a workflow embeds nothing: {objects_from}");
}

#[tokio::test]
async fn lists_hold_what_is_to_be_seen_and_what_is_left_out_can_be_called() {
    let (_upstream, chorus) = over(ALIASES).await;
    let json = |path: &'static str| {
        let response = chorus.get(path);
        async move {
            let bytes = response.await.bytes().await.expect("a body");
            serde_json::from_slice::<Value>(&bytes).expect("JSON")
        }
    };
    let names = |list: &Value, key: &str| -> Vec<String> {
        let each = list.as_array().expect("a list").iter();
        each.map(|one| one[key].as_str().expect("a name").to_owned()).collect()
    };
    let want = ["chorus", "writer", "first", "second", "gpt-4o"];
    assert_eq!(names(&json("/v1/models").await["data"], "id"), want);
    assert_eq!(names(&json("/api/tags").await["models"], "name"), want);
    let (status, _) =
        objects_from(&chorus, FORMS[0], &asking(FORMS[0], Some("judge"), false)).await;
    assert_eq!(status, 200);
}

/// A writer with more room than its workers, a worker in a panel with the least.
#[tokio::test]
async fn a_workflow_shows_the_smallest_context_of_its_workers_and_writer() {
    let (upstream, _) = over("").await;
    let plan = json!({
        "workers": [{"ref": "first"}, {"name": "panel", "workers": ["second"], "selector": "judge"}],
        "selector": {"ref": "judge"}, "synthesizer": {"ref": "writer"},
    });
    for (writer, panel, want) in
        [(65_536, 8192, 8192), (2048, 8192, 2048), (65_536, 131_072, 16_384)]
    {
        let setup = crate::support::Setup::of(plan.clone())
            .with_models(&["judge", "writer", "first", "second"])
            .model_keys("judge", "context_tokens = 512")
            .model_keys("first", "context_tokens = 16384")
            .model_keys("writer", &format!("context_tokens = {writer}"))
            .model_keys("second", &format!("context_tokens = {panel}"));
        let chorus = setup.over(&upstream).await;
        let (_, shown) = chorus.ask("/api/show", &json!({ "model": "chorus" })).await;
        assert_eq!(shown["model_info"]["chorus.context_length"], want, "{shown}");
    }
}
