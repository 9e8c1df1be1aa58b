//! How alike candidates are, and which one the others agree with most.

use super::{
    alike::{FinalAnswer, say_the_same},
    excerpt::floor_boundary,
};

/// Candidates have to be this similar to count as the same answer, which is not enough.
const ALIKE: f64 = 0.98;
/// Only this much of all texts together is compared, since nobody else is answered meanwhile: some
/// milliseconds' worth. Texts that are longer than their share say the same only when they are equal.
const COMPARED_BYTES: usize = 64 * 1024;
/// In a longer text no final answer is looked for.
const ANSWER_BYTES: usize = 64 * 1024;

/// The character trigrams of a text, lower-cased, in order with their counts, and the square of
/// their Euclidean length. Sorted lists are compared in one pass, which matters with many long candidates.
struct Trigrams {
    counts: Vec<(u64, f64)>,
    square: f64,
}

impl Trigrams {
    /// Of the first bytes of a text.
    fn of(text: &str, most: usize) -> Self {
        let head = text.get(..floor_boundary(text, most)).unwrap_or(text);
        let mut grams: Vec<u64> = Vec::with_capacity(head.len());
        let (mut gram, mut short_of) = (0_u64, 2_u8);
        let mut next = |character: char| {
            // A character has 21 bits, so three of them are one number.
            gram = (gram << 21 | u64::from(u32::from(character))) & ((1 << 63) - 1);
            match short_of.checked_sub(1) {
                Some(left) => short_of = left,
                None => grams.push(gram),
            }
        };
        // Padding lets texts of one or two characters be compared as well.
        next('\u{2}');
        for character in head.trim().chars() {
            if character.is_ascii() {
                next(character.to_ascii_lowercase());
            } else {
                character.to_lowercase().for_each(&mut next);
            }
        }
        ['\u{3}', '\u{3}'].into_iter().for_each(next);
        grams.sort_unstable();
        let mut counts: Vec<(u64, f64)> = Vec::new();
        for gram in grams {
            match counts.last_mut() {
                Some((last, count)) if *last == gram => *count += 1.0,
                _ => counts.push((gram, 1.0)),
            }
        }
        let square = counts.iter().map(|(_, count)| count * count).sum();
        Self { counts, square }
    }

    /// Cosine of the angle between the two count vectors, 0 to 1.
    fn similarity(&self, other: &Self) -> f64 {
        let mut theirs = other.counts.iter().peekable();
        let mut dot = 0.0;
        for (gram, count) in &self.counts {
            while theirs.next_if(|(their, _)| their < gram).is_some() {}
            if let Some((_, their_count)) = theirs.next_if(|(their, _)| their == gram) {
                dot += count * their_count;
            }
        }
        // The root of a product, so that a text is exactly as long as itself: `agreement` may be 1.
        let norms = (self.square * other.square).sqrt();
        if norms > 0.0 { (dot / norms).min(1.0) } else { 0.0 }
    }
}

/// What the candidates have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::workflow) struct Consensus {
    /// Index of the candidate with the highest mean similarity to the others, among those with the
    /// most frequent final answer where all have one; ties: the first.
    pub(in crate::workflow) best: usize,
    /// If all have a final answer, the share of those that have the most frequent one. Else the
    /// lowest similarity of any pair if all say the same, and 0 if they do not. 1 for a single
    /// candidate.
    pub(in crate::workflow) agreement: f64,
}

/// Whether all of these count as the same answer. The first two that differ decide it, as a rule:
/// a judge does not wait for what only its fallback needs.
pub(super) fn are_alike(texts: &[&str]) -> bool {
    let (mut seen, most): (Vec<(&str, Trigrams)>, _) = (Vec::new(), share(texts));
    texts.iter().all(|text| {
        let one = Trigrams::of(text, most);
        let like_all = seen.iter().all(|(other_text, other)| {
            if other_text.trim() == text.trim() || other_text.len().max(text.len()) > most {
                return other_text.trim() == text.trim();
            }
            let similar = other.similarity(&one) >= ALIKE || is_json(text);
            similar && say_the_same(other_text, text)
        });
        seen.push((text, one));
        like_all
    })
}

