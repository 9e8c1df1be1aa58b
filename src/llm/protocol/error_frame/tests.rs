//! What is an error in an answer, and what is not.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn errors_differ_from_parts_of_an_answer() {
    for (frame, is_error) in [
        (json!({"error": {"message": "boom"}}), true),
        (json!({"error": "boom"}), true),
        (json!({"object": "error", "message": "boom"}), true),
        (json!({"type": "error", "message": "boom"}), true),
        (json!({"choices": [{"error": {"code": 502}}]}), true),
        (json!([{"error": {"code": 500}}]), true),
        (json!({"code": 500, "message": "boom"}), true),
        (json!({"code": "500", "msg": "boom"}), true),
        (json!({"code": "InternalError", "message": "boom"}), true),
        (json!({"code": 1301, "message": "boom", "choices": []}), true),
        (json!({"status": 503, "message": "boom"}), true),
        (json!({"success": false, "message": "boom"}), true),
        (json!({"message": "upstream connection failed"}), true),
        (json!({"detail": "Internal Server Error"}), true),
        (json!({"errors": [{"message": "boom"}]}), true),
        (json!({"choices": null, "error_message": "boom"}), true),
        (json!({"base_resp": {"status_code": 1004, "status_msg": "boom"}}), true),
        (json!({"choices": [{"delta": {"error": {"message": "boom"}}}]}), true),
        (json!({"__type": "InternalServerException", "message": "boom"}), true),
        (json!({"internalServerException": {"message": "boom"}}), true),
        (json!({"exception": "boom"}), true),
        (json!({"fault": {"faultstring": "boom"}}), true),
        (json!({"Response": {"Error": {"Code": "InternalError", "Message": "boom"}}}), true),
        (json!({"ErrorMsg": {"Msg": "boom", "Code": 500}, "Choices": []}), true),
        (json!({"status": "failed", "reason": "boom"}), true),
        (json!({"lastError": null, "id": "x"}), false),
        (json!({"type": "ping", "reason": "idle"}), false),
        (json!({"error": null, "choices": []}), false),
        (json!({"error": "", "choices": [{"delta": {}}]}), false),
        (json!({"error": {}, "message": {"content": "hi"}}), false),
        (json!({"code": 500}), true),
        (json!({"code": -1, "data": null}), true),
        (json!({"success": false}), true),
        (json!({"code": 500, "message": "boom", "usage": {}}), true),
        (json!({"code": 1301, "message": "boom", "usage": {"total_tokens": 0}}), true),
        (json!({"code": 500, "message": "x", "choices": [{"delta": {}}]}), true),
        (json!({"code": 503, "msg": "x", "choices": [{"delta": {"content": "half"}}]}), true),
        (
            json!({"code": 7, "msg": "x", "choices": [{"delta": {"role": "assistant",
            "content": ""}, "finish_reason": null}]}),
            true,
        ),
        (
            json!({"choices": [{"delta": {"content": "half"}}],
            "base_resp": {"status_code": 1004, "status_msg": "boom"}}),
            true,
        ),
        (json!({"message": "Service shutting down"}), true),
        (json!({"message": "Bad luck", "request_id": "7", "data": null}), true),
        (json!({"msg": "系统繁忙"}), true),
        (json!({"data": {"error": {"message": "boom"}}}), true),
        (json!({"id": 7, "result": {"code": 500, "msg": "boom"}}), true),
        (json!("error"), true),
        (json!({"code": 0}), false),
        (json!({"code": 1, "msg": "success"}), false),
        (json!({"code": 10000, "message": "Success", "choices": [{"delta": {}}]}), false),
        (json!({"code": 7, "msg": "x", "choices": [{"delta": {"content": "half"}}]}), false),
        (
            json!({"code": 0, "message": "Success", "sid": "x", "success": true,
            "choices": [{"delta": {"content": "half"}}]}),
            false,
        ),
        (
            json!({"choices": [{"delta": {"content": "half"}}],
            "base_resp": {"status_code": 0, "status_msg": ""}}),
            false,
        ),
        (json!({"status": "in_progress", "choices": [{"delta": {}}]}), false),
        (json!({"message": "Please wait, the model is loading"}), false),
        (json!({"msg": "排队中，请等待"}), false),
        (json!({"event": "tool", "data": {"error": "not found"}}), false),
        (json!({"type": "tool_result", "status": "failed"}), false),
        (json!({"code": 0, "message": "ok"}), false),
        (json!({"code": 200, "message": "success"}), false),
        (json!({"status": "queued", "message": "you are third"}), false),
        (json!({"base_resp": {"status_code": 0, "status_msg": ""}}), false),
        (json!({"type": "ping"}), false),
        (json!({"choices": [], "usage": {"prompt_tokens": 1}}), false),
        (json!({"choices": [{"delta": {"content": "error"}}]}), false),
        (json!({"message": {"content": "error"}, "done": false}), false),
        (json!({"candidates": [], "message": "failed"}), false),
        (json!("hello"), false),
        (Value::Null, false),
    ] {
        assert_eq!(error_in(&frame).is_some(), is_error, "{frame}");
    }
}

