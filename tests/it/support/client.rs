//! A client of Chorus (or of the fake itself): verbs around reqwest, and a reader that gives a
//! stream's events one at a time, as they come.

use futures::{StreamExt, stream::BoxStream};
use reqwest::{Method, RequestBuilder, Response, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::soon;

/// The three answering endpoints of the main job.
pub const ENDPOINTS: [&str; 3] = ["/v1/chat/completions", "/api/chat", "/api/generate"];

/// One keep-alive client and the server it talks to.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// Never through a proxy, whatever the environment says.
    pub fn of(base: &str) -> Self {
        // reqwest is built without a TLS provider of its own; a second install is refused, and fine.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { base: base.to_owned(), http }
    }

    /// The same with a client of reqwest's that was set up otherwise.
    pub fn with(base: &str, http: reqwest::ClientBuilder) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = http.no_proxy().build().expect("a client");
        Self { base: base.to_owned(), http }
    }

    /// The base of its server: `http://127.0.0.1:PORT`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request that the other verbs do not make.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Response {
        let sent = self.request(Method::GET, path).send();
        soon("the answer to a GET", sent).await.expect("the server answers")
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.post_with(path, body, &[]).await
    }

    pub async fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Response {
        let sent = self.try_post(path, body, headers);
        soon("the answer to a POST", sent).await.expect("the server answers")
    }

    /// Without a time limit, and with the transport's errors.
    pub async fn try_post(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Response> {
        let mut request = self.request(Method::POST, path).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.to_string()).send().await
    }

    /// The status and the JSON of the answer; `null` when it is none.
    pub async fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.post(path, body).await;
        let status = response.status().as_u16();
        let bytes = soon("the body", response.bytes()).await.expect("a whole body");
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Posts, and reads the answer as a stream.
    pub async fn stream(&self, path: &str, body: &Value) -> Events {
        Events::of(self.post(path, body).await)
    }

    /// All JSON objects of a stream.
    pub async fn objects(&self, path: &str, body: &Value) -> Vec<Value> {
        self.stream(path, body).await.rest().await
    }
}

/// A request for the endpoint: model, one user message (or prompt), streamed or not.
pub fn question(path: &str, model: &str, prompt: &str, stream: bool) -> Value {
    if path.ends_with("/generate") || path.ends_with("/completions") && !path.contains("chat") {
        return json!({"model": model, "prompt": prompt, "stream": stream});
    }
    let messages = json!([{"role": "user", "content": prompt}]);
    json!({"model": model, "messages": messages, "stream": stream})
}

/// A body as far as it goes, and whether it broke off there.
pub async fn body_of(response: reqwest::Response) -> (String, bool) {
    let (mut bytes, mut chunks) = (Vec::new(), response.bytes_stream());
    let broken = loop {
        match chunks.next().await {
            Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    (String::from_utf8(bytes).expect("UTF-8"), broken)
}

/// The answer's text in one object of any endpoint, streamed or not; empty when it has none.
pub fn text_of(object: &Value) -> &str {
    let choice = &object["choices"][0];
    let places = [
        &choice["delta"]["content"],
        &choice["message"]["content"],
        &choice["text"],
        &object["message"]["content"],
        &object["response"],
    ];
    places.into_iter().find_map(Value::as_str).unwrap_or_default()
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A JSON object: a line of NDJSON, or the data of an SSE event.
    Object(Value),
    /// `data: [DONE]`.
    Done,
    /// An SSE comment.
    Comment,
    /// The connection broke, or what came is neither.
    Broken(String),
}

/// A stream's events, read as they come.
pub struct Events {
    /// The response's status.
    pub status: u16,
    /// The response's headers.
    pub headers: reqwest::header::HeaderMap,
    body: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    is_sse: bool,
    buffer: Vec<u8>,
}

impl Events {
    pub fn of(response: Response) -> Self {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        Self {
            status: response.status().as_u16(),
            is_sse: kind.is_some_and(|kind| kind.starts_with("text/event-stream")),
            headers: response.headers().clone(),
            body: response.bytes_stream().boxed(),
            buffer: Vec::new(),
        }
    }

    /// The next event; `None` at the end of the body.
    pub async fn next(&mut self) -> Option<Event> {
        let end: &[u8] = if self.is_sse { b"\n\n" } else { b"\n" };
        loop {
            let found = self.buffer.windows(end.len()).position(|window| window == end);
            if let Some(position) = found {
                let rest = self.buffer.split_off(position + end.len());
                let event = std::mem::replace(&mut self.buffer, rest);
                return Some(self.event(&event[..position]));
            }
            match soon("the next event", self.body.next()).await {
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(error)) => return Some(Event::Broken(error.to_string())),
                None if self.buffer.is_empty() => return None,
                None => {
                    let rest = std::mem::take(&mut self.buffer);
                    return Some(self.event(&rest));
                }
            }
        }
    }

    /// The next JSON object; `None` when the stream ends or breaks first.
    pub async fn object(&mut self) -> Option<Value> {
        loop {
            match self.next().await? {
                Event::Object(object) => return Some(object),
                // Real clients read on to the end of the body after the terminator, too.
                Event::Comment | Event::Done => {}
                Event::Broken(_) => return None,
            }
        }
    }

    /// The next piece of answer text that is not empty.
    pub async fn text(&mut self) -> Option<String> {
        loop {
            let object = self.object().await?;
            let text = text_of(&object);
            if !text.is_empty() {
                return Some(text.to_owned());
            }
        }
    }

    /// Every JSON object that is still to come.
    pub async fn rest(mut self) -> Vec<Value> {
        let mut objects = Vec::new();
        while let Some(object) = self.object().await {
            objects.push(object);
        }
        objects
    }

    /// Every event that is still to come.
    pub async fn all(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            let broken = matches!(event, Event::Broken(_));
            events.push(event);
            if broken {
                break;
            }
        }
        events
    }

    fn event(&self, bytes: &[u8]) -> Event {
        let text = String::from_utf8_lossy(bytes);
        let data = if self.is_sse {
            if text.starts_with(':') {
                return Event::Comment;
            }
            text.strip_prefix("data: ").unwrap_or(&text)
        } else {
            &*text
        };
        if self.is_sse && data == "[DONE]" {
            return Event::Done;
        }
        match serde_json::from_str(data) {
            Ok(object) => Event::Object(object),
            Err(error) => Event::Broken(format!("no JSON ({error}): {text:?}")),
        }
    }
}
