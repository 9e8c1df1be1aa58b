use proptest::prelude::*;

use super::{super::consensus::are_alike, *};

const ENGLISH: &str = "To find out how far the train travels we multiply its speed by the time it needs. \
    The train from Leeds runs at 120 km per hour and it does not stop on the way. It leaves at 9:15 and is \
    there after 2.5 hours, so the distance is the product of both. A quick look at the map shows that this \
    is a reasonable distance for the trip, and the engine is safe at that speed. Ann takes option B because \
    more than 40 people want to travel with her, which is legal in every carriage of that line.\n\
    The train covers 300 km.";

const CHINESE: &str = "要求出火车行驶的路程，我们用速度乘以时间。火车从利兹出发，时速为120公里，途中不停车。\
    它在上午九点十五分出发，行驶时间为2.5小时，所以路程等于速度与时间的乘积。从地图上可以看出，这个距离对于这次旅行来说是合理的，\
    而且发动机在这个速度下是安全的。乘客人数大于40人时，需要增加一节车厢，这样做在这条线路上是合法的，铁路公司也同意这个安排，\
    并且已经通知了沿线的各个车站做好准备，请旅客们放心乘坐。\n火车一共行驶了300公里。";

const CODE: &str = "The function walks through the list and keeps the largest value that it has seen on its way.\n\
    ```python\ndef largest(items, limit):\n    best = None\n    for index, item in enumerate(items):\n        \
    if item >= limit and not item.hidden:\n            best = item if best is None else max(best, item)\n    \
    return best + 1\n```\nIt looks at every item once, so that the time it takes grows with the length of the \
    list, and it needs no further memory. Call it as `largest(items, 10)` and check the result before you go \
    on with it, since a list without a fitting item gives None.";

const MATHS: &str = "We solve the equation step by step and keep both sides in balance all the way through.\n\
    $3x + 12 = 27$ gives $3x = 15$ once we subtract 12 on each side of it.\n\
    Dividing by 3 shows that $x = 5$, and with $y \\le 7$ the sum $x + y$ is bounded by 12.\n\
    A short check of the result: $3 \\cdot 5 + 12 = 27$ holds, and $-x < 0$ is satisfied as well, as is \
    $x^2 - 1 = 24$ and $(x + 2) * 4 = 28$.\n\
    The solution is therefore \\boxed{x = 5}.";

const JSON: &str = r#"{"name": "Leeds", "distance": 300, "unit": "km", "direct": true, "stops": [], "price": -12.50,
    "rule": "x >= 3", "notes": "The train does not stop on its way and the engine is safe at that speed."}"#;

