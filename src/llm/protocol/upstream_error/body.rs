//! The words, codes and numbers of an error body, wherever its author put them. Pure.

use std::time::Duration;

use serde_json::{Map, Value};

use super::wait;

/// Names of fields that hold the words of an error, the most specific first. Names are compared
/// without case and separators.
const MESSAGES: [&str; 7] =
    ["message", "msg", "errormessage", "errormsg", "detail", "statusmsg", "raw"];
/// Names of fields that count where nothing else says anything.
const LAST_RESORTS: [&str; 11] = [
    "errordescription",
    "errmsg",
    "retmsg",
    "resultmsg",
    "statusmessage",
    "faultstring",
    "exception",
    "failure",
    "description",
    "reason",
    "title",
];
/// Names of fields that hold a code or a kind of error.
const CODES: [&str; 12] = [
    "code",
    "errorcode",
    "errcode",
    "errno",
    "retcode",
    "resultcode",
    "internalcode",
    "statuscode",
    "httpcode",
    "httpstatus",
    "status",
    "errortype",
];
/// What an error may quote of the request: none of its own words.
const QUOTED: [&str; 8] =
    ["messages", "prompt", "input", "request", "tools", "contents", "headers", "ctx"];
/// Objects in objects, and JSON in texts, are looked into so deep.
const DEEPEST: usize = 16;
/// Texts that are kept.
const MOST_TEXTS: usize = 8;
/// Bytes of them all together, and of any code: more is no message, and is not searched.
const MOST_BYTES: usize = 8 * 1024;

/// What an error body says.
#[derive(Default)]
pub(super) struct Body {
    /// Its words, the most specific first.
    pub(super) texts: Vec<String>,
    /// Words that only name the error, for its kind.
    titles: Vec<String>,
    /// The first code that is a word or a number.
    pub(super) code: String,
    /// `type`, or Gemini's `status`.
    pub(super) kind: String,
    /// The field of the request to blame.
    pub(super) param: String,
    /// Every code and kind but the two above.
    more_codes: Vec<String>,
    /// An HTTP status that stands in the body: one of the caller's faults before any other.
    pub(super) status: Option<u16>,
    /// How long the upstream asks to wait.
    pub(super) wait: Option<Duration>,
    /// The context that the model has, in tokens.
    pub(super) context: Option<u64>,
}

impl Body {
    /// Reads an error, known to be one.
    pub(super) fn of(value: &Value) -> Self {
        let mut body = Self::default();
        body.visit(value, 0);
        if body.texts.is_empty() {
            body.visit_last_resorts(value, 0);
        }
        if body.texts.is_empty() {
            body.texts = std::mem::take(&mut body.titles);
        }
        body
    }

    /// Reads a body that is no JSON; a stream's frames may hold some.
    pub(super) fn of_text(text: &str) -> Self {
        let mut body = Self::default();
        let framed = text.lines().find_map(|line| {
            let data = line.strip_prefix("data:")?.trim();
            serde_json::from_str::<Value>(data).ok().filter(Value::is_object)
        });
        match framed {
            Some(value) => body.visit(&value, 0),
            None => body.take_text(text, 0),
        }
        body
    }

