//! What error bodies are read as, what they mean, and what is repeated of them.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::types::growth::assert_linear;

/// Its texts as they are shown.
fn text(refusal: &Refusal) -> String {
    refusal.body.texts.join("; ")
}

#[test]
fn every_shape_of_error_body_is_read() {
    for (body, message) in [
        (r#"{"error":{"message":"no","type":"t","param":"p","code":"c"}}"#, "no"),
        (r#"{"error":"model 'x' not found","signin_url":"u"}"#, "model 'x' not found"),
        (r#"{"message":"nope","code":7}"#, "nope"),
        (r#"{"detail":"Not Found"}"#, "Not Found"),
        (
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","min_p"],"msg":"Extra"}]}"#,
            "body.min_p: Extra",
        ),
        (r#"[{"error":{"code":429,"message":"slow"}}]"#, "slow"),
        (r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#, "no"),
        (r#"{"errors":[{"message":"first"},{"message":"second"}]}"#, "first; second"),
        (r#"{"errors":{"stop":["is not known"]},"title":"Bad Request"}"#, "stop: is not known"),
        (r#"{"error":["one","two"]}"#, "one; two"),
        (r#"{"Response":{"Error":{"Code":"X","Message":"far in"}}}"#, "far in"),
        (r#"{"error":"invalid_request","error_description":"why so"}"#, "why so"),
        (r#"{"msg":"no such field"}"#, "no such field"),
        (r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#, "login fail"),
        (r#"{"detail":{"error":{"message":"deep"}}}"#, "deep"),
        (r#"{"choices":null,"usage":null,"error_message":"busy"}"#, "busy"),
        (r#"{"errorMessage":"busy"}"#, "busy"),
        (
            r#"{"error":"Bad Request","message":"stop is unknown","statusCode":400}"#,
            "stop is unknown",
        ),
        (
            r#"{"error":{"message":"Provider returned error","code":429,
                "metadata":{"raw":"m is limited","provider_name":"P"}}}"#,
            "Provider returned error; m is limited",
        ),
        (
            r#"{"error":{"message":"Provider returned error",
                "metadata":{"raw":"{\"error\":{\"message\":\"one image at most\"}}"}}}"#,
            "Provider returned error; one image at most",
        ),
        (r#"{"error":{"message":"{\n \"error\": {\"message\": \"inner\"}}"}}"#, "inner"),
        (
            r#"{"error":{"message":"from P (400): {\"error\":{\"message\":\"inner\"}}"}}"#,
            "from P (400); inner",
        ),
        (r#"{"data":{"result":[{"failure":{"msg":"far down"}}]}}"#, "far down"),
        (r#"{"error":{"message":"","code":"x"},"detail":"why"}"#, "why"),
        (r#"{"error_description":"who are you"}"#, "who are you"),
        ("data: {\"error\":{\"message\":\"framed\"}}\n\n", "framed"),
        ("\u{feff}{\"message\":\"marked\"}", "marked"),
        ("<html>502 Bad Gateway</html>", "<html>502 Bad Gateway</html>"),
        ("", ""),
    ] {
        assert_eq!(text(&Refusal::of_response(500, body.as_bytes())), message, "{body}");
    }
    let long = "字".repeat(500);
    assert!(text(&Refusal::of_response(500, long.as_bytes())).len() <= 203);
}

#[test]
fn codes_are_read_at_any_depth() {
    for (body, code, status) in [
        (json!({"error": {"code": "c", "type": "t"}}), "c", None),
        (
            json!({"error": {"code": 429, "metadata": {"raw":
            r#"{"error":{"code":"rate_limit_exceeded","message":"no"}}"#}}}),
            "rate_limit_exceeded",
            Some(429),
        ),
        (json!({"detail": {"error_code": "c"}}), "c", None),
        (json!({"status": 503, "error": {"statusCode": 401}}), "401", Some(401)),
        (json!({"base_resp": {"status_code": 1008}}), "1008", None),
    ] {
        let refusal = Refusal::of_response(502, body.to_string().as_bytes());
        assert_eq!((refusal.body.code.as_str(), refusal.body.status), (code, status), "{body}");
    }
}

/// An object around an error, as gateways put them.
fn around(inner: serde_json::Value, way: u8, name: &str) -> serde_json::Value {
    match way {
        0 => json!({"error": inner}),
        1 => json!({"errors": [inner]}),
        2 => json!([inner]),
        3 => json!({"detail": inner, "status": "failure"}),
        4 => json!({"choices": null, name: inner}),
        5 => json!({"error": {"code": 502, "metadata": {"raw": inner.to_string()}}}),
        6 => json!({"message": inner.to_string()}),
        _ => json!({"id": 7, name: [{"type": "x"}, inner]}),
    }
}

proptest! {
    #[test]
    fn words_are_found_at_any_depth(
        ways in prop::collection::vec(0u8..8, 0..6),
        name in "[a-z_]{3,9}",
        field in prop::sample::select(vec![
            "message", "msg", "error_message", "error_msg", "detail", "status_msg", "raw",
        ]),
        words in "[a-z]{3,8} [a-z]{3,8}",
    ) {
        prop_assume!(!["prompt", "input", "request", "tools", "messages", "contents", "headers"]
            .contains(&name.as_str()));
        let error = json!({"code": "some_code", field: words});
        let body = ways.iter().fold(error, |inner, way| around(inner, *way, &name));
        let read = Refusal::of_response(500, body.to_string().as_bytes());
        prop_assert_eq!(text(&read), words.as_str(), "{}", body);
        prop_assert_eq!(&read.body.code, "some_code", "{}", body);
        let in_band = Refusal::inside(&body);
        prop_assert_eq!(text(&in_band), words);
    }

    #[test]
    fn no_error_body_panics(value in crate::llm::testing::any_json(), status in 300u16..600) {
        let refusal = Refusal::of_response(status, value.to_string().as_bytes());
        let kind = refusal.error_kind(None);
        let _ = refusal.describe(kind, &[], [].iter().copied());
        let _ = refusal.context_limit();
    }
}

/// Providers' failures as gateways pass them on.
#[test]
fn the_class_of_a_failure_is_read_under_every_status() {
    use LlmErrorKind as Kind;
    let limited = Kind::RateLimited { retry_after: None };
    let refused = |status| Kind::Rejected { status };
    for (words, want) in [
        ("litellm.AuthenticationError: OpenAIException - Incorrect key", Kind::Unauthorized),
        ("AnthropicException - 401: the key is not known", Kind::Unauthorized),
        ("Error 401 Unauthorized from https://p.example/v1/chat", Kind::Unauthorized),
        ("Error code: 401 - {'error': {'message': 'no'}}", Kind::Unauthorized),
        ("401 status code (no body)", Kind::Unauthorized),
        ("upstream request failed with status 401", Kind::Unauthorized),
        ("Client error '401 Unauthorized' for url 'https://p.example'", Kind::Unauthorized),
        ("Incorrect API key provided: ***", Kind::Unauthorized),
        ("No auth credentials found", Kind::Unauthorized),
        ("got HTTP/1.1 403 Forbidden", Kind::Unauthorized),
        ("provider said: {\"error\":{\"code\":\"invalid_api_key\"}}", Kind::Unauthorized),
        ("openai.PermissionDeniedError: region", Kind::Unauthorized),
        ("401 Client Error: Unauthorized for url: https://p.example/v1/chat", Kind::Unauthorized),
        ("P said 403 Client Error: for url: https://p.example/v1/chat", Kind::Unauthorized),
        ("Request failed: 401", Kind::Unauthorized),
        ("Provider returned error: User not found. (401)", Kind::Unauthorized),
        ("You didn't provide an API key. You need to provide it in a header", Kind::Unauthorized),
        (
            "Access denied due to invalid subscription key or wrong API endpoint.",
            Kind::Unauthorized,
        ),
        ("JWT token is expired", Kind::Unauthorized),
        ("invalid access token or token expired", Kind::Unauthorized),
        ("Please provide a valid API key", Kind::Unauthorized),
        ("无效的令牌", Kind::Unauthorized),
        ("Invalid status code: 429", limited),
        ("Quota exceeded for quota metric 'Generate Content API requests per minute'", limited),
        ("请求频率过高,请稍后重试", limited),
        ("Request failed with status code 429", limited),
        ("litellm.RateLimitError: RateLimitError: VertexAIException - busy", limited),
        ("ThrottlingException: Too many tokens, please wait before trying again.", limited),
        ("error, status code: 429, message: slow down", limited),
        ("Rate limit reached for m in organization o", limited),
        ("HTTP status client error (429 Too Many Requests) for url", limited),
        ("litellm.NotFoundError: m", Kind::NotFound),
        (
            "litellm.APIConnectionError: OllamaException - {\"error\":\"model 'q9' not found\"}",
            Kind::NotFound,
        ),
        ("model \"q9\" not found, try pulling it first", Kind::NotFound),
        ("The model `x/y-9` does not exist.", Kind::NotFound),
        ("models/g-9 is not found for API version v1beta, or is not supported", Kind::NotFound),
        ("当前分组 default 下对于模型 g-9 无可用渠道", Kind::NotFound),
        ("模型不存在，请检查模型代码。", Kind::NotFound),
        ("Invalid status code: 404", Kind::NotFound),
        ("upstream returned 404", Kind::NotFound),
        ("The model `m` does not exist or you do not have access to it.", Kind::NotFound),
        ("litellm.BadRequestError: OpenAIException - bad stop", refused(400)),
        ("Error code: 422 - {'detail': 'x'}", refused(422)),
        ("unexpected status code 413", refused(413)),
        ("Error code: 402 - pay", Kind::Quota),
        ("用户额度不足, 剩余额度: 0.00", Kind::Quota),
        ("该令牌额度已用尽", Kind::Quota),
        ("This token quota has been exhausted", Kind::Quota),
        ("Key limit exceeded (total limit). Manage it on the site", Kind::Quota),
        ("litellm.BudgetExceededError: Budget has been exceeded", Kind::Quota),
        ("You exceeded your current quota, please check your plan", Kind::Quota),
        (
            "This model's maximum context length is 8192 tokens, you requested 9000",
            Kind::ContextLength,
        ),
        ("litellm.ContextWindowExceededError: too long", Kind::ContextLength),
        ("prompt is too long: 210000 tokens > 200000 maximum", Kind::ContextLength),
        (
            "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            Kind::ContextLength,
        ),
        (
            "request (5012 tokens) exceeds the available context size (4096 tokens)",
            Kind::ContextLength,
        ),
        (
            "the decoder prompt (length 17772) is longer than the maximum model length of 16384",
            Kind::ContextLength,
        ),
        ("litellm.ContentPolicyViolationError: no", Kind::ContentFilter),
        ("failed to find free space in the KV cache", Kind::Capacity),
    ] {
        for status in [500, 502, 503, 520] {
            let body = json!({"error": {"message": words, "type": null, "code": "500"}});
            let refusal = Refusal::of_response(status, body.to_string().as_bytes());
            assert_eq!(refusal.error_kind(None), want, "{status} {words}");
            let plain = Refusal::of_response(status, words.as_bytes());
            assert_eq!(plain.error_kind(None), want, "{status} {words}");
            let described = refusal.describe(want, &[], [].iter().copied());
            let named = matches!(want, Kind::Unauthorized | Kind::NotFound | Kind::Rejected { .. });
            assert!(!named || described.contains(&format!("sent as {status}")), "{described}");
        }
        let in_band = Refusal::in_band(&json!({"error": {"message": words}})).unwrap();
        assert_eq!(in_band.error_kind(None), want, "in band: {words}");
    }
}

#[test]
fn codes_give_the_class_too() {
    use LlmErrorKind as Kind;
    let limited = Kind::RateLimited { retry_after: None };
    for (error, want) in [
        (json!({"code": 401}), Kind::Unauthorized),
        (json!({"code": "invalid_api_key"}), Kind::Unauthorized),
        (json!({"type": "authentication_error"}), Kind::Unauthorized),
        (json!({"status": "UNAUTHENTICATED"}), Kind::Unauthorized),
        (json!({"type": "permission_error"}), Kind::Unauthorized),
        (json!({"code": "model_not_found"}), Kind::NotFound),
        (json!({"status": "NOT_FOUND", "code": 404}), Kind::NotFound),
        (json!({"type": "rate_limit_error"}), limited),
        (json!({"error_code": "rate_limit_exceeded"}), limited),
        (json!({"status": "RESOURCE_EXHAUSTED"}), limited),
        (json!({"code": "insufficient_quota"}), Kind::Quota),
        (json!({"code": "context_length_exceeded"}), Kind::ContextLength),
        (json!({"type": "exceed_context_size_error", "n_ctx": 4096}), Kind::ContextLength),
        (json!({"code": "unsupported_parameter"}), Kind::Rejected { status: 400 }),
        (json!({"statusCode": 422}), Kind::Rejected { status: 422 }),
        (json!({"code": "content_filter"}), Kind::ContentFilter),
    ] {
        for status in [500, 502, 503] {
            let body = json!({"error": error}).to_string();
            let kind = Refusal::of_response(status, body.as_bytes()).error_kind(None);
            assert_eq!(kind, want, "{status} {body}");
        }
    }
}

#[test]
fn a_number_of_something_is_no_status() {
    for words in [
        "failed after 401 tokens",
        "worker 404 died",
        "timed out after 429 ms",
        "401 of 500 chunks were read",
        "CUDA error: 404",
        "CUDA error 400: illegal address",
        "the process ended with exit code 401",
        "failed with exit status 429",
        "port 404 is in use",
        "batch 1.429 failed",
        "line 4041: error",
        "gpu memory is at 401%",
        "FileNotFoundError: weights.bin",
        "internal error: the rate limit table is corrupt",
        "ModelError: could not allocate 4096 bytes for the context",
        "model requires more system memory than the context size leaves",
        "model output not found in the cache",
        "the model runner 'a' has gone, its socket does not exist",
        "model weights not found",
        "no access token budget is left for the worker",
        "the request failed: 404 chunks are lost",
        "wrote block (404)",
        "served 30 tokens per second before the crash",
        "DLP: an API key was detected in the log",
    ] {
        for status in [500, 502, 503] {
            let body = json!({"error": {"message": words}}).to_string();
            let kind = Refusal::of_response(status, body.as_bytes()).error_kind(None);
            assert_eq!(kind, LlmErrorKind::Upstream { status }, "{words}");
        }
    }
}

#[test]
fn limits_of_tokens_in_a_time_are_no_context() {
    for words in [
        "Request too large for m on tokens per min (TPM): Limit 30000, Requested 35000. The input \
         or output tokens must be reduced",
        "too many tokens per minute",
        "max_tokens is too large: 90000. This model supports at most 16384 completion tokens",
        "`max_tokens` must be less than or equal to `8192`, less than the `context_window` for it",
    ] {
        for status in [400, 413, 429, 500] {
            let body = json!({"error": {"message": words}}).to_string();
            let kind = Refusal::of_response(status, body.as_bytes()).error_kind(None);
            assert_ne!(kind, LlmErrorKind::ContextLength, "{status} {words}");
        }
    }
}

#[test]
fn a_redirect_names_its_target_and_the_base() {
    let described = |asked: &str, base: &str, location: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.extend(location.map(|value| (LOCATION, value.parse().unwrap())));
        let (asked, base) = (asked.parse().unwrap(), base.parse().unwrap());
        let refusal = Refusal::of_response(308, b"").with_headers(&headers, &asked, &base);
        assert_eq!(refusal.error_kind(None), LlmErrorKind::Redirected);
        refusal.describe(LlmErrorKind::Redirected, &["hunter22"], [].iter().copied())
    };
    let chat = "http://a.example/v1/chat/completions";
    for (location, target, base) in [
        (
            "https://a.example/v1/chat/completions",
            "https://a.example/v1/chat/completions",
            "https://a.example/v1",
        ),
        (
            "https://u:pw@b.example:8443/api/v2/chat/completions?key=x#y",
            "https://b.example:8443/api/v2/chat/completions",
            "https://b.example:8443/api/v2",
        ),
        (
            "/openai/chat/completions/",
            "http://a.example/openai/chat/completions",
            "http://a.example/openai",
        ),
        ("/login", "http://a.example/login", "http://a.example/login"),
        (
            "https://b.example/hunter22/chat/completions",
            "https://b.example/***/chat/completions",
            "https://b.example/***",
        ),
    ] {
        let described = described(chat, "http://a.example/v1/", Some(location));
        assert!(described.contains(&format!("(308) to {target},")), "{described}");
        assert!(described.ends_with(&format!("put {base} into `api_base`")), "{described}");
    }
    let ollama = described(
        "http://a.example/api/chat",
        "http://a.example",
        Some("https://a.example/api/chat"),
    );
    assert!(ollama.ends_with("put https://a.example into `api_base`"), "{ollama}");
    assert!(described(chat, "http://a.example/v1", None).contains("names no address"));
}

#[test]
fn kinds_follow_status_and_words() {
    use LlmErrorKind as Kind;
    for (status, body, want) in [
        (401, r#"{"error":{"message":"bad key"}}"#, Kind::Unauthorized),
        (403, "", Kind::Unauthorized),
        (404, r#"{"error":"model 'x' not found"}"#, Kind::NotFound),
        (
            400,
            r#"{"error":{"code":"1211","message":"模型不存在，请检查模型代码。"}}"#,
            Kind::NotFound,
        ),
        (400, r#"{"error":{"message":"file 'x' does not exist"}}"#, Kind::Rejected { status: 400 }),
        (402, "", Kind::Quota),
        (
            403,
            r#"{"error":{"code":"insufficient_user_quota","message":"用户额度不足"}}"#,
            Kind::Quota,
        ),
        (403, r#"{"error":{"code":"pre_consume_token_quota_failed"}}"#, Kind::Quota),
        (403, r#"{"error":{"message":"Key limit exceeded (total limit)."}}"#, Kind::Quota),
        (429, "", Kind::RateLimited { retry_after: None }),
        (429, r#"{"error":{"code":"insufficient_quota"}}"#, Kind::Quota),
        (429, r#"{"error":{"type":"billing_error","message":""}}"#, Kind::Quota),
        (400, r#"{"error":{"code":"context_length_exceeded"}}"#, Kind::ContextLength),
        (
            400,
            r#"{"error":{"message":"the request exceeds the available context size"}}"#,
            Kind::ContextLength,
        ),
        (400, r#"{"error":{"code":"content_filter"}}"#, Kind::ContentFilter),
        (400, "", Kind::Rejected { status: 400 }),
        (307, "", Kind::Redirected),
        (407, "", Kind::Connect),
        (408, "", Kind::Upstream { status: 408 }),
        (500, "", Kind::Upstream { status: 500 }),
        (529, "", Kind::Upstream { status: 529 }),
        (
            429,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"",
                "details":{"error_code":"enforced_spend_limit_reached"}}}"#,
            Kind::Quota,
        ),
        (400, r#"{"error":{"code":400,"message":"API key not valid."}}"#, Kind::Unauthorized),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error",
                "message":"Your credit balance is too low to access the Anthropic API."}}"#,
            Kind::Quota,
        ),
        (
            400,
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"bad","details":[
                {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#,
            Kind::Unauthorized,
        ),
        (429, r#"{"error":{"code":429,"message":"You exceeded your current quota"}}"#, Kind::Quota),
    ] {
        let kind = Refusal::of_response(status, body.as_bytes()).error_kind(None);
        assert_eq!(kind, want, "{status} {body}");
    }
}

#[test]
fn a_wait_stands_in_the_body() {
    let body = |delay: &str| {
        json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
            "message": "You exceeded your current quota", "details": [
                {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]}}])
        .to_string()
    };
    for (delay, want_ms) in [
        ("12s", Some(12_000)),
        ("0.25s", Some(250)),
        ("12", None),
        ("-1s", None),
        ("NaNs", None),
        ("1e300s", None),
    ] {
        let refusal = Refusal::of_response(429, body(delay).as_bytes());
        assert_eq!(refusal.wait(), want_ms.map(Duration::from_millis), "{delay}");
        let limited = matches!(refusal.error_kind(None), LlmErrorKind::RateLimited { .. });
        assert_eq!(limited, want_ms.is_some(), "{delay}: only a wait that is named cures it");
    }
    let wordless = Refusal::ended_with("MALFORMED_FUNCTION_CALL");
    let described = wordless.describe(wordless.error_kind(None), &[], [].iter().copied());
    assert_eq!(described, "reported an error instead of an answer (malformed_function_call)");
}

#[test]
fn errors_inside_a_stream_are_recognised() {
    use LlmErrorKind as Kind;
    for (event, want) in [
        (json!({"error": {"message": "boom", "code": 500}}), Some(Kind::InBand)),
        (json!({"error": "boom"}), Some(Kind::InBand)),
        (json!({"object": "error", "message": "boom"}), Some(Kind::InBand)),
        (
            json!({"choices": [{"error": {"code": 502}, "finish_reason": "error"}]}),
            Some(Kind::InBand),
        ),
        (json!({"error": {"code": 429}}), Some(Kind::RateLimited { retry_after: None })),
        (
            json!({"error": {"type": "rate_limit_error"}}),
            Some(Kind::RateLimited { retry_after: None }),
        ),
        (json!([{"error": {"code": 500}}]), Some(Kind::InBand)),
        (json!({"error": {"code": 400}}), Some(Kind::Rejected { status: 400 })),
        (json!({"error": null, "choices": []}), None),
        (json!({"choices": [{"delta": {"content": "error"}}]}), None),
    ] {
        let kind = Refusal::in_band(&event).map(|refusal| refusal.error_kind(None));
        assert_eq!(kind, want, "{event}");
    }
    let refused = |event| Refusal::in_band(&event).unwrap().is_final();
    assert!(refused(json!({"error": {"type": "invalid_request_error"}})));
    assert!(!refused(json!({"error": {"code": 503}})));
}

#[test]
fn no_prompt_and_no_key_is_repeated() {
    let prompt = ["What did the fox say to the seven lazy dogs?"];
    let describe = |message: &str| {
        let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
        let refusal = Refusal::of_response(400, body.to_string().as_bytes());
        refusal.describe(refusal.error_kind(None), &["hunter22"], prompt.iter().copied())
    };
    let generic = "refused the request (400 invalid_request_error)";
    assert_eq!(describe("bad stop"), format!("{generic}: bad stop"));
    assert_eq!(describe("key hunter22"), format!("{generic}: key ***"));
    assert_eq!(describe("in 'the fox say to the seven lazy' there is"), generic);
    assert_eq!(describe(&format!("{} fox say to the seven lazy dogs", "x ".repeat(300))), generic);
    assert!(describe(&"long ".repeat(200)).chars().count() <= redact::MESSAGE_LIMIT);
    let odd = Refusal::of_response(400, br#"{"error":{"code":"What did the fox say"}}"#);
    let kind = odd.error_kind(None);
    assert_eq!(odd.describe(kind, &[], prompt.iter().copied()), "refused the request (400)");
}

#[test]
fn of_a_long_error_the_beginning_is_searched() {
    for body in [
        json!({"error": {"message": format!("{}context length", "no. ".repeat(20_000))}}),
        json!({"error": {"message": "x", "code": "y".repeat(70_000), "param": "z".repeat(70_000)}}),
        json!({"errors": vec![json!({"message": "wrong ".repeat(1000)}); 100]}),
        json!(vec![json!({"error": "wrong ".repeat(1000)}); 100]),
        json!({"error": format!("oh: {}", json!({"message": "b ".repeat(50_000)}))}),
    ] {
        let refusal = Refusal::of_response(400, body.to_string().as_bytes());
        assert!(refusal.words().len() < 20_000, "{}", refusal.words().len());
        assert_ne!(refusal.error_kind(None), LlmErrorKind::ContextLength);
    }
    let page = format!("<html>{}", "a page ".repeat(10_000));
    assert!(Refusal::of_response(502, page.as_bytes()).words().len() < 300);
}

#[test]
fn an_error_takes_a_time_that_is_linear_in_what_it_says() {
    for piece in ["the ", "n_ctx", "n_ctx ", "wait ", "401 ", "(((401", "> ", "://;", "{\"a\":"] {
        assert_linear(
            piece,
            |count| format!("retry {}", piece.repeat(count)),
            |text| {
                let refusal = Refusal::inside(&json!({"error": {"message": text}}));
                let kind = refusal.error_kind(refusal.wait());
                (refusal.context_limit(), refusal.describe(kind, &[], ["hi"].into_iter()))
            },
        );
    }
}

#[test]
fn an_error_is_held_against_many_inputs_in_one_pass() {
    let text = "this is no word of yours and 12345 is no number of it ".repeat(1200);
    let body = json!({"error": {"message": text}, "detail": ["no", "neither"]});
    let refusal = Refusal::of_response(400, body.to_string().as_bytes());
    let inputs = |count: usize| (0..count * 10).map(|number| format!("input {number}")).collect();
    let describe = |inputs: Vec<String>| {
        refusal.describe(refusal.error_kind(None), &[], inputs.iter().map(String::as_str))
    };
    assert_linear("inputs", inputs, describe);
    let described = describe(inputs(100));
    assert!(described.contains("no word of yours"), "{described}");
}
