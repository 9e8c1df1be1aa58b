//! The bodies of `POST /api/chat` and `POST /api/generate` (Ollama's API documentation) to a
//! [`Request`].

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    super::{
        content::{self, RawMessages},
        error::AppError,
        extract::Parted,
        form,
        parsed::Parsed,
        tools::{self, RawTool},
    },
    duration,
    options::Options,
};
use crate::{
    types::{
        Effort, Extra, Message, OnlyThere, OutputFormat, Part, Prompt, Protocol, Request, Role,
    },
    workflow::DEFAULT_WORKFLOW,
};

/// The fields of `/api/chat` that Chorus reads; all may be null or missing.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "OllamaChatRequest")]
pub(in super::super) struct ChatRequest {
    /// Missing = `chorus`.
    model: Option<String>,
    /// Empty asks to load the model.
    messages: Option<RawMessages>,
    tools: Option<Vec<Parted<RawTool>>>,
    /// Default true.
    stream: Option<bool>,
    format: Option<Value>,
    options: Option<Map<String, Value>>,
    keep_alive: Option<Value>,
    /// Absent = on.
    think: Option<Value>,
    /// Chorus: whether the record of the run is wanted.
    include_workflow: Option<bool>,
}

/// The fields of `/api/generate` that Chorus reads; all may be null or missing.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "OllamaGenerateRequest")]
pub(in super::super) struct GenerateRequest {
    /// Missing = `chorus`.
    model: Option<String>,
    /// Empty, without pictures, asks to load the model.
    prompt: Option<String>,
    system: Option<String>,
    /// Fill in the middle; refused.
    suffix: Option<String>,
    /// The model's prompt template; ignored.
    template: Option<String>,
    /// Tokens of an earlier answer; ignored.
    context: Option<Value>,
    /// The prompt is used verbatim.
    raw: Option<bool>,
    images: Option<Vec<String>>,
    /// Default true.
    stream: Option<bool>,
    format: Option<Value>,
    options: Option<Map<String, Value>>,
    keep_alive: Option<Value>,
    /// Absent = off: what the model thinks is not shown.
    think: Option<Value>,
    /// Chorus: whether the record of the run is wanted.
    include_workflow: Option<bool>,
}

/// What only a request of Ollama's has.
#[derive(Debug)]
pub(super) struct Extras {
    /// Nothing is asked: the model is to be loaded or unloaded.
    pub(super) loads: bool,
    /// `keep_alive` is 0.
    pub(super) unloads: bool,
}

impl ChatRequest {
    /// Checks and converts; `rest` are the fields Chorus does not know.
    ///
    /// # Errors
    /// 400 with the field to blame.
    pub(super) fn read(self, rest: Map<String, Value>) -> Result<Parsed<Extras>, AppError> {
        let messages = content::conversation(self.messages.unwrap_or_default())?;
        if let Some(OnlyThere { param, message }) = content::unknown_part(&messages) {
            return Err(AppError::field(param, message)); // its contents are text
        }
        let tools = tools::definitions(self.tools.unwrap_or_default())?;
        let common = Common::read(self.format, self.options, self.keep_alive, self.think, rest)?;
        let mut parsed = common.ask(self.model, messages, true);
        parsed.extras.loads = parsed.request.messages.is_empty();
        parsed.request.prompt.tools = tools.into();
        parsed.stream = self.stream.unwrap_or(true);
        parsed.include_workflow = self.include_workflow.unwrap_or(false);
        Ok(parsed)
    }
}

impl GenerateRequest {
    /// Checks and converts; `rest` are the fields Chorus does not know.
    ///
    /// # Errors
    /// 400 with the field to blame.
    pub(super) fn read(self, rest: Map<String, Value>) -> Result<Parsed<Extras>, AppError> {
        if self.suffix.is_some_and(|suffix| !suffix.is_empty()) {
            let model = self.model.filter(|name| !name.is_empty());
            let model = model.as_deref().unwrap_or(DEFAULT_WORKFLOW);
            let message = format!("model '{model}' does not support insert");
            return Err(AppError::field("suffix", message));
        }
        let raw = self.raw.unwrap_or(false);
        let system = self.system.filter(|text| !text.is_empty());
        let template = self.template.is_some_and(|text| !text.is_empty());
        let context = matches!(&self.context, Some(Value::Array(tokens)) if !tokens.is_empty());
        if raw && (system.is_some() || template || context) {
            let message = "raw mode does not support template, system, or context";
            return Err(AppError::field("raw", message));
        }
        let prompt = self.prompt.unwrap_or_default();
        let mut parts = Vec::new();
        let images = self.images.unwrap_or_default();
        let loads = prompt.is_empty() && images.is_empty();
        if !prompt.is_empty() {
            parts.push(Part::Text(prompt));
        }
        for (index, image) in images.iter().enumerate() {
            parts.push(Part::Image(content::inline_image(image, &format!("images[{index}]"))?));
        }
        let system = system.map(|text| Message::text(Role::System, text));
        let user = Message { parts, ..Message::text(Role::User, "") };
        let messages = system.into_iter().chain([user]).collect();
        let common = Common::read(self.format, self.options, self.keep_alive, self.think, rest)?;
        let mut parsed = common.ask(self.model, messages, false);
        parsed.request.prompt.raw = raw;
        parsed.extras.loads = loads;
        parsed.stream = self.stream.unwrap_or(true);
        parsed.include_workflow = self.include_workflow.unwrap_or(false);
        Ok(parsed)
    }
}