    /// The codes and kinds, in the author's spelling.
    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        let more = self.more_codes.iter();
        [&self.code, &self.kind].into_iter().chain(more).map(String::as_str)
    }

    /// Everything it says beside `code`, `kind`, `param` and its first text.
    pub(super) fn rest(&self) -> impl Iterator<Item = &str> {
        let texts = self.texts.iter().skip(1);
        self.more_codes.iter().chain(&self.titles).chain(texts).map(String::as_str)
    }

    fn visit(&mut self, value: &Value, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.visit(item, depth + 1)),
            Value::Object(fields) => self.visit_object(fields, depth),
            _ => {}
        }
    }

    /// An error inside says more than what is around it.
    fn visit_object(&mut self, fields: &Map<String, Value>, depth: usize) {
        for wanted in ["error", "errors"] {
            for (_, value) in fields.iter().filter(|(name, _)| folded(name) == wanted) {
                match value {
                    Value::String(text) => self.push_title(text),
                    Value::Array(_) => self.take_list(value, depth),
                    inner => {
                        self.visit(inner, depth + 1);
                        self.take_fields(inner);
                    }
                }
            }
        }
        self.take_codes(fields);
        self.take_place(fields);
        for wanted in MESSAGES {
            for (_, value) in fields.iter().filter(|(name, _)| folded(name) == wanted) {
                match value {
                    Value::String(text) => self.take_text(&located(fields, text), depth),
                    Value::Array(_) => self.take_list(value, depth),
                    other => self.visit(other, depth + 1),
                }
            }
        }
        let described = fields.get("error_description").and_then(Value::as_str);
        let named = fields.get("error").and_then(Value::as_str);
        if let (true, Some(text)) = (self.texts.is_empty(), described.or(named)) {
            self.take_text(text, depth);
        }
        for (name, value) in fields {
            let name = folded(name);
            let is_known = matches!(name.as_str(), "error" | "errors")
                || MESSAGES.contains(&name.as_str())
                || QUOTED.contains(&name.as_str());
            if !is_known {
                self.visit(value, depth + 1);
            }
        }
    }

    /// Lists of words under the names of fields, as ASP.NET has them.
    fn take_fields(&mut self, value: &Value) {
        let fields = value.as_object().into_iter().flatten();
        for (name, words) in fields.filter_map(|(name, words)| Some((name, words.as_array()?))) {
            let words = words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ");
            if !words.is_empty() && self.texts.is_empty() {
                self.push_text(&format!("{name}: {words}"));
            }
        }
    }

    /// FastAPI's list of what is wrong with which field; all of it is one message.
    fn take_list(&mut self, list: &Value, depth: usize) {
        let mut inner = Self::default();
        inner.visit(list, depth + 1);
        let texts = std::mem::take(&mut inner.texts);
        if let Value::Array(items) = list
            && texts.is_empty()
        {
            let words = items.iter().filter_map(Value::as_str).collect::<Vec<_>>();
            self.push_text(&words.join("; "));
        }
        self.push_text(&texts.join("; "));
        self.absorb(inner);
    }

    /// Takes what another one has besides its texts.
    fn absorb(&mut self, other: Self) {
        other.codes().for_each(|code| self.take_code(code, false));
        if self.param.is_empty() {
            self.param = other.param;
        }
        self.note_status(other.status);
        self.wait = self.wait.or(other.wait);
        self.context = self.context.or(other.context);
        other.titles.iter().for_each(|title| self.push_title(title));
    }

    /// A text may be an error body itself, or have one behind a few words.
    fn take_text(&mut self, text: &str, depth: usize) {
        if let Some((before, value)) = embedded(text).filter(|_| depth < DEEPEST) {
            let mut inner = Self::default();
            inner.visit(&value, depth + 1);
            if !inner.texts.is_empty() {
                self.push_text(before.trim_end_matches([' ', ':', '-', '\n', '\r']));
                let texts = std::mem::take(&mut inner.texts);
                texts.iter().for_each(|text| self.push_text(text));
                self.absorb(inner);
                return;
            }
        }
        self.push_text(text);
    }

    /// Keeps a text, unless one that is there says the same and more.
    fn push_text(&mut self, text: &str) {
        let known: usize = self.texts.iter().map(String::len).sum();
        let text = head(text.trim(), MOST_BYTES.saturating_sub(known));
        let is_known = self.texts.iter().any(|known| known.contains(text));
        if !text.is_empty() && !is_known && self.texts.len() < MOST_TEXTS {
            self.texts.push(text.to_owned());
        }
    }

    fn push_title(&mut self, title: &str) {
        if self.titles.len() < MOST_TEXTS {
            self.titles.push(head(title, MOST_BYTES / MOST_TEXTS).to_owned());
        }
    }

    fn take_codes(&mut self, fields: &Map<String, Value>) {
        for (name, value) in fields {
            let name = folded(name);
            let is_kind = name == "type" || (name == "status" && value.is_string());
            if !is_kind && !CODES.contains(&name.as_str()) {
                match (name.as_str(), value) {
                    ("nctx", value) => self.context = self.context.or(value.as_u64()),
                    (name, value) => self.wait = self.wait.or_else(|| wait::of_field(name, value)),
                }
                continue;
            }
            match value {
                Value::String(text) => self.take_code(text, is_kind),
                Value::Number(number) => self.take_code(&number.to_string(), is_kind),
                _ => {}
            }
        }
    }

    /// Statuses that are only numbers say less than a word, and give way to one.
    fn take_code(&mut self, code: &str, is_kind: bool) {
        let code = head(code, MOST_BYTES / MOST_TEXTS);
        if code.is_empty() {
            return;
        }
        let number = code.parse::<u16>().ok();
        self.note_status(number.filter(|status| (400..600).contains(status)));
        let place = if is_kind { &mut self.kind } else { &mut self.code };
        let gives_way = place.is_empty() || (number.is_none() && place.parse::<u16>().is_ok());
        let left =
            if gives_way { std::mem::replace(place, code.to_owned()) } else { code.to_owned() };
        if !left.is_empty() && number.is_none() && self.more_codes.len() < MOST_TEXTS {
            self.more_codes.push(left);
        }
    }

    fn note_status(&mut self, status: Option<u16>) {
        let Some(status) = status else { return };
        if self.status.is_none_or(|known| known >= 500 && status < 500) {
            self.status = Some(status);
        }
    }

    /// Which field is to blame: `param`, Gemini's `field` of a violation, or its reason.
    fn take_place(&mut self, fields: &Map<String, Value>) {
        let field = |name| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let is_info = field("@type").is_some_and(|kind| kind.ends_with("google.rpc.ErrorInfo"));
        let reason = field("reason").filter(|_| is_info);
        let violation = field("field").filter(|_| fields.contains_key("description"));
        let extra = field("additionalProperty");
        let Some(place) = field("param").or(extra).or(reason).or(violation) else { return };
        if self.param.is_empty() {
            head(place, MOST_BYTES / MOST_TEXTS).clone_into(&mut self.param);
        }
    }

    fn visit_last_resorts(&mut self, value: &Value, depth: usize) {
        let items: Vec<(&str, &Value)> = match value {
            _ if depth > DEEPEST || !self.texts.is_empty() => return,
            Value::Array(items) => items.iter().map(|item| ("", item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, one)| (name.as_str(), one)).collect()
            }
            _ => return,
        };
        for wanted in LAST_RESORTS {
            for (_, value) in items.iter().filter(|(name, _)| folded(name) == wanted) {
                value.as_str().into_iter().for_each(|text| self.take_text(text, depth));
            }
        }
        let inner = items.iter().filter(|(name, _)| !QUOTED.contains(&folded(name).as_str()));
        inner.for_each(|(_, value)| self.visit_last_resorts(value, depth + 1));
    }
}

