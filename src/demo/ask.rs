//! A chat completion request, read for what a demonstration model needs of it. Pure.

use serde::Deserialize;
use serde_json::Value;

/// What was asked. Unknown fields are ignored, as every OpenAI-compatible server does.
#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    /// The model that is asked.
    pub(super) model: String,
    messages: Vec<Turn>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    max_completion_tokens: Option<usize>,
    #[serde(default)]
    stop: Option<Stop>,
    #[serde(default)]
    response_format: Option<ResponseFormat>,
}

#[derive(Debug, Deserialize)]
struct Turn {
    role: String,
    #[serde(default)]
    content: Value,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Any(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    json_schema: Option<JsonSchema>,
}

#[derive(Debug, Deserialize)]
struct JsonSchema {
    #[serde(default)]
    name: String,
    #[serde(default)]
    schema: Value,
}

/// The form the answer must have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form<'a> {
    /// Anything.
    Text,
    /// Some JSON object.
    Json,
    /// JSON of this schema, with its name.
    Schema(&'a str, &'a Value),
}

/// The language a person writes in, as far as the demonstration cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// Any other.
    English,
    /// Has Chinese characters.
    Chinese,
}

impl Ask {
    /// # Errors
    /// Not JSON, or without model and messages.
    pub(super) fn read(body: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(body)
    }

    /// The last user message.
    pub(super) fn question(&self) -> String {
        let last = self.messages.iter().rfind(|turn| turn.role == "user");
        last.map(Turn::text).unwrap_or_default()
    }

    /// What it is about: without what agents put before it.
    pub(super) fn topic(&self) -> String {
        bare(&self.question()).to_owned()
    }

    /// All system messages.
    pub(super) fn system(&self) -> String {
        let system = self.messages.iter().filter(|turn| turn.role == "system");
        system.map(Turn::text).collect::<Vec<_>>().join("\n")
    }

    /// Everything that was said.
    pub(super) fn text(&self) -> String {
        self.messages.iter().map(Turn::text).collect::<Vec<_>>().join("\n")
    }

    /// The language of the question.
    pub(super) fn language(&self) -> Language {
        let chinese = |character: char| matches!(character, '\u{3400}'..='\u{9fff}');
        if self.question().contains(chinese) { Language::Chinese } else { Language::English }
    }

    pub(super) fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// Whether a stream ends with a chunk of usage.
    pub(super) fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }

    pub(super) fn max_tokens(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    pub(super) fn form(&self) -> Form<'_> {
        match &self.response_format {
            Some(ResponseFormat { json_schema: Some(wanted), .. }) => {
                Form::Schema(&wanted.name, &wanted.schema)
            }
            Some(format) if format.kind != "text" => Form::Json,
            _ => Form::Text,
        }
    }

    /// `text` up to the first stop sequence in it.
    pub(super) fn stopped<'t>(&self, text: &'t str) -> &'t str {
        let stops = match &self.stop {
            None => &[],
            Some(Stop::One(stop)) => std::slice::from_ref(stop),
            Some(Stop::Any(stops)) => stops.as_slice(),
        };
        let before = |stop: &String| text.split_once(stop.as_str()).map(|(before, _)| before);
        let cuts = stops.iter().filter(|stop| !stop.is_empty()).filter_map(before);
        cuts.min_by_key(|before| before.len()).unwrap_or(text)
    }

    /// About four bytes a token.
    pub(super) fn prompt_tokens(&self) -> usize {
        self.text().len().div_ceil(4)
    }
}

impl Turn {
    fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                texts.collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        }
    }
}

/// A text without the elements before it, such as `<system-reminder>...</system-reminder>`, by which
/// agents say where they are; the whole text where there is nothing else.
fn bare(text: &str) -> &str {
    let mut rest = text.trim();
    while let Some(after) = after_element(rest) {
        rest = after.trim_start();
    }
    if rest.is_empty() { text } else { rest }
}

