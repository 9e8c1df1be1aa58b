//! What an upstream says when it does not answer: error bodies of every shape, and errors inside
//! a stream. Pure.

mod body;
pub(super) mod context;
mod meaning;
mod overflow;
mod phrases;
#[cfg(test)]
mod tests;
mod wait;
pub(in crate::llm) mod words;

use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION};
use serde_json::Value;
use url::Url;

use super::error_frame::error_in;
use crate::llm::{LlmErrorKind, redact};
use body::Body;
pub(in crate::llm) use body::folded;
pub(in crate::llm) use wait::compound;
use words::{is_about_content, is_about_key, is_passing, mentions};

/// What takes longer to come back is no rate limit but a quota.
const LONGEST_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// Texts of one error that are shown.
const MOST_SHOWN: usize = 3;

/// An upstream's error. It may quote the prompt, so there is no `Debug`: only what
/// [`Refusal::describe`] lets through is shown.
#[derive(Default)]
pub(in crate::llm) struct Refusal {
    /// The HTTP status; inside a stream the one that the error names, else 0.
    pub(in crate::llm) status: u16,
    /// Whether it came inside a stream or under a 200.
    in_band: bool,
    body: Box<Body>,
    /// The target of a redirect, and the base that leads there.
    redirect: Option<Box<(Url, Url)>>,
}

impl Refusal {
    /// Reads the body of a response that is not a success.
    pub(in crate::llm) fn of_response(status: u16, body: &[u8]) -> Self {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let body = match serde_json::from_slice::<Value>(body) {
            Ok(Value::String(text)) => Body::of_text(&text),
            Ok(value) => Body::of(&value),
            Err(_) => {
                let text = String::from_utf8_lossy(body);
                match Body::of_text(&text) {
                    // A page or a log: its head tells enough.
                    read if read
                        .texts
                        .first()
                        .is_some_and(|shown| *shown == body::searched(&text)) =>
                    {
                        Body::of_text(text.get(..text.floor_char_boundary(200)).unwrap_or_default())
                    }
                    read => read,
                }
            }
        };
        Self { status, body: Box::new(body), ..Self::default() }
    }

    /// The error that this event of a stream (or body under a 200) is, if it is one.
    pub(in crate::llm) fn in_band(value: &Value) -> Option<Self> {
        error_in(value).map(Self::inside)
    }

    /// The error that this value is, known from elsewhere to be one.
    pub(in crate::llm) fn inside(value: &Value) -> Self {
        let body = Body::of(value);
        let status = body.status.unwrap_or_default();
        Self { in_band: true, status, body: Box::new(body), ..Self::default() }
    }

    /// The error that a body under a 200 is which has no answer in it, if it has words of one.
    pub(in crate::llm) fn instead_of_answer(value: &Value) -> Option<Self> {
        Self::in_band(value).or_else(|| body::has_words(value).then(|| Self::inside(value)))
    }

    /// A stream that ended with `finish_reason: "error"` and no words.
    pub(in crate::llm) fn wordless() -> Self {
        Self { in_band: true, ..Self::default() }
    }

    /// A stream whose finish reason is an error of its own.
    pub(super) fn ended_with(reason: &str) -> Self {
        let mut refusal = Self::wordless();
        refusal.body.code = reason.to_lowercase();
        refusal
    }

    /// What the response's headers add: where a redirect of `asked`, which is below `base`, points
    /// to.
    pub(in crate::llm) fn with_headers(
        mut self,
        headers: &HeaderMap,
        asked: &Url,
        base: &Url,
    ) -> Self {
        let location = headers.get(LOCATION).filter(|_| self.is_redirect());
        let target = location.and_then(|location| asked.join(location.to_str().ok()?).ok());
        self.redirect = target.map(|target| {
            let base = base_of(&target, asked, base);
            Box::new((target, base))
        });
        self
    }

    /// Whether it came inside a stream or under a 200.
    pub(super) fn is_in_band(&self) -> bool {
        self.in_band
    }

    /// Whether a web page came instead of an error.
    fn is_page(&self) -> bool {
        self.body.texts.first().is_some_and(|text| {
            let text = text.trim_start();
            text.starts_with('<') || text.starts_with("error code: ") // Cloudflare's, in short
        })
    }

    /// The wait that its body asks for, in a field or in words.
    pub(in crate::llm) fn wait(&self) -> Option<Duration> {
        self.body.wait.or_else(|| self.body.texts.iter().find_map(|text| wait::in_words(text)))
    }

    /// The context that it says the model has, in tokens.
    pub(in crate::llm) fn context_limit(&self) -> Option<u32> {
        context::limit(self.body.context, &self.body.texts)
    }

    fn is_redirect(&self) -> bool {
        !self.in_band && (300..400).contains(&self.status)
    }

