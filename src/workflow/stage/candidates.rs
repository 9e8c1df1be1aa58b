//! Candidates as whoever judges them sees them: without names, in an order of the run's own, each
//! fenced as untrusted data with an equal share of the room there is.

use serde_json::{Map, Value, json};

use super::{
    drafts::{DraftsCut, USEFUL_BYTES},
    excerpt, lenient,
};
use crate::{
    config::Stage,
    llm::Model,
    types::{Message, Role},
    workflow::{StageKind, context::RunContext, step::Candidate},
};

/// How much of the judge's context may be the conversation.
const CONVERSATION_BYTES: usize = 8 * 1024;

/// What is to be judged, and by whom.
#[derive(Clone, Copy)]
pub(super) struct Lineup<'a> {
    pub(super) run: &'a RunContext,
    pub(super) stage: &'a Stage,
    /// Which that is.
    pub(super) kind: StageKind,
    pub(super) candidates: &'a [Candidate],
    /// Which candidate stands at which label, from label 1.
    pub(super) order: &'a [usize],
}

impl Lineup<'_> {
    /// The instructions, then the conversation and every candidate, then the question. `halved`: the
    /// model's context turned out smaller than configured.
    pub(super) fn messages(
        self,
        model: &Model,
        max_tokens: u32,
        halved: bool,
        instructions: &str,
        question: &str,
    ) -> Vec<Message> {
        let Self { run, stage, kind, candidates, order } = self;
        let context = run.context_tokens(model);
        let bytes = excerpt::part_of(context, CONVERSATION_BYTES);
        let conversation = excerpt::conversation(&run.request.messages, bytes);
        let used = conversation.len() + instructions.len() + 128 * candidates.len();
        let whole = excerpt::share(context, max_tokens as usize, used, candidates.len());
        let texts = || candidates.iter().map(|candidate| candidate.text.as_str());
        let nonce = &run.nonce(kind, texts());
        let share = if halved { excerpt::halved(whole, texts()) } else { whole };
        let lengths = || texts().map(str::len);
        if share < USEFUL_BYTES && lengths().any(|length| length > share) {
            let shown = lengths().map(|length| length.min(share)).sum();
            let (model, whole) = (model.config().name.clone(), lengths().sum());
            run.warn_of_cut(kind, &DraftsCut { model, context_tokens: context, shown, whole });
        }
        let mut text = excerpt::fenced("conversation", nonce, "", &conversation);
        for (place, index) in order.iter().enumerate() {
            let answer = candidates.get(*index).map_or("", |candidate| &candidate.text);
            let answer = excerpt::excerpt(answer, share);
            let label = format!(" label=\"{}\"", place + 1);
            text.push('\n');
            text.push_str(&excerpt::fenced("candidate", nonce, &label, &answer));
        }
        text.push('\n');
        text.push_str(question);
        let instructions = match &stage.system {
            Some(added) => format!("{instructions}\n{added}"),
            None => instructions.to_owned(),
        };
        vec![Message::text(Role::System, instructions), Message::text(Role::User, text)]
    }

    /// `order[i]` is the index of the candidate shown as label i + 1.
    pub(super) fn indices(self) -> Vec<usize> {
        self.order.iter().filter_map(|index| Some(self.candidates.get(*index)?.index)).collect()
    }
}

/// Which candidate stands at which label: a permutation that is the same for the same seed.
pub(super) fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut order);
    order
}

/// The labels of so many candidates.
pub(super) fn labels(count: usize) -> Vec<String> {
    (1..=count).map(|label| label.to_string()).collect()
}

/// The schema of a score for every label.
pub(super) fn scores_schema(labels: &[String]) -> Value {
    let scores: Map<String, Value> =
        labels.iter().map(|label| (label.clone(), json!({ "type": "number" }))).collect();
    json!({
        "type": "object",
        "properties": scores,
        "required": labels,
        "additionalProperties": false
    })
}

/// The candidate at a label, if that was shown.
pub(super) fn at_label(label: &str, order: &[usize]) -> Option<usize> {
    order.get(label_number(label)?.checked_sub(1)?).copied()
}

/// The scores of an answer by candidate, leniently; labels that were not shown are dropped.
pub(super) fn scores(object: &Map<String, Value>, order: &[usize]) -> Vec<(usize, f64)> {
    let scores = object.get("scores").and_then(Value::as_object).into_iter().flatten();
    scores
        .filter_map(|(label, score)| Some((at_label(label, order)?, lenient::number(score)?)))
        .collect()
}

/// `2` of "2", "#2", "Candidate 2"; nothing when there is not exactly one number.
fn label_number(label: &str) -> Option<usize> {
    let mut numbers = label.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let number = numbers.next()?.parse().ok()?;
    numbers.next().is_none().then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_order_is_a_permutation_and_repeatable(count in 1usize..40, seed in any::<u64>()) {
            let order = shuffled(count, seed);
            prop_assert_eq!(&order, &shuffled(count, seed));
            let mut sorted = order;
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..count).collect::<Vec<_>>());
        }
    }
}
