//! Plans: names, copies, counts.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn plan(settings: &str, json: &Value) -> Plan {
    let text = with_plan(settings, &json.to_string());
    let config = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Plan::clone(&config.workflow.plan)
}

/// Names as a tree in one line: `panel(a b)`.
fn names(plan: &Plan) -> String {
    let each: Vec<String> = plan
        .members
        .iter()
        .map(|member| match member {
            Member::Leaf(leaf) => leaf.name.clone(),
            Member::Nested(plan) => format!("{}({})", plan.name, names(plan)),
        })
        .collect();
    each.join(" ")
}

fn leaves(plan: &Plan) -> Vec<&Leaf> {
    let mut found = Vec::new();
    for member in &plan.members {
        match member {
            Member::Leaf(leaf) => found.push(leaf),
            Member::Nested(plan) => found.extend(leaves(plan)),
        }
    }
    found
}

#[test]
fn names_are_unique_and_copies_are_numbered() {
    let labelled = json!({ "name": "x", "ref": "b" });
    for (depth, workers, want) in [
        (1, json!(["a", "b"]), "a b"),
        (1, json!([{ "name": "a" }, labelled]), "a x"),
        (1, json!(["a", "a"]), "a#1 a#2"),
        (1, json!([{ "ref": "a", "samples": 3 }]), "a#1 a#2 a#3"),
        (1, json!(["a", { "ref": "a", "samples": 2 }]), "a#1 a#2 a#3"),
        (2, json!(["a"]), "a(a#1 a#2)"),
        (3, json!(["a", "b"]), "a(a#1-2(a#1 a#2) a#3-4(a#3 a#4)) b(b#1-2(b#1 b#2) b#3-4(b#3 b#4))"),
        (2, json!(["a", "a"]), "a#1-2(a#1 a#2) a#3-4(a#3 a#4)"),
        (1, json!([{ "workers": ["a"] }, { "name": "p", "workers": ["b"] }]), "workflow(a) p(b)"),
        (1, json!([{ "workers": ["a"] }, { "workers": ["b"] }]), "workflow#1(a) workflow#2(b)"),
        (2, json!([{ "name": "p", "workers": ["a"] }, "a"]), "p(a(a#1 a#2)) a(a#1 a#2)"),
    ] {
        let json = json!({ "workers": workers, "selector": "a" });
        let plan = plan(&format!("nested_worker_depth = {depth}"), &json);
        assert_eq!(names(&plan), want, "{json}");
    }
}

#[test]
fn copied_levels_are_bare_or_whole_by_mode() {
    let json = json!({ "analyzer": "a", "workers": ["b"], "selector": "a", "synthesizer": "b",
        "policy": { "schedule": "sequential" } });
    for (mode, whole) in [("candidates", false), ("workflow", true)] {
        let plan =
            plan(&format!("nested_worker_depth = 2\nnested_worker_mode = \"{mode}\""), &json);
        let Member::Nested(pair) = &plan.members[0] else { panic!("a pair") };
        assert_eq!(pair.analyzer == plan.analyzer, whole, "{mode}");
        assert_eq!(pair.selector == plan.selector, whole, "{mode}");
        assert_eq!(pair.synthesizer == plan.synthesizer, whole, "{mode}");
        assert_eq!(pair.analyzer.is_none(), !whole, "{mode}");
        // A policy is never inherited.
        assert_eq!(pair.policy, Policy::default(), "{mode}");
        let calls = plan.worst_case_calls(&IndexMap::new());
        // a analyses once and selects thrice, b drafts twice and writes twice; copied levels double.
        let want = if whole { (8, 6) } else { (4, 4) };
        assert_eq!((calls["a"], calls["b"]), want, "{mode}");
    }
}

#[test]
fn copies_count_their_seeds_over_the_level() {
    let json = json!({ "workers": ["a", { "ref": "a", "samples": 2 }, "b"], "selector": "a" });
    let plan = plan("nested_worker_depth = 2", &json);
    let copies: Vec<(&str, u32)> =
        leaves(&plan).iter().map(|leaf| (leaf.stage.model.as_str(), leaf.copy)).collect();
    let want = [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("a", 4), ("a", 5), ("b", 0), ("b", 1)];
    assert_eq!(copies, want);
}

