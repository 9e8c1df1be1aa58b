//! What one endpoint takes and answers, for the description of the API (`openapi.rs`). Each dialect
//! describes its own, with the structs that are read and written.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::error::{
    AnthropicErrorBody, ErrorBody, GeminiErrorBody, OllamaErrorBody, OpenAiErrorBody,
    ScriptErrorBody,
};

/// The schema of a type, whose parts go to the generator.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

const JSON: &str = "application/json";
/// What may be said of any request that comes to a handler.
const ALWAYS: [u16; 4] = [403, 500, 503, 508];
/// What a body may be answered with.
pub(super) const READING: [u16; 3] = [400, 408, 413];
/// What a run may end in.
pub(super) const RUNNING: [u16; 5] = [404, 429, 499, 502, 504];

/// How errors look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorForm {
    OpenAi,
    /// Ollama's, or, to whom the answer would be SSE, that for scripts.
    Ollama,
    Script,
    Anthropic,
    Gemini,
    /// That of the vendor whose headers came.
    Any,
}

/// One endpoint under one method.
#[derive(Clone)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: String,
    group: &'static str,
    summary: &'static str,
    form: ErrorForm,
    is_open: bool,
    is_run: bool,
    is_silent: bool,
    parameters: Vec<Value>,
    body: Option<(SchemaOf, Value)>,
    answers: Vec<Answer>,
    errors: Vec<u16>,
}

/// A body that an endpoint answers with.
#[derive(Clone, Copy)]
struct Answer {
    status: u16,
    media: &'static str,
    /// Of each event or line, where it is a stream; none: plain text.
    schema: Option<SchemaOf>,
    is_stream: bool,
    ends_with_done: bool,
}

/// What operations refer to: types as they are read and as they are written, and errors.
pub(super) struct Parts {
    pub(super) reading: SchemaGenerator,
    pub(super) writing: SchemaGenerator,
    pub(super) responses: Map<String, Value>,
}

impl Operation {
    pub(super) fn new(
        (method, path): (&'static str, &str),
        group: &'static str,
        form: ErrorForm,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path: path.to_owned(),
            group,
            summary,
            form,
            is_open: false,
            is_run: false,
            is_silent: false,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            errors: ALWAYS.to_vec(),
        }
    }

    /// The same below another path.
    pub(super) fn below(mut self, prefix: &str) -> Self {
        self.path.insert_str(0, prefix);
        self
    }

    /// No key is needed.
    pub(super) fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// It reads a JSON body, such as this one.
    pub(super) fn reads<T: JsonSchema>(mut self, example: Value) -> Self {
        self.body = Some((SchemaGenerator::subschema_for::<T>, example));
        self.fails(&READING)
    }

    /// It makes runs.
    pub(super) fn runs(mut self) -> Self {
        self.is_run = true;
        let about = "Whether the record of the run is wanted, as in the body.";
        self.fails(&RUNNING).takes(
            "query",
            "include_workflow",
            &json!({ "type": "boolean" }),
            about,
        )
    }

    pub(super) fn takes(
        mut self,
        place: &str,
        name: &str,
        schema: &Value,
        description: &str,
    ) -> Self {
        self.parameters.push(json!({
            "name": name, "in": place, "required": place == "path",
            "description": description, "schema": schema,
        }));
        self
    }

    /// It answers with a JSON object.
    pub(super) fn answers<T: JsonSchema>(self) -> Self {
        self.answers_as::<T>(200)
    }

    /// The same under another status.
    pub(super) fn answers_as<T: JsonSchema>(self, status: u16) -> Self {
        let schema: SchemaOf = SchemaGenerator::subschema_for::<T>;
        self.with(status, JSON, Some(schema), false)
    }

    /// It answers with a stream, each event or line of which is such an object.
    pub(super) fn streams<T: JsonSchema>(self, media: &'static str) -> Self {
        self.with(200, media, Some(SchemaGenerator::subschema_for::<T>), true)
    }