/// How many bytes of each text are compared.
fn share(texts: &[&str]) -> usize {
    COMPARED_BYTES.checked_div(texts.len()).unwrap_or(COMPARED_BYTES)
}

/// JSON is compared by value, whatever its spaces make of the similarity.
fn is_json(text: &str) -> bool {
    text.contains(['{', '[']) && matches!(FinalAnswer::of(text), Some(FinalAnswer::Json(_)))
}

/// Compares every candidate with every other; `None` without candidates.
pub(in crate::workflow) fn consensus(texts: &[&str]) -> Option<Consensus> {
    let most = share(texts);
    let grams: Vec<Trigrams> = texts.iter().map(|text| Trigrams::of(text, most)).collect();
    let mut lowest = 1.0_f64;
    let mut sums = vec![0.0; grams.len()];
    for (index, one) in grams.iter().enumerate() {
        for (other_index, other) in grams.iter().enumerate().skip(index.saturating_add(1)) {
            let similarity = one.similarity(other);
            lowest = lowest.min(similarity);
            for index in [index, other_index] {
                if let Some(sum) = sums.get_mut(index) {
                    *sum += similarity;
                }
            }
        }
    }
    let votes = votes(texts);
    let most = votes.as_ref().and_then(|votes| votes.iter().copied().max());
    let agreement = match most {
        Some(most) => ratio(most, texts.len()),
        None if texts.len() < 2 || are_alike(texts) => lowest,
        None => 0.0,
    };
    // The mean has the same divisor for all, so sums compare alike. The margin keeps rounding from
    // breaking a tie.
    let mut best: Option<(usize, f64)> = None;
    for (index, sum) in sums.into_iter().enumerate() {
        let stands = votes.as_ref().is_none_or(|votes| votes.get(index).copied() == most);
        if stands && best.is_none_or(|(_, highest)| sum > highest + 1e-9) {
            best = Some((index, sum));
        }
    }
    best.map(|(best, _)| Consensus { best, agreement })
}

/// How many candidates have each one's final answer; `None` unless all have one.
fn votes(texts: &[&str]) -> Option<Vec<usize>> {
    if texts.iter().any(|text| text.len() > ANSWER_BYTES) {
        return None;
    }
    let answers: Option<Vec<FinalAnswer>> =
        texts.iter().map(|text| FinalAnswer::of(text)).collect();
    let answers = answers.filter(|answers| !answers.is_empty())?;
    let of_one = |one: &FinalAnswer| answers.iter().filter(|other| *other == one).count();
    Some(answers.iter().map(of_one).collect())
}

