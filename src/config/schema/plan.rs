//! The plan: JSON in the config's `json`, or in a file of its own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

/// A workflow of Chorus: who analyses, who drafts, who judges, who writes.
///
/// A stage or worker is the name of a model, or an object with `ref` and options.
#[derive(JsonSchema)]
#[schemars(
    title = "Chorus plan",
    deny_unknown_fields,
    extend("anyOf" = [{ "required": ["selector"] }, { "required": ["synthesizer"] }])
)]
pub(super) struct Plan {
    /// Where the schema of this file is, for editors; Chorus does not read it.
    #[serde(rename = "$schema")]
    #[schemars(example = &"./plan.schema.json")]
    schema: Option<String>,
    #[schemars(flatten)]
    level: Level,
}

/// What a workflow has, nested or not.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Level {
    /// Reads the task first and advises on the temperature. Left out: no advice; in a nested
    /// workflow the parent's analysis.
    #[schemars(example = &"small")]
    analyzer: Option<Stage>,
    /// Who drafts, all at the same time; at least one.
    #[schemars(length(min = 1), example = ["a", "b"])]
    workers: Vec<Worker>,
    /// Scores the drafts and keeps the best few for the selector.
    #[schemars(example = &"judge")]
    reranker: Option<Reranker>,
    /// Picks the best draft. Left out: the draft that is most like the others.
    #[schemars(example = &"judge")]
    selector: Option<Stage>,
    /// Writes the answer from the drafts. Left out: the best draft is the answer.
    #[schemars(example = &"writer")]
    synthesizer: Option<Stage>,
    /// How the workers are waited for; nested workflows do not inherit it.
    policy: Option<Policy>,
}

/// A model in a role: its name, or an object.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = or_a_name)]
struct Stage {
    #[schemars(flatten)]
    call: Call,
}

/// What every stage takes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Call {
    /// The `[[model]]` that is asked.
    #[schemars(regex(pattern = r"\S"), example = &"deepseek-chat")]
    r#ref: Option<String>,
    /// What traces call it; without `ref` it names the model too.
    #[schemars(regex(pattern = r"\S"), example = &"terse")]
    name: Option<String>,
    /// Its temperature here; before every other word on it.
    #[schemars(range(min = 0, max = 2), example = 0.3)]
    temperature: Option<f64>,
    /// Whether the analyzer chooses the temperature. Default: the model's, else the analyzer's own
    /// `auto_temperature`, else false.
    #[schemars(example = true)]
    auto_temperature: Option<bool>,
    /// The most tokens it may write; default: as the request says.
    #[schemars(range(min = 1, max = 4_294_967_295_u32), example = 800)]
    max_tokens: Option<u32>,
    /// Text added to its system message.
    #[schemars(example = &"Answer in one paragraph.")]
    system: Option<String>,
    /// Its time limit in seconds; default: `[workflow.domains]`, then `[workflow.timeouts]`.
    #[schemars(range(min = 0.001, max = 86_400), example = 45.5)]
    timeout_secs: Option<f64>,
    /// Models tried in order when the first one fails.
    #[schemars(inner(regex(pattern = r"\S")), extend("default" = []), example = ["deepseek-chat"])]
    fallback: Option<Vec<String>>,
}

/// The reranker: a model's name, or an object.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = or_a_name)]
struct Reranker {
    #[schemars(flatten)]
    call: Call,
    /// How many drafts go on.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 3))]
    top_k: Option<u32>,
}

/// An entry of `workers`: the name of a model, an object with `ref`, or an object with `workers`, a
/// workflow of its own.
struct Worker;

impl JsonSchema for Worker {
    fn schema_name() -> Cow<'static, str> {
        "Worker".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A worker: the name of a model, an object with `ref` and options, or an \
                            object with `workers`, which is a workflow of its own.",
            "type": ["string", "object"],
            "if": { "type": "object", "required": ["workers"] },
            "then": generator.subschema_for::<Panel>(),
            "else": generator.subschema_for::<Leaf>(),
        })
    }
}

/// A worker that is one model: its name, or an object.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = or_a_name)]
struct Leaf {
    #[schemars(flatten)]
    call: Call,
    /// How often it is asked; `max_workers` counts each.
    #[schemars(range(min = 1, max = 65_536), extend("default" = 1))]
    samples: Option<u32>,
}

/// A worker that is a workflow of its own. Without a synthesizer its best draft goes up; without a
/// selector too, all its drafts do.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Panel {
    /// What traces call it.
    #[schemars(extend("default" = "workflow"), example = &"panel")]
    name: Option<String>,
    #[schemars(flatten)]
    level: Level,
}

/// How the workers of one level are waited for.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Policy {
    /// Fewer good drafts than this, and the level fails; at most as many as there are workers.
    #[schemars(range(min = 1), extend("default" = 1))]
    min_success: Option<u64>,
    /// How many good drafts are enough: a whole number counts workers, a fraction below 1 is a share
    /// of them, rounded up. Default: all.
    #[schemars(example = 2, example = 0.75)]
    quorum: Option<Quorum>,
    /// Milliseconds that the others have left once the quorum has answered.
    #[schemars(range(min = 0, max = 86_400_000), extend("default" = 0), example = 1500)]
    grace_ms: Option<u32>,
    /// Seconds that the whole level may take; by default there is no such limit.
    #[schemars(range(min = 0.001, max = 86_400), example = 90)]
    deadline_secs: Option<f64>,
    /// This share of drafts with the same final answer (or prose that says the same) needs neither
    /// selector nor synthesizer; off by default.
    #[schemars(range(min = 0, max = 1), example = 0.95)]
    agreement: Option<f64>,
    /// Whether the analyzer may choose among the workers and lower the quorum; the level needs an
    /// analyzer of its own.
    #[schemars(extend("default" = false))]
    overrides: Option<bool>,
    /// What workers are shown of the request's tools, which they may not call.
    #[schemars(extend("default" = "list"))]
    worker_tools: Option<WorkerTools>,
    /// When workers start.
    #[schemars(extend("default" = "overlap"))]
    schedule: Option<Schedule>,
}

struct Quorum;

impl JsonSchema for Quorum {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quorum".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Below 1 any number, from there on whole ones.
        json_schema!({
            "type": "number",
            "exclusiveMinimum": 0,
            "if": { "minimum": 1 },
            "then": { "type": "integer" },
        })
    }
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum WorkerTools {
    /// their names and first sentences, 2 KB at most
    List,
    /// the definitions, with tool choice `none` where the protocol has that
    Schemas,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum Schedule {
    /// one that does not wait for the analyzer's advice starts at once
    Overlap,
    /// every worker waits for the analysis
    Sequential,
}

/// Text is the name of a model; an object must name one too.
fn or_a_name(schema: &mut Schema) {
    schema.insert("type".to_owned(), json!(["string", "object"]));
    schema.insert("pattern".to_owned(), r"\S".into());
    schema.insert("anyOf".to_owned(), json!([{ "required": ["ref"] }, { "required": ["name"] }]));
}
