//! Words that carry a verdict, words that say nothing, and words that say the same. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

/// Dropped before texts are compared, wherever they stand before a word: they say how something is
/// told, not what. No article, preposition or pronoun and no form of a verb is among them, and no adverb that
/// says how something is done (label it clearly) or is part of a term (simply connected).
const FILLERS: [&str; 7] =
    ["therefore", "also", "really", "indeed", "actually", "basically", "obviously"];

/// Dropped where a sentence begins. Further on they are a condition, an order or a degree.
const OPENERS: [&str; 8] =
    ["so", "thus", "hence", "then", "finally", "lastly", "clearly", "certainly"];

/// Dropped before these words only.
const FILLERS_BEFORE: [(&str, &str); 3] = [
    (
        "that",
        "the a an this these those it its they their there we our you your he his she her I my",
    ),
    ("simply", "the a an"),
    ("carefully", "step"),
];

/// What stands for the conjunctions of Chinese that say the same.
pub(super) const THEREFORE: &str = "所以";

/// Behind these qualities, at the end of a clause, 的 adds nothing. Behind a noun or a pronoun it says
/// whose something is.
const QUALITIES: &str = "合理 正确 错误 安全 危险 合法 非法 可能 必要 重要 有效 无效 可行 简单 困难 相同 \
    不同";

/// What can turn an answer into its opposite, or into a bound.
const VERDICTS: &str = "no not never none nor neither nothing nobody nowhere without hardly barely \
    rarely seldom scarcely unless except excluding cannot lack lacks lacking absent fail fails \
    failed failure false true yes wrong right invalid valid maybe perhaps or \
    only all some any every each both either half few fewer many several most least \
    more less least much enough too always sometimes usually exactly about over under above below before after between until since up down out off \
    into from to per against versus than if else when same equal equals unequal \
    different greater smaller larger lesser higher lower longer shorter older younger faster \
    slower stronger weaker better worse best worst maximum minimum positive negative even \
    odd prime composite plus minus times add adds added subtract subtracts subtracted remove removes multiply \
    multiplied divide divided increase increases increased decrease decreases decreased rise rises \
    rising fall falls falling grow grows shrink shrinks gain gains loss losses lose loses win wins \
    ascending descending horizontal vertical left right north south east west top bottom inside outside early late \
    earlier later last previous open opens closed close closes start starts stop stops begin begins end ends hot cold \
    warm cool high low long short small large tall fast slow strong weak good bad easy hard \
    safe unsafe dangerous harmful harmless risky legal illegal possible impossible allowed \
    forbidden prohibited required optional mandatory accept accepts reject rejects allow allows deny \
    denies permit permits forbid forbids enable enables disable disables include includes exclude \
    excludes import export buy sell buys sells pass passes success succeed succeeds alive dead \
    private public static dynamic mutable immutable sync async \
    around nearly almost approximately roughly often typically generally big bigger huge \
    little tiny difficult simple correct incorrect numerous might must should may shall necessary sufficient red green blue yellow \
    black white orange purple pink brown grey gray male female man woman he she his her north \
    nicht kein keine keinen keiner nie niemals ohne weder nein ja falsch richtig mehr weniger \
    ne pas non jamais sans aucun aucune oui vrai faux plus moins nunca sin ningún ninguna sí si \
    verdadero falso más menos não sem nenhum sim mais mai senza nessuno vero не нет ни да без \
    никогда верно неверно больше меньше";

/// English numerals and their values.
const NUMERALS: [(&str, &str); 31] = [
    ("zero", "0"),
    ("one", "1"),
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
    ("eleven", "11"),
    ("twelve", "12"),
    ("thirteen", "13"),
    ("fourteen", "14"),
    ("fifteen", "15"),
    ("sixteen", "16"),
    ("seventeen", "17"),
    ("eighteen", "18"),
    ("nineteen", "19"),
    ("twenty", "20"),
    ("thirty", "30"),
    ("forty", "40"),
    ("fifty", "50"),
    ("sixty", "60"),
    ("seventy", "70"),
    ("eighty", "80"),
    ("ninety", "90"),
    ("hundred", "100"),
    ("thousand", "1000"),
    ("million", "1000000"),
];

