//! Every error's status, code, shape and headers.

use super::{super::test_support, *};

fn run(error: WorkflowError, mode: &'static str) -> AppError {
    let mut failed = test_support::failed(error);
    std::sync::Arc::make_mut(&mut failed.trace).mode = mode;
    AppError::Run { failed, include_workflow: false }
}

fn upstream(kind: LlmErrorKind, mode: &'static str) -> AppError {
    run(test_support::upstream(kind), mode)
}

fn passed_on(kind: LlmErrorKind) -> AppError {
    match test_support::upstream(kind) {
        WorkflowError::Upstream(error) => AppError::Upstream(error),
        other => panic!("{other}"),
    }
}

#[test]
fn every_error_has_its_status_code_and_type() {
    let message = || "why".to_owned();
    let invalid = || WorkflowError::Invalid { message: message(), param: Some("raw".into()) };
    let all = || WorkflowError::AllWorkersFailed {
        workers: vec![("a".to_owned(), "timeout".to_owned())],
        needed: 1,
    };
    for (error, status, code, kind) in [
        (AppError::invalid("x"), 400, "invalid_request", "invalid_request_error"),
        (AppError::field("n", "x"), 400, "invalid_request", "invalid_request_error"),
        (AppError::InvalidKey("x"), 401, "invalid_api_key", "invalid_request_error"),
        (AppError::Forbidden("x"), 403, "forbidden", "invalid_request_error"),
        (AppError::UnknownModel(message()), 404, "model_not_found", "invalid_request_error"),
        (
            AppError::UnknownResponse(message()),
            400,
            "previous_response_not_found",
            "invalid_request_error",
        ),
        (AppError::UnknownRoute(message()), 404, "not_found", "not_found_error"),
        (AppError::NotKept(message()), 404, "not_found", "not_found_error"),
        (AppError::MethodNotAllowed(message()), 405, "method_not_allowed", "invalid_request_error"),
        (AppError::Unsupported(message()), 501, "unsupported_operation", "invalid_request_error"),
        (AppError::BodyStalled, 408, "request_timeout", "invalid_request_error"),
        (AppError::BodyTooLarge { limit: 1 }, 413, "request_too_large", "invalid_request_error"),
        (AppError::Overloaded, 503, "overloaded", "api_error"),
        (AppError::ShuttingDown, 503, "overloaded", "api_error"),
        (AppError::NoRun(message()), 404, "not_found", "not_found_error"),
        (AppError::RunIsOver, 409, "run_is_over", "invalid_request_error"),
        (AppError::Cancelled, 499, "cancelled", "api_error"),
        (AppError::Internal("x"), 500, "internal_error", "api_error"),
        (AppError::UnusableToolCall { tool: message() }, 502, "upstream_error", "api_error"),
        (AppError::OnlyToolCalls, 502, "upstream_error", "api_error"),
        (passed_on(LlmErrorKind::Unauthorized), 502, "upstream_error", "api_error"),
        (
            passed_on(LlmErrorKind::Rejected { status: 400 }),
            400,
            "invalid_request",
            "invalid_request_error",
        ),
        (run(all(), "workflow"), 502, "all_workers_failed", "api_error"),
        (
            run(WorkflowError::RateLimited { retry_after: None }, "workflow"),
            429,
            "rate_limit_exceeded",
            "rate_limit_error",
        ),
        (
            run(WorkflowError::Timeout { message: message() }, "workflow"),
            504,
            "timeout",
            "api_error",
        ),
        (run(invalid(), "workflow"), 400, "invalid_request", "invalid_request_error"),
        (
            run(WorkflowError::UnsupportedInput { message: message() }, "workflow"),
            400,
            "invalid_request",
            "invalid_request_error",
        ),
        (
            upstream(LlmErrorKind::RateLimited { retry_after: None }, "direct"),
            429,
            "rate_limit_exceeded",
            "rate_limit_error",
        ),
        // Its workers answered: trying again would pay them again.
        (
            upstream(LlmErrorKind::RateLimited { retry_after: None }, "workflow"),
            502,
            "upstream_error",
            "api_error",
        ),
        (upstream(LlmErrorKind::Timeout, "direct"), 504, "timeout", "api_error"),
        (upstream(LlmErrorKind::Truncated, "direct"), 502, "upstream_error", "api_error"),
        (upstream(LlmErrorKind::CircuitOpen, "direct"), 502, "upstream_error", "api_error"),
        (upstream(LlmErrorKind::Unauthorized, "direct"), 502, "upstream_error", "api_error"),
        (
            upstream(LlmErrorKind::Rejected { status: 400 }, "direct"),
            400,
            "invalid_request",
            "invalid_request_error",
        ),
        (
            run(WorkflowError::TooLong { message: message() }, "workflow"),
            400,
            "context_length_exceeded",
            "invalid_request_error",
        ),
        (
            passed_on(LlmErrorKind::ContextLength),
            400,
            "context_length_exceeded",
            "invalid_request_error",
        ),
        (upstream(LlmErrorKind::Redirected, "direct"), 502, "upstream_error", "api_error"),
        (upstream(LlmErrorKind::Capacity, "direct"), 502, "upstream_error", "api_error"),
        (
            upstream(LlmErrorKind::Rejected { status: 400 }, "workflow"),
            502,
            "upstream_error",
            "api_error",
        ),
    ] {
        assert_eq!((error.status().as_u16(), error.code()), (status, code), "{error:?}");
        let body = serde_json::to_value(error.body(Dialect::OpenAi)).unwrap();
        assert_eq!(body["error"]["type"], kind, "{error:?}");
        assert_eq!(body["error"]["code"], code);
        assert!(body["error"].as_object().unwrap().contains_key("param"));
    }
}