#[test]
fn a_plan_can_come_from_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let text = format!("{MODELS}[workflow-integration]\njson_file = \"plan.json\"\n");
    let plan = folder.path().join("plan.json");
    std::fs::write(&plan, r#"{ "workers": ["a"], "synthesizer": "b" }"#).unwrap();
    assert_eq!(Config::parse(&text, Some(&path), &no_env).unwrap().workflow.plan.leaf_count(), 1);
    std::fs::write(&plan, "{\n\"workers\": [\"a\"],\n}").unwrap();
    let error = Config::parse(&text, Some(&path), &no_env).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}:3: the plan is not valid JSON", plan.display())),
        "{error}"
    );
}

#[test]
fn every_option_of_a_stage_arrives() {
    let json = json!({
        "workers": [{ "name": "x", "ref": "a", "temperature": 0.5, "auto_temperature": true,
            "max_tokens": 7, "system": "s", "timeout_secs": 1.5, "fallback": ["b"] }],
        "selector": { "ref": "b" } });
    let plan = plan("", &json);
    let Member::Leaf(leaf) = &plan.members[0] else { panic!("a leaf") };
    let want = Stage {
        model: "a".to_owned(),
        temperature: Some(0.5),
        auto_temperature: Some(true),
        max_tokens: Some(7),
        system: Some("s".to_owned()),
        timeout: Some(Duration::from_millis(1500)),
        fallback: vec!["b".to_owned()],
    };
    assert_eq!((leaf.name.as_str(), &leaf.stage), ("x", &want));
    assert_eq!(plan.selector, Some(Stage::of("b")));
}

#[test]
fn every_policy_arrives_at_its_own_level_only() {
    let json = json!({
        "analyzer": "a",
        "workers": ["a", "b", { "workers": ["a", "b"], "reranker": { "ref": "b", "top_k": 1 },
            "policy": { "quorum": 1, "grace_ms": 20, "worker_tools": "schemas" } }],
        "selector": "a", "reranker": "a",
        "policy": { "min_success": 2, "quorum": 0.5, "deadline_secs": 1.5, "agreement": 0.9,
            "overrides": true } });
    let plan = plan("", &json);
    let want = Policy {
        min_success: 2,
        quorum: Some(Quorum::Share(0.5)),
        deadline: Some(Duration::from_millis(1500)),
        agreement: Some(0.9),
        overrides: true,
        ..Policy::default()
    };
    assert_eq!(plan.policy, want);
    assert_eq!(plan.reranker, Some(Reranker { stage: Stage::of("a"), top_k: 3 }));
    let Member::Nested(panel) = &plan.members[2] else { panic!("a panel") };
    let quorum = Some(Quorum::Members(1));
    let grace = Duration::from_millis(20);
    let worker_tools = WorkerTools::Schemas;
    assert_eq!(panel.policy, Policy { quorum, grace, worker_tools, ..Policy::default() });
    assert_eq!(panel.reranker, Some(Reranker { stage: Stage::of("b"), top_k: 1 }));
}

#[test]
fn a_policy_that_is_probably_not_meant_is_warned_of() {
    for (policy, want) in [
        (json!({ "quorum": 1, "min_success": 1, "grace_ms": 5 }), None),
        (
            json!({ "quorum": 0.5, "min_success": 3 }),
            Some("policy.quorum: is 2 of 3 workers, and `min_success` is 3: 3 are waited for"),
        ),
        (
            json!({ "grace_ms": 5 }),
            Some("policy.grace_ms: means nothing without a `quorum`: every worker is waited for"),
        ),
    ] {
        let json = json!({ "workers": ["a", { "ref": "b", "samples": 2 }], "selector": "a", "policy": policy });
        let warnings = parse(&with_plan("", &json.to_string())).unwrap().warnings;
        let warned = warnings.first().map(|warning| warning.what.as_str());
        assert_eq!((warnings.len(), warned), (usize::from(want.is_some()), want), "{policy}");
    }
}

