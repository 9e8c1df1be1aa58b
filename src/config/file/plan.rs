//! The plan: JSON in the config's `json`, or in a file of its own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Number, json};

use super::Instruction;

/// A workflow of Chorus: who analyses, who drafts, who judges, who writes.
///
/// A stage or worker is the name of a model, or an object with `ref` and options.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(
    title = "Chorus plan",
    deny_unknown_fields,
    extend("anyOf" = [{ "required": ["selector"] }, { "required": ["synthesizer"] }])
)]
pub(in crate::config) struct Plan {
    /// The place of this file's schema, for editors; Chorus does not read it.
    #[serde(rename = "$schema")]
    #[schemars(example = &"./plan.schema.json")]
    pub _schema: Option<String>,
    #[serde(flatten)]
    pub level: Level,
}

/// What a workflow has, nested or not.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Level {
    /// Reads the task first and advises on the temperature. Left out: no advice; in a nested
    /// workflow the parent's analysis.
    #[schemars(example = &"small")]
    pub analyzer: Option<NameOr<Stage>>,
    // What is no worker stays as `None`, so that the others keep their numbers.
    /// The workers, which draft all at the same time; at least one.
    #[schemars(
        required,
        length(min = 1),
        extend("x-missing" = "add `\"workers\": [ { \"ref\": \"a-model\" } ]`"),
        example = ["a", "b"]
    )]
    pub workers: Option<Vec<Option<Worker>>>,
    /// Scores the drafts and keeps the best few for the selector.
    #[schemars(example = &"judge")]
    pub reranker: Option<NameOr<Reranker>>,
    /// Picks the best draft. Left out: the draft that is most like the others.
    #[schemars(example = &"judge")]
    pub selector: Option<NameOr<Stage>>,
    /// Writes the answer from the drafts. Left out: the best draft is the answer.
    #[schemars(example = &"writer")]
    pub synthesizer: Option<NameOr<Stage>>,
    /// How the workers are waited for; nested workflows do not inherit it.
    #[schemars(extend("default" = {}))]
    pub policy: Policy,
}

/// The name of a model, or an object.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
pub(in crate::config) enum NameOr<T> {
    /// The name of a model, without options.
    Name(String),
    /// The table, with options.
    Full(T),
}

impl<T: JsonSchema> JsonSchema for NameOr<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        or_a_name(&mut schema);
        schema
    }
}

/// A model in a role: its name, or an object.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Stage {
    #[serde(flatten)]
    pub call: Call,
}

/// What every stage takes.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Call {
    /// The `[[model]]` that is asked.
    #[schemars(regex(pattern = r"\S"), example = &"deepseek-chat")]
    pub r#ref: Option<String>,
    /// What traces call it; without `ref` it names the model too.
    #[schemars(regex(pattern = r"\S"), example = &"terse")]
    pub name: Option<String>,
    /// Its temperature here; before every other word on it.
    #[schemars(range(min = 0, max = 2), example = 0.3)]
    pub temperature: Option<f64>,
    /// Whether the analyzer chooses the temperature. Default: the model's, else the analyzer's own
    /// `auto_temperature`, else false.
    #[schemars(example = true)]
    pub auto_temperature: Option<bool>,
    /// The most tokens it may write; default: as the request says.
    #[schemars(range(min = 1, max = 4_294_967_295_u32), example = 800)]
    pub max_tokens: Option<u32>,
    /// Text added to its system message.
    #[schemars(example = &"Answer in one paragraph.")]
    pub system: Option<Instruction>,
    /// Its time limit in seconds; default: `[workflow.domains]`, then `[workflow.timeouts]`.
    #[schemars(range(min = 0.001, max = 86_400), example = 45.5)]
    pub timeout_secs: Option<f64>,
    /// Models tried in order when the first one fails.
    #[schemars(inner(regex(pattern = r"\S")), extend("default" = []), example = ["deepseek-chat"])]
    pub fallback: Vec<Option<String>>,
}

/// The reranker: a model's name, or an object.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Reranker {
    #[serde(flatten)]
    pub call: Call,
    /// How many drafts go on.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = TOP_K))]
    pub top_k: usize,
}

/// How many candidates a reranker keeps when nobody says.
pub(in crate::config) const TOP_K: usize = 3;

