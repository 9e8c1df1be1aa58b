//! How answers are put together, and what is made of their ends.

use super::*;

fn tool(index: Option<u64>, id: &str, name: &str, arguments: &str) -> Piece<'static> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Piece::Tool(ToolPiece {
        index,
        id: some(id),
        name: some(name),
        arguments: arguments.into(),
        begins: false,
        beside: None,
    })
}

fn fold(pieces: Vec<Piece<'static>>) -> (Answer, Vec<Delta>) {
    let mut answer = Answer::new(false, false);
    let mut out = VecDeque::new();
    for piece in pieces {
        answer.take(piece, &mut out);
    }
    answer.close(&mut out);
    (answer, out.into())
}

/// `id name arguments` of every call, from the deltas.
fn calls(pieces: Vec<Piece<'static>>) -> Vec<String> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for delta in fold(pieces).1 {
        let Delta::ToolCall(delta) = delta else { continue };
        let at = delta.index as usize;
        if at == calls.len() {
            let name = delta.name.as_deref().expect("the first piece carries the name");
            calls.push((format!("{} {name}", delta.id.expect("and the id")), String::new()));
        }
        calls[at].1.push_str(&delta.arguments);
    }
    calls.into_iter().map(|(head, arguments)| format!("{head} {arguments}")).collect()
}

#[test]
fn tool_calls_are_assembled_however_they_come() {
    for (pieces, want) in [
        (
            vec![
                tool(Some(0), "a", "f", ""),
                tool(Some(0), "", "", "{\"x\""),
                tool(Some(0), "", "", ":1}"),
            ],
            vec!["a f {\"x\":1}"],
        ),
        (
            vec![
                tool(Some(0), "a", "f", "{}"),
                tool(Some(1), "b", "g", "{}"),
                tool(Some(0), "", "", " "),
            ],
            vec!["a f {}", "b g {}"],
        ),
        // no index: by id, else the last
        (
            vec![
                tool(None, "a", "f", "{"),
                tool(None, "b", "g", "["),
                tool(None, "a", "", "}"),
                tool(None, "", "", "]"),
            ],
            vec!["a f {}", "b g []"],
        ),
        // every call at index 0
        (
            vec![tool(Some(0), "a", "f", "{}"), tool(Some(0), "b", "g", "{}")],
            vec!["a f {}", "b g {}"],
        ),
        // id and name repeated on every piece
        (vec![tool(Some(0), "a", "f", "{"), tool(Some(0), "a", "f", "}")], vec!["a f {}"]),
        // arguments before the name, and none at all
        (vec![tool(Some(3), "a", "", "{}"), tool(Some(3), "", "f", "")], vec!["a f {}"]),
        (vec![tool(Some(0), "a", "f", "")], vec!["a f {}"]),
        // never named
        (vec![tool(Some(0), "a", "", "{}")], vec![]),
    ] {
        assert_eq!(calls(pieces), want);
    }
    let made_up = calls(vec![tool(None, "", "f", "{}"), tool(None, "", "f", "{}")]);
    assert_eq!(made_up.len(), 2, "two whole calls without id");
    assert!(made_up[0].starts_with("call_") && made_up[0] != made_up[1]);
}

#[test]
fn a_reason_ends_an_answer_only_behind_its_last_piece() {
    let (text, usage) = (|| Piece::Text("hi".into()), || Piece::Usage(Counts::default()));
    let stop = || Piece::Finish(FinishReason::Stop);
    for (frames, want) in [
        (vec![vec![text()]], None),
        (vec![vec![text(), stop()]], Some(FINISH_WAIT)),
        (vec![vec![text()], vec![stop()]], Some(FINISH_WAIT)),
        (vec![vec![stop()]], None),
        (vec![vec![stop()], vec![text()]], None),
        (vec![vec![stop()], vec![text()], vec![stop()]], Some(FINISH_WAIT)),
        (vec![vec![text(), stop()], vec![text(), stop()]], None),
        (vec![vec![text()], vec![usage(), stop()]], Some(FINISH_WAIT)),
        (vec![vec![text()], vec![stop()], vec![usage()]], Some(USAGE_WAIT)),
        (vec![vec![stop()], vec![usage()]], Some(FINISH_WAIT)),
        (vec![vec![text()], vec![stop()], vec![usage(), text()]], None),
    ] {
        let (mut answer, mut out) = (Answer::new(false, false), VecDeque::new());
        let shown = format!("{frames:?}");
        for frame in frames {
            answer.begin_frame();
            frame.into_iter().for_each(|piece| answer.take(piece, &mut out));
        }
        assert_eq!(answer.last_wait(), want, "{shown}");
    }
}

#[test]
fn an_end_that_is_not_like_the_others_is_a_cut() {
    let (text, stop) = (|| Piece::Text("hi".into()), || Piece::Finish(FinishReason::Stop));
    let endings = Endings::default();
    let reason = |pieces| fold(pieces).0.reason(&endings).map_err(|(kind, _)| kind);
    let (unsaid, renewed) = (|| vec![text(), Piece::End], || vec![stop(), text()]);
    assert_eq!(
        (reason(unsaid()), reason(renewed())),
        (Ok(FinishReason::Stop), Ok(FinishReason::Stop))
    );
    endings.learn(true, true);
    let cut = Err(LlmErrorKind::Truncated);
    assert_eq!((reason(unsaid()), reason(renewed())), (cut, cut));
    assert_eq!(reason(vec![text(), stop()]), Ok(FinishReason::Stop));
}

