//! What one request to a plan can cost at worst: calls, tokens, dollars.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Member, Model, Plan, Stage};
use crate::config::Price;

/// Tokens that a conversation is assumed to have. An analyzer reads no more of it than this, and a
/// bit, whatever it has.
pub const PROMPT_TOKENS: u64 = 1000;
/// Tokens that an answer is assumed to have where its stage has no `max_tokens`.
pub const ANSWER_TOKENS: u64 = 1000;

/// What the calls of one model come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// How often it is asked.
    pub calls: u64,
    /// Tokens that it reads, in all calls together.
    pub input_tokens: u64,
    /// Tokens that it writes, in all calls together.
    pub output_tokens: u64,
}

impl Spending {
    /// Adds another's.
    pub fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
    }

    /// The cost in dollars.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate in dollars")]
    pub fn dollars(&self, price: &Price) -> f64 {
        (self.input_tokens as f64 * price.input_per_mtok
            + self.output_tokens as f64 * price.output_per_mtok)
            / 1e6
    }
}

/// Whether a stage may make a second call while the first one is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    /// Others draft meanwhile, or it is left out when it is late.
    Never,
    /// It is waited for.
    Maybe,
}

type Models = IndexMap<String, Arc<Model>>;

/// How long a conversation and the answers to it are taken to be, in tokens.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The conversation.
    pub prompt: u64,
    /// What a stage adds to it of its own.
    pub instructions: u64,
    /// What an analyzer, reranker or selector without `max_tokens` answers.
    pub judged: u64,
    /// What a worker or synthesizer without `max_tokens` writes; `None`: as much as its context has
    /// room for.
    pub written: Option<u64>,
    /// What the request allows the answer to be, where it says so.
    pub answer: Option<u64>,
}

impl Sizes {
    /// Of a request that nobody has made yet.
    const USUAL: Self = Self {
        prompt: PROMPT_TOKENS,
        instructions: 0,
        judged: ANSWER_TOKENS,
        written: Some(ANSWER_TOKENS),
        answer: None,
    };
    /// What is left for an answer of which only the context says how long it may be, where the
    /// conversation is longer than that already.
    const ROOM: u64 = 4096;

    /// What one call of a model can come to that has only the conversation to read.
    #[must_use]
    pub fn direct(&self, model: &Model) -> Spending {
        let most = least(self.written, self.answer);
        self.calls(Some(model), 1, self.prompt, most)
    }

    /// So many calls of a model that has so much to read, and writes at most so much. A conversation is
    /// sent whole, whatever the context; what is added to it is cut to fit.
    fn calls(&self, model: Option<&Model>, times: u64, read: u64, most: Option<u64>) -> Spending {
        let context = model.map_or(u64::MAX, |model| u64::from(model.context_tokens));
        let output = self.output(context, most);
        let input = read.min(context.saturating_sub(output).max(self.prompt));
        Spending {
            calls: times,
            input_tokens: input.saturating_mul(times),
            output_tokens: output.saturating_mul(times),
        }
    }

    fn output(&self, context: u64, most: Option<u64>) -> u64 {
        let room = || context.checked_sub(self.prompt).filter(|room| *room > 0);
        most.map_or_else(|| room().unwrap_or(Self::ROOM), |most| most.min(context))
    }
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

impl Plan {
    /// What one request comes to by model when everything that can be needed is needed: an analyzer
    /// and a worker once; a reranker and a synthesizer twice (once more with less, after a refusal
    /// for the context's length); a selector three times (that, and its one repair try). A
    /// `fallback` model is asked as often as the one it stands in for, and each worker's model once where
    /// tools are asked for and no synthesizer is there to call them. Once more counts each model
    /// that may be asked a second time elsewhere (`hedge_after_ms`; a fallback that is asked early is
    /// counted already). Not counted are retries, which `[workflow.retry]` bounds per call,
    /// repairs of refused parameters, and the model of the best draft, which writes in the place of
    /// writers that failed where tools may be called. In the order in which the plan names the models.
    ///
    /// Tokens are an estimate: a prompt has [`PROMPT_TOKENS`], an answer its stage's `max_tokens` or
    /// [`ANSWER_TOKENS`], and who judges or writes reads the prompt and all candidates, as far as its
    /// context reaches.
    #[must_use]
    pub fn worst_case(&self, models: &IndexMap<String, Arc<Model>>) -> IndexMap<String, Spending> {
        let found = self.worst_case_of(models, Sizes::USUAL).into_iter();
        found.map(|(name, spending)| (name.to_owned(), spending)).collect()
    }

