//! Any plan, any latencies, any failures: every run ends by its deadline, with an answer or a named
//! error, with nothing left running.

use proptest::prelude::*;

use super::*;
use crate::types::ToolChoice;

/// How one of the models behaves: after so many milliseconds it does this.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Answers,
    Nonsense,
    Fails(LlmErrorKind),
    /// Speaks, and then nothing more comes.
    Stalls,
    /// Speaks, and breaks.
    Breaks,
}

fn habits() -> impl Strategy<Value = (u64, Habit)> {
    let kinds = prop_oneof![
        Just(LlmErrorKind::Unauthorized),
        Just(LlmErrorKind::CircuitOpen),
        Just(LlmErrorKind::UnsupportedInput),
        Just(LlmErrorKind::Timeout),
        Just(LlmErrorKind::ContextLength),
        Just(LlmErrorKind::Upstream { status: 500 }),
    ];
    let habit = prop_oneof![
        4 => Just(Habit::Answers),
        1 => Just(Habit::Nonsense),
        2 => kinds.prop_map(Habit::Fails),
        1 => Just(Habit::Stalls),
        1 => Just(Habit::Breaks),
    ];
    // Some later than every deadline below.
    (prop_oneof![5 => 0_u64..400, 2 => 400_u64..4_000, 1 => Just(1_000_000)], habit)
}

/// What suits every stage: advice, scores and a verdict, all at once.
const SUITS: &str = r#"{"temperature":0.5,"overrides":{"workers":["m0","m1","p0"],"quorum":1},
    "scores":{"1":3,"2":8,"3":5,"4":1,"5":2},"best":"1"}"#;

fn script((ms, habit): (u64, Habit), own: usize) -> impl Fn(&Call) -> Vec<Cue> {
    move |call| {
        let drafts = !call.purpose.retractable;
        let text: &'static str = match (habit, drafts) {
            (Habit::Nonsense, _) => "who knows",
            (_, false) => SUITS,
            // Some agree with each other.
            (_, true) => ["one and the same answer", "zebras, mostly"][own % 2],
        };
        match habit {
            Habit::Answers | Habit::Nonsense => vec![Cue::Wait(ms), Cue::Say(text), Cue::End],
            Habit::Fails(kind) => vec![Cue::Wait(ms), Cue::Fail(kind)],
            Habit::Stalls => vec![Cue::Wait(ms), Cue::Say(text), Cue::Wait(100_000_000)],
            Habit::Breaks => {
                vec![Cue::Wait(ms), Cue::Say(text), Cue::Fail(LlmErrorKind::Truncated)]
            }
        }
    }
}

const MODELS: usize = 6;

/// Every model may be asked a second time elsewhere.
const HEDGING: &str =
    "hedge_after_ms = 150\n[[model.endpoint]]\napi_base = \"http://127.0.0.2:9/v1\"\n";

fn stage() -> impl Strategy<Value = Value> {
    (0..MODELS, prop::option::of(0..MODELS)).prop_map(|(model, fallback)| {
        let fallback: Vec<String> = fallback.iter().map(|model| format!("m{model}")).collect();
        json!({ "ref": format!("m{model}"), "fallback": fallback })
    })
}

fn policy() -> impl Strategy<Value = Value> {
    let quorum =
        prop_oneof![(1_u64..3).prop_map(|n| json!(n)), (0.05..0.95_f64).prop_map(|q| json!(q))];
    (
        prop::option::of(quorum),
        0_u64..300,
        prop::option::of(1_u64..6_000),
        prop::option::of(0.0..1.0_f64),
        any::<bool>(),
        (any::<bool>(), 1_u64..3),
    )
        .prop_map(|(quorum, grace, deadline, agreement, sequential, (overrides, min_success))| {
            json!({
                "min_success": min_success,
                "quorum": quorum, "grace_ms": grace, "agreement": agreement, "overrides": overrides,
                "deadline_secs": deadline.map(|ms| Duration::from_millis(ms).as_secs_f64()),
                "schedule": if sequential { "sequential" } else { "overlap" },
            })
        })
}

/// The stages of a level beside its workers.
pub(super) const STAGES: [&str; 4] = ["analyzer", "reranker", "selector", "synthesizer"];

/// A level over these workers; `analyzer` and the like where they were drawn.
fn level(workers: Vec<Value>, drawn: (Vec<Option<Value>>, Value)) -> Value {
    let (stages, mut policy) = drawn;
    // Names are unique, and a quorum is within reach of one worker.
    let workers: Vec<Value> = workers
        .into_iter()
        .enumerate()
        .map(|(index, mut worker)| {
            let kind = if worker.get("workers").is_some() { "p" } else { "w" };
            worker["name"] = json!(format!("{kind}{index}"));
            worker
        })
        .collect();
    if policy["quorum"].as_u64().is_some_and(|quorum| quorum as usize > workers.len()) {
        policy["quorum"] = json!(1);
    }
    let mut level = json!({ "workers": &workers });
    for (key, stage) in STAGES.iter().zip(stages) {
        if let Some(mut stage) = stage {
            if *key == "reranker" {
                stage["top_k"] = json!(2);
            }
            level[*key] = stage;
        }
    }
    if workers.len() < 2 {
        policy["min_success"] = json!(1);
    }
    if level.get("analyzer").is_none() {
        policy["overrides"] = json!(false);
    }
    level["policy"] = policy;
    level
}