/// Whether a value that is no answer has words of an error in it.
pub(super) fn has_words(value: &Value) -> bool {
    !Body::of(value).texts.is_empty()
}

/// What is searched of a text that is no body.
pub(super) fn searched(text: &str) -> &str {
    head(text.trim(), MOST_BYTES)
}

/// The text's first bytes, so many at most.
fn head(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// A name without case and separators.
pub(in crate::llm) fn folded(name: &str) -> String {
    let kept = name.chars().filter(|character| character.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

/// `text` with the place that FastAPI's `loc` names before it.
fn located(fields: &Map<String, Value>, text: &str) -> String {
    let Some(Value::Array(steps)) = fields.get("loc") else { return text.to_owned() };
    let steps: Vec<String> = steps
        .iter()
        .filter_map(|step| match step {
            Value::String(name) => Some(name.clone()),
            Value::Number(index) => Some(index.to_string()),
            _ => None,
        })
        .collect();
    format!("{}: {text}", steps.join("."))
}

/// The JSON object or list in a text, and what stands before it.
fn embedded(text: &str) -> Option<(&str, Value)> {
    let (before, rest) = text.split_at_checked(text.find(['{', '['])?)?;
    let value = serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok()?;
    let is_body = match &value {
        Value::Array(items) => items.first().is_some_and(|one| one.is_object() || one.is_array()),
        value => value.is_object(),
    };
    is_body.then_some((before, value))
}
