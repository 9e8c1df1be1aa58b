mod tables;

use proptest::prelude::*;

use self::tables::{CHINESE, CODE, DIFFERENT, ENGLISH, MATHS, Pair, SAME, SHORT};

use super::{super::consensus::are_alike, *};

fn replaced((text, old, new): Pair) -> String {
    assert!(text.contains(old), "{old:?} is not in the text");
    text.replacen(old, new, 1)
}

#[test]
fn what_differs_in_a_digit_a_sign_a_negation_a_letter_or_an_operator_is_not_alike() {
    for &pair in DIFFERENT {
        let other = replaced(pair);
        assert!(!are_alike(&[pair.0, &other]), "{:?} and {:?}", pair.1, pair.2);
        assert!(!are_alike(&[&other, pair.0]), "{:?} and {:?}", pair.2, pair.1);
    }
}

#[test]
fn what_differs_in_a_picture_a_sign_or_an_ending_is_not_alike_wherever_it_stands() {
    let mut alike = Vec::new();
    for (one, other) in SHORT {
        let around = |short: &str| {
            let in_a_line = format!("{ENGLISH} {short} {ENGLISH}");
            [format!("{ENGLISH}\n{short}"), format!("{short}\n{ENGLISH}"), in_a_line]
        };
        for (one, other) in around(one).iter().zip(&around(other)) {
            if say_the_same(one, other) || say_the_same(other, one) {
                alike.push((other.len(), one.replace(ENGLISH, "…"), other.replace(ENGLISH, "…")));
            }
            assert!(are_alike(&[one, one]));
        }
    }
    assert!(alike.is_empty(), "{alike:?}");
}

#[test]
fn final_answers_that_differ_in_a_sign_are_not_equal() {
    for (one, other) in [
        ("n!", "n"),
        ("5!", "5"),
        ("f'(x)", "f(x)"),
        ("5'", "5\""),
        ("—5", "5"),
        ("👍", "👎"),
        ("3 : 4", "3 4"),
        ("x-y", "x y"),
        ("factor", "factory"),
        ("Python 3.10", "Python 3.1"),
    ] {
        for form in ["work\nAnswer: %", "work\n\\boxed{%}", "{\"a\": \"%\"}"] {
            let of = |answer: &str| FinalAnswer::of(&form.replace('%', &answer.replace('"', "''")));
            assert_ne!(of(one), of(other), "{one:?} and {other:?}");
        }
    }
    for (one, other) in
        [("\"Paris\"", "Paris."), ("(B)", "B."), ("$2.50$", "2.5"), ("\\(7\\)", "7")]
    {
        let of = |answer: &str| FinalAnswer::of(&format!("work\nAnswer: {answer}"));
        assert_eq!(of(one), of(other));
    }
}

#[test]
fn what_differs_in_wording_only_is_alike() {
    let apart: Vec<Pair> = SAME
        .into_iter()
        .filter(|pair| {
            let other = replaced(*pair);
            !(are_alike(&[pair.0, &other]) && are_alike(&[&other, pair.0]))
        })
        .collect();
    let shown: Vec<_> = apart.iter().map(|(_, old, new)| (old, new)).collect();
    assert!(shown.is_empty(), "{shown:?}");
}

#[test]
fn opposite_first_words_and_last_lines_are_not_alike() {
    for (one, other) in [
        (format!("Yes, it is safe. {ENGLISH}"), format!("No, it is not safe. {ENGLISH}")),
        (format!("{ENGLISH}\nIt is Paris."), format!("{ENGLISH}\nIt is Rome.")),
        (format!("{ENGLISH}\nThe answer is 1499."), format!("{ENGLISH}\nThe answer is 1599.")),
        (format!("{ENGLISH}\n(B)"), format!("{ENGLISH}\n(C)")),
        (format!("{ENGLISH}\nTake the copper one."), format!("{ENGLISH}\nTake the silver one.")),
        (format!("{CHINESE}\n答案：甲"), format!("{CHINESE}\n答案：乙")),
        // behind what is compared character by character
        (
            format!("{}{ENGLISH}", "word ".repeat(14_000)),
            format!("{}{CODE}", "word ".repeat(14_000)),
        ),
    ] {
        assert!(!are_alike(&[&one, &other]));
        assert!(are_alike(&[&one, &one]));
    }
}

