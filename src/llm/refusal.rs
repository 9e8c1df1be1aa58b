//! What an upstream says when it does not answer: error bodies of every shape, and errors inside
//! a stream. Pure.

use std::time::Duration;

use serde_json::Value;

use super::{LlmErrorKind, redact};

/// An upstream's error. It may quote the prompt, so there is no `Debug`: only what
/// [`Refusal::describe`] lets through is shown.
#[derive(Default)]
pub(super) struct Refusal {
    /// The HTTP status; inside a stream the numeric `code`, else 0.
    pub(super) status: u16,
    /// It came inside a stream or under a 200.
    in_band: bool,
    message: String,
    code: String,
    kind: String,
    param: String,
    /// Gemini says in the body how long to wait.
    wait: Option<Duration>,
}

impl Refusal {
    /// Reads the body of a response that is not a success.
    pub(super) fn of_response(status: u16, body: &[u8]) -> Self {
        let mut refusal = match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::read(&value),
            Err(_) => {
                let head = body.get(..body.len().min(200)).unwrap_or_default();
                Self { message: String::from_utf8_lossy(head).into_owned(), ..Self::default() }
            }
        };
        refusal.status = status;
        refusal
    }

    /// The error that this event of a stream (or body under a 200) is, if it is one: a top-level
    /// `error`, vLLM's `"object": "error"`, or OpenRouter's error inside the choice.
    pub(super) fn in_band(value: &Value) -> Option<Self> {
        let has_error = |value: &Value| value.get("error").is_some_and(|error| !error.is_null());
        let choice = value.pointer("/choices/0");
        let found = if has_error(value)
            || value.get("object").and_then(Value::as_str) == Some("error")
            || value.pointer("/0/error").is_some()
        {
            value
        } else {
            choice.filter(|choice| has_error(choice))?
        };
        Some(Self::inside(found))
    }

    /// The error that this value is, known from elsewhere to be one.
    pub(super) fn inside(value: &Value) -> Self {
        let mut refusal = Self::read(value);
        refusal.in_band = true;
        refusal.status = refusal.code.parse().unwrap_or_default();
        refusal
    }

    /// A stream that ended with `finish_reason: "error"` and no words.
    pub(super) fn wordless() -> Self {
        Self { in_band: true, ..Self::default() }
    }

    /// A stream whose finish reason is an error of its own.
    pub(super) fn ended_with(reason: &str) -> Self {
        Self { in_band: true, code: reason.to_lowercase(), ..Self::default() }
    }

    /// The wait that its body asks for.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.wait
    }

    fn read(value: &Value) -> Self {
        let value = value.get(0).unwrap_or(value); // some send an array of one
        let inner = match value.get("error") {
            Some(error @ Value::Object(_)) => error,
            Some(Value::String(message)) => {
                return Self {
                    message: message.clone(),
                    code: field(value, "code"),
                    ..Self::default()
                };
            }
            _ => value,
        };
        let detail = || inner.get("detail").map(detail).unwrap_or_default();
        let message = field(inner, "message");
        let mut refusal = Self {
            message: if message.is_empty() { detail() } else { message },
            code: field(inner, "code"),
            kind: kind(inner),
            param: field(inner, "param"),
            ..Self::default()
        };
        refusal.read_details(inner.get("details"));
        refusal
    }

    /// Anthropic's `details` is an object with the true code; Gemini's is a list of typed entries,
    /// one of which may name the reason, another the wait.
    fn read_details(&mut self, details: Option<&Value>) {
        let code = details.map(|details| field(details, "error_code")).unwrap_or_default();
        if !code.is_empty() {
            self.code = code;
        }
        for entry in details.and_then(Value::as_array).into_iter().flatten() {
            let kind = field(entry, "@type");
            if kind.ends_with("google.rpc.ErrorInfo") {
                self.param = field(entry, "reason");
            } else if kind.ends_with("google.rpc.RetryInfo") {
                let seconds = field(entry, "retryDelay");
                let seconds = seconds.strip_suffix('s').and_then(|text| text.parse().ok());
                self.wait = seconds.and_then(|wait| Duration::try_from_secs_f64(wait).ok());
            }
        }
    }

    /// Everything it says, in lower case, for looking for names in it.
    pub(super) fn words(&self) -> String {
        [&self.param, &self.code, &self.kind, &self.message]
            .map(|part| part.to_lowercase())
            .join(" ")
    }

    /// What it says is wrong, in lower case, without its type: that calls everything invalid.
    pub(super) fn complaint(&self) -> String {
        [&self.param, &self.code, &self.message].map(|part| part.to_lowercase()).join(" ")
    }

    /// Where in the request it says the fault is: `messages.0.content` of
    /// `messages.0.content: must not be empty`.
    pub(super) fn place(&self) -> Option<&str> {
        if !self.param.is_empty() {
            return Some(&self.param);
        }
        let (place, _) = self.message.split_once(':')?;
        let is_step = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]".contains(&byte);
        place.bytes().all(is_step).then_some(place)
    }

    /// Whether it names this request field as the one to blame.
    pub(super) fn blames(&self, field: &str) -> bool {
        self.param == field
    }

    /// Which kind of failure it is.
    pub(super) fn error_kind(&self, retry_after: Option<Duration>) -> LlmErrorKind {
        let words = self.words();
        if self.may_be_content() && mentions(&words, &CONTEXT_WORDS) {
            return LlmErrorKind::ContextLength;
        }
        // Gemini says "quota" of every limit, also of those that a wait cures; then it names one.
        if (mentions(&words, &MONEY_WORDS) && self.wait.is_none()) || self.status == 402 {
            return LlmErrorKind::Quota;
        }
        if self.in_band {
            const LIMITED: [&str; 3] = ["rate_limit", "rate limit", "resource_exhausted"];
            let limited = self.status == 429 || mentions(&words, &LIMITED);
            return if limited {
                LlmErrorKind::RateLimited { retry_after }
            } else {
                LlmErrorKind::InBand
            };
        }
        match self.status {
            401 | 403 => LlmErrorKind::Unauthorized,
            400 if mentions(&words, &["api_key_invalid", "api key not valid"]) => {
                LlmErrorKind::Unauthorized // Gemini's way to say 401
            }
            404 => LlmErrorKind::NotFound,
            407 => LlmErrorKind::Connect, // the proxy's answer to a plain http request
            429 => LlmErrorKind::RateLimited { retry_after },
            400 | 422 if mentions(&words, &["content_filter", "content_policy"]) => {
                LlmErrorKind::ContentFilter
            }
            408 | 409 | 425 | 500.. => LlmErrorKind::Upstream { status: self.status },
            status => LlmErrorKind::Rejected { status },
        }
    }

    /// Whether an error inside a stream would come again.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.status, 400..=404 | 413 | 422)
            || matches!(
                self.kind.as_str(),
                "invalid_request_error"
                    | "authentication_error"
                    | "permission_error"
                    | "not_found_error"
                    | "request_too_large"
            )
    }

    fn may_be_content(&self) -> bool {
        self.in_band || matches!(self.status, 400 | 413 | 422 | 500)
    }

    /// What is said of it: our words, then the upstream's where they hold no key and no piece of
    /// these texts.
    pub(super) fn describe<'a>(
        &self,
        kind: LlmErrorKind,
        secrets: &[&str],
        texts: impl Iterator<Item = &'a str> + Clone,
    ) -> String {
        let summary = self.summary(kind);
        let safe = redact::cut(&redact::scrub(&self.message, secrets), redact::MESSAGE_LIMIT);
        // What is shown is checked, and what stands before the cut and the scrubbing too.
        let echo = redact::echoes(&self.message, texts.clone()) || redact::echoes(&safe, texts);
        let described =
            if safe.is_empty() || echo { summary } else { format!("{summary}: {safe}") };
        redact::cut(&described, redact::MESSAGE_LIMIT)
    }

    fn summary(&self, kind: LlmErrorKind) -> String {
        let status = self.status;
        match kind {
            LlmErrorKind::Connect => format!("the proxy refused the request ({status})"),
            LlmErrorKind::Unauthorized => format!("does not accept the configured key ({status})"),
            LlmErrorKind::NotFound => format!("no such model or path ({status})"),
            LlmErrorKind::Quota => format!("the quota or credit is used up ({status})"),
            LlmErrorKind::RateLimited { .. } => format!("rate limit reached ({status})"),
            LlmErrorKind::ContextLength => "the conversation is too long for it".to_owned(),
            LlmErrorKind::ContentFilter => "the request was blocked by a content filter".to_owned(),
            LlmErrorKind::InBand => {
                format!("reported an error instead of an answer{}", self.reason())
            }
            LlmErrorKind::Upstream { .. } => format!("failed ({status})"),
            LlmErrorKind::UnsupportedInput => {
                format!("the model cannot take a part of the input ({status})")
            }
            LlmErrorKind::Rejected { status: 300..400 } => {
                format!("answered with a redirect ({status}), which is not followed")
            }
            _ => format!("refused the request ({}{})", status, self.label()),
        }
    }

    /// ` (code)` of an error without words.
    fn reason(&self) -> String {
        let label = self.label();
        if self.message.is_empty() && !label.is_empty() {
            return format!(" ({})", label.trim_start());
        }
        String::new()
    }

    /// ` code` or ` type`, when it is a plain identifier and so holds no prompt and no key.
    fn label(&self) -> String {
        let plain = |text: &&&String| {
            (1..=40).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        [&self.code, &self.kind]
            .iter()
            .find(plain)
            .map(|text| format!(" {text}"))
            .unwrap_or_default()
    }
}

