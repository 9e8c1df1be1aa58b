//! Whether two texts say the same. How similar they look says nothing about that: a digit, a sign, a
//! word or a "not" is a hundredth of a long text and all of its meaning. So everything has to be equal
//! but what is known to be wording. Pure.
//!
//! Where this errs, it errs towards "not alike": that costs a call of the judge, the other way
//! round a wrong answer is shown as one that everybody agreed on.

mod final_answer;
mod json;
mod last_number;
mod notation;
mod numbers;
mod spelling;
mod tokens;
mod words;

pub(in crate::workflow) use final_answer::FinalAnswer;
use tokens::tokens;

/// Whether both texts come to the same: their final answers are equal, and so is everything else in
/// them, word by word, but for fillers, words known to mean the same, emphasis and spaces inside a line.
/// Which other words could be exchanged without harm (one unit, city or medicine for another?) no
/// list can tell.
pub(super) fn say_the_same(one: &str, other: &str) -> bool {
    match (FinalAnswer::of(one), FinalAnswer::of(other)) {
        // Its white space and the order of its keys say nothing.
        (Some(one), Some(other)) if one.is_json() && other.is_json() => one == other,
        (Some(one), Some(other)) if one != other => false,
        // Whether there is one hangs on a "thus", which is wording.
        _ => tokens(one) == tokens(other),
    }
}

#[cfg(test)]
mod tests;