/// An entry of `workers`: the name of a model, an object with `ref`, or an object with `workers`, a
/// workflow of its own.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "a handful, made once at start-up")]
pub(in crate::config) enum Worker {
    /// The name of a model, without options.
    Name(String),
    /// A workflow of its own.
    Panel(Panel),
    /// One model.
    Leaf(Leaf),
}

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
            "else": generator.subschema_for::<NameOr<Leaf>>(),
        })
    }
}

/// A worker that is one model: its name, or an object.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(
    deny_unknown_fields,
    extend("x-elsewhere" = [
        "belongs to a nested workflow, and this worker has no `workers`",
        "add `workers` beside it, or take it out"
    ])
)]
pub(in crate::config) struct Leaf {
    #[serde(flatten)]
    pub call: Call,
    /// How often it is asked; `max_workers` counts each.
    #[schemars(range(min = 1, max = 65_536), extend("default" = 1))]
    pub samples: u64,
}

/// A worker that is a workflow of its own. Without a synthesizer its best draft goes up; without a
/// selector too, all its drafts do.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(
    deny_unknown_fields,
    extend("x-elsewhere" = [
        "belongs to a worker that is one model, and this one has `workers`",
        "take it out, or move it to the workers below"
    ])
)]
pub(in crate::config) struct Panel {
    /// What traces call it.
    #[schemars(extend("default" = "workflow"), example = &"panel")]
    pub name: String,
    // Its policy, which is filled in where it is left out, tells it from a leaf.
    #[serde(flatten)]
    pub level: Level,
}

/// How the workers of one level are waited for.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Policy {
    /// Fewer good drafts than this, and the level fails; at most as many as there are workers.
    #[schemars(range(min = 1), extend("default" = 1))]
    pub min_success: i64,
    /// How many good drafts are enough: a whole number counts workers, a fraction below 1 is a share
    /// of them, rounded up. Default: all.
    #[schemars(example = 2, example = 0.75)]
    pub quorum: Option<Quorum>,
    /// Milliseconds that the others have left once the quorum has answered.
    #[schemars(range(min = 0, max = 86_400_000), extend("default" = 0), example = 1500)]
    pub grace_ms: u64,
    /// Seconds that the whole level may take; by default there is no such limit.
    #[schemars(range(min = 0.001, max = 86_400), example = 90)]
    pub deadline_secs: Option<f64>,
    /// This share of drafts with the same final answer (or prose that says the same) needs neither
    /// selector nor synthesizer; off by default.
    #[schemars(range(min = 0, max = 1), example = 0.95)]
    pub agreement: Option<f64>,
    /// Whether the analyzer may choose among the workers and lower the quorum; the level needs an
    /// analyzer of its own.
    #[schemars(extend("default" = false))]
    pub overrides: bool,
    /// What workers are shown of the request's tools, which they may not call.
    #[schemars(extend("default" = "list"))]
    pub worker_tools: WorkerTools,
    /// When workers start.
    #[schemars(extend("default" = "overlap"))]
    pub schedule: Schedule,
    /// Who answers a turn that only brings results of tools; counts at the top level.
    #[schemars(extend("default" = "writer"))]
    pub tool_turns: ToolTurns,
}

/// How many of the workers, as it is written: `1.0` could be one of them or all.
#[derive(Deserialize, Serialize)]
pub(in crate::config) struct Quorum(pub Number);

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

/// `worker_tools`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum WorkerTools {
    /// their names and first sentences, 2 KB at most
    List,
    /// the definitions, with tool choice `none` where the protocol has that
    Schemas,
}

/// `schedule`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Schedule {
    /// one that does not wait for the analyzer's advice starts at once
    Overlap,
    /// every worker waits for the analysis
    Sequential,
}

/// `tool_turns`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ToolTurns {
    /// the synthesizer alone, and the panel again when a result looks like a failure or the user speaks
    Writer,
    /// always the panel
    Panel,
}

/// Text is the name of a model; an object must name one too.
fn or_a_name(schema: &mut Schema) {
    schema.insert("type".to_owned(), json!(["string", "object"]));
    schema.insert("pattern".to_owned(), r"\S".into());
    schema.insert("anyOf".to_owned(), json!([{ "required": ["ref"] }, { "required": ["name"] }]));
}
