//! What a run may take at worst, before it begins.

use serde_json::Value;

use super::{
    Engine, Route,
    stage::excerpt::{BYTES_PER_TOKEN, weight},
};
use crate::{
    config::{Model, Sizes, Spending},
    types::{Amount, OutputFormat, Request},
};

/// What an analyzer, a judge or a ranker writes at most where its stage has no `max_tokens`.
const JUDGED_TOKENS: u64 = 2048;
/// More than the instructions of any stage are long, with the labels of its drafts.
const INSTRUCTION_TOKENS: u64 = 1024;

impl Engine {
    /// What a run of this request can come to: every call that the route may make, each with as many
    /// attempts as it may have, prompts of the conversation's length and answers as long as
    /// `max_tokens` or the contexts of the models allow. Calls of models without a price cost nothing.
    #[must_use]
    pub fn worst_case(&self, route: &Route, request: &Request) -> Amount {
        let sizes = self.sizes(request);
        match route {
            Route::Direct(model) | Route::Task(model, _) => {
                let model = model.config();
                let wanted = request.context_wanted().unwrap_or_default();
                let room = u64::from(wanted.max(model.context_tokens));
                let calls = 1 + u64::from(model.hedges_elsewhere());
                let mut call = sizes.direct(model);
                if sizes.answer.is_none() {
                    let longest = room.saturating_sub(sizes.prompt);
                    call.output_tokens = call.output_tokens.max(longest);
                }
                self.amount(model, call).times(calls)
            }
            Route::Workflow(workflow) => {
                let mut sum = Amount::default();
                let models = &self.config.models;
                for (name, spending) in workflow.plan.worst_case_of(models, sizes) {
                    if let Some(model) = models.get(name) {
                        sum += self.amount(model, spending);
                    }
                }
                sum
            }
        }
    }

    /// What one call of a model can come to that gets a prompt of so many bytes and answers nothing
    /// but numbers.
    #[must_use]
    pub fn worst_case_of_forwarding(&self, model: &Model, bytes: usize) -> Amount {
        self.amount(model, Spending { calls: 1, input_tokens: tokens(bytes), output_tokens: 0 })
    }

    fn amount(&self, model: &Model, spending: Spending) -> Amount {
        let Spending { calls, input_tokens, output_tokens } = spending;
        let retries = self.config.retry.further_attempts(model.endpoints.len());
        let attempts = u64::try_from(retries).unwrap_or(u64::MAX).saturating_add(1);
        let price = model.price.map(|price| price.picodollars(input_tokens, output_tokens));
        Amount {
            calls: calls.saturating_mul(attempts),
            tokens: input_tokens.saturating_add(output_tokens),
            picodollars: price.unwrap_or_default(),
        }
    }

    fn sizes(&self, request: &Request) -> Sizes {
        let prompt = &request.prompt;
        let tools = prompt.tools.iter().map(|tool| {
            let described = tool.description.as_ref().map_or(0, String::len);
            tool.name.len() + described + tool.parameters.as_ref().map_or(0, length)
        });
        let format = match &prompt.format {
            OutputFormat::Schema { schema, .. } => schema.text().len(),
            OutputFormat::Text | OutputFormat::Json => 0,
        };
        Sizes {
            prompt: tokens(weight(&request.messages) + tools.sum::<usize>() + format),
            instructions: INSTRUCTION_TOKENS,
            judged: JUDGED_TOKENS,
            written: None,
            answer: prompt.max_tokens.map(u64::from),
        }
    }
}

fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u64::MAX)
}

/// About how long a value is as JSON, without writing it.
fn length(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 5,
        Value::String(text) => text.len() + 2,
        Value::Array(values) => 2 + values.iter().map(|value| length(value) + 1).sum::<usize>(),
        Value::Object(entries) => {
            2 + entries.iter().map(|(key, value)| key.len() + 4 + length(value)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        types::{Message, Role},
    };
    use std::sync::Arc;

    const CONFIG: &str = r#"
[[model]]
name = "a"
api_base = "https://a.example/v1"
context_tokens = 4000
price = { input_per_mtok = 1.0, output_per_mtok = 2.0 }
[[model]]
name = "b"
api_base = "https://b.example/v1"
context_tokens = 4000
[workflow-integration]
json = '''{"workers": [{"ref": "a", "max_tokens": 100}, {"ref": "b"}],
  "synthesizer": {"ref": "a"}}'''
[workflow.retry]
max_retries = 1
"#;

    fn engine() -> Engine {
        Engine::new(Arc::new(Config::parse(CONFIG, None, &|_| None).unwrap())).unwrap()
    }

    fn request(max_tokens: Option<u32>) -> Request {
        // 892 bytes of text, 8 for the message: 300 tokens.
        let mut request = Request::new("a", vec![Message::text(Role::User, "x".repeat(892))]);
        request.prompt.max_tokens = max_tokens;
        request
    }

    #[test]
    fn a_direct_call_takes_its_prompt_and_the_longest_answer() {
        let engine = engine();
        for (model, max_tokens, want) in [
            // Twice, for the retry; 300 + 2 * 50 dollars a million.
            ("a", Some(50), Amount { calls: 2, tokens: 350, picodollars: 400_000_000 }),
            ("a", None, Amount { calls: 2, tokens: 4000, picodollars: 7_700_000_000 }),
            ("b", Some(50), Amount { calls: 2, tokens: 350, picodollars: 0 }),
        ] {
            let route = engine.route(model).unwrap();
            assert_eq!(engine.worst_case(&route, &request(max_tokens)), want, "{model}");
        }
    }

    #[test]
    fn a_workflow_takes_all_of_its_calls() {
        let engine = engine();
        let route = engine.route("chorus").unwrap();
        let found = engine.worst_case(&route, &request(Some(50)));
        // a drafts: 1324 in, 100 out; b: 300 in, 3700 out, for it has no bound; a writes twice: 50 out,
        // and reads as much as its context holds.
        let (a, b, write) = (1324 + 100, 4000, 2 * (50 + 3950));
        assert_eq!((found.calls, found.tokens), (2 * 4, a + b + write));
        let unbounded = engine.worst_case(&route, &request(None));
        assert!(unbounded.tokens >= found.tokens && unbounded.picodollars > found.picodollars);
    }
}
