//! Texts, and what is changed in them.

pub(super) const ENGLISH: &str = "To find out how far the train travels we multiply its speed by the time it needs. \
    The train from Leeds runs at 120 km per hour and it does not stop on the way. It leaves at 9:15 and is \
    there after 2.5 hours, so the distance is the product of both. A quick look at the map shows that this \
    is a reasonable distance for the trip, and the engine is safe at that speed. Ann takes option B because \
    more than 40 people want to travel with her, which is legal in every carriage of that line.\n\
    The train covers 300 km.";

pub(super) const CHINESE: &str = "要求出火车行驶的路程，我们用速度乘以时间。火车从利兹出发，时速为120公里，途中不停车。\
    它在上午九点十五分出发，行驶时间为2.5小时，所以路程等于速度与时间的乘积。从地图上可以看出，这个距离对于这次旅行来说是合理的，\
    而且发动机在这个速度下是安全的。乘客人数大于40人时，需要增加一节车厢，这样做在这条线路上是合法的，铁路公司也同意这个安排，\
    并且已经通知了沿线的各个车站做好准备，请旅客们放心乘坐。\n火车一共行驶了300公里。";

pub(super) const CODE: &str = "The function walks through the list and keeps the largest value that it has seen on its way.\n\
    ```python\ndef largest(items, limit):\n    best = None\n    for index, item in enumerate(items):\n        \
    if item >= limit and not item.hidden:\n            best = item if best is None else max(best, item)\n    \
    return best + 1\n```\nIt looks at every item once, so that the time it takes grows with the length of the \
    list, and it needs no further memory. Call it as `largest(items, 10)` and check the result before you go \
    on with it, since a list without a fitting item gives None.";

pub(super) const MATHS: &str = "We solve the equation step by step and keep both sides in balance all the way through.\n\
    $3x + 12 = 27$ gives $3x = 15$ once we subtract 12 on each side of it.\n\
    Dividing by 3 shows that $x = 5$, and with $y \\le 7$ the sum $x + y$ is bounded by 12.\n\
    A short check of the result: $3 \\cdot 5 + 12 = 27$ holds, and $-x < 0$ is satisfied as well, as is \
    $x^2 - 1 = 24$ and $(x + 2) * 4 = 28$.\n\
    The solution is therefore \\boxed{x = 5}.";

const JSON: &str = r#"{"name": "Leeds", "distance": 300, "unit": "km", "direct": true, "stops": [], "price": -12.50,
    "rule": "x >= 3", "notes": "The train does not stop on its way and the engine is safe at that speed."}"#;

/// A text, what is replaced in it, and by what.
pub(super) type Pair = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "We walk over the list and add up what is above zero, line by line.\n\n\
    def total(items):\n    sum = 0\n    for item in items:\n        if item > 0:\n            sum += item\n            \
    log(item)\n    return sum\n";

const YAML: &str =
    "server:\n  port: 80\n  tls:\n    cert: a.pem\n  timeout: 30\nclient:\n  retries: 3\n";

const MANUAL: &str = "The domain has to be a simply connected one, and the terms are those of the simply typed calculus.\n\
    Heat it carefully, and label it clearly; if it boils then cool it.\n\
    The torque on the body is r × F, and the flux is $\\mathbf{B} \\cdot \\mathbf{A}$, where S^2 × R is left out.\n\
    Take that exit. Run the line rm -r /tmp/x now, then join(\", \") and (1,200) in `a b`.";