/// A text, what is replaced in it, and by what.
type Pair = (&'static str, &'static str, &'static str);

const DIFFERENT: [Pair; 66] = [
    // one word for another that could stand there as well
    (ENGLISH, "120 km per hour", "120 km per day"),
    (ENGLISH, "the train travels", "the bus travels"),
    (ENGLISH, "on the way", "off the way"),
    (ENGLISH, "want to travel", "wanted to leave"),
    (ENGLISH, "multiply its speed", "divide its speed"),
    (ENGLISH, "its speed by the time", "the time by its speed"),
    (ENGLISH, "with her", "without her"),
    (ENGLISH, "that speed", "that height"),
    (ENGLISH, "there after", "there within"),
    (ENGLISH, "the trip,", "the trip?"),
    (ENGLISH, "Ann takes", "Eva takes"),
    (ENGLISH, "engine is safe", "engine isnt safe"),
    (ENGLISH, "is a reasonable", "was a reasonable"),
    (CHINESE, "利兹", "巴黎"),
    (CHINESE, "上午", "下午"),
    (CHINESE, "公里", "英里"),
    (CODE, "keeps the largest", "drops the largest"),
    (MATHS, "both sides", "one of its sides"),
    // digits and numbers
    (ENGLISH, "300 km.", "400 km."),
    (ENGLISH, "120 km", "130 km"),
    (ENGLISH, "9:15", "9:45"),
    (ENGLISH, "2.5 hours", "3.5 hours"),
    (ENGLISH, "40 people", "four people"),
    (CHINESE, "300公里", "400公里"),
    (CHINESE, "九点", "八点"),
    (CHINESE, "2.5小时", "25小时"),
    (CODE, "+ 1", "+ 2"),
    (CODE, "`largest(items, 10)`", "`largest(items, 11)`"),
    (MATHS, "\\boxed{x = 5}", "\\boxed{x = 6}"),
    (MATHS, "x^2", "x^3"),
    (JSON, "300", "301"),
    (JSON, "12.50", "12.05"),
    // signs and operators
    (ENGLISH, "more than 40", "> 40"),
    (MATHS, "$-x", "$x"),
    (MATHS, "3x + 12", "3x - 12"),
    (MATHS, "-x < 0", "-x > 0"),
    (MATHS, "\\le 7", "\\ge 7"),
    (MATHS, "(x + 2) * 4", "(x + 2) / 4"),
    (MATHS, "$x + y$", "$x * y$"),
    (CODE, ">= limit", "> limit"),
    (CODE, "+ 1", "- 1"),
    (CODE, "and not", "or not"),
    (JSON, "-12.50", "12.50"),
    (JSON, ">= 3", "<= 3"),
    // negations
    (ENGLISH, "does not stop", "does stop"),
    (ENGLISH, "is safe", "is not safe"),
    (ENGLISH, "is safe", "is unsafe"),
    (ENGLISH, "is legal", "is illegal"),
    (ENGLISH, "is a reasonable", "isn't a reasonable"),
    (ENGLISH, "is a reasonable", "is never a reasonable"),
    (CHINESE, "途中不停车", "途中停车"),
    (CHINESE, "是安全的", "不是安全的"),
    (CHINESE, "合法", "非法"),
    (CHINESE, "大于", "小于"),
    (CHINESE, "增加", "减少"),
    (CODE, "needs no further", "needs further"),
    (CODE, "not item.hidden", "item.hidden"),
    (JSON, "true", "false"),
    // letters, names, units
    (ENGLISH, "option B", "option C"),
    (ENGLISH, "Leeds", "Luton"),
    (ENGLISH, "300 km.", "300 m."),
    (ENGLISH, "more than", "less than"),
    (CODE, "max(best", "min(best"),
    (MATHS, "y \\le", "z \\le"),
    (MATHS, "\\boxed{x", "\\boxed{y"),
    (JSON, "Leeds", "Luton"),
];

const SAME: [Pair; 24] = [
    (ENGLISH, "A quick look", "A brief look"),
    (ENGLISH, "reasonable distance", "sensible distance"),
    (ENGLISH, "the product of both", "simply the product of both"),
    (ENGLISH, "which is legal", "which is also legal"),
    (ENGLISH, "does not stop", "doesn't stop"),
    (ENGLISH, "more than 40 people", "more than forty people"),
    (ENGLISH, "120 km", "**120** km"),
    (ENGLISH, "shows that this", "shows this"),
    (ENGLISH, "The train covers", "Thus the train covers"),
    (ENGLISH, "for the trip,", "for the journey,"),
    (ENGLISH, "300 km.", "300 km"),
    (CHINESE, "合理的", "合理"),
    (CHINESE, "，所以路程", "，因此路程"),
    (CODE, "largest value that it has seen", "largest value it has seen"),
    (CODE, "so that the time it takes grows", "so the time it takes grows"),
    (CODE, "```python", "```py"),
    (MATHS, "We solve", "Then we solve"),
    (MATHS, "step by step", "carefully step by step"),
    (MATHS, "\\le 7", "\\leq 7"),
    (MATHS, "3 \\cdot 5", "3 \\times 5"),
    (MATHS, "is bounded by", "is limited by"),
    (JSON, "\"direct\": true, \"stops\": []", "\"stops\": [], \"direct\": true"),
    (JSON, "\"distance\": 300", "\"distance\":300"),
    (JSON, "-12.50", "-12.5"),
];

fn replaced((text, old, new): Pair) -> String {
    assert!(text.contains(old), "{old:?} is not in the text");
    text.replacen(old, new, 1)
}

#[test]
fn what_differs_in_a_digit_a_sign_a_negation_a_letter_or_an_operator_is_not_alike() {
    for pair in DIFFERENT {
        let other = replaced(pair);
        assert!(!are_alike(&[pair.0, &other]), "{:?} and {:?}", pair.1, pair.2);
        assert!(!are_alike(&[&other, pair.0]), "{:?} and {:?}", pair.2, pair.1);
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
    fn any_text_says_the_same_as_itself_and_both_ways_alike(one in "\\PC{0,80}", other in "\\PC{0,80}") {
        prop_assert!(say_the_same(&one, &one));
        prop_assert_eq!(say_the_same(&one, &other), say_the_same(&other, &one));
    }
}
