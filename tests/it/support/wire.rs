//! What the fake says on the wire, for each of the four endpoints it speaks. Pure.

use axum::body::Bytes;
use serde_json::{Value, json};

/// One of the four endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// OpenAI's chat.
    Chat,
    /// OpenAI's plain completion.
    Completions,
    /// Ollama's chat.
    OllamaChat,
    /// Ollama's plain completion.
    OllamaGenerate,
}

/// What a complete answer consists of.
#[derive(Debug)]
pub struct Whole<'a> {
    pub text: &'a str,
    pub reasoning: Option<&'a str>,
    pub tools: &'a [(String, Value)],
    pub finish: &'a str,
    pub usage: Option<(u64, u64)>,
}

const CREATED_AT: &str = "2026-01-02T03:04:05.123456Z";

impl Wire {
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/completions" => Some(Self::Completions),
            "/api/chat" => Some(Self::OllamaChat),
            "/api/generate" => Some(Self::OllamaGenerate),
            // What is passed through: answers are `Script::sends`, failures the protocol's own.
            "/v1/embeddings" => Some(Self::Completions),
            "/api/embed" | "/api/embeddings" => Some(Self::OllamaGenerate),
            _ => None,
        }
    }

    fn is_ollama(self) -> bool {
        matches!(self, Self::OllamaChat | Self::OllamaGenerate)
    }

    pub fn streams(self, body: &Value) -> bool {
        body["stream"].as_bool().unwrap_or(self.is_ollama())
    }

    pub fn stream_type(self) -> &'static str {
        if self.is_ollama() { "application/x-ndjson" } else { "text/event-stream" }
    }

    /// A `role` delta opens every stream of OpenAI's chat.
    pub fn opening(self) -> Option<Bytes> {
        (self == Self::Chat).then(|| self.choice(json!({"role": "assistant", "content": ""})))
    }

    pub fn delta(self, text: &str) -> Bytes {
        match self {
            Self::Chat => self.choice(json!({"content": text})),
            Self::Completions => self.frame(&json!({
                "id": "cmpl-fake", "object": "text_completion", "created": 1, "model": "fake",
                "choices": [{"index": 0, "text": text, "finish_reason": null}],
            })),
            Self::OllamaChat => self.message(json!({"role": "assistant", "content": text})),
            Self::OllamaGenerate => {
                self.frame(&json!({"created_at": CREATED_AT, "response": text, "done": false}))
            }
        }
    }

    pub fn reasoning(self, text: &str) -> Bytes {
        match self {
            Self::Chat => self.choice(json!({"reasoning_content": text})),
            Self::OllamaChat => {
                self.message(json!({"role": "assistant", "content": "", "thinking": text}))
            }
            Self::OllamaGenerate => self.frame(
                &json!({"created_at": CREATED_AT, "response": "", "thinking": text, "done": false}),
            ),
            Self::Completions => panic!("plain completions have no reasoning"),
        }
    }

    /// OpenAI's arguments come in two pieces, Ollama's whole.
    pub fn tool_call(self, index: usize, name: &str, arguments: &Value) -> Vec<Bytes> {
        if self.is_ollama() {
            let call = json!({"function": {"name": name, "arguments": arguments}});
            let message = json!({"role": "assistant", "content": "", "tool_calls": [call]});
            return vec![self.message(message)];
        }
        let text = arguments.to_string();
        let (head, tail) = text.split_at(text.len() / 2);
        let piece = |call: Value| self.choice(json!({"tool_calls": [call]}));
        vec![
            piece(json!({"index": index, "id": format!("call_{index}"), "type": "function",
                "function": {"name": name, "arguments": head}})),
            piece(json!({"index": index, "function": {"arguments": tail}})),
        ]
    }

    /// The finish reason; for Ollama it is the terminator too, and carries the usage.
    pub fn finish(self, reason: &str, usage: Option<(u64, u64)>) -> Bytes {
        match self {
            Self::Chat => self.frame(&chunk(json!([
                {"index": 0, "delta": {}, "finish_reason": reason}
            ]))),
            Self::Completions => self.frame(&json!({
                "id": "cmpl-fake", "object": "text_completion", "created": 1, "model": "fake",
                "choices": [{"index": 0, "text": "", "finish_reason": reason}],
            })),
            Self::OllamaChat | Self::OllamaGenerate => {
                let mut last = ollama_end(reason, usage);
                if self == Self::OllamaChat {
                    last["message"] = json!({"role": "assistant", "content": ""});
                } else {
                    last["response"] = json!("");
                }
                self.frame(&last)
            }
        }
    }

    /// A chunk of its own after the finish reason; OpenAI only.
    pub fn usage(self, usage: (u64, u64)) -> Option<Bytes> {
        let mut last = chunk(json!([]));
        last["usage"] = openai_usage(usage);
        (!self.is_ollama()).then(|| self.frame(&last))
    }

    pub fn terminator(self) -> Option<Bytes> {
        (!self.is_ollama()).then(|| Bytes::from_static(b"data: [DONE]\n\n"))
    }

    /// A sign of life that is no output: a comment, or (Ollama has none) an empty delta.
    pub fn ping(self) -> Bytes {
        if self.is_ollama() { self.delta("") } else { Bytes::from_static(b": ping\n\n") }
    }

    pub fn error_event(self, message: &str) -> Bytes {
        if self.is_ollama() {
            self.frame(&json!({"error": message}))
        } else {
            self.frame(
                &json!({"error": {"message": message, "type": "server_error", "code": null}}),
            )
        }
    }

    pub fn error_body(self, message: &str, param: Option<&str>) -> Value {
        if self.is_ollama() {
            return json!({"error": message});
        }
        let code = param.map(|_| "unsupported_parameter");
        json!({"error": {"message": message, "type": "invalid_request_error", "param": param,
            "code": code}})
    }

    pub fn whole(self, answer: &Whole<'_>) -> Value {
        match self {
            Self::Chat => self.whole_chat(answer),
            Self::Completions => json!({
                "id": "cmpl-fake", "object": "text_completion", "created": 1, "model": "fake",
                "choices": [{"index": 0, "text": answer.text, "finish_reason": answer.finish}],
                "usage": answer.usage.map(openai_usage),
            }),
            Self::OllamaChat | Self::OllamaGenerate => {
                let mut last = ollama_end(answer.finish, answer.usage);
                if self == Self::OllamaGenerate {
                    last["response"] = json!(answer.text);
                    last["thinking"] = json!(answer.reasoning);
                    return last;
                }
                let calls: Vec<Value> = (answer.tools.iter())
                    .map(|(name, arguments)| {
                        json!({"function": {"name": name, "arguments": arguments}})
                    })
                    .collect();
                last["message"] = json!({"role": "assistant", "content": answer.text,
                    "thinking": answer.reasoning, "tool_calls": calls});
                last
            }
        }
    }

    fn whole_chat(self, answer: &Whole<'_>) -> Value {
        let mut message = json!({"role": "assistant", "content": answer.text});
        if let Some(reasoning) = answer.reasoning {
            message["reasoning_content"] = json!(reasoning);
        }
        if !answer.tools.is_empty() {
            let calls = answer.tools.iter().enumerate().map(|(index, (name, arguments))| {
                json!({"id": format!("call_{index}"), "type": "function",
                    "function": {"name": name, "arguments": arguments.to_string()}})
            });
            message["tool_calls"] = calls.collect();
        }
        json!({
            "id": "chatcmpl-fake", "object": "chat.completion", "created": 1, "model": "fake",
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish}],
            "usage": answer.usage.map(openai_usage),
        })
    }

    fn choice(self, delta: Value) -> Bytes {
        self.frame(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}])))
    }

    fn message(self, message: Value) -> Bytes {
        self.frame(&json!({"created_at": CREATED_AT, "message": message, "done": false}))
    }

    fn frame(self, object: &Value) -> Bytes {
        if self.is_ollama() {
            format!("{object}\n").into()
        } else {
            format!("data: {object}\n\n").into()
        }
    }
}

fn chunk(choices: Value) -> Value {
    json!({"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1,
        "model": "fake", "choices": choices})
}

fn openai_usage((prompt, completion): (u64, u64)) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion,
        "total_tokens": prompt + completion})
}

fn ollama_end(reason: &str, usage: Option<(u64, u64)>) -> Value {
    let mut last = json!({"created_at": CREATED_AT, "done": true, "done_reason": reason});
    if let Some((prompt, completion)) = usage {
        last["prompt_eval_count"] = json!(prompt);
        last["eval_count"] = json!(completion);
        last["prompt_eval_duration"] = json!(1_000_000);
        last["eval_duration"] = json!(2_000_000);
    }
    last
}