#[test]
fn words_of_a_failure_differ_from_others() {
    for (text, is_failure) in [
        ("upstream connect error or disconnect/reset before headers", true),
        ("Internal Server Error", true),
        ("Unauthorized", true),
        ("503 Service Unavailable", true),
        ("no backend there", true),
        ("系统开小差了", true),
        ("DONE", false),
        ("OK", false),
        ("OPENROUTER PROCESSING", false),
        ("2026-01-01 10:00:00", false),
        ("", false),
    ] {
        assert_eq!(is_failure_in_words(text), is_failure, "{text}");
    }
}

/// An object around an error that says nothing of an answer.
fn around(inner: Value, way: u8, name: &str) -> Value {
    match way {
        0 => json!({"error": inner}),
        1 => json!({"id": 7, name: inner}),
        2 => json!({"choices": null, name: inner, "created": 7}),
        3 => json!({"choices": [], "usage": null, name: inner}),
        _ => json!({"detail": inner}),
    }
}

/// A usual frame of an answer with text, and what real servers put beside it.
fn typical_frames() -> Vec<Value> {
    vec![
        json!({"choices": [{"index": 0, "delta": {"content": "half"}}]}),
        json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 0}}),
        json!({"message": {"role": "assistant", "content": "half"}, "done": false}),
        json!({"candidates": [{"content": {"parts": [{"text": "half"}]}}]}),
        json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "half"}}),
    ]
}

proptest! {
    #[test]
    fn an_error_is_found_in_any_shape_and_at_any_depth(
        ways in prop::collection::vec(0u8..5, 0..4),
        name in prop::sample::select(vec!["data", "result", "output", "body", "response_info"]),
        code_name in prop::sample::select(CODES.to_vec()),
        words_name in prop::sample::select(vec!["message", "msg", "error_message", "detail"]),
        code in prop::sample::select(vec![
            json!(500), json!("429"), json!(1301), json!(-1), json!("InternalError"), Value::Null,
        ]),
        words in prop::sample::select(vec![
            "boom", "系统繁忙", "Service shutting down", "the engine failed", "Too Many Requests",
        ]),
        part in prop::option::of(prop::sample::select(vec![
            ("choices", json!([{"index": 0, "delta": {}, "finish_reason": null}])),
            ("choices", json!([])),
            ("usage", json!({})),
            ("usage", json!({"total_tokens": 0})),
        ])),
    ) {
        let mut error = json!({code_name: code, words_name: words});
        // Beside a frame of an answer, though it says nothing, only a code makes an error of words.
        if let Some((name, value)) = part.filter(|_| ways.is_empty() && !code.is_null()) {
            error[name] = value;
        }
        let frame = ways.iter().fold(error, |inner, way| around(inner, *way, name));
        prop_assert!(error_in(&frame).is_some(), "{}", frame);
    }

    #[test]
    fn an_answer_is_no_error_whatever_it_says_of_its_success(
        frame in prop::sample::select(typical_frames()),
        code_name in prop::sample::select(CODES.to_vec()),
        code in prop::sample::select(vec![
            json!(0), json!(200), json!("0"), json!("200"), json!(20000), json!("success"),
            json!("ok"), json!("in_progress"), Value::Null,
        ]),
        words in prop::option::of(prop::sample::select(vec!["", "ok", "success", "Success", "成功"])),
        success in prop::option::of(Just(true)),
    ) {
        let mut frame = frame;
        frame[code_name] = code;
        if let Some(words) = words {
            frame["msg"] = json!(words);
        }
        if let Some(success) = success {
            frame["success"] = json!(success);
        }
        prop_assert!(error_in(&frame).is_none(), "{}", frame);
    }
}
