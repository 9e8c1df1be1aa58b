//! `GET /openapi.json`: the API, described by the structs that are read and written.

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{
    anthropic, gemini, history, mcp, models, ollama, openai,
    operation::{ErrorForm, Operation, Parts},
    ops, passthrough, responses, status, ui,
};

/// It is the same for everybody, and made when somebody asks first.
static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(text()));

/// `GET /openapi.json`.
pub(super) async fn openapi() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], TEXT.clone()).into_response()
}

pub(super) fn text() -> String {
    format!("{:#}\n", document())
}

/// Every endpoint.
fn operations() -> Vec<Operation> {
    let new = |path, form, summary| Operation::new(("get", path), "Chorus", form, summary);
    let itself = new("/openapi.json", ErrorForm::Script, "This description.");
    let alias = new("/ollama", ErrorForm::Ollama, "Says that somebody is there.");
    let mut all = openai::operations();
    all.extend(responses::operations());
    all.extend(models::operations());
    all.extend(passthrough::operations());
    all.extend(ollama::operations());
    let below: Vec<Operation> = all
        .iter()
        .filter(|one| one.path == "/" || one.path.starts_with("/api/"))
        .map(|one| one.clone().below("/ollama"))
        .collect();
    all.extend(below);
    all.extend(anthropic::operations());
    all.extend(gemini::operations());
    all.extend(mcp::operations());
    all.extend(ops::operations());
    all.extend(history::operations());
    all.push(status::operation());
    all.extend(ui::operations());
    // Below `/ollama` a browser, too, is told what Ollama says.
    if let Some(root) = all.iter_mut().find(|one| one.path == "/") {
        *root = root.clone().sends("text/html; charset=utf-8");
    }
    all.push(itself.answers::<Map<String, Value>>());
    all.push(alias.says().open());
    all
}

fn document() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut parts = Parts {
        reading: settings().for_deserialize().into_generator(),
        writing: settings().for_serialize().into_generator(),
        responses: Map::new(),
    };
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
        path[operation.method] = operation.described(&mut parts);
    }
    let mut schemas = parts.writing.take_definitions(true);
    for (name, schema) in parts.reading.take_definitions(true) {
        // Should a type be read and written, what is written is what it says of itself.
        schemas.entry(name).or_insert(schema);
    }
    schemas.sort_keys();
    parts.responses.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chorus",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
            "description": "One prompt, many language models, one streamed answer, in the dialects \
                of OpenAI, Anthropic, Google and Ollama. Fields of a request that are not named here go on to the model \
                where it is asked directly. Bodies are JSON whatever their content type says.",
        },
        "tags": [
            { "name": "OpenAI", "description": "Errors are OpenAI's; streams are server-sent events." },
            { "name": "Anthropic", "description": "Errors are Anthropic's; streams are server-sent events." },
            { "name": "Gemini", "description": "Errors and streams (an array, or events) are Google's." },
            { "name": "Ollama", "description": "Errors and streams (NDJSON) are Ollama's. To whoever \
                asks for `text/event-stream`, both are those of the contract for scripts." },
            { "name": "Chorus", "description": "What is neither's." },
        ],
        "security": [{}, { "bearer": [] }, { "apiKey": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": parts.responses,
            "headers": headers(),
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "The key of a `[[client]]`. Where there are none, no key is needed.",
                },
                "apiKey": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            },
        },
    })
}

fn headers() -> Value {
    let header =
        |description: &str, schema: &Value| json!({ "description": description, "schema": schema });
    json!({
        "RequestId": header("Names the request in the log.", &json!({ "type": "string" })),
        "WorkflowId": header(
            "The runs that were made for it, separated by commas.",
            &json!({ "type": "string" }),
        ),
        "RetryAfter": header("In seconds.", &json!({ "type": "integer", "minimum": 1 })),
    })
}
