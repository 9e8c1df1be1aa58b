//! What clients meet: names, paths, usage, headers, ends of streams.

mod ends;
mod names;
mod paths;
mod usage;

use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{Chorus, soon};

/// Every form in which an answer is sent.
const FORMS: [&str; 9] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/api/chat?stream_format=ndjson",
    "/api/chat?stream_format=sse",
    "/api/generate?stream_format=ndjson",
    "/api/generate?stream_format=sse",
    GOOGLES,
];
/// Gemini's, whose path says what the body says elsewhere.
const GOOGLES: &str = "/v1beta/models/MODEL:METHOD?alt=sse";

/// Where a body of that form is sent.
fn path_of(form: &str, body: &Value) -> String {
    let model = body["model"].as_str().filter(|model| !model.is_empty()).unwrap_or("chorus");
    let method = match body["stream"] == true {
        true => "streamGenerateContent",
        false => "generateContent",
    };
    form.replace("MODEL", model).replace("METHOD", method)
}

/// A question in that form.
fn asking(form: &str, model: Option<&str>, stream: bool) -> Value {
    let mut body = json!({ "stream": stream });
    let said = if form.contains("responses") {
        ("input", json!("hi"))
    } else if form == GOOGLES {
        ("contents", json!([{ "role": "user", "parts": [{ "text": "hi" }] }]))
    } else if form.contains("chat") || form.contains("messages") {
        ("messages", json!([{ "role": "user", "content": "hi" }]))
    } else {
        ("prompt", json!("hi"))
    };
    body[said.0] = said.1;
    if let Some(model) = model {
        body["model"] = json!(model);
    }
    body
}

/// The status, and the objects of the body in whatever framing.
async fn objects_from(chorus: &Chorus, form: &str, body: &Value) -> (u16, Vec<Value>) {
    let response = chorus.post(&path_of(form, body), body).await;
    (response.status().as_u16(), objects_of(response).await)
}

async fn objects_of(response: Response) -> Vec<Value> {
    let bytes = soon("the body", response.bytes()).await.expect("a whole body");
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let data = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    let objects = data.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    // Behind the event that ends a message stands one that says nothing.
    objects.filter(|object| object["type"] != "message_stop").collect()
}

/// The object that ends an answer: of a response's terminal event the resource.
fn last_of(objects: &[Value]) -> &Value {
    inner(objects.last().expect("an object"))
}

/// The resource of a response's event; any other object as it is.
fn inner(object: &Value) -> &Value {
    object.get("response").filter(|inner| inner.is_object()).unwrap_or(object)
}