    /// The calls of [`Plan::worst_case`].
    #[must_use]
    pub fn worst_case_calls(&self, models: &IndexMap<String, Arc<Model>>) -> IndexMap<String, u64> {
        let found = self.worst_case(models).into_iter();
        found.map(|(name, spending)| (name, spending.calls)).collect()
    }

    /// [`Plan::worst_case`] of a request of these sizes.
    #[must_use]
    pub fn worst_case_of(
        &self,
        models: &IndexMap<String, Arc<Model>>,
        sizes: Sizes,
    ) -> IndexMap<&str, Spending> {
        let mut found = IndexMap::new();
        let count = Count { models, sizes };
        count.level(self, sizes.answer, &mut found);
        // Those that answer alone, one after the other, are waited for, as the synthesizer would be.
        let alone = if self.synthesizer.is_none() { self.tool_callers() } else { Vec::new() };
        for (name, stage) in alone {
            if let Some(model) = models.get(name)
                && model.hedges_elsewhere()
                && let Some(spending) = found.get_mut(name)
                && spending.calls < 2
            {
                let most = least(count.written(stage), sizes.answer);
                spending.add(sizes.calls(Some(model), 1, sizes.prompt, most));
            }
        }
        found
    }
}

/// Counts what a request of some size comes to.
struct Count<'m> {
    models: &'m Models,
    sizes: Sizes,
}