const CONTEXT_WORDS: [&str; 10] = [
    "context_length",
    "context length",
    "context size",
    "context window",
    "context limit",
    "exceed_context",
    "prompt is too long",
    "input is too long",
    "too many tokens",
    "maximum number of tokens",
];

const MONEY_WORDS: [&str; 7] = [
    "insufficient_quota",
    "billing_",
    "enforced_spend_limit_reached",
    "exceeded your current quota",
    "insufficient balance",
    "insufficient credit",
    "credit balance is too low",
];

/// Whether a lower-case text holds one of these.
pub(super) fn mentions(words: &str, any: &[&str]) -> bool {
    any.iter().any(|word| words.contains(word))
}

/// A string or number as text.
fn field(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// `type`, or Gemini's `status`.
fn kind(error: &Value) -> String {
    match error.get("type") {
        Some(_) => field(error, "type"),
        None => field(error, "status").to_lowercase(),
    }
}

/// `detail` is a text, or FastAPI's list of `{loc, msg}`.
fn detail(detail: &Value) -> String {
    let one = |entry: &Value| {
        let place: Vec<&str> = entry
            .get("loc")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        format!("{}: {}", place.join("."), field(entry, "msg"))
    };
    match detail {
        Value::String(text) => text.clone(),
        Value::Array(entries) => entries.iter().map(one).collect::<Vec<_>>().join("; "),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            ("<html>502 Bad Gateway</html>", "<html>502 Bad Gateway</html>"),
            ("", ""),
        ] {
            assert_eq!(Refusal::of_response(500, body.as_bytes()).message, message, "{body}");
        }
        let long = "字".repeat(500);
        assert!(Refusal::of_response(500, long.as_bytes()).message.len() <= 203);
    }

    #[test]
    fn kinds_follow_status_and_words() {
        use LlmErrorKind as Kind;
        for (status, body, want) in [
            (401, r#"{"error":{"message":"bad key"}}"#, Kind::Unauthorized),
            (403, "", Kind::Unauthorized),
            (404, r#"{"error":"model 'x' not found"}"#, Kind::NotFound),
            (402, "", Kind::Quota),
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
            (307, "", Kind::Rejected { status: 307 }),
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
            (
                429,
                r#"{"error":{"code":429,"message":"You exceeded your current quota"}}"#,
                Kind::Quota,
            ),
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
        let told = wordless.describe(wordless.error_kind(None), &[], [].iter().copied());
        assert_eq!(told, "reported an error instead of an answer (malformed_function_call)");
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
            (json!({"error": null, "choices": []}), None),
            (json!({"choices": [{"delta": {"content": "error"}}]}), None),
        ] {
            let kind = Refusal::in_band(&event).map(|refusal| refusal.error_kind(None));
            assert_eq!(kind, want, "{event}");
        }
        let refused = |event| Refusal::in_band(&event).unwrap().is_final();
        assert!(refused(json!({"error": {"code": 400}})));
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
        assert_eq!(
            describe(&format!("{} fox say to the seven lazy dogs", "x ".repeat(300))),
            generic
        );
        assert!(describe(&"long ".repeat(200)).chars().count() <= redact::MESSAGE_LIMIT);
        let odd = Refusal::of_response(400, br#"{"error":{"code":"What did the fox say"}}"#);
        let kind = odd.error_kind(None);
        assert_eq!(odd.describe(kind, &[], prompt.iter().copied()), "refused the request (400)");
    }
}