#[test]
fn each_dialect_has_its_shape() {
    let error = AppError::UnknownModel("model 'x' not found".to_owned());
    let body = |dialect| serde_json::to_string(&error.body(dialect)).unwrap();
    insta::assert_snapshot!(body(Dialect::OpenAi), @r#"{"error":{"message":"model 'x' not found","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#);
    insta::assert_snapshot!(body(Dialect::Script), @r#"{"error":{"message":"model 'x' not found","code":"model_not_found"}}"#);
    insta::assert_snapshot!(body(Dialect::Ollama), @r#"{"error":"model 'x' not found","code":"model_not_found"}"#);
}

#[test]
fn a_failed_run_shows_its_record_only_when_asked() {
    for include_workflow in [false, true] {
        let failed = test_support::failed(test_support::upstream(LlmErrorKind::Connect));
        let error = AppError::Run { failed, include_workflow };
        for dialect in [Dialect::OpenAi, Dialect::Script, Dialect::Ollama] {
            let body = serde_json::to_value(error.body(dialect)).unwrap();
            assert_eq!(body.get("workflow").is_some(), include_workflow);
        }
    }
}

#[test]
fn headers_say_whether_and_when_to_try_again() {
    let secs = |n| Some(Duration::from_millis(n));
    let limited = |retry_after| run(WorkflowError::RateLimited { retry_after }, "workflow");
    let kind = LlmErrorKind::RateLimited { retry_after: secs(2500) };
    let unusable = AppError::UnusableToolCall { tool: "f".to_owned() };
    for (error, retry_after, should_retry) in [
        (AppError::ShuttingDown, Some("5"), None),
        (AppError::Internal("x"), None, Some("false")),
        (unusable, None, Some("false")),
        (limited(None), Some("5"), None),
        (limited(secs(10)), Some("1"), None),
        (limited(secs(7001)), Some("8"), None),
        (upstream(kind, "direct"), Some("3"), None),
        (upstream(kind, "workflow"), None, Some("false")),
        (upstream(LlmErrorKind::Timeout, "direct"), None, Some("false")),
        (upstream(LlmErrorKind::Garbled, "workflow"), None, Some("false")),
        (upstream(LlmErrorKind::ContextLength, "direct"), None, Some("false")),
        (limited(secs(61_000)), Some("61"), Some("false")),
    ] {
        let words = error.to_string();
        let run = WorkflowId::fresh();
        let response = error.into_response_of(&[run]);
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap());
        assert_eq!(header("retry-after"), retry_after, "{words}");
        assert_eq!(header("x-should-retry"), should_retry, "{words}");
        assert_eq!(header("x-chorus-workflow-id"), Some(run.to_string().as_str()), "{words}");
    }
    for (error, retry_after) in [
        (AppError::Overloaded, Some("5")),
        (AppError::invalid("x"), None),
        (AppError::Internal("x"), None),
        (passed_on(LlmErrorKind::RateLimited { retry_after: secs(2500) }), Some("3")),
        (passed_on(LlmErrorKind::RateLimited { retry_after: None }), Some("5")),
    ] {
        let words = error.to_string();
        let response = error.into_response();
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap());
        assert_eq!(header("retry-after"), retry_after, "{words}");
        assert_eq!(header("x-should-retry"), None, "{words}");
        assert_eq!(header("x-chorus-workflow-id"), None, "{words}");
    }
}