    /// The same, and the last event's data is `[DONE]`.
    pub(super) fn streams_to_done<T: JsonSchema>(mut self) -> Self {
        self = self.streams::<T>("text/event-stream");
        if let Some(answer) = self.answers.last_mut() {
            answer.ends_with_done = true;
        }
        self
    }

    /// It answers with nothing.
    pub(super) fn silently(mut self) -> Self {
        self.is_silent = true;
        self
    }

    /// It answers with a text.
    pub(super) fn says(self) -> Self {
        self.with(200, "text/plain; charset=utf-8", None, false)
    }

    /// It answers with a file of this kind.
    pub(super) fn sends(self, media: &'static str) -> Self {
        self.with(200, media, None, false)
    }

    fn with(
        mut self,
        status: u16,
        media: &'static str,
        schema: Option<SchemaOf>,
        is_stream: bool,
    ) -> Self {
        self.answers.push(Answer { status, media, schema, is_stream, ends_with_done: false });
        self
    }

    /// It may answer with these errors, too.
    pub(super) fn fails(mut self, errors: &[u16]) -> Self {
        self.errors.extend_from_slice(errors);
        self
    }

    /// As it stands in the description.
    pub(super) fn described(&self, parts: &mut Parts) -> Value {
        let name = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
        let id: String = format!("{}{}", self.method, self.path).chars().map(name).collect();
        let mut all = object([
            ("operationId", json!(id.trim_end_matches('_'))),
            ("tags", json!([self.group])),
            ("summary", json!(self.summary)),
            ("responses", self.responses(parts)),
        ]);
        if !self.parameters.is_empty() {
            all.insert("parameters".to_owned(), json!(self.parameters));
        }
        if self.is_open {
            all.insert("security".to_owned(), json!([]));
        }
        if let Some((schema, example)) = &self.body {
            let schema = schema(&mut parts.reading);
            let body = json!({
                "required": true,
                "content": { "application/json": { "schema": schema, "example": example } },
            });
            all.insert("requestBody".to_owned(), body);
        }
        Value::Object(all)
    }

    fn responses(&self, parts: &mut Parts) -> Value {
        let mut contents = self.contents(parts);
        let mut all: BTreeMap<u16, Value> = BTreeMap::new();
        let mut errors = self.errors.clone();
        if matches!(self.form, ErrorForm::Anthropic | ErrorForm::Any) {
            errors.push(529);
        }
        if !self.is_open {
            errors.push(401);
        }
        for status in errors {
            let Some(content) = contents.get_mut(&status) else {
                all.entry(status).or_insert_with(|| self.error(status, parts));
                continue;
            };
            // Answers stand there already.
            let mut either: Vec<Value> = content.remove(JSON).into_iter().collect();
            either.push(self.form.schema(&mut parts.writing));
            content.insert(JSON.to_owned(), json!({ "anyOf": either }));
        }
        for (status, content) in contents {
            let words = if status == 200 { "The answer." } else { "Not at present." };
            let of_media = |(media, schema)| (media, json!({ "schema": schema }));
            let content: Map<String, Value> = content.into_iter().map(of_media).collect();
            let headers = self.headers(status);
            all.insert(
                status,
                json!({ "description": words, "headers": headers, "content": content }),
            );
        }
        if self.is_silent {
            all.insert(200, json!({ "description": "Nothing.", "headers": self.headers(200) }));
        }
        let named = all.into_iter().map(|(status, response)| (status.to_string(), response));
        Value::Object(named.collect())
    }

    /// The schemas of its answers, by status and media type.
    fn contents(&self, parts: &mut Parts) -> BTreeMap<u16, Map<String, Value>> {
        let mut all: BTreeMap<u16, Map<String, Value>> = BTreeMap::new();
        for answer in &self.answers {
            let schema = answer.described(&mut parts.writing);
            all.entry(answer.status).or_default().insert(answer.media.to_owned(), schema);
        }
        all
    }