/// What follows the element that a text begins with.
fn after_element(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('<')?.split_once('>')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_one = !name.is_empty() && name.chars().all(is_name);
    let (_, after) = is_one.then(|| text.split_once(&format!("</{name}>"))).flatten()?;
    Some(after)
}

/// The texts a prompt fences as `<KIND-NONCE ATTRIBUTE="LABEL">...</KIND-NONCE>`, each with its
/// label, in the order they stand there.
pub(super) fn fenced(prompt: &str, kind: &str, attribute: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = prompt;
    while let Some((_, after)) = rest.split_once(&format!("<{kind}-")) {
        rest = after;
        let Some((nonce, tail)) = after.split_once(&format!(" {attribute}=\"")) else { continue };
        let Some((label, tail)) = tail.split_once("\">") else { continue };
        let Some((text, tail)) = tail.split_once(&format!("</{kind}-{nonce}>")) else { continue };
        found.push((label.to_owned(), text.trim().to_owned()));
        rest = tail;
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(fields: &Value) -> Ask {
        let mut body = json!({"model": "demo-warm", "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": null},
            {"role": "user", "content": [{"type": "text", "text": "second"},
                {"type": "image_url", "image_url": {"url": "data:,"}}]},
        ]});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        Ask::read(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_agents_put_before_a_question_is_none_of_it() {
        for (text, want) in [
            (
                "<system-reminder>\nBe kind.\n</system-reminder>\n\n<now>5</now>\nSay hello",
                "Say hello",
            ),
            ("<a>only</a>", "<a>only</a>"),
            ("<b is=1>x</b> what?", "<b is=1>x</b> what?"),
            ("1 < 2 > 0?", "1 < 2 > 0?"),
            ("<open> why", "<open> why"),
            ("", ""),
        ] {
            assert_eq!(bare(text), want);
        }
    }

    #[test]
    fn it_reads_conversations() {
        let ask = ask(&json!({"stream": null, "surprise": 1}));
        assert_eq!(ask.question(), "second");
        assert_eq!(ask.system(), "Be kind.");
        assert_eq!(ask.text(), "Be kind.\nfirst\n\nsecond");
        assert_eq!((ask.streams(), ask.wants_usage(), ask.max_tokens()), (false, false, None));
        assert_eq!((ask.form(), ask.language()), (Form::Text, Language::English));
        assert!(Ask::read(b"{}").is_err());
    }

    #[test]
    fn it_reads_limits_and_forms() {
        let schema = json!({"type": "object"});
        let wanted = json!({"stop": ["z", "co", ""], "max_tokens": 9, "max_completion_tokens": 3,
            "stream": true, "stream_options": {"include_usage": true},
            "response_format": {"type": "json_schema",
                "json_schema": {"name": "n", "schema": schema}}});
        let strict = ask(&wanted);
        assert_eq!(strict.stopped("second zebra"), "se");
        assert_eq!(ask(&json!({"stop": "x"})).stopped("no such letter"), "no such letter");
        assert_eq!((strict.max_tokens(), strict.streams()), (Some(3), true));
        assert!(strict.wants_usage());
        assert_eq!(strict.form(), Form::Schema("n", &schema));
        assert_eq!(ask(&json!({"response_format": {"type": "json_object"}})).form(), Form::Json);
        assert_eq!(ask(&json!({"response_format": {"type": "text"}})).form(), Form::Text);
    }

    #[test]
    fn fences_are_read_by_their_nonce() {
        let pair = |label: &str, text: &str| (label.to_owned(), text.to_owned());
        for (prompt, want) in [
            ("", vec![]),
            ("like <draft-NONCE rank=\"N\">", vec![]),
            ("<draft-a1 rank=\"1\">\none\n</draft-a1>", vec![pair("1", "one")]),
            (
                "x <draft-a1 rank=\"1\">one </draft-b2> <b></draft-a1><draft-a1 rank=\"2\">二\
                 </draft-a1>",
                vec![pair("1", "one </draft-b2> <b>"), pair("2", "二")],
            ),
        ] {
            assert_eq!(fenced(prompt, "draft", "rank"), want, "{prompt}");
        }
    }
}
