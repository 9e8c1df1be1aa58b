//! Drafts that contradict each other are not alike.

use serde_json::json;

use crate::support::{ENDPOINTS, Script, Upstream, four_stages, question};

const WORKING: &str = "We add the number of tickets that were sold on each of the days and multiply the sum \
    by the price of one ticket, then the rent of the hall and the wages of the helpers are taken off, and what \
    is left over is shared among all members of the club, as they decided when they met in the old library. ";

/// Two drafts that contradict each other in nearly the same words.
fn opposites() -> [(String, String); 14] {
    let ends = |one: &str, other: &str| (format!("{WORKING}{one}"), format!("{WORKING}{other}"));
    let begins =
        |one: &str, other: &str| (format!("{one} {WORKING}"), format!("{other} {WORKING}"));
    [
        ends("The answer is 1499.", "The answer is 1599."),
        begins("Yes, it is safe.", "No, it is not safe."),
        ends("So $x \\le 3$ holds.", "So $x \\ge 3$ holds."),
        ends("It is legal.", "It is illegal."),
        ends("\n(B)", "\n(C)"),
        ends(
            "It is measured in miles. So much for that.",
            "It is measured in metres. So much for that.",
        ),
        ends("Sie ist möglich. So viel dazu.", "Sie ist unmöglich. So viel dazu."),
        ends("The former is right. So much for that.", "The latter is right. So much for that."),
        ends("结论：这样做是安全的。", "结论：这样做不安全。"),
        ends("\n\nfor x in xs:\n    add(x)\n    log(x)", "\n\nfor x in xs:\n    add(x)\nlog(x)"),
        ends("The torque is r × F for all of it.", "The torque is r · F for all of it."),
        ends("\nAnswer: 5 mW", "\nAnswer: 5 MW"),
        ends("\na) \\boxed{3}\nb) \\boxed{7}", "\na) \\boxed{4}\nb) \\boxed{7}"),
        (r#"{"pattern": "^\d+$"}"#.to_owned(), r#"{"pattern": "^\D+$"}"#.to_owned()),
    ]
}

#[tokio::test]
async fn opposite_drafts_are_not_alike_and_the_judge_is_asked() {
    for (one, other) in opposites() {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("")),
            ("one", Script::says(&one)),
            ("two", Script::says(&other)),
            ("writer", Script::says("fused")),
        ])
        .await;
        let mut setup = four_stages(&["one", "two"]);
        setup.plan()["policy"] = json!({ "agreement": 0.9 });
        let chorus = setup.over(&upstream).await;
        for path in ENDPOINTS {
            for stream in [false, true] {
                let mut body = question(path, "chorus", "hi", stream);
                body["include_workflow"] = json!(true);
                let objects = if stream {
                    chorus.objects(path, &body).await
                } else {
                    vec![chorus.ask(path, &body).await.1]
                };
                let trace = objects.iter().rev().find_map(|object| {
                    object.get("workflow").or_else(|| object["response"].get("workflow"))
                });
                let trace = trace.unwrap_or_else(|| panic!("no record: {path} {stream}"));
                assert_eq!(trace["selector"]["status"], "ok", "{path} {stream}: {trace}");
                assert_eq!(trace["synthesizer"]["status"], "ok", "{path} {stream}");
            }
        }
    }
}

#[tokio::test]
async fn equal_final_answers_agree_whatever_the_way_to_them() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("one", Script::says(&format!("{WORKING}\nThe answer is 1,499."))),
        ("two", Script::says("Adding up gives **Answer: 1499**")),
        ("three", Script::says("I think it is\n\\boxed{1599}")),
        ("writer", Script::says("fused")),
    ])
    .await;
    for (agreement, agrees) in [(0.6, true), (0.7, false)] {
        let mut setup = four_stages(&["one", "two", "three"]);
        setup.plan()["policy"] = json!({ "agreement": agreement });
        let chorus = setup.over(&upstream).await;
        let path = "/v1/chat/completions";
        let (_, answer) = chorus.ask(path, &question(path, "chorus", "hi", false)).await;
        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert_eq!(text.contains("499"), agrees, "{text}");
        assert_eq!(text == "fused", !agrees, "{text}");
    }
}
