//! The first token of a run comes at the length of its plan's longest chain of dependencies, not a
//! tick later: whatever the plan, whatever the models' times.

use proptest::prelude::*;

use super::{
    generated::{STAGES, block_on, plan_of},
    *,
};

const MODELS: usize = 6;
/// A reranker keeps so many.
const KEPT: usize = 2;

/// A text that is like no other one.
fn word() -> &'static str {
    let letters = std::iter::repeat_with(fastrand::alphanumeric).take(40);
    Box::leak(letters.collect::<String>().into_boxed_str())
}

/// Advice, scores of so many candidates as anybody shows, and a verdict, all at once.
fn suits() -> &'static str {
    let scores: serde_json::Map<String, Value> =
        (1..1000).map(|label| (label.to_string(), json!(label))).collect();
    let text = json!({ "temperature": 0.5, "scores": scores, "best": "1" }).to_string();
    Box::leak(text.into_boxed_str())
}

fn cast(latencies: &[u64]) -> Cast {
    let suits = suits();
    latencies.iter().enumerate().fold(Cast::default(), |cast, (number, latency)| {
        let latency = *latency;
        cast.model(&format!("m{number}"), move |call| {
            let text = if !call.purpose.retractable { word() } else { suits };
            vec![Cue::Wait(latency), Cue::Say(text), Cue::End]
        })
    })
}

fn stage() -> impl Strategy<Value = Value> {
    let temperature = prop::option::of(Just(0.5));
    (0..MODELS, temperature, prop::option::of(any::<bool>())).prop_map(
        |(model, temperature, auto)| {
            let mut stage = json!({ "ref": format!("m{model}") });
            if let Some(temperature) = temperature {
                stage["temperature"] = json!(temperature);
            }
            if let Some(auto) = auto {
                stage["auto_temperature"] = json!(auto);
            }
            stage
        },
    )
}

fn plan() -> impl Strategy<Value = Value> {
    let worker = (stage(), 1_u64..4).prop_map(|(mut worker, samples)| {
        worker["samples"] = json!(samples);
        worker
    });
    let policy = prop_oneof![
        3 => Just(json!({ "schedule": "overlap" })),
        1 => Just(json!({ "schedule": "sequential" })),
    ];
    plan_of(&worker.boxed(), &stage().boxed(), &policy.boxed())
}

/// The same plan with every sample and every copy written out.
fn written_out(plan: &Value, depth: u32, whole: bool) -> Value {
    let mut written = plan.clone();
    let workers = plan["workers"].as_array().unwrap().iter().flat_map(|worker| {
        if worker.get("workers").is_some() {
            return vec![written_out(worker, depth, whole)];
        }
        let pair = (1..depth).fold(worker.clone(), |inner, _| {
            let mut level = json!({ "workers": [&inner, &inner] });
            // A reranker is not repeated.
            for stage in ["analyzer", "selector", "synthesizer"] {
                if let Some(node) = plan.get(stage).filter(|_| whole) {
                    level[stage] = node.clone();
                }
            }
            level
        });
        vec![pair; worker["samples"].as_u64().unwrap() as usize]
    });
    written["workers"] = workers.collect();
    written
}

fn leaves(written: &Value) -> usize {
    let workers = written["workers"].as_array();
    workers.map_or(1, |workers| workers.iter().map(leaves).sum())
}

/// When a level has its answer, and how many candidates that is.
struct Ready {
    at: u64,
    candidates: usize,
}

/// The plan as dependencies, in another way than the engine's.
struct Times<'a>(&'a [u64]);

impl Times<'_> {
    fn of(&self, stage: &Value) -> u64 {
        let number = stage["ref"].as_str().unwrap().trim_start_matches('m');
        self.0[number.parse::<usize>().unwrap()]
    }

    /// The times of a level that can begin at `start`, with the analysis in force above: when it is
    /// there, and the node that made it.
    fn level(&self, plan: &Value, start: u64, above: Option<(u64, &Value)>) -> Ready {
        let stage = |name: &str| STAGES.contains(&name).then(|| plan.get(name)).flatten();
        let own = stage("analyzer").map(|node| (start + self.of(node), node));
        let analysis = own.or(above);
        let known = analysis.map_or(start, |(at, _)| at.max(start));
        let waits = |node: &Value| {
            let auto = |node: &Value| node.get("auto_temperature").and_then(Value::as_bool);
            node.get("temperature").is_none()
                && analysis.is_some_and(|(_, reader)| auto(node).or(auto(reader)).unwrap_or(false))
        };
        let sequential = plan["policy"]["schedule"] == "sequential";
        let drafts = plan["workers"].as_array().unwrap().iter().map(|worker| {
            if worker.get("workers").is_some() {
                return self.level(worker, if sequential { known } else { start }, analysis);
            }
            let begins = if sequential || waits(worker) { known } else { start };
            Ready { at: begins + self.of(worker), candidates: 1 }
        });
        let drafts: Vec<Ready> = drafts.collect();
        let mut at = drafts.iter().map(|draft| draft.at).max().unwrap();
        let mut candidates = drafts.iter().map(|draft| draft.candidates).sum();
        if let Some(reranker) = stage("reranker").filter(|_| candidates > KEPT) {
            (at, candidates) = (at + self.of(reranker), KEPT);
        }
        if let Some(selector) = stage("selector").filter(|_| candidates > 1) {
            at += self.of(selector);
        }
        match (stage("synthesizer"), stage("selector")) {
            (Some(writer), _) => {
                let begins = if waits(writer) { at.max(known) } else { at };
                Ready { at: begins + self.of(writer), candidates: 1 }
            }
            (None, Some(_)) => Ready { at, candidates: 1 },
            (None, None) => Ready { at, candidates },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_first_token_comes_at_the_length_of_the_longest_chain_of_dependencies(
        plan in plan(),
        latencies in prop::collection::vec(1_u64..500, MODELS),
        depth in 1_u32..4,
        whole in any::<bool>(),
    ) {
        // Whatever fits into the usual limit; comparing hundreds of drafts takes its time.
        let depth = (1..=depth).rev().find(|depth| leaves(&written_out(&plan, *depth, whole)) <= 24);
        let depth = depth.unwrap_or(1);
        let mode = if whole { "workflow" } else { "candidates" };
        let more = format!(
            "nested_worker_depth = {depth}\nnested_worker_mode = \"{mode}\"\nmax_workers = 4096"
        );
        let want = Times(&latencies).level(&written_out(&plan, depth, whole), 0, None).at;
        let outcome = block_on(async { run(&cast(&latencies).engine(&plan, &more), ask()).await });
        prop_assert_eq!(outcome.first_token, Some(ms(want)), "{}", plan);
        let (critical, overhead) = outcome.critical();
        prop_assert_eq!(critical.iter().map(|one| one.duration).sum::<Duration>(), ms(want));
        prop_assert_eq!(overhead, Duration::ZERO);
    }
}
