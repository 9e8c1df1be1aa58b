//! Whatever is changed of a text that carries its meaning, it is alike no longer.

use super::*;

/// The places of small letters.
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

    #[test]
    fn a_text_inside_json_is_equal_to_itself_only(one in "\\PC{0,20}", other in "\\PC{0,20}") {
        let of = |text: &str| FinalAnswer::of(&serde_json::json!({ "a": [text, 7], "b": 1.5 }).to_string());
        prop_assert!(of(&one).is_some());
        prop_assert_eq!(of(&one) == of(&other), one == other);
        let turned = format!("{{\"b\": 15.0e-1,\n\"a\":[{}, 7.0]}}", serde_json::json!(&one));
        prop_assert_eq!(of(&one), FinalAnswer::of(&turned));
    }

    #[test]
    fn a_line_that_is_indented_further_never_leaves_code_alike(
        at in 1_usize..7, more in prop::sample::select(vec![" ", "    ", "\t"]), prose in any::<bool>(),
    ) {
        let code = "def f(items):\n    total = 0\n    for item in items:\n        log(item)\n        total += 1\n\
            \x20   print(total)\n    return total";
        let mut lines: Vec<String> = code.lines().map(str::to_owned).collect();
        lines[at].insert_str(0, more);
        let before = if prose { format!("{ENGLISH}\n\n") } else { String::new() };
        let [one, other] = [code, &lines.join("\n")].map(|code| format!("{before}{code}"));
        prop_assert!(!say_the_same(&one, &other));
        prop_assert!(!say_the_same(&other, &one));
    }

    #[test]
    fn final_answers_of_symbols_differ_in_any_capital(
        one in "[a-zA-Z]{1,3}", at in any::<prop::sample::Index>(),
        form in prop::sample::select(vec!["5 %", "%(n)", "-%", "x_%"]),
    ) {
        let at = at.index(one.len());
        let turned = |(place, letter): (usize, char)| match place == at {
            true if letter.is_lowercase() => letter.to_ascii_uppercase(),
            true => letter.to_ascii_lowercase(),
            false => letter,
        };
        let other: String = one.chars().enumerate().map(turned).collect();
        // Numerals and references have no case.
        prop_assume!(!["one", "two", "six", "ten", "see"].contains(&one.to_lowercase().as_str()));
        let of = |text: &str| FinalAnswer::of(&format!("work\nAnswer: {}", form.replace('%', text)));
        prop_assert!(of(&one).is_some());
        prop_assert_ne!(of(&one), of(&other));
    }
}