    /// A reference to what all endpoints of this form have in common.
    fn error(&self, status: u16, parts: &mut Parts) -> Value {
        let of_a_run = if self.is_run { "Run" } else { "" };
        let name = format!("{:?}{of_a_run}{status}", self.form);
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        let schema = self.form.schema(&mut parts.writing);
        parts.responses.entry(name).or_insert_with(|| {
            json!({
                "description": meaning(status),
                "headers": self.headers(status),
                "content": { "application/json": { "schema": schema } },
            })
        });
        reference
    }

    fn headers(&self, status: u16) -> Value {
        let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
        let mut all = object([("x-request-id", header("RequestId"))]);
        if self.is_run {
            all.insert("x-chorus-workflow-id".to_owned(), header("WorkflowId"));
        }
        if matches!(status, 429 | 503 | 529) {
            all.insert("retry-after".to_owned(), header("RetryAfter"));
        }
        Value::Object(all)
    }
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Answer {
    fn described(&self, generator: &mut SchemaGenerator) -> Value {
        let Some(schema) = self.schema else { return json!({ "type": "string" }) };
        let schema = schema(generator);
        if !self.is_stream {
            return json!(schema);
        }
        let text = json!({
            "type": "string", "contentMediaType": "application/json", "contentSchema": schema,
        });
        if self.media != "text/event-stream" {
            return json!({ "description": "A JSON object a line.", "allOf": [text] });
        }
        let data = match self.ends_with_done {
            true => json!({ "anyOf": [{ "const": "[DONE]" }, text] }),
            false => text,
        };
        json!({
            "type": "object", "description": "An event of the stream.",
            "properties": { "event": { "type": "string" }, "data": data }, "required": ["data"],
        })
    }
}

impl ErrorForm {
    fn schema(self, generator: &mut SchemaGenerator) -> Value {
        let mut of = |schema: SchemaOf| json!(schema(generator));
        let script: SchemaOf = SchemaGenerator::subschema_for::<ErrorBody<'_, ScriptErrorBody>>;
        let openai: SchemaOf = SchemaGenerator::subschema_for::<ErrorBody<'_, OpenAiErrorBody<'_>>>;
        let anthropic: SchemaOf =
            SchemaGenerator::subschema_for::<ErrorBody<'_, AnthropicErrorBody>>;
        let gemini: SchemaOf = SchemaGenerator::subschema_for::<ErrorBody<'_, GeminiErrorBody>>;
        match self {
            Self::OpenAi => of(openai),
            Self::Script => of(script),
            Self::Anthropic => of(anthropic),
            Self::Gemini => of(gemini),
            Self::Any => json!({ "anyOf": [of(openai), of(anthropic), of(gemini)] }),
            Self::Ollama => {
                let ollama = of(SchemaGenerator::subschema_for::<ErrorBody<'_, OllamaErrorBody>>);
                json!({ "anyOf": [ollama, of(script)] })
            }
        }
    }
}

/// What a status says here.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be understood or answered; the message says what to change.",
        401 => "No key came with the request, or one that no `[[client]]` has.",
        403 => "This Host, Origin or address is not allowed.",
        404 => "No workflow, model or alias has this name, or no run this id.",
        405 => "There is nothing to call; the path has no method of a model at its end.",
        408 => "The body did not arrive in time.",
        409 => "The run is over.",
        413 => "The body is larger than `[server] request_body_limit`.",
        429 => "Somebody's limit is reached; `Retry-After` says for how long.",
        499 => "Somebody ended the run.",
        500 => "A fault of Chorus.",
        501 => "Models are those of the config.",
        502 => "The upstreams gave no answer.",
        503 | 529 => "Too much is going on, or the server is about to end.",
        504 => "No answer came in time.",
        508 => "The request went round in a circle of Chorus servers.",
        _ => "An error.",
    }
}