/// Any plan of up to three levels whose workers, other stages and policies are these.
pub(super) fn plan_of(
    worker: &BoxedStrategy<Value>,
    stage: &BoxedStrategy<Value>,
    policy: &BoxedStrategy<Value>,
) -> impl Strategy<Value = Value> + use<> {
    let drawn =
        || (prop::collection::vec(prop::option::of(stage.clone()), STAGES.len()), policy.clone());
    let inner = (prop::collection::vec(worker.clone(), 1..4), drawn())
        .prop_map(|(w, drawn)| level(w, drawn));
    let member = prop_oneof![3 => worker.clone(), 1 => inner];
    let inner = (prop::collection::vec(member.clone(), 1..4), drawn())
        .prop_map(|(w, drawn)| level(w, drawn));
    let member = prop_oneof![3 => member, 1 => inner];
    (prop::collection::vec(member, 1..5), drawn(), stage.clone()).prop_map(
        |(workers, drawn, judge)| {
            let mut top = level(workers, drawn);
            if top.get("selector").is_none() && top.get("synthesizer").is_none() {
                top["selector"] = judge;
            }
            top
        },
    )
}

fn plan() -> impl Strategy<Value = Value> {
    plan_of(&stage().boxed(), &stage().boxed(), &policy().boxed())
}

/// What bears on who may answer.
fn request() -> impl Strategy<Value = Request> {
    let tool = ToolDefinition {
        name: "f".to_owned(),
        description: None,
        parameters: None,
        strict: None,
        unknown: Default::default(),
    };
    let tools = prop_oneof![
        3 => Just(None),
        1 => Just(Some(ToolChoice::Auto)),
        1 => Just(Some(ToolChoice::Required)),
    ];
    let format = prop_oneof![3 => Just(OutputFormat::Text), 1 => Just(OutputFormat::Json)];
    (tools, format, prop::option::of(1_u32..10)).prop_map(move |(choice, format, max_tokens)| {
        let tools = choice.iter().map(|_| tool.clone()).collect();
        Request {
            prompt: Prompt { tools, tool_choice: choice, format, max_tokens, ..Prompt::default() },
            ..ask()
        }
    })
}