    /// Everything it says, in lower case, for looking for names in it.
    pub(super) fn words(&self) -> String {
        let Body { param, code, kind, .. } = &*self.body;
        let named = [param, code, kind].into_iter().map(String::as_str);
        let first = self.body.texts.first().map(String::as_str);
        let all = named.chain(first).chain(self.body.rest());
        all.map(str::to_lowercase).collect::<Vec<_>>().join("\n")
    }

    /// What it says is wrong, in lower case, without its type: that calls everything invalid.
    pub(super) fn complaint(&self) -> String {
        let Body { param, code, texts, .. } = &*self.body;
        let parts = [param, code].into_iter().chain(texts);
        parts.map(|part| part.to_lowercase()).collect::<Vec<_>>().join("\n")
    }

    /// The part of the request that it blames: `messages.0.content` of
    /// `messages.0.content: must not be empty`.
    pub(super) fn place(&self) -> Option<&str> {
        if !self.body.param.is_empty() {
            return Some(&self.body.param);
        }
        let (place, _) = self.body.texts.first()?.split_once(':')?;
        let is_step = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]".contains(&byte);
        place.bytes().all(is_step).then_some(place)
    }

    /// Whether it names this request field as the one to blame, in whatever spelling.
    pub(super) fn blames(&self, field: &str) -> bool {
        let param = self.body.param.strip_prefix("body.").unwrap_or(&self.body.param);
        body::folded(param) == body::folded(field)
    }

    /// The status that its words and codes stand for, whatever the response's says: a gateway's 502
    /// may well be the provider's 401.
    fn meant_status(&self) -> u16 {
        meaning::status(self.status, self.in_band, &self.body)
    }

    /// The status by which it refuses a part of the request: an error under a 200 need not name one.
    pub(super) fn refused_status(&self) -> u16 {
        match self.meant_status() {
            0 if self.in_band => 400,
            status => status,
        }
    }

    /// Whether the response's status hides what it is about.
    pub(in crate::llm) fn is_hidden(&self) -> bool {
        !self.in_band && self.meant_status() != self.status
    }

    /// Which kind of failure it is.
    pub(in crate::llm) fn error_kind(&self, retry_after: Option<Duration>) -> LlmErrorKind {
        if self.is_redirect() {
            return LlmErrorKind::Redirected;
        }
        let words = self.words();
        if meaning::is_capacity(&words) {
            return LlmErrorKind::Capacity;
        }
        if overflow::is_overflow(&words) {
            return LlmErrorKind::ContextLength;
        }
        // Gemini says "quota" of every limit, also of those that a wait cures; then it names one.
        let status = self.meant_status();
        let is_cured = self.wait().is_some_and(|wait| wait <= LONGEST_LIMIT);
        if (meaning::is_money(&words) && !is_cured) || status == 402 {
            return LlmErrorKind::Quota;
        }
        match status {
            400 | 403 | 422 | 500.. | 0 if meaning::is_filtered(&words) => {
                LlmErrorKind::ContentFilter
            }
            403 if is_about_content(&words) => LlmErrorKind::ContentFilter,
            403 if self.is_page() => LlmErrorKind::Upstream { status }, // a firewall's
            401 | 403 => LlmErrorKind::Unauthorized,
            404 if is_passing(&words) => LlmErrorKind::Upstream { status },
            404 => LlmErrorKind::NotFound,
            407 => LlmErrorKind::Connect, // the proxy's answer to a plain http request
            429 => LlmErrorKind::RateLimited { retry_after },
            _ if self.in_band && meaning::is_limited(&words) => {
                LlmErrorKind::RateLimited { retry_after }
            }
            0 | 408 | 409 | 425 | 500.. if self.in_band => LlmErrorKind::InBand,
            // 444, 460 and 499 are what proxies say of connections that were closed before an answer.
            408 | 409 | 425 | 444 | 460 | 499.. => LlmErrorKind::Upstream { status },
            status => LlmErrorKind::Rejected { status },
        }
    }

    /// Whether its words are about requests or tokens in a time.
    pub(in crate::llm) fn names_a_rate(&self) -> bool {
        let texts = self.body.texts.iter().map(|text| text.to_lowercase());
        let texts = texts.collect::<Vec<_>>().join("\n");
        mentions(&texts, &["rate limit", "too many requests", "per minute", "per second"])
    }

    /// Whether an error inside a stream that names no status would come again.
    pub(in crate::llm) fn is_final(&self) -> bool {
        self.body.kind == "invalid_request_error"
    }

    /// Whether it only says that the context is used up, and not that this request is too long.
    pub(in crate::llm) fn names_no_length(&self) -> bool {
        self.context_limit().is_none() && meaning::is_used_up(&self.words())
    }

    /// What is said of it: our words, then the upstream's where they hold no key and no piece of
    /// these texts.
    pub(in crate::llm) fn describe<'a>(
        &self,
        kind: LlmErrorKind,
        secrets: &[&str],
        texts: impl Iterator<Item = &'a str>,
    ) -> String {
        let mut described = redact::scrub(&self.summary(kind), secrets);
        let whole = || self.body.texts.iter().take(MOST_SHOWN);
        let safe = whole()
            .map(|text| redact::cut(&redact::scrub(text, secrets), redact::MESSAGE_LIMIT))
            .collect::<Vec<_>>();
        // What is shown is checked, and what stands before the cut and the scrubbing too.
        let both: Vec<[&str; 2]> =
            whole().zip(&safe).map(|(text, safe)| [text.as_str(), safe.as_str()]).collect();
        let echoes = redact::echoes(&both, texts);
        let shown = safe.iter().zip(echoes).filter(|(safe, echo)| !safe.is_empty() && !echo);
        for (number, (text, _)) in shown.enumerate() {
            described.push_str(if number == 0 { ": " } else { "; " });
            described.push_str(text);
        }
        redact::cut(&described, redact::MESSAGE_LIMIT)
    }

    fn summary(&self, kind: LlmErrorKind) -> String {
        let status = self.status_text();
        match kind {
            LlmErrorKind::Connect => format!("the proxy refused the request ({status})"),
            // A 403 may be about where we are, or about what was asked.
            LlmErrorKind::Unauthorized
                if self.meant_status() == 403
                    && !self.body.texts.is_empty()
                    && !is_about_key(&self.words()) =>
            {
                format!("refused access ({status})")
            }
            LlmErrorKind::Unauthorized => format!("does not accept the configured key ({status})"),
            LlmErrorKind::NotFound => format!("no such model or path ({status})"),
            LlmErrorKind::Quota => format!("the quota or credit is used up ({status})"),
            LlmErrorKind::RateLimited { .. } => format!("rate limit reached ({status})"),
            LlmErrorKind::ContextLength => "the conversation is too long for it".to_owned(),
            LlmErrorKind::Capacity => CAPACITY.to_owned(),
            LlmErrorKind::ContentFilter => "the request was blocked by a content filter".to_owned(),
            LlmErrorKind::InBand => {
                format!("reported an error instead of an answer{}", self.reason())
            }
            LlmErrorKind::Upstream { .. } => format!("failed ({status})"),
            LlmErrorKind::UnsupportedInput => {
                format!("the model cannot take a part of the input ({status})")
            }
            LlmErrorKind::Redirected => self.redirection(),
            _ => format!("refused the request ({status}{})", self.label()),
        }
    }

    /// The status for people: both, where one hides the other.
    fn status_text(&self) -> String {
        match self.meant_status() {
            meant if self.is_hidden() => format!("{meant}, sent as {}", self.status),
            meant => meant.to_string(),
        }
    }

    /// Says where it points to and what to do; never a query or a password.
    fn redirection(&self) -> String {
        let status = self.status;
        let Some((target, base)) = self.redirect.as_deref() else {
            return format!(
                "answered with a redirect ({status}) that names no address; is `api_base` right?"
            );
        };
        let (target, base) = (plain(target), plain(base));
        format!(
            "answered with a redirect ({status}) to {target}, which is not followed; if that is \
             right, put {base} into `api_base`"
        )
    }

    /// ` (code)` of an error without words.
    fn reason(&self) -> String {
        let label = self.label();
        if self.body.texts.is_empty() && !label.is_empty() {
            return format!(" ({})", label.trim_start());
        }
        String::new()
    }

    /// ` code` or ` type`, when it is a plain identifier and so holds no prompt and no key.
    fn label(&self) -> String {
        let plain = |text: &&str| {
            (1..=40).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let known = [&self.body.code, &self.body.kind].map(|text| text.to_ascii_lowercase());
        let label = known.iter().map(String::as_str).find(plain);
        label.map(|text| format!(" {text}")).unwrap_or_default()
    }
}

const CAPACITY: &str = "the context that its parallel requests share is used up; for llama-server \
                        set `-np` and a larger `-c`, and `max_concurrency` of the model to match";

/// An address without query, fragment, user and password.
fn plain(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    format!("{}://{host}{port}{path}", url.scheme())
}

/// What leads to a redirect's target as `base` led to `asked`: the target without the steps that were
/// put behind the base, or all of it where it does not end in them.
fn base_of(target: &Url, asked: &Url, base: &Url) -> Url {
    let steps = |url: &Url| -> Vec<String> {
        url.path().split('/').filter(|step| !step.is_empty()).map(str::to_owned).collect()
    };
    let added = steps(asked).split_off(steps(base).len().min(steps(asked).len()));
    let mut kept = steps(target);
    if kept.ends_with(&added) {
        kept.truncate(kept.len() - added.len());
    }
    let mut found = target.clone();
    found.set_path(&kept.join("/"));
    found
}
