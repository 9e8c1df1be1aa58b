mod changes;
mod tables;

use proptest::prelude::*;

use super::*;
use crate::workflow::stage::consensus::are_alike;
use tables::{CHINESE, CODE, DIFFERENT, ENGLISH, MATHS, Pair, SAME, SHORT};

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
        // capitals
        ("5 mW", "5 MW"),
        ("5 Mmol", "5 mmol"),
        ("5 Mg", "5 mg"),
        ("8 MB", "8 Mb"),
        ("O(n)", "o(n)"),
        ("\\Gamma", "\\gamma"),
        ("x = N", "x = n"),
        ("ls -r", "ls -R"),
        ("Log(x)", "log(x)"),
        ("/Etc", "/etc"),
        ("`List`", "`list`"),
        ("Co", "CO"),
        ("Co", "co"),
        ("NO gas", "no gas"),
        ("b", "B"),
        ("pH", "Ph"),
        ("-so", "-So"),
        // operators and fractions
        ("2*3", "23"),
        ("a**b", "ab"),
        ("*p", "p"),
        ("*p = *q", "p = q"),
        ("*.rs", ".rs"),
        ("\\frac{1}{2}x", "\\frac{1}{2x}"),
        ("\\frac{1}{2} x", "\\frac{1}{2x}"),
        ("x\\frac{1}{2}", "\\frac{x1}{2}"),
        ("\\frac{1}{2}^2", "\\frac{1}{2^2}"),
        ("a\\frac{b}{c}d", "\\frac{ab}{cd}"),
        ("2^\\frac{1}{2}", "2^1/2"),
        ("1\\frac{1}{2}", "11/2"),
        ("2 \\frac{3}{4}", "23/4"),
        ("a \\times b", "a \\cdot b"),
        // lists and versions
        ("(1,200)", "(1200)"),
        ("\\{1,234\\}", "\\{1234\\}"),
        ("[5, 1,200]", "[5, 1200]"),
        ("3.10", "3.1"),
        ("1.20", "1.2"),
        ("3.0", "3"),
    ] {
        for form in ["work\nAnswer: %", "work\n\\boxed{%}", "{\"a\": \"%\"}"] {
            let of = |answer: &str| {
                let answer = answer.replace('"', "''");
                let is_json = form.starts_with('{');
                let answer = if is_json { answer.replace('\\', "\\\\") } else { answer };
                FinalAnswer::of(&form.replace('%', &answer))
            };
            assert!(of(one).is_some() && of(other).is_some(), "{one:?} and {other:?}");
            assert_ne!(of(one), of(other), "{one:?} and {other:?}");
        }
    }
    for (one, other) in [
        ("\"Paris\"", "Paris."),
        ("(B)", "B."),
        ("$2.50$", "2.5"),
        ("\\(7\\)", "7"),
        ("1,499.50", "$1499.5$"),
        ("(b) Paris", "B. Paris"),
        ("Paris", "paris"),
        ("The Red Sea", "The Red Sea."),
        ("YES", "Yes."),
        ("**5**", "5"),
        ("`ls -R`", "`ls -R`."),
        ("$(1,200)$", "(1, 200)"),
        ("3 \\times 10^8", "3 · 10^8"),
        ("$-\\frac{1}{2}$", "-1/2"),
        ("1\\frac{1}{2}", "1 1/2"),
        ("x = \\dfrac{1}{2}", "x = 1/2"),
    ] {
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
        (
            "first \\boxed{2}, then \\boxed{\\frac{1}{2}}",
            FinalAnswer::of("\\boxed{2} \\boxed{1/2}"),
        ),
        ("work\nAnswer: 1499", text(&["1499"])),
        ("work\n**Final answer:** 1,499.00", text(&["1499"])),
        ("The answer is 1499. Ask again whenever you like.", text(&["1499"])),
        ("The answer is 1499. No, wait, it is 1500.", None),
        ("Answer: 5\n\nBut that is wrong.", None),
        ("**Final answer:**\n$7$", text(&["7"])),
        ("\\boxed{\\text{yes}}", text(&["yes"])),
        ("\\boxed{\\dfrac{1}{2}}", text(&["1", "/", "2"])),
        ("Answer: (B) Paris", FinalAnswer::of("\\boxed{B Paris}")),
        ("Answer: B. Paris", FinalAnswer::of("\\boxed{B Paris}")),
        ("Answer: 5\\%", text(&["5", "%"])),
        ("答えは 5 です。", text(&["5"])),
        ("#### Safety\nUse it with care.", None),
        ("work\n#### 72", text(&["72"])),
        ("推导\n答案：42", text(&["42"])),
        ("計算\n答えは 42", text(&["42"])),
        ("Antwort: 7", text(&["7"])),
        ("work\n(B)", text(&["B"])),
        ("work\n(b)", text(&["B"])),
        ("work\nb", text(&["b"])),
        ("work\nOption b.", text(&["B"])),
        ("work\n**A**", text(&["A"])),
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
        // several parts
        ("a) \\boxed{3}\nb) \\boxed{7}", text(&["3", "\n", "7"])),
        ("\\boxed{7}, so it is \\boxed{7}", text(&["7"])),
        ("Part a. Answer: 3\nPart b. Answer: 7", text(&["3", "\n", "7"])),
        ("a) \\boxed{3}\nb) Answer: 7", text(&["3", "\n", "7"])),
        ("a) Answer: 3\nb) \\boxed{7}", text(&["7", "\n", "3"])),
        ("a) Answer: 3; b) Answer: 7", text(&["3", ";", "b", ")", "Answer", ":", "7"])),
        ("1. Safe?\nNo\n2. Legal?\nYes", text(&["no", "\n", "yes"])),
        ("The answer is the product of both of them.\nAnswer: 7", text(&["7"])),
        ("**Final answer:** The answer is 5.", text(&["5"])),
        ("*Answer:* 2*3", text(&["2", "*", "3"])),
        ("**Answer**: *p", text(&["*", "p"])),
        ("**Answer: a**b**", text(&["a", "**", "b"])),
        // answers that stand elsewhere
        ("work\nAnswer: see above", None),
        ("work\nThe answer is given above.", None),
        ("work\nAnswer: as shown above", None),
        ("work\nThe answer is this function.", None),
        ("work\n\\boxed{\\text{see above}}", None),
        ("推导\n答案如上", None),
        ("推导\n答案：如上所述", None),
        ("推导\n答案是上述代码", None),
        // the last lines of files and lists
        ("[server]\nport = 80\ntimeout = 30", None),
        ("server:\n  port: 80\n  timeout = 30", None),
        ("total = a + b\nprint(total)\nDEBUG = 1", None),
        ("DELETE FROM t WHERE id = 5;\nSELECT * FROM t\nLIMIT = 10", None),
        ("A=1\nB=2\nMODE=3", None),
        ("name: a\ntotal: 25", None),
        ("port = 80\nanswer = 42", None),
        ("port: 80\nresult: 42", None),
        ("print(f(x))\n5", None),
        ("3\n4\n5", None),
        ("v = 120\nt = 2.5\nSo the train covers 300 km.", text(&["300", "km"])),
        ("timeout = 30", text(&["timeout", "30"])),
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
    for (one, other) in [
        ("On the Seine", "on the Seine"),
        ("On the Seine!", "On the Seine"),
        ("^\\\\d+$", "^\\\\D+$"),
        ("tar -C x", "tar -c x"),
        ("aBcD", "AbCd"),
        (", ", ","),
        ("if a:\\n  b\\nc", "if a:\\n  b\\n  c"),
        ("then it rains", "it rains"),
        ("*a* b", "a b"),
        ("$a$", "a"),
        ("3.10", "3.1"),
        ("answer: 5", "so the answer: 5"),
        ("1 \\\\boxed{5}", "2 \\\\boxed{5}"),
    ] {
        let [one, other] = [one, other].map(|text| format!("{{\"a\":\"{text}\",\"b\":1}}"));
        assert_ne!(FinalAnswer::of(&one), FinalAnswer::of(&other), "{one} {other}");
        assert!(!are_alike(&[&one, &other]), "{one} {other}");
        assert_eq!(FinalAnswer::of(&one), FinalAnswer::of(&one.replace(":1", ":1.0e0")));
    }
    assert_ne!(FinalAnswer::of("{\"a\": 1}"), FinalAnswer::of("{\"a\": \"1\"}"));
    let long =
        |one: u8, two: u8| format!("[1234567890123456789012{one}, 1234567890123456789012{two}]");
    assert_ne!(FinalAnswer::of(&long(1, 2)), FinalAnswer::of(&long(2, 1)));
    assert_ne!(FinalAnswer::of("{\"a\":\"-3\"}"), FinalAnswer::of("{\"a\":\"3\"}"));
    let long = |last: u8| format!("{{\"id\": 1234567890123456789{last}}}");
    assert_ne!(FinalAnswer::of(&long(1)), FinalAnswer::of(&long(2)));
}

#[test]
fn prose_is_alike_wherever_its_lines_are_broken() {
    for (at, _) in ENGLISH.match_indices(' ') {
        let mut other = ENGLISH.to_owned();
        other.replace_range(at..=at, "\n");
        assert!(are_alike(&[ENGLISH, &other]), "{other}");
    }
}