impl Count<'_> {
    /// Adds a level and those below; `answer`: what the request allows, where the level answers it.
    fn level<'p>(
        &self,
        plan: &'p Plan,
        answer: Option<u64>,
        found: &mut IndexMap<&'p str, Spending>,
    ) {
        let mut add =
            |stage: &'p Stage, read: u64, times: u64, second: Second, most: Option<u64>| {
                for name in stage.names() {
                    let model = self.models.get(name).map(Arc::as_ref);
                    let hedges = model.is_some_and(Model::hedges_elsewhere);
                    let again = u64::from(hedges && second == Second::Maybe);
                    let times = times.saturating_add(again);
                    let spending = self.sizes.calls(model, times, read, most);
                    found.entry(name).or_default().add(spending);
                }
            };
        let Sizes { prompt, instructions, judged, .. } = self.sizes;
        let own = prompt.saturating_add(instructions);
        let judged = |stage: &Stage| Some(stage.max_tokens.map_or(judged, u64::from));
        let sum = |sizes: &[u64]| sizes.iter().fold(own, |sum, size| sum.saturating_add(*size));
        if let Some(stage) = &plan.analyzer {
            let read = PROMPT_TOKENS.min(prompt).saturating_add(instructions);
            add(stage, read, 1, Second::Maybe, judged(stage));
        }
        for member in &plan.members {
            if let Member::Leaf(leaf) = member {
                let most =
                    least(self.written(&leaf.stage), answer.filter(|_| plan.synthesizer.is_none()));
                add(&leaf.stage, own, 1, Second::Never, most);
            }
        }
        if let Some(reranker) = &plan.reranker {
            let (stage, read) = (&reranker.stage, sum(&self.candidates(plan)));
            add(stage, read, 2, Second::Never, judged(stage));
        }
        if let Some(stage) = &plan.selector {
            add(stage, sum(&self.kept(plan)), 3, Second::Maybe, judged(stage));
        }
        if let Some(stage) = &plan.synthesizer {
            let most = least(self.written(stage), answer);
            add(stage, sum(&self.kept(plan)), 2, Second::Maybe, most);
        }
        for member in &plan.members {
            if let Member::Nested(plan) = member {
                self.level(plan, None, found);
            }
        }
    }

    /// The sizes of all candidates of a level, in tokens.
    fn candidates(&self, plan: &Plan) -> Vec<u64> {
        let of = |member: &Member| match member {
            Member::Leaf(leaf) => vec![self.text(&leaf.stage)],
            Member::Nested(plan) => self.goes_up(plan),
        };
        plan.members.iter().flat_map(of).collect()
    }

    /// Those that a reranker leaves; the largest, at worst.
    fn kept(&self, plan: &Plan) -> Vec<u64> {
        let mut sizes = self.candidates(plan);
        if let Some(reranker) = &plan.reranker {
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            sizes.truncate(reranker.top_k);
        }
        sizes
    }

    /// What the level above gets of this one.
    fn goes_up(&self, plan: &Plan) -> Vec<u64> {
        match (&plan.selector, &plan.synthesizer) {
            (_, Some(writer)) => vec![self.text(writer)],
            (Some(_), None) => self.kept(plan).into_iter().max().into_iter().collect(),
            (None, None) => self.kept(plan),
        }
    }

    /// What a stage writes whose `max_tokens` bounds a text.
    fn written(&self, stage: &Stage) -> Option<u64> {
        stage.max_tokens.map(u64::from).or(self.sizes.written)
    }

    /// The length of such a text, whichever of its models writes it.
    fn text(&self, stage: &Stage) -> u64 {
        let most = self.written(stage);
        most.unwrap_or_else(|| {
            let models = stage.names().filter_map(|name| self.models.get(name));
            let longest = models.map(|model| self.sizes.output(model.context_tokens.into(), None));
            longest.max().unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Leaf, Policy, Reranker};

    fn leaf(model: &str, max_tokens: Option<u32>) -> Member {
        let stage = Stage { max_tokens, ..Stage::of(model) };
        Member::Leaf(Leaf { name: model.to_owned(), stage, copy: 0 })
    }

    fn plan(members: Vec<Member>) -> Plan {
        Plan {
            name: "p".to_owned(),
            analyzer: None,
            members,
            reranker: None,
            selector: None,
            synthesizer: None,
            policy: Policy::default(),
        }
    }

    fn models(contexts: [u32; 3]) -> Models {
        let named = ["a", "b", "c"].into_iter().zip(contexts);
        named
            .map(|(name, context_tokens)| {
                let plain = Model::plain(name, "http://127.0.0.1:1/v1");
                (name.to_owned(), Arc::new(Model { context_tokens, ..plain }))
            })
            .collect()
    }

    /// Figures worked out by hand: (calls, tokens in, tokens out) of a, b and c.
    #[test]
    fn tokens_are_those_that_a_hand_would_count() {
        let analyzer = Some(Stage { max_tokens: Some(50), ..Stage::of("a") });
        let workers = || vec![leaf("a", None), leaf("b", Some(300)), leaf("b", None)];
        let judge = || Some(Stage { max_tokens: Some(200), ..Stage::of("c") });
        let reranker = || Some(Reranker { stage: Stage::of("c"), top_k: 2 });
        let panel = Plan { selector: judge(), ..plan(workers()) };
        let all = Plan { analyzer: None, reranker: reranker(), ..plan(workers()) };
        let writes = Plan { synthesizer: judge(), ..plan(vec![leaf("b", None)]) };
        let wide = [32_768; 3];
        for (plan, contexts, want) in [
            // Workers: the prompt, and their answers.
            (plan(workers()), wide, [(1, 1000, 1000), (2, 2000, 1300), (0, 0, 0)]),
            // The analyzer 1000 and 50; the judge reads 1000 + 1000 + 300 + 1000, three times.
            (
                Plan { analyzer, ..panel.clone() },
                wide,
                [(2, 2000, 1050), (2, 2000, 1300), (3, 9900, 600)],
            ),
            // The reranker reads 3300 twice and writes 1000; the writer the prompt and the two
            // largest, 3000, twice, and writes 200.
            (
                Plan { synthesizer: judge(), ..all.clone() },
                wide,
                [(1, 1000, 1000), (2, 2000, 1300), (4, 12_600, 2400)],
            ),
            // A panel that selects sends up one candidate of 1000, one that ranks two of 1000, one
            // that writes one of 200: the writer above reads 1000 + 1000 + 2000 + 200 twice.
            (
                Plan {
                    synthesizer: Some(Stage::of("a")),
                    ..plan(vec![
                        Member::Nested(panel.clone()),
                        Member::Nested(all),
                        Member::Nested(writes),
                    ])
                },
                wide,
                [
                    (4, 2000 + 8400, 2000 + 2000),
                    (5, 5000, 1300 + 1300 + 1000),
                    // select 3 * 3300, rank 2 * 3300, write 2 * 2000.
                    (7, 9900 + 6600 + 4000, 600 + 2000 + 400),
                ],
            ),
            // A small context holds only so much beside the answer.
            (panel, [32_768, 32_768, 2048], [(1, 1000, 1000), (2, 2000, 1300), (3, 5544, 600)]),
        ] {
            let found = plan.worst_case(&models(contexts));
            let of = |name: &str| {
                let Spending { calls, input_tokens, output_tokens } =
                    found.get(name).copied().unwrap_or_default();
                (calls, input_tokens, output_tokens)
            };
            assert_eq!(["a", "b", "c"].map(of), want);
        }
    }

    #[test]
    fn prices_are_per_million_tokens() {
        let spending = Spending { calls: 3, input_tokens: 250_000, output_tokens: 10_000 };
        let price = Price { input_per_mtok: 2.0, output_per_mtok: 15.0 };
        assert!((spending.dollars(&price) - 0.65).abs() < 1e-9);
    }
}