#[test]
fn final_answers_are_found_and_normalised() {
    let text = |words: &[&str]| {
        Some(FinalAnswer::Text(words.iter().map(|word| (*word).to_owned()).collect()))
    };
    for (given, wanted) in [
        ("so \\boxed{1,499}", text(&["1499"])),
        ("first \\boxed{2}, then \\boxed{\\frac{1}{2}}", FinalAnswer::of("\\boxed{\\frac{1}{2}}")),
        ("work\nAnswer: 1499", text(&["1499"])),
        ("work\n**Final answer:** 1,499.00", text(&["1499"])),
        ("The answer is 1499. Ask again whenever you like.", text(&["1499"])),
        ("The answer is 1499. No, wait, it is 1500.", None),
        ("Answer: 5\n\nBut that is wrong.", None),
        ("**Final answer:**\n$7$", text(&["7"])),
        ("\\boxed{\\text{yes}}", text(&["yes"])),
        ("\\boxed{\\dfrac{1}{2}}", text(&["1", "/", "2"])),
        ("Answer: (B) Paris", FinalAnswer::of("\\boxed{b Paris}")),
        ("Answer: B. Paris", FinalAnswer::of("\\boxed{b Paris}")),
        ("Answer: 5\\%", text(&["5", "%"])),
        ("答えは 5 です。", text(&["5"])),
        ("#### Safety\nUse it with care.", None),
        ("work\n#### 72", text(&["72"])),
        ("推导\n答案：42", text(&["42"])),
        ("計算\n答えは 42", text(&["42"])),
        ("Antwort: 7", text(&["7"])),
        ("work\n(B)", text(&["b"])),
        ("work\nOption B.", text(&["b"])),
        ("work\n**A**", text(&["a"])),
        ("work\nSo it takes 25 minutes.", FinalAnswer::of("Answer: 25 minutes")),
        ("work\n-5", text(&["-", "5"])),
        ("work\nx = 5", text(&["x", "5"])),
        ("work\nNo.", text(&["no"])),
        ("work\n300 km/h", text(&["300", "km", "/", "h"])),
        ("work\nTotal: $25", text(&["$", "25"])),
        ("work\nThe total is -25.", text(&["-", "25"])),
        ("work\narea = 25", FinalAnswer::of("The answer is area 25")),
        ("推导\n因此一共5年", text(&["5", "年"])),
        ("推导\n火车一共行驶了300公里。", text(&["300", "公", "里"])),
        ("work\nOption 2", text(&["2"])),
        ("42.", text(&["42"])),
        ("work\n1499.", text(&["1499"])),
        ("work\n1969", text(&["1969"])),
        ("Paris is the capital of France.", None),
        ("work\nFrom 3 to 5.", None),
        ("", None),
        // numbers that nobody states as the answer
        ("work\nSource: page 3", None),
        ("Answer: 5\n\nSource: page 3", None),
        ("work\nPage 3", None),
        ("work\np. 3", None),
        ("work\nSo see page 3.", None),
        ("work\nTherefore go back to step 2.", None),
        ("work\n1.", None),
        ("work\n**2.**", None),
        ("work\n3)", None),
        ("work\n3. Mix", None),
        ("work\n- 3 eggs", None),
        ("work\nb)", None),
        ("work\n[1]", None),
        ("work\n[^1]: Smith", None),
        ("work\n(1)", None),
        ("work\n| eggs | 3 |", None),
        ("work\n#### Step 3", None),
        ("work\n## 3", None),
        ("work\n© 2024", None),
        ("work\nLast updated in 2024.", None),
        ("work\nSo it was built in 1969.", None),
        ("推导\n所以是在1969年", None),
        ("推导\n见第3页", None),
        ("推导\n因此见第3页", None),
        ("work\nThe guide has 3 parts.", None),
        ("work\nSo shall I write 3 more?", None),
        ("work\nWould you like 3 more examples?", None),
        ("work\nSo these are the 5 best ways to go on with it.", None),
        // denied, or bounds
        ("work\nSo it is not 5.", None),
        ("work\nSo it isn't 5.", None),
        ("work\nSo it is more than 5.", None),
        ("work\nI do not think that the answer is 5.", None),
        ("推导\n所以不是5", None),
        ("推导\n我不认为答案是5", None),
    ] {
        assert_eq!(FinalAnswer::of(given), wanted, "{given:?}");
    }
    let json = FinalAnswer::of("{\"a\": 1, \"b\": [2]}");
    assert!(json.as_ref().is_some_and(FinalAnswer::is_json));
    assert_eq!(json, FinalAnswer::of("```json\n{\"b\":[2],\"a\":1}\n```"));
    assert_ne!(json, FinalAnswer::of("{\"b\":[2.5],\"a\":1}"));
    assert_eq!(
        FinalAnswer::of("{\"a\":\"On the Seine!\"}"),
        FinalAnswer::of("{\"a\":\"on the Seine\"}")
    );
    assert_ne!(FinalAnswer::of("{\"a\":\"-3\"}"), FinalAnswer::of("{\"a\":\"3\"}"));
    let long = |last: u8| format!("{{\"id\": 1234567890123456789{last}}}");
    assert_ne!(FinalAnswer::of(&long(1)), FinalAnswer::of(&long(2)));
}

