//! What the fake says on the wire, for each of the six endpoints it speaks. Pure.

use axum::body::Bytes;
use serde_json::{Value, json};

/// One of the endpoints.
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
    /// Anthropic's messages.
    Messages,
    /// Gemini's `:generateContent`.
    Generate,
    /// Gemini's `:streamGenerateContent`.
    StreamGenerate,
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

/// What a content block holds; a tool call's is written with it.
#[derive(Clone, Copy, Debug)]
pub enum Block {
    Thoughts,
    Text,
}

impl Wire {
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/completions" => Some(Self::Completions),
            "/api/chat" => Some(Self::OllamaChat),
            "/api/generate" => Some(Self::OllamaGenerate),
            // What is passed through: answers are `Script::sends`, failures the protocol's own.
            "/v1/embeddings" | "/v1beta/openai/embeddings" | "/v1/rerank" => {
                Some(Self::Completions)
            }
            "/api/embed" | "/api/embeddings" => Some(Self::OllamaGenerate),
            "/v1/messages" => Some(Self::Messages),
            _ if path.ends_with(":generateContent") => Some(Self::Generate),
            _ if path.ends_with(":streamGenerateContent") => Some(Self::StreamGenerate),
            _ => None,
        }
    }

    fn is_gemini(self) -> bool {
        matches!(self, Self::Generate | Self::StreamGenerate)
    }

    fn is_ollama(self) -> bool {
        matches!(self, Self::OllamaChat | Self::OllamaGenerate)
    }

    pub fn streams(self, body: &Value) -> bool {
        match self {
            Self::StreamGenerate => true,
            Self::Generate => false,
            _ => body["stream"].as_bool().unwrap_or(self.is_ollama()),
        }
    }

    pub fn stream_type(self) -> &'static str {
        if self.is_ollama() { "application/x-ndjson" } else { "text/event-stream" }
    }

    /// A `role` delta opens every stream of OpenAI's chat; of Anthropic's a message that knows what
    /// it read.
    pub fn opening(self, usage: Option<(u64, u64)>) -> Option<Bytes> {
        match self {
            Self::Chat => Some(self.choice(json!({"role": "assistant", "content": ""}))),
            Self::Messages => {
                let mut message = json!({"id": "msg_fake", "type": "message", "role": "assistant",
                    "content": [], "model": "fake", "stop_reason": null});
                if let Some((prompt, _)) = usage {
                    message["usage"] = json!({"input_tokens": prompt, "output_tokens": 1});
                }
                Some(self.frame(&json!({"type": "message_start", "message": message})))
            }
            _ => None,
        }
    }

    /// The beginning of a content block; only Anthropic has blocks.
    pub fn begins(self, block: Block) -> Option<Bytes> {
        (self == Self::Messages).then(|| {
            let (index, block) = match block {
                Block::Thoughts => (0, json!({"type": "thinking", "thinking": ""})),
                Block::Text => (1, json!({"type": "text", "text": ""})),
            };
            self.block_event("content_block_start", index, "content_block", block)
        })
    }

    /// Its end.
    pub fn ends(self, block: Block) -> Option<Bytes> {
        let index = match block {
            Block::Thoughts => 0,
            Block::Text => 1,
        };
        (self == Self::Messages).then(|| self.block_stop(index))
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
            Self::Messages => self.block_delta(1, json!({"type": "text_delta", "text": text})),
            Self::Generate | Self::StreamGenerate => self.parts(json!([{"text": text}])),
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
            Self::Messages => {
                self.block_delta(0, json!({"type": "thinking_delta", "thinking": text}))
            }
            Self::Generate | Self::StreamGenerate => {
                self.parts(json!([{"text": text, "thought": true}]))
            }
            Self::Completions => panic!("plain completions have no reasoning"),
        }
    }

    /// OpenAI's and Anthropic's arguments come in two pieces, Ollama's and Gemini's whole.
    pub fn tool_call(self, index: usize, name: &str, arguments: &Value) -> Vec<Bytes> {
        if self.is_gemini() {
            return vec![self.parts(json!([gemini_call(index, name, arguments)]))];
        }
        if self.is_ollama() {
            let call = json!({"function": {"name": name, "arguments": arguments}});
            let message = json!({"role": "assistant", "content": "", "tool_calls": [call]});
            return vec![self.message(message)];
        }
        let text = arguments.to_string();
        let (head, tail) = text.split_at(text.len() / 2);
        if self == Self::Messages {
            let at = index + 2;
            let block = json!({"type": "tool_use", "id": format!("call_{index}"), "name": name,
                "input": {}});
            let piece = |json: &str| {
                self.block_delta(at, json!({"type": "input_json_delta", "partial_json": json}))
            };
            let start = self.block_event("content_block_start", at, "content_block", block);
            return vec![start, piece(head), piece(tail), self.block_stop(at)];
        }
        let piece = |call: Value| self.choice(json!({"tool_calls": [call]}));
        vec![
            piece(json!({"index": index, "id": format!("call_{index}"), "type": "function",
                "function": {"name": name, "arguments": head}})),
            piece(json!({"index": index, "function": {"arguments": tail}})),
        ]
    }

    /// The finish reason; for all but OpenAI it carries the usage, for Ollama and Gemini it is the
    /// end.
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
            Self::Messages => {
                let mut last = json!({"type": "message_delta", "delta":
                    {"stop_reason": self.reason(reason), "stop_sequence": null}});
                if let Some((_, completion)) = usage {
                    last["usage"] = json!({"output_tokens": completion});
                }
                self.frame(&last)
            }
            Self::Generate | Self::StreamGenerate => {
                self.frame(&self.candidate(json!([{"text": ""}]), Some(reason), usage))
            }
        }
    }

    /// OpenAI's word for the end in the protocol's own; a word it does not know is the protocol's.
    fn reason(self, reason: &str) -> &str {
        let known = match self {
            Self::Messages => ["end_turn", "max_tokens", "tool_use", "refusal"],
            Self::Generate | Self::StreamGenerate => ["STOP", "MAX_TOKENS", "STOP", "SAFETY"],
            _ => return reason,
        };
        let words = ["stop", "length", "tool_calls", "content_filter"];
        let found = words.iter().position(|word| *word == reason);
        found.map_or(reason, |at| known[at])
    }

    /// A chunk of its own after the finish reason; OpenAI only.
    pub fn usage(self, usage: (u64, u64)) -> Option<Bytes> {
        let mut last = chunk(json!([]));
        last["usage"] = openai_usage(usage);
        matches!(self, Self::Chat | Self::Completions).then(|| self.frame(&last))
    }

    pub fn terminator(self) -> Option<Bytes> {
        match self {
            Self::Chat | Self::Completions => Some(Bytes::from_static(b"data: [DONE]\n\n")),
            Self::Messages => Some(self.frame(&json!({"type": "message_stop"}))),
            _ => None,
        }
    }

    /// A sign of life that is no output: a comment, Anthropic's `ping`, or (Ollama has none) an empty
    /// delta.
    pub fn ping(self) -> Bytes {
        match self {
            Self::OllamaChat | Self::OllamaGenerate => self.delta(""),
            Self::Messages => self.frame(&json!({"type": "ping"})),
            _ => Bytes::from_static(b": ping\n\n"),
        }
    }

    pub fn error_event(self, message: &str) -> Bytes {
        match self {
            Self::OllamaChat | Self::OllamaGenerate => self.frame(&json!({"error": message})),
            Self::Messages => {
                let error = json!({"type": "api_error", "message": message});
                self.frame(&json!({"type": "error", "error": error}))
            }
            Self::Generate | Self::StreamGenerate => self.frame(&gemini_error(500, message)),
            Self::Chat | Self::Completions => self.frame(
                &json!({"error": {"message": message, "type": "server_error", "code": null}}),
            ),
        }
    }

    pub fn error_body(self, status: u16, message: &str, param: Option<&str>) -> Value {
        match self {
            Self::OllamaChat | Self::OllamaGenerate => return json!({"error": message}),
            Self::Messages => {
                let kind = match status {
                    400 => "invalid_request_error",
                    429 => "rate_limit_error",
                    529 => "overloaded_error",
                    _ => "api_error",
                };
                let error = json!({"type": kind, "message": message});
                return json!({"type": "error", "error": error, "request_id": "req_fake"});
            }
            // Errors of its streams come in a list.
            Self::StreamGenerate => return json!([gemini_error(status, message)]),
            Self::Generate => return gemini_error(status, message),
            Self::Chat | Self::Completions => {}
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
            Self::Messages => self.whole_message(answer),
            Self::Generate | Self::StreamGenerate => {
                let thoughts = answer.reasoning.map(|text| json!({"text": text, "thought": true}));
                let calls = answer.tools.iter().enumerate();
                let calls = calls.map(|(index, (name, args))| gemini_call(index, name, args));
                let text = (!answer.text.is_empty()).then(|| json!({"text": answer.text}));
                let parts: Value = thoughts.into_iter().chain(text).chain(calls).collect();
                self.candidate(parts, Some(answer.finish), answer.usage)
            }
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

    fn whole_message(self, answer: &Whole<'_>) -> Value {
        let thoughts = answer.reasoning.map(|text| json!({"type": "thinking", "thinking": text}));
        let text = (!answer.text.is_empty()).then(|| json!({"type": "text", "text": answer.text}));
        let calls = answer.tools.iter().enumerate().map(|(index, (name, input))| {
            json!({"type": "tool_use", "id": format!("call_{index}"), "name": name, "input": input})
        });
        let blocks: Value = thoughts.into_iter().chain(text).chain(calls).collect();
        let mut message = json!({"id": "msg_fake", "type": "message", "role": "assistant",
            "model": "fake", "content": blocks, "stop_reason": self.reason(answer.finish)});
        if let Some((prompt, completion)) = answer.usage {
            message["usage"] = json!({"input_tokens": prompt, "output_tokens": completion});
        }
        message
    }

    fn block_event(self, kind: &str, index: usize, field: &str, value: Value) -> Bytes {
        let mut event = json!({"type": kind, "index": index});
        event[field] = value;
        self.frame(&event)
    }

    fn block_delta(self, index: usize, delta: Value) -> Bytes {
        self.block_event("content_block_delta", index, "delta", delta)
    }

    fn block_stop(self, index: usize) -> Bytes {
        self.frame(&json!({"type": "content_block_stop", "index": index}))
    }

    fn candidate(self, parts: Value, reason: Option<&str>, usage: Option<(u64, u64)>) -> Value {
        let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
        if let Some(reason) = reason {
            candidate["finishReason"] = json!(self.reason(reason));
        }
        let mut chunk = json!({"candidates": [candidate], "modelVersion": "fake"});
        if let Some((prompt, completion)) = usage {
            chunk["usageMetadata"] = json!({"promptTokenCount": prompt,
                "candidatesTokenCount": completion, "totalTokenCount": prompt + completion});
        }
        chunk
    }

    fn parts(self, parts: Value) -> Bytes {
        self.frame(&self.candidate(parts, None, None))
    }

    fn choice(self, delta: Value) -> Bytes {
        self.frame(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}])))
    }

    fn message(self, message: Value) -> Bytes {
        self.frame(&json!({"created_at": CREATED_AT, "message": message, "done": false}))
    }

    fn frame(self, object: &Value) -> Bytes {
        match self {
            Self::OllamaChat | Self::OllamaGenerate => format!("{object}\n").into(),
            Self::Messages => {
                let kind = object["type"].as_str().expect("every event has a type");
                format!("event: {kind}\ndata: {object}\n\n").into()
            }
            Self::Generate | Self::StreamGenerate => format!("data: {object}\r\n\r\n").into(),
            Self::Chat | Self::Completions => format!("data: {object}\n\n").into(),
        }
    }
}

/// Of several calls the first is signed, as newer models do.
fn gemini_call(index: usize, name: &str, arguments: &Value) -> Value {
    let mut part = json!({"functionCall": {"name": name, "args": arguments}});
    if index == 0 {
        part["thoughtSignature"] = json!("c2lnbmF0dXJl");
    }
    part
}

fn gemini_error(status: u16, message: &str) -> Value {
    let name = match status {
        400 => "INVALID_ARGUMENT",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    json!({"error": {"code": status, "message": message, "status": name}})
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