#[test]
fn a_flood_of_tool_calls_is_noticed() {
    let flooded = |pieces: &mut dyn Iterator<Item = Piece<'static>>| {
        let (mut answer, mut out) = (Answer::new(false, false), VecDeque::new());
        pieces.for_each(|piece| answer.take(piece, &mut out));
        answer.is_flooded()
    };
    let long = "x".repeat(1 << 20);
    assert!(flooded(&mut (0..9).map(|_| tool(Some(0), "", "", &long))), "never named");
    assert!(flooded(&mut (0..5000).map(|n| tool(Some(n), "", "f", ""))), "so many calls");
    assert!(!flooded(&mut (0..100).map(|n| tool(Some(n), "", "f", &long))), "given out");
}

#[test]
fn how_it_ended() {
    let text = || Piece::Text("hi".into());
    let call = || tool(Some(0), "a", "f", "{}");
    let finish = Piece::Finish;
    for (pieces, want) in [
        (vec![text(), finish(FinishReason::Stop)], Ok(FinishReason::Stop)),
        (vec![text(), Piece::End], Ok(FinishReason::Stop)),
        (vec![text(), finish(FinishReason::Length)], Ok(FinishReason::Length)),
        (vec![text(), finish(FinishReason::ContentFilter)], Ok(FinishReason::ContentFilter)),
        (vec![finish(FinishReason::ContentFilter)], Err(LlmErrorKind::ContentFilter)),
        (vec![call(), finish(FinishReason::Stop)], Ok(FinishReason::ToolCalls)),
        (vec![text(), finish(FinishReason::ToolCalls)], Ok(FinishReason::Stop)),
        (vec![Piece::Reasoning("hm".into()), Piece::End], Err(LlmErrorKind::Empty)),
        (vec![Piece::Text("<think>hm".into()), Piece::End], Err(LlmErrorKind::Empty)),
        (vec![Piece::Text(" \n".into()), Piece::End], Err(LlmErrorKind::Empty)),
        (vec![Piece::End, text()], Err(LlmErrorKind::Empty)),
        (vec![finish(FinishReason::Stop), Piece::End], Ok(FinishReason::Stop)),
        (
            vec![Piece::Reasoning("hm".into()), finish(FinishReason::Length)],
            Ok(FinishReason::Length),
        ),
        (vec![finish(FinishReason::ToolCalls), Piece::End], Err(LlmErrorKind::Empty)),
    ] {
        let shown = format!("{pieces:?}");
        let got = fold(pieces).0.reason(&Endings::default()).map_err(|(kind, _)| kind);
        assert_eq!(got, want, "{shown}");
    }
}

#[test]
fn usage_is_the_upstreams_or_estimated() {
    let counts =
        |prompt, completion| Piece::Usage(Counts { prompt, completion, ..Counts::default() });
    let text = || Piece::Text("12345".into());
    for (pieces, want) in [
        (vec![text(), counts(Some(9), Some(4))], (9, 4, false)),
        (vec![text(), counts(Some(9), Some(1)), counts(None, Some(4))], (9, 4, false)),
        (vec![text()], (3, 2, true)),
        (vec![text(), counts(None, Some(7))], (3, 7, true)),
        (vec![text(), counts(Some(0), Some(0))], (3, 2, true)),
        (vec![text(), counts(Some(9), Some(4)), counts(Some(0), Some(0))], (9, 4, false)),
        (vec![text(), counts(Some(9), Some(0))], (9, 2, true)),
    ] {
        let usage = fold(pieces).0.usage(10, Duration::from_millis(7), Duration::from_millis(8));
        assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.estimated), want);
        assert_eq!(usage.prompt_time, Duration::from_millis(7));
    }
}

#[test]
fn folded_texts_that_are_shown_together_are_one_delta() {
    let pieces = || {
        [
            Piece::Reasoning("h".into()),
            Piece::Reasoning("m".into()),
            Piece::Text("On".into()),
            Piece::Text("e two".into()),
            tool(Some(0), "a", "f", "{"),
            tool(Some(0), "", "", "}"),
            Piece::Text(" three".into()),
        ]
    };
    let shown = |folded| {
        let mut answer = Answer { folded, ..Answer::new(false, false) };
        let mut out = VecDeque::new();
        pieces().into_iter().for_each(|piece| answer.take(piece, &mut out));
        let texts = out.into_iter().map(|delta| match delta {
            Delta::Text(text) | Delta::Reasoning(text) => text,
            Delta::ToolCall(call) => call.arguments,
            Delta::State(_) => String::new(),
        });
        (texts.collect::<Vec<_>>(), answer.lengths())
    };
    assert_eq!(shown(true).0, ["hm", "One two", "{", "}", " three"]);
    assert_eq!(shown(false).0, ["h", "m", "On", "e two", "{", "}", " three"]);
    assert_eq!(shown(true).1, shown(false).1);
}