/// Where small letters stand.
fn letters() -> Vec<usize> {
    let places = ENGLISH.char_indices().filter(|(_, one)| one.is_ascii_lowercase());
    places.map(|(at, _)| at).collect()
}

/// Places in the texts where something of meaning stands, as pieces between them.
fn meaningful() -> impl Strategy<Value = (String, String)> {
    let texts = prop::sample::select(vec![ENGLISH, CHINESE, CODE, MATHS]);
    let changes = (texts, any::<prop::sample::Index>(), 0_u32..10, 0_usize..5);
    changes.prop_filter_map("nothing to change there", |(text, index, digit, operator)| {
        let places: Vec<(usize, char)> = text
            .char_indices()
            .filter(|(_, one)| one.is_ascii_digit() || "+<>=*不".contains(*one))
            .collect();
        let (at, old) = *index.get(&places);
        let new = match old {
            '0'..='9' => char::from_digit(digit, 10)?.to_string(),
            '不' => String::new(),
            _ => ["-", "<", ">", "=", "/"][operator].to_owned(),
        };
        let (before, rest) = text.split_at(at);
        let after = rest.strip_prefix(old)?;
        let other = format!("{before}{new}{after}");
        (other != text).then(|| (text.to_owned(), other))
    })
}

proptest! {
    #[test]
    fn a_changed_number_negation_or_operator_never_leaves_a_text_alike((one, other) in meaningful()) {
        prop_assert!(!are_alike(&[&one, &other]));
        prop_assert!(!are_alike(&[&other, &one]));
    }

    #[test]
    fn a_negation_put_anywhere_into_a_text_never_leaves_it_alike(
        at in any::<prop::sample::Index>(),
        word in prop::sample::select(vec!["not", "never", "no", "without", "cannot", "isn't"]),
    ) {
        let words: Vec<&str> = ENGLISH.split(' ').collect();
        let (before, after) = words.split_at(at.index(words.len()));
        let other = format!("{} {word} {}", before.join(" "), after.join(" "));
        prop_assert!(!are_alike(&[ENGLISH, &other]));
    }

    #[test]
    fn a_changed_letter_never_leaves_a_text_alike(at in any::<prop::sample::Index>(), letter in "[a-z]") {
        let mut other = ENGLISH.to_owned();
        let at = *at.get(&letters());
        other.replace_range(at..=at, &letter);
        prop_assume!(other != ENGLISH);
        prop_assert!(!are_alike(&[ENGLISH, &other]));
        prop_assert!(!are_alike(&[&other, ENGLISH]));
    }

    #[test]
    fn a_letter_put_behind_a_word_or_taken_from_it_never_leaves_a_text_alike(
        at in any::<prop::sample::Index>(), letter in "[a-z]",
    ) {
        let mut words: Vec<&str> = ENGLISH.split(' ').collect();
        let at = at.index(words.len());
        let word = words[at];
        let longer = format!("{word}{letter}");
        prop_assume!(word.len() > 1);
        for changed in [longer.as_str(), word.split_at(1).1] {
            words[at] = changed;
            prop_assert!(!are_alike(&[ENGLISH, &words.join(" ")]), "{}", changed);
        }
    }

    #[test]
    fn a_sign_or_a_picture_put_before_a_word_never_leaves_a_text_alike(
        at in any::<prop::sample::Index>(),
        sign in prop::sample::select("+-–—−*/:=<>~^'\"!?.,;|&%$#@_({[👍👎🟢🔴☑☐✅♂♀♯♭♠🇫".chars().collect::<Vec<_>>()),
        glue in prop::sample::select(vec!["", " "]),
    ) {
        let words: Vec<&str> = ENGLISH.split(' ').collect();
        let (before, after) = words.split_at(at.index(words.len()));
        let other = format!("{} {sign}{glue}{}", before.join(" "), after.join(" "));
        prop_assert!(!are_alike(&[ENGLISH, &other]));
        prop_assert!(!are_alike(&[&other, ENGLISH]));
    }

    #[test]
    fn any_text_says_the_same_as_itself_and_both_ways_alike(one in "\\PC{0,80}", other in "\\PC{0,80}") {
        prop_assert!(say_the_same(&one, &one));
        prop_assert_eq!(say_the_same(&one, &other), say_the_same(&other, &one));
    }
}
