//! What works but is probably not meant, each with where it is shown.

use super::*;

/// `place: what` of each warning; the file has two models on a local server.
fn warned(more: &str, settings: &str, plan: &str) -> Vec<String> {
    let text = format!("{MODELS}{more}\n[workflow-integration]\n{settings}\njson = '''{plan}'''\n");
    let config = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let shown = |warning: &Diagnostic| {
        let spot = warning.spot.as_ref().expect("it has a place");
        let marked = spot.source.text.chars().skip(spot.source.column - 1);
        let marked: String = marked.take(spot.source.length).collect();
        format!("{marked} | {}", warning.what)
    };
    config.warnings.iter().map(shown).collect()
}

#[test]
fn limits_that_do_not_fit_the_deadline_are_warned_of() {
    let base = "[workflow.timeouts]\nworker_timeout_secs = 90";
    for (more, plan, want) in [
        // Defaults are ended by a deadline as it is meant, a host's limits too.
        ("", r#"{"workers":["a"],"selector":"a","policy":{"deadline_secs":5}}"#, vec![]),
        (
            "[workflow.domains.\"127.0.0.1\"]\nworker_timeout_secs = 90",
            r#"{"workers":["a"],"selector":"a","policy":{"deadline_secs":5}}"#,
            vec![],
        ),
        (
            "",
            r#"{"workers":["a",{"ref":"b","timeout_secs":60.5}],"selector":"a","policy":{"deadline_secs":60}}"#,
            vec![
                "60.5 | workers[1].timeout_secs: its time limit of 60.5 s does not fit the deadline of \
                  60 s, which ends it earlier",
            ],
        ),
        (
            base,
            r#"{"workers":["a"],"selector":"a","policy":{"deadline_secs":60}}"#,
            vec![
                "\"a\" | workers[0]: its time limit of 90 s does not fit the deadline of 60 s, which ends \
                  it earlier",
            ],
        ),
        (
            base,
            r#"{"workers":["a",{"ref":"b","timeout_secs":10}],"selector":{"ref":"a","timeout_secs":20},"policy":{"deadline_secs":100}}"#,
            vec![
                "100 | policy.deadline_secs: is 100 s, and the time limits of the stages one after \
                  another add up to 110 s: the later ones may be ended early",
            ],
        ),
        (
            base,
            r#"{"workers":["a"],"selector":{"ref":"a","timeout_secs":10},"policy":{"deadline_secs":100}}"#,
            vec![],
        ),
        (
            "",
            r#"{"workers":[{"workers":[{"ref":"a","timeout_secs":40}],"policy":{"deadline_secs":50}}],"selector":"a","policy":{"deadline_secs":30}}"#,
            vec![
                "40 | workers[0].workers[0].timeout_secs: its time limit of 40 s does not fit the deadline \
                 of 30 s, which ends it earlier",
                "50 | workers[0].policy.deadline_secs: is 50 s, and a level around it ends after 30 s",
                "30 | policy.deadline_secs: is 30 s, and the time limits of the stages one after another \
                 add up to 40 s: the later ones may be ended early",
            ],
        ),
    ] {
        assert_eq!(warned(more, "", plan), want, "{more} {plan}");
    }
}

/// A quick profile beside a workflow of slow models is no mistake.
#[test]
fn a_limit_of_several_workflows_may_be_longer_than_the_deadline_of_one() {
    let profile = |worker: &str| {
        format!(
            "[workflow.timeouts]\nworker_timeout_secs = 180\n[[workflow-profile]]\nname = \"quick\"\n\
             json = '{{\"workers\":[{worker}],\"selector\":\"a\",\"policy\":{{\"deadline_secs\":20}}}}'\n"
        )
    };
    let plan = r#"{"workers":["a","b"],"selector":"a"}"#;
    assert_eq!(warned(&profile(r#""a""#), "", plan), Vec::<String>::new());
    let own = warned(&profile(r#"{"ref":"a","timeout_secs":30}"#), "", plan);
    assert_eq!(
        own,
        [
            "30 | workers[0].timeout_secs: its time limit of 30 s does not fit the deadline of 20 s, \
          which ends it earlier"
        ]
    );
}

#[test]
fn a_quorum_that_takes_turns_beyond_the_deadline_is_warned_of() {
    let plan = |policy: &str| {
        format!(r#"{{"workers":[{{"ref":"a","samples":6}}],"selector":"b","policy":{{{policy}}}}}"#)
    };
    let warns = "policy.quorum: 4 of 6 workers are waited for and 2 may run at a time: 2 rounds of up to \
                60 s do not fit the deadline of 100 s";
    for (settings, policy, want) in [
        ("max_concurrency = 2", r#""quorum":4,"deadline_secs":100"#, vec![format!("4 | {warns}")]),
        ("max_concurrency = 2", r#""quorum":4,"deadline_secs":120"#, vec![]),
        ("max_concurrency = 2", r#""quorum":2,"deadline_secs":100"#, vec![]),
        ("max_concurrency = 2", r#""quorum":4"#, vec![]),
        ("", r#""quorum":4,"deadline_secs":100"#, vec![]),
    ] {
        assert_eq!(warned("", settings, &plan(policy)), want, "{settings} {policy}");
    }
    // A model's own limit, and no quorum: all are waited for.
    let slow =
        "[[model]]\nname = \"c\"\napi_base = \"http://127.0.0.1:1/v1\"\nmax_concurrency = 1\n";
    let plan = r#"{"workers":[{"ref":"c","samples":2,"timeout_secs":20},"a"],"selector":"b","policy":{"deadline_secs":30}}"#;
    let found = warned(slow, "", plan);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("3 of 3 workers are waited for and 2 may run at a time"),
        "{found:?}"
    );
}

#[test]
fn what_is_beyond_a_model_is_warned_of() {
    let narrow = "[[model]]\nname = \"c\"\napi_base = \"https://api.moonshot.cn/v1\"\n";
    for (more, plan, want) in [
        (
            narrow,
            r#"{"workers":["a"],"selector":{"ref":"c","temperature":1.5}}"#,
            vec!["1.5 | selector.temperature: is more than `c` takes, 1 is sent"],
        ),
        (narrow, r#"{"workers":[{"ref":"c","temperature":1}],"selector":"a"}"#, vec![]),
        (
            "[[model]]\nname = \"c\"\napi_base = \"https://api.moonshot.cn/v1\"\nsend_temperature = false\n",
            r#"{"workers":[{"ref":"c","temperature":2}],"selector":"a"}"#,
            vec![],
        ),
        (
            "",
            r#"{"workers":[{"ref":"a","max_tokens":32768}],"selector":"a"}"#,
            vec![
                "32768 | workers[0].max_tokens: leaves no room for a prompt: `a` has `context_tokens = 32768`",
            ],
        ),
        (
            "",
            r#"{"workers":["a"],"selector":"a","policy":{"agreement":0.9}}"#,
            vec![
                "0.9 | policy.agreement: means nothing with one worker: there is nobody to agree with",
            ],
        ),
        ("", r#"{"workers":["a","b"],"selector":"a","policy":{"agreement":0.9}}"#, vec![]),
    ] {
        assert_eq!(warned(more, "", plan), want, "{plan}");
    }
}

#[test]
fn a_hedge_after_the_limit_is_warned_of() {
    let hedged = |after: u32| {
        format!(
            "[[model]]\nname = \"c\"\napi_base = \"http://127.0.0.1:1/v1\"\nhedge_after_ms = {after}\n\
             [[model.endpoint]]\napi_base = \"http://127.0.0.1:2/v1\"\n"
        )
    };
    let plan = r#"{"workers":["a"],"selector":{"ref":"c","timeout_secs":5},"synthesizer":{"ref":"b","fallback":["c"],"timeout_secs":9}}"#;
    for (after, warns) in [(8_999, false), (9_000, true), (20_000, true)] {
        let found = warned(&hedged(after), "", plan);
        assert_eq!(!found.is_empty(), warns, "{found:?}");
        let words = "does nothing: no stage waits for it longer than 9 s";
        assert!(found.iter().all(|one| one.contains(words)), "{found:?}");
    }
}

#[test]
fn an_unknown_domain_names_the_nearest_host() {
    let text = format!(
        "{MODELS}[[model]]\nname = \"c\"\napi_base = \"https://api.deepseek.com/v1\"\n{PLAN}\
         [workflow.domains.\"api.deepsek.com\"]\nworker_timeout_secs = 5\n\
         [workflow.domains.\"nowhere.example\"]\nworker_timeout_secs = 5\n"
    );
    let remedies: Vec<String> =
        parse(&text).unwrap().warnings.into_iter().map(|warning| warning.remedy).collect();
    assert_eq!(
        remedies,
        [
            "did you mean `api.deepseek.com`?",
            "name one of `127.0.0.1`, `api.deepseek.com`, or take the section out"
        ]
    );
}
