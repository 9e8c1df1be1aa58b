//! What an answer cost. Pure.

use std::time::Duration;

use serde_json::Value;

use crate::types::Usage;

/// What an upstream says of cost; what it leaves out is estimated or measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::llm) struct Counts {
    pub(in crate::llm) prompt: Option<u64>,
    pub(in crate::llm) completion: Option<u64>,
    pub(in crate::llm) cached: Option<u64>,
    pub(in crate::llm) reasoning: Option<u64>,
    pub(in crate::llm) prompt_time: Option<Duration>,
    pub(in crate::llm) completion_time: Option<Duration>,
}

impl Counts {
    /// The usage of an answer: what is not known is estimated at four bytes a token, or as we timed
    /// it. Prompt and answer come with their bytes and times.
    pub(in crate::llm) fn usage(
        &self,
        prompt: (usize, Duration),
        answer: (usize, Duration),
    ) -> Usage {
        let ((prompt_bytes, waited), (written, wrote)) = (prompt, answer);
        // A server that knows no counts says 0; no prompt has no tokens, and neither has what was
        // written.
        let prompt = self.prompt.filter(|count| *count > 0);
        let completion = self.completion.filter(|count| *count > 0 || written == 0);
        Usage {
            prompt_tokens: prompt.unwrap_or_else(|| estimate(prompt_bytes)),
            completion_tokens: completion.unwrap_or_else(|| estimate(written)),
            cached_tokens: self.cached.unwrap_or(0),
            reasoning_tokens: self.reasoning.unwrap_or(0),
            prompt_time: self.prompt_time.unwrap_or(waited),
            completion_time: self.completion_time.unwrap_or(wrote),
            estimated: prompt.is_none() || completion.is_none(),
        }
    }

    /// What the prompt and the answer cost together says what one of them is, where only the other
    /// is known.
    pub(super) fn within(mut self, total: Option<u64>) -> Self {
        let Some(total) = total else { return self };
        let known = |count: Option<u64>| count.filter(|count| *count > 0);
        match (known(self.prompt), known(self.completion)) {
            (Some(prompt), None) => self.completion = total.checked_sub(prompt),
            (None, Some(completion)) => self.prompt = total.checked_sub(completion),
            _ => {}
        }
        self
    }

    /// Later counts win, but never a zero over a number.
    pub(in crate::llm) fn update(&mut self, later: &Self) {
        let newer = |known: &mut Option<u64>, later: Option<u64>| {
            *known = later.filter(|count| *count > 0).or(*known).or(later);
        };
        // Where the cached part is said to be nothing now, the prompt lacks it.
        let lacks_cached = self.cached.is_some() && later.cached == Some(0);
        let prompt = later.prompt.max(self.prompt.filter(|_| lacks_cached));
        newer(&mut self.prompt, prompt);
        newer(&mut self.completion, later.completion);
        newer(&mut self.cached, later.cached);
        newer(&mut self.reasoning, later.reasoning);
        self.prompt_time = later.prompt_time.or(self.prompt_time);
        self.completion_time = later.completion_time.or(self.completion_time);
    }
}

/// A count, or an index. Some write 7.0, some "7".
pub(super) fn count(value: &Value) -> Option<u64> {
    let of_float = |number: f64| {
        let number = Some(number).filter(|number| number.is_finite() && *number >= 0.0)?;
        format!("{number:.0}").parse().ok()
    };
    match value {
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| of_float(text.parse().ok()?))
        }
        number => number.as_u64().or_else(|| of_float(number.as_f64()?)),
    }
}

/// About four bytes a token; something is never nothing.
fn estimate(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX)
}
