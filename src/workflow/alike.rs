//! Whether two texts say the same. How similar they look says nothing about that: a digit, a sign or
//! a "not" is a hundredth of a long text and all of its meaning. So what can carry a verdict has to
//! be equal, and only wording may differ. Pure.
//!
//! Where this errs, it errs towards "not alike": that costs a call of the judge, the other way
//! round a wrong answer is told as one that everybody agreed on.

mod final_answer;
mod numbers;
mod tokens;
mod words;

pub(super) use final_answer::FinalAnswer;
use tokens::{Token, tokens};

/// Among so many tokens of both texts one where they go on alike is looked for.
const WINDOW: usize = 12;
/// So many words may differ, or one in [`DIFFERING_SHARE`] of a long text.
const MOST_DIFFERING: usize = 4;
const DIFFERING_SHARE: usize = 12;
/// Words that differ in so few letters differ in what they mean: `mg` and `kg`, `affect` and `effect`.
const CLOSE_SPELLING: usize = 2;

/// Whether both texts come to the same, whatever their wording: their final answers are equal, and
/// so is everything in them that can carry one (numbers, signs, negations, operators, code, names,
/// and the whole of the last sentence).
pub(super) fn say_the_same(one: &str, other: &str) -> bool {
    match (FinalAnswer::of(one), FinalAnswer::of(other)) {
        (Some(one), Some(other)) if one.is_json() && other.is_json() => one == other,
        (one, other) if one != other => false,
        _ => only_wording_differs(&tokens(one), &tokens(other)),
    }
}

/// Walks both token lists side by side. Where they part, what lies between there and the next place
/// where they go on alike may hold nothing but plain words.
fn only_wording_differs(one: &[Token], other: &[Token]) -> bool {
    let most = MOST_DIFFERING.max(one.len() / DIFFERING_SHARE);
    let (mut left, mut right, mut differing) = (one, other, 0);
    loop {
        let equal = left.iter().zip(right).take_while(|(one, other)| one.text == other.text);
        let equal = equal.count();
        (left, right) =
            (left.get(equal..).unwrap_or_default(), right.get(equal..).unwrap_or_default());
        if left.is_empty() && right.is_empty() {
            return true;
        }
        let Some((ours, theirs)) = next_common(left, right) else { return false };
        let (parted, rest) = left.split_at(ours.min(left.len()));
        let (their_parted, their_rest) = right.split_at(theirs.min(right.len()));
        differing += parted.len().max(their_parted.len());
        if differing > most || !is_wording(parted, their_parted) {
            return false;
        }
        (left, right) = (rest, their_rest);
    }
}

/// How many tokens further on both lists go on alike, for two tokens or to their ends.
fn next_common(left: &[Token], right: &[Token]) -> Option<(usize, usize)> {
    let goes_on = |ours: usize, theirs: usize| {
        let (left, right) = (left.get(ours..)?, right.get(theirs..)?);
        // One that carries meaning is enough to go by.
        let known = left.first().is_some_and(|token| token.carries_meaning);
        let wanted = left.len().max(right.len()).min(if known { 1 } else { 2 });
        let same = left.iter().zip(right).take(wanted);
        let same = same.filter(|(one, other)| one.text == other.text).count();
        (same == wanted).then_some((ours, theirs))
    };
    (1..=WINDOW.saturating_mul(2)).find_map(|apart| {
        let from = apart.saturating_sub(WINDOW);
        (from..=apart.min(WINDOW)).find_map(|ours| goes_on(ours, apart - ours))
    })
}

/// Whether what differs is wording: plain words, and none that is another's near miss.
fn is_wording(one: &[Token], other: &[Token]) -> bool {
    let plain = one.iter().chain(other).all(|token| !token.carries_meaning);
    plain && one.iter().all(|word| other.iter().all(|other| !is_near_miss(&word.text, &other.text)))
}

/// Whether two words are spelt so much alike that the difference is likely to be what is meant:
/// another letter, or a prefix that negates. Endings (`takes`, `taking`) and the two spellings of
/// English (`colour`, `organise`) are wording.
fn is_near_miss(one: &str, other: &str) -> bool {
    if !one.is_ascii() || !other.is_ascii() || words::stem(one) == words::stem(other) {
        return false;
    }
    words::is_negated(one, other) || strsim::levenshtein(one, other) <= CLOSE_SPELLING
}

#[cfg(test)]
mod tests;