#[test]
fn profiles_are_workflows_of_their_own() {
    let text = format!(
        "{}[[workflow-profile]]\nname = \"fast\"\nnested_worker_depth = 2\nmax_concurrency = 1\n\
         json = '{{\"workers\":[\"b\"],\"selector\":\"b\"}}'\n\
         [[workflow-profile]]\nname = \"slow\"\njson = '{{\"workers\":[\"a\"],\"selector\":\"a\"}}'\n",
        with_plan("max_concurrency = 7", r#"{"workers":["a"],"selector":"b"}"#)
    );
    let config = parse(&text).unwrap();
    let warned: Vec<(&str, usize, Option<usize>)> = config
        .workflows()
        .map(|one| (one.plan.name.as_str(), one.plan.leaf_count(), one.max_concurrency))
        .collect();
    assert_eq!(warned, [("chorus", 1, Some(7)), ("fast", 2, Some(1)), ("slow", 1, None)]);
    assert_eq!(config.workflow_named("fast"), Some(&config.profiles["fast"]));
    assert_eq!(config.workflow_named("chorus"), Some(&config.workflow));
    assert_eq!(config.workflow_named("a"), None);
}

fn workers() -> impl Strategy<Value = Value> {
    let leaf = (prop_oneof![Just("a"), Just("b")], 1_u32..4, prop::option::of("[xy]")).prop_map(
        |(model, samples, name)| match name {
            Some(name) => json!({ "ref": model, "name": name, "samples": samples }),
            None => json!({ "ref": model, "samples": samples }),
        },
    );
    let worker = leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::vec(inner, 1..4).prop_map(|workers| json!({ "workers": workers }))
    });
    prop::collection::vec(worker, 1..4).prop_map(Value::Array)
}

fn samples(workers: &Value) -> u64 {
    let each = workers.as_array().unwrap().iter().map(|worker| match worker.get("workers") {
        Some(nested) => samples(nested),
        None => worker["samples"].as_u64().unwrap(),
    });
    each.sum()
}

fn assert_sound(plan: &Plan) {
    let mut seen = HashSet::new();
    for member in &plan.members {
        assert!(seen.insert(member.name().to_owned()), "{} twice", member.name());
        if let Member::Nested(plan) = member {
            assert_sound(plan);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Every leaf yields 2^(d-1) candidates, and siblings never share a name.
    #[test]
    fn expansion_counts_and_names(workers in workers(), depth in 1_u32..5) {
        let want = samples(&workers) << (depth - 1);
        let json = json!({ "workers": workers, "selector": "a" });
        let settings = format!("nested_worker_depth = {depth}\nmax_workers = 65536");
        let plan = plan(&settings, &json);
        prop_assert_eq!(plan.leaf_count() as u64, want);
        assert_sound(&plan);
        let calls: u64 = plan.worst_case_calls(&IndexMap::new()).values().sum();
        prop_assert_eq!(calls, want + 3);
    }

    /// A plan over `max_workers` is refused with its true count, however deep, without making it.
    #[test]
    fn too_many_leaves_are_counted_not_made(depth in 8_u32..127, samples in 1_u32..1000) {
        let json = json!({ "workers": [{ "ref": "a", "samples": samples }], "selector": "a" });
        let text = with_plan(&format!("nested_worker_depth = {depth}"), &json.to_string());
        let error = parse(&text).unwrap_err().to_string();
        let want = u128::from(samples).checked_mul(1_u128 << (depth - 1));
        let want = want.map_or("more than 2^127".to_owned(), |count| count.to_string());
        let want = format!("the plan has {want} workers, and `max_workers` is 64");
        prop_assert!(error.contains(&want), "{}", error);
    }
}

/// The largest plan that can be allowed is made in memory without trouble.
#[test]
fn the_largest_plan_is_made() {
    let json = json!({ "workers": ["a"], "selector": "a" });
    let plan = plan("nested_worker_depth = 17\nmax_workers = 65536", &json);
    assert_eq!(plan.leaf_count(), 65_536);
}