/// What both endpoints have in common.
struct Common {
    format: OutputFormat,
    options: Options,
    effort: Option<Effort>,
    unloads: bool,
    extra: Option<Extra>,
}

impl Common {
    fn read(
        format: Option<Value>,
        options: Option<Map<String, Value>>,
        keep_alive: Option<Value>,
        think: Option<Value>,
        rest: Map<String, Value>,
    ) -> Result<Self, AppError> {
        let mut options = Options::read(options.unwrap_or_default())?;
        let unloads = match &keep_alive {
            Some(value) => duration::is_zero(value).ok_or_else(|| {
                let message = "keep_alive: expected seconds or a duration such as \"5m\"";
                AppError::field("keep_alive", message)
            })?,
            None => false,
        };
        let mut fields = rest;
        if let Some(value) = keep_alive {
            fields.insert("keep_alive".to_owned(), value);
        }
        if !options.rest.is_empty() {
            let rest = std::mem::take(&mut options.rest);
            fields.insert("options".to_owned(), Value::Object(rest));
        }
        let format = output_format(format, &mut fields)?;
        let extra = Some(Extra::new(Protocol::Ollama, fields));
        Ok(Self { format, options, effort: effort(think)?, unloads, extra })
    }

    /// `shows` is what an absent `think` means for the reasoning channel.
    fn ask(self, model: Option<String>, messages: Vec<Message>, shows: bool) -> Parsed<Extras> {
        let reasoning = self.effort.map_or(shows, |effort| effort != Effort::None);
        let request = Request {
            prompt: Prompt {
                sampling: self.options.sampling,
                stop: self.options.stop,
                max_tokens: self.options.max_tokens,
                format: self.format,
                effort: self.effort,
                extra: self.extra,
                ..Prompt::default()
            },
            ..Request::new(model.unwrap_or_default(), messages)
        };
        Parsed {
            request,
            stream: true,
            include_workflow: false,
            reasoning,
            extras: Extras { loads: false, unloads: self.unloads },
        }
    }
}

/// `format`: nothing, `"json"`, or a schema; or OpenAI's `response_format`, and what else there is.
fn output_format(
    format: Option<Value>,
    beside: &mut Map<String, Value>,
) -> Result<OutputFormat, AppError> {
    let Some(format) = format.filter(|format| !format.is_null()) else {
        let format = form::read_beside(beside)?;
        // It is no field of Ollama's.
        beside.shift_remove("response_format");
        return Ok(format);
    };
    let known = match form::read(&format, "format")? {
        // Whatever else an object says, here it is the schema itself.
        None if format.is_object() => Some(form::bare(format)),
        known => known,
    };
    known.ok_or_else(|| AppError::field("format", "format: expected \"json\" or a JSON schema"))
}

