//! The four stages that are compared, and the names that tell the pretended upstream how to play
//! them.

use serde::{Deserialize, Serialize};
use serde_json::json;

/// Bytes of one pretended token.
pub(crate) const TOKEN_BYTES: usize = 12;

/// A workflow: a model's name for each stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Asked first, without streaming.
    pub(crate) analyzer: String,
    /// Asked at the same time, streamed. Their answers differ.
    pub(crate) workers: Vec<String>,
    /// Asked without streaming; none: the writer follows the workers.
    pub(crate) selector: Option<String>,
    /// Streams the answer.
    pub(crate) writer: String,
    /// Whether the workers wait for the analysis.
    pub(crate) dependent: bool,
}

/// How long each stage of a plan takes.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// To the first token of analyzer, workers, selector and writer, in milliseconds.
    pub(crate) latency: [u32; 4],
    /// Tokens of a worker and of the writer.
    pub(crate) tokens: [u32; 2],
    /// Between their tokens, in milliseconds.
    pub(crate) gap: u32,
}

impl Plan {
    /// One of the comparison's plans.
    pub(crate) fn new(shape: Shape, workers: usize, judged: bool, dependent: bool) -> Self {
        let Shape { latency: [first, second, third, fourth], tokens: [drafts, answer], gap } =
            shape;
        let worker = |seed| writes("worker", second, drafts, gap, seed);
        Self {
            analyzer: format!("analyzer-lat{first}"),
            workers: (1..=workers).map(worker).collect(),
            selector: judged.then(|| format!("selector-lat{third}")),
            writer: writes("writer", fourth, answer, gap, 0),
            dependent,
        }
    }

    /// Calls of one run.
    pub(crate) fn calls(&self) -> usize {
        self.workers.len() + 2 + usize::from(self.selector.is_some())
    }
}

/// The name of a model that writes text.
pub(crate) fn writes(kind: &str, latency: u32, tokens: u32, gap: u32, seed: usize) -> String {
    format!("{kind}-lat{latency}-tok{tokens}-gap{gap}-size{TOKEN_BYTES}-seed{seed}")
}

/// How many tokens such a model writes.
pub(crate) fn tokens(name: &str) -> Option<usize> {
    name.split('-').find_map(|part| part.strip_prefix("tok")?.parse().ok())
}

/// The body of a chat completion request.
pub(crate) fn ask(model: &str, stream: bool) -> String {
    let question = "Why is the sky blue, and why is the evening sky red?";
    let messages = json!([{ "role": "user", "content": question }]);
    json!({ "model": model, "stream": stream, "messages": messages }).to_string()
}