fn cast_of(habits: &[(u64, Habit)]) -> Cast {
    let named = habits.iter().enumerate();
    named.fold(Cast::default(), |cast, (n, habit)| cast.model(&format!("m{n}"), script(*habit, n)))
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// The token sum of a level, from what stands in its records.
fn spent(level: &Value) -> u64 {
    let total = |value: &Value| value["usage"]["total_tokens"].as_u64().unwrap_or(0);
    let stages = STAGES.map(|stage| total(&level[stage]));
    let workers =
        level["workers"].as_array().unwrap().iter().map(|worker| match worker.get("nested") {
            Some(nested) => spent(nested),
            None => total(worker),
        });
    stages.iter().sum::<u64>() + workers.sum::<u64>()
}

/// The attempts of a level and below, and how many of them are listed.
fn attempts(level: &Value) -> (u64, u64) {
    let of = |record: &Value| {
        let listed = record["calls"].as_array().map_or(0, Vec::len) as u64;
        (record["attempts"].as_u64().unwrap_or(0), listed)
    };
    let stages = STAGES.map(|stage| of(&level[stage]));
    let workers =
        level["workers"].as_array().unwrap().iter().map(|worker| match worker.get("nested") {
            Some(nested) => attempts(nested),
            None => of(worker),
        });
    workers.chain(stages).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Every stage that was begun has an ending.
fn assert_ended(level: &Value) {
    for worker in level["workers"].as_array().unwrap() {
        assert_ne!(worker["status"], "cancelled", "{worker}");
        if let Some(nested) = worker.get("nested") {
            assert_ended(nested);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_run_ends_by_its_deadline_with_an_answer_or_a_named_error(
        plan in plan(),
        habits in prop::collection::vec(habits(), MODELS),
        deadline_ms in 1_u64..6_000,
        hedges in any::<bool>(),
        request in request(),
    ) {
        let mut plan = plan;
        plan["policy"]["deadline_secs"] = json!(Duration::from_millis(deadline_ms).as_secs_f64());
        let cast = cast_of(&habits);
        // Where tools are called, a worker's model may write too: not counted, and said so. Its call
        // is hedged as any other.
        let has_fallback = plan.get("synthesizer").is_some() && !request.prompt.tools.is_empty();
        let fallback = if has_fallback { 1 + u64::from(hedges) } else { 0 };
        let (outcome, open) = block_on(async {
            let hedging = if hedges { HEDGING } else { "" };
            let limits = "[workflow.timeouts]\nworker_timeout_secs = 80000\n";
            let engine = cast.engine_with(&plan, limits, hedging);
            let limit = Duration::from_secs(3600);
            // A client that leaves in the middle takes everything with it.
            let mut left = engine.run(engine.route("").unwrap(), ask(), RequestId::fresh());
            let staying = async { while left.events.next().await.is_some() {} };
            let _ = tokio::time::timeout(ms(deadline_ms / 2), staying).await;
            drop(left);
            assert_eq!(cast.open.load(Ordering::SeqCst), 0, "something was left behind");
            cast.asked.lock().unwrap().clear();
            let outcome = tokio::time::timeout(limit, run(&engine, request)).await;
            let config = engine.config();
            for (model, most) in config.workflow.plan.worst_case_calls(&config.models) {
                let asked = cast.asked(&model).len() as u64;
                let most = most + fallback;
                assert!(asked <= most, "{model}: {asked} calls, and {most} were foretold");
            }
            (outcome.expect("it hangs"), cast.open.load(Ordering::SeqCst))
        });
        prop_assert!(outcome.total <= ms(deadline_ms + 5), "{:?} of {deadline_ms} ms", outcome.total);
        prop_assert_eq!(open, 0);
        let trace = outcome.trace();
        assert_ended(&trace);
        prop_assert_eq!(trace["usage"]["total_tokens"].as_u64().unwrap(), spent(&trace), "{}", trace);
        prop_assert_eq!(attempts(&trace), (outcome.calls, outcome.calls), "{}", trace);
        let (critical, overhead) = outcome.critical();
        prop_assert_eq!(overhead, Duration::ZERO, "{}", trace);
        prop_assert_eq!(critical.iter().map(|one| one.duration).sum::<Duration>(), outcome.total, "{}", trace);
        match &outcome.ending {
            Ok(_) => prop_assert!(!outcome.text.is_empty()),
            Err(failed) => prop_assert!(!failed.error.to_string().is_empty()),
        }
    }

    /// One level of workers that answer, fail, or fail for good: drafting ends at the q-th answer and
    /// the grace, or when everyone has ended.
    #[test]
    fn the_drafting_ends_with_the_quorum_and_its_grace(
        workers in prop::collection::vec((1_u64..5_000, 0_u8..4), 1..7),
        quorum in prop_oneof![
            (1_u64..7).prop_map(|n| json!(n)),
            (0.01..0.99_f64).prop_map(|share| json!(share)),
        ],
        grace in 0_u64..1_000,
    ) {
        // Nothing happens at the same millisecond, or the order would be anybody's guess.
        let workers: Vec<(u64, u8)> =
            workers.iter().enumerate().map(|(n, (ms, kind))| (ms * 8 + n as u64, *kind)).collect();
        let grace = grace * 8 + 7;
        let quorum = match quorum.as_u64() {
            Some(many) => json!(many.min(workers.len() as u64)),
            None => quorum,
        };
        let mut cast = Cast::default().model("w", says(0, "fused"));
        for (n, (at, kind)) in workers.iter().enumerate() {
            let name = format!("m{n}");
            cast = match kind {
                0 => cast.model(&name, fails(*at, LlmErrorKind::NotFound)),
                1 => cast.model(&name, fails(*at, LlmErrorKind::Transport)),
                _ => cast.model(&name, says(*at, "an answer")),
            };
        }
        let names: Vec<String> = (0..workers.len()).map(|n| format!("m{n}")).collect();
        let plan = json!({ "workers": names, "synthesizer": "w",
            "policy": { "quorum": quorum, "grace_ms": grace } });
        let outcome = block_on(async {
            run(&cast.engine(&plan, "[workflow.timeouts]\nworker_timeout_secs = 80000\n"), ask()).await
        });

        // The same in another way: a walk along the endings.
        let mut endings = workers.clone();
        endings.sort_unstable();
        let last = endings.last().unwrap().0;
        let (mut able, mut answered, mut reached) = (workers.len(), 0, None);
        for (at, kind) in endings {
            match kind {
                0 => able -= 1,
                1 => {}
                _ => answered += 1,
            }
            let share = |share: f64| (share * able as f64 - 1e-9).ceil() as usize;
            let needed = quorum.as_u64().map_or_else(
                || share(quorum.as_f64().unwrap()),
                |many| (many as usize).min(able),
            );
            if reached.is_none() && answered > 0 && answered >= needed {
                reached = Some(at);
            }
        }
        let want = reached.map_or(last, |at| (at + grace).min(last));
        prop_assert!(outcome.total >= ms(want) && outcome.total <= ms(want + 3), "{:?}, wanted {want}", outcome.total);
        prop_assert_eq!(outcome.ending.is_ok(), answered > 0);
        prop_assert_eq!(cast.open.load(Ordering::SeqCst), 0);
    }
}