pub(super) const DIFFERENT: &[Pair] = &[
    // white space that is structure
    (SCRIPT, "            log", "        log"),
    (SCRIPT, "    return", "        return"),
    (SCRIPT, "    return", "\treturn"),
    (YAML, "  timeout", "    timeout"),
    (YAML, "  timeout", "timeout"),
    (YAML, "  port: 80\n  tls", "  port: 80 tls"),
    (MANUAL, "-r /tmp", "-r / tmp"),
    (MANUAL, "rm -r", "rm - r"),
    (MANUAL, "\", \"", "\",\""),
    (MANUAL, "`a b`", "`ab`"),
    // fillers that are none
    (MANUAL, "simply connected", "connected"),
    (MANUAL, "simply typed", "typed"),
    (MANUAL, "Heat it carefully", "Heat it"),
    (MANUAL, "label it clearly", "label it"),
    (MANUAL, "boils then", "boils"),
    (MANUAL, "Take that exit", "Take exit"),
    // products, and lists that look like thousands
    (MANUAL, "r × F", "r · F"),
    (MANUAL, "r × F", "r * F"),
    (MANUAL, "\\cdot", "\\times"),
    (MANUAL, "S^2 × R", "S^2 · R"),
    (MANUAL, "(1,200)", "(1200)"),
    // texts inside JSON
    (JSON, "The train does not", "the train does not"),
    (JSON, "its way and", "its  way and"),
    (JSON, "\"km\"", "\"Km\""),
    (JSON, "\"km\"", "\"km \""),
    (JSON, ">= 3", ">=3"),
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

/// What differs in a picture, a sign, an ending or a letter's case.
pub(super) const SHORT: &[(&str, &str)] = &[
    // pictures
    ("Verdict: 👍", "Verdict: 👎"),
    ("Verdict: 👍", "Verdict:"),
    ("Status 🟢", "Status 🔴"),
    ("☑ done", "☐ done"),
    ("✅ done", "❌ done"),
    ("It is ♂", "It is ♀"),
    ("in C♯", "in C♭"),
    ("the ♠ wins", "the ♥ wins"),
    ("from 🇫🇷", "from 🇩🇪"),
    (
        "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    ),
    ("by 👍🏻", "by 👍🏿"),
    ("☀ tomorrow", "☔ tomorrow"),
    // signs
    ("f'(x)=0", "f(x)=0"),
    ("f''(x)=0", "f'(x)=0"),
    ("it is 5'", "it is 5\""),
    ("it is 5'", "it is 5"),
    ("is n! here", "is n here"),
    ("it is n!", "it is n."),
    ("it is (n + 1)!", "it is (n + 1)"),
    ("it is —5", "it is 5"),
    ("it is – 5", "it is 5"),
    ("- 5", "5"),
    ("+ 5", "- 5"),
    ("as 3 : 4", "as 3 4"),
    ("as a:b", "as a b"),
    ("is x-y now", "is x y now"),
    ("is x_y now", "is x y now"),
    ("is __init__ now", "is init now"),
    ("an int *p here", "an int p here"),
    ("take A* here", "take A here"),
    ("it costs 5$", "it costs 5"),
    ("read $HOME now", "read HOME now"),
    ("the set \\{1, 2\\}", "the set 1, 2"),
    ("2(3)", "2 3"),
    ("is f(x) now", "is f x now"),
    ("(1, 2)", "(1 2)"),
    ("He said: I do not. Stop.", "He said: I do not stop."),
    ("0.3...", "0.3."),
    ("sort! it", "sort it"),
    ("sort` it", "sort it"),
    ("C# code", "C code"),
    // endings and letters
    ("is dead now", "is deadly now"),
    ("has expired", "has expiring"),
    ("is charged", "is charging"),
    ("the lad", "the lady"),
    ("one part", "one party"),
    ("the count", "the county"),
    ("a factor", "a factory"),
    ("on Mars", "on Mary"),
    ("came late", "came lately"),
    ("came short", "came shortly"),
    ("the bolt", "the bolts"),
    ("is filling", "is filing"),
    ("our choice", "or choice"),
    ("a prise", "a prize"),
    ("in US hands", "in us hands"),
    ("is Polish here", "is polish here"),
    ("the king's son", "the king son"),
    ("is a sin x", "is sin x"),
    ("you may go", "you might go"),
    ("is not very safe", "is not safe"),
    ("is not simply wrong", "is not wrong"),
    ("is nearly 5 kg", "is about 5 kg"),
    ("use Python 3.10 here", "use Python 3.1 here"),
    ("这是目的。", "这是目。"),
    ("是我的。", "是我。"),
    ("有土地", "有土"),
    ("大于40", "大40"),
    ("为了他", "为他"),
    ("原因此处", "原此处"),
];

pub(super) const SAME: [Pair; 31] = [
    (ENGLISH, "by the time it needs", "by the time\nit needs"),
    (ENGLISH, "line.\nThe", "line. The"),
    (ENGLISH, "shows that this", "shows\nthat\nthis"),
    (SCRIPT, "line by line.\n", "line\nby line.\n\n"),
    (SCRIPT, "walk over", "actually walk over"),
    (MATHS, "3 \\cdot 5", "3 · 5"),
    (JSON, "-12.50", "-1.25e1"),
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