/// Further words that count, without a value that digits would have.
const COUNTS: &str = "billion trillion dozen once twice thrice double triple quarter second third \
    fourth fifth sixth seventh eighth ninth tenth single pair";

/// Words for the same, of which the first is what is compared.
const SYNONYMS: [&str; 21] = [
    "large big",
    "larger bigger",
    "small tiny",
    "hard difficult",
    "easy simple",
    "start begin",
    "starts begins",
    "about approximately roughly",
    "usually typically",
    "maximum max",
    "minimum min",
    "wrong incorrect",
    "maybe perhaps",
    "stop halt",
    "many numerous",
    "quick brief",
    "trip journey",
    "reasonable sensible",
    "bounded limited",
    "find determine",
    "compute calculate",
];

/// Auxiliary verbs with "not" written in one, with their apostrophe or without, and what is left.
const NEGATED: &str = "isnt is arent are wasnt was werent were dont do doesnt does didnt did cant can \
    cannot can couldnt could wont will wouldnt would shouldnt should mustnt must hasnt has havent \
    have hadnt had neednt need";

static VERDICT_WORDS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| VERDICTS.split_whitespace().chain(COUNTS.split_whitespace()).collect());
static NEGATED_WORDS: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
    let mut words = NEGATED.split_whitespace();
    std::iter::from_fn(|| Some((words.next()?, words.next()?))).collect()
});
static FIRST_OF: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let of_row = |row: &'static str| {
        let first = row.split(' ').next().unwrap_or(row);
        row.split(' ').map(move |word| (word, first))
    };
    SYNONYMS.into_iter().flat_map(of_row).collect()
});

/// Whether a word may be dropped: it is a filler where it stands.
pub(super) fn is_filler(word: &str, starts_sentence: bool) -> bool {
    FILLERS.contains(&word)
        || (starts_sentence && OPENERS.contains(&word))
        || FILLERS_BEFORE.iter().any(|(filler, _)| *filler == word)
}

/// Whether a filler is dropped before what comes next.
pub(super) fn is_dropped(filler: &str, next: &str) -> bool {
    match FILLERS_BEFORE.iter().find(|(word, _)| *word == filler) {
        Some((_, before)) => before.split_whitespace().any(|word| word == next),
        None => next.starts_with(char::is_alphabetic),
    }
}

/// Whether both characters are a conjunction that [`THEREFORE`] stands for.
pub(super) fn is_therefore(first: char, second: char) -> bool {
    matches!((first, second), ('所', '以') | ('因', '此'))
}

/// Whether both characters name a quality.
pub(super) fn is_quality(first: &str, second: &str) -> bool {
    let is_one = |word: &str| word.strip_prefix(first).is_some_and(|rest| rest == second);
    !first.is_empty() && QUALITIES.split_whitespace().any(is_one)
}

/// Whether a lower-case word can turn what is said into its opposite.
pub(super) fn is_verdict(word: &str) -> bool {
    VERDICT_WORDS.contains(word)
}

/// What is left of a lower-case verb without the "not" that is written in one with it.
pub(super) fn negated(word: &str) -> Option<&'static str> {
    let bare = word.replace('\'', "");
    NEGATED_WORDS.iter().find(|(whole, _)| *whole == bare).map(|(_, verb)| *verb)
}

/// The word that is compared for this one.
pub(super) fn common(word: &str) -> &str {
    FIRST_OF.get(word).copied().unwrap_or(word)
}

/// The value of an English numeral.
pub(super) fn value(word: &str) -> Option<&'static str> {
    NUMERALS.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}