/// Counts of candidates are small.
#[expect(clippy::cast_precision_loss, reason = "a plan has at most some dozens of workers")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_candidate_closest_to_the_others_is_the_consensus() {
        let texts = ["Paris is the capital.", "The capital is Paris.", "I like bread."];
        let found = consensus(&texts).unwrap();
        assert_ne!(found.best, 2);
        assert!(found.agreement < 0.5, "{found:?}");
    }

    #[test]
    fn case_and_outer_space_do_not_count_and_ties_go_to_the_first() {
        let found = consensus(&["巴黎是首都。 ", "巴黎是首都。", "\n巴黎是首都。"]).unwrap();
        assert_eq!(found.best, 0);
        assert!(found.agreement >= ALIKE, "{found:?}");
        assert!(consensus(&["YES", "yes"]).unwrap().agreement >= ALIKE);
        assert!(consensus(&["4", "5"]).unwrap().agreement < ALIKE);
    }

    #[test]
    fn similarity_is_the_cosine_of_trigram_counts() {
        // Of "ab" and "abab" with their padding: {^ab, ab$, b$$} and {^ab, aba, bab, ab$, b$$}.
        let found = Trigrams::of("ab", 9).similarity(&Trigrams::of("abab", 9));
        assert!((found - 3.0 / 15.0_f64.sqrt()).abs() < 1e-9, "{found}");
    }

    #[test]
    fn of_long_texts_only_equal_ones_say_the_same() {
        let long = "It is a long way to the answer. ".repeat(1000);
        let wordier = long.replacen("It is a", "It is indeed a", 1);
        let pairs = [[&long, &long], [&long, &wordier]].map(|pair| pair.map(String::as_str));
        assert!(are_alike(&pairs[0]) && are_alike(&pairs[1]), "as long as they are compared");
        let longer = [long.repeat(3), wordier.clone() + &long.repeat(2)];
        let [one, other] = &longer;
        assert!(are_alike(&[one, one, one]));
        assert!(!are_alike(&[one, other]));
        let numbers = [&format!("{one}\nThe answer is 7."), &format!("{other}\nThe answer is 7.")];
        assert!(consensus(&numbers.map(String::as_str)).unwrap().agreement < 0.01);
    }

    #[test]
    fn long_drafts_take_no_longer_to_compare_than_those_of_the_share() {
        let texts = |length: usize| {
            ["a b ", "c d ", "e f "].map(|text| text.repeat(length / 4) + "The answer is 7.")
        };
        let time = |texts: &[String; 3]| {
            let texts = texts.each_ref().map(String::as_str);
            let once = |_| {
                let begun = std::time::Instant::now();
                std::hint::black_box((consensus(&texts), are_alike(&texts)));
                begun.elapsed()
            };
            (0..6).map(once).min().unwrap()
        };
        let (short, long) = (time(&texts(COMPARED_BYTES / 3)), time(&texts(8 << 20)));
        assert!(long < short * 8, "{short:?} and {long:?} for 384 times as much");
    }

    /// With `agreement = 1` nothing less than the same text will do, and that has to.
    #[test]
    #[expect(clippy::float_cmp, reason = "1 is what the config says")]
    fn the_same_text_agrees_wholly() {
        for length in 0..200 {
            let text: String = ('a'..='z').cycle().take(length).collect();
            assert_eq!(consensus(&[&text, &text]).unwrap().agreement, 1.0, "{length}");
        }
    }

    proptest! {
        #[test]
        fn all_are_alike_when_the_two_least_alike_are(
            texts in prop::collection::vec("(ab ){30,40}[ab]{0,3}", 1..5),
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            prop_assert_eq!(are_alike(&texts), consensus(&texts).unwrap().agreement >= ALIKE);
        }
    }

    #[test]
    fn the_most_frequent_final_answer_wins_and_its_share_is_the_agreement() {
        let working = "We add both numbers and carry what is left over. ".repeat(9);
        let texts = ["1499", "1599", "1599"].map(|last| format!("{working}The answer is {last}."));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(consensus(&texts), Some(Consensus { best: 1, agreement: 2.0 / 3.0 }));
        // Where one has none, or prose differs, there is no agreement however similar they look.
        for texts in [
            vec![format!("{working}The answer is 7."), working.clone()],
            vec![format!("Yes. {working}"), format!("No. {working}")],
        ] {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            assert!(consensus(&texts).unwrap().agreement < 0.01, "{texts:?}");
        }
    }

    /// What their last lines have in common is no answer to anything.
    #[test]
    fn drafts_that_end_with_the_same_reference_do_not_agree() {
        for last in [
            "Source: page 3",
            "1.",
            "[1]",
            "- 3 eggs",
            "© 2024",
            "Last updated in 2024.",
            "#### Step 3",
            "p. 3",
            "Would you like 3 more examples?",
            "见第3页",
            "So see page 3.",
            "b)",
        ] {
            for answers in [["Answer: 5", "Answer: 6"], ["Take the bus.", "Go by train."]] {
                let texts = answers.map(|answer| format!("{answer}\n\n{last}"));
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                assert!(consensus(&texts).unwrap().agreement < 0.01, "{texts:?}");
                assert!(!are_alike(&texts), "{texts:?}");
            }
        }
    }

    #[test]
    fn one_candidate_agrees_with_itself_and_none_has_no_consensus() {
        assert_eq!(consensus(&["x"]), Some(Consensus { best: 0, agreement: 1.0 }));
        assert_eq!(consensus(&[]), None);
    }

    #[test]
    fn only_the_first_64_kib_are_compared_and_never_half_a_character() {
        let long = "好".repeat(COMPARED_BYTES);
        let tail = format!("{long} and a different end");
        let of = |text| Trigrams::of(text, COMPARED_BYTES);
        assert!(of(&long).similarity(&of(&tail)) >= ALIKE);
        assert!(!are_alike(&[&long, &tail]), "what they say stands in their ends");
    }
}