fn effort(think: Option<Value>) -> Result<Option<Effort>, AppError> {
    let think = think.unwrap_or_default();
    match (&think, think.as_str()) {
        (Value::Null, _) => Ok(None),
        (Value::Bool(false), _) => Ok(Some(Effort::None)),
        (Value::Bool(true), _) => Ok(Some(Effort::On)),
        (_, Some("low")) => Ok(Some(Effort::Low)),
        (_, Some("medium")) => Ok(Some(Effort::Medium)),
        (_, Some("high")) => Ok(Some(Effort::High)),
        (_, Some("max")) => Ok(Some(Effort::Max)),
        _ => Err(AppError::field(
            "think",
            "think: expected true, false, \"low\", \"medium\", \"high\" or \"max\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::super::test_support::any_json, *};

    fn chat(body: Value) -> Result<Parsed<Extras>, AppError> {
        serde_json::from_value::<ChatRequest>(body).unwrap().read(Map::new())
    }

    fn generate(body: Value) -> Result<Parsed<Extras>, AppError> {
        serde_json::from_value::<GenerateRequest>(body).unwrap().read(Map::new())
    }

    #[test]
    fn streaming_is_the_default_and_nothing_asked_means_load() {
        for parsed in [
            chat(json!({})).unwrap(),
            chat(json!({"messages": []})).unwrap(),
            generate(json!({})).unwrap(),
            generate(json!({"prompt": "", "system": "be nice"})).unwrap(),
        ] {
            assert!(parsed.stream && parsed.extras.loads && !parsed.extras.unloads);
        }
        for zero in [json!(0), json!("0s")] {
            assert!(chat(json!({"keep_alive": zero})).unwrap().extras.unloads);
            assert!(generate(json!({"keep_alive": zero})).unwrap().extras.unloads);
        }
        assert!(!generate(json!({"prompt": "x"})).unwrap().extras.loads);
    }

    #[test]
    fn a_prompt_becomes_a_conversation() {
        let parsed = generate(json!({
            "model": "m", "prompt": "why", "system": "be brief", "stream": false,
            "images": ["iVBORw0KGgoAAAANSUhEUgAA"], "format": "json",
            "options": {"temperature": 0.5, "num_predict": 5, "stop": "x", "num_ctx": 1024},
            "keep_alive": "5m", "include_workflow": true,
        }))
        .unwrap();
        assert!(!parsed.stream && parsed.include_workflow && !parsed.reasoning);
        let request = parsed.request;
        assert_eq!(request.messages[0], Message::text(Role::System, "be brief"));
        assert_eq!(request.messages[1].role, Role::User);
        assert_eq!(request.messages[1].joined_text(), "why");
        assert!(request.messages[1].has_image());
        assert_eq!(request.prompt.format, OutputFormat::Json);
        assert_eq!(
            (request.prompt.max_tokens, request.prompt.sampling.temperature),
            (Some(5), Some(0.5))
        );
        assert_eq!(request.prompt.stop, ["x"]);
        let extra = request.prompt.extra.unwrap();
        assert_eq!(extra.protocol, Protocol::Ollama);
        assert_eq!(
            Value::Object(extra.fields).to_string(),
            r#"{"keep_alive":"5m","options":{"num_ctx":1024}}"#
        );
    }

    #[test]
    fn think_decides_what_is_shown() {
        for (think, effort, on_chat, on_generate) in [
            (json!(null), None, true, false),
            (json!(true), Some(Effort::On), true, true),
            (json!(false), Some(Effort::None), false, false),
            (json!("low"), Some(Effort::Low), true, true),
            (json!("medium"), Some(Effort::Medium), true, true),
            (json!("high"), Some(Effort::High), true, true),
            (json!("max"), Some(Effort::Max), true, true),
        ] {
            let one = chat(json!({"think": think})).unwrap();
            assert_eq!((one.request.prompt.effort, one.reasoning), (effort, on_chat), "{think}");
            let one = generate(json!({"think": think})).unwrap();
            assert_eq!(
                (one.request.prompt.effort, one.reasoning),
                (effort, on_generate),
                "{think}"
            );
        }
    }

    #[test]
    fn what_cannot_be_done_names_its_field() {
        for (body, param) in [
            (json!({"suffix": "}"}), "suffix"),
            (json!({"raw": true, "prompt": "x", "system": "y"}), "raw"),
            (json!({"raw": true, "prompt": "x", "template": "y"}), "raw"),
            (json!({"raw": true, "prompt": "x", "context": [1]}), "raw"),
            (json!({"prompt": "x", "images": ["?"]}), "images[0]"),
            (json!({"prompt": "x", "format": "xml"}), "format"),
            (json!({"prompt": "x", "format": 5}), "format"),
            (json!({"prompt": "x", "think": "a bit"}), "think"),
            (json!({"prompt": "x", "think": 1}), "think"),
            (json!({"prompt": "x", "keep_alive": "soon"}), "keep_alive"),
            (json!({"prompt": "x", "options": {"seed": "a"}}), "options.seed"),
        ] {
            let Err(AppError::Invalid { param: got, .. }) = generate(body.clone()) else {
                panic!("accepted: {body}");
            };
            assert_eq!(got.as_deref(), Some(param), "{body}");
        }
        assert!(
            generate(json!({"raw": true, "prompt": "x", "context": []}))
                .unwrap()
                .request
                .prompt
                .raw
        );
    }

    #[test]
    fn a_schema_is_the_format_itself() {
        let schema = json!({"type": "object"});
        let parsed = chat(json!({"format": schema})).unwrap();
        let OutputFormat::Schema { schema: got, .. } = parsed.request.prompt.format else {
            panic!("no schema");
        };
        assert_eq!(**got, schema);
        for none in [json!(null), json!("")] {
            let parsed = chat(json!({"format": none})).unwrap();
            assert_eq!(parsed.request.prompt.format, OutputFormat::Text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_body_makes_it_panic(field in "(messages|tools|format|options|keep_alive|think|images|prompt|context)",
                                  value in any_json()) {
            let body = Value::Object(Map::from_iter([(field, value)]));
            if let Ok(request) = serde_json::from_value::<ChatRequest>(body.clone()) {
                let _ = request.read(Map::new());
            }
            if let Ok(request) = serde_json::from_value::<GenerateRequest>(body) {
                let _ = request.read(Map::new());
            }
        }
    }
}
