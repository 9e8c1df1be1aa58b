//! What it costs to read an answer: bytes to server-sent events, and bytes to deltas in each protocol,
//! when every event comes in a chunk of its own and when many come together.
//! `cargo bench --bench sse`.

use std::hint::black_box;

use bytes::Bytes;
use chorus::{
    llm::decode::{ReplyReader, sse::SseReader},
    types::Protocol,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};

/// Tokens of an answer.
const TOKENS: u64 = 256;
const EVENT_LIMIT: usize = 1 << 20;

/// The frame of one token as an upstream of this protocol writes it, beside the usual company.
fn frame(protocol: Protocol, token: u64) -> Value {
    let text = format!("token{token:06} ");
    match protocol {
        Protocol::OpenAi => json!({
            "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion.chunk",
            "created": 1_741_569_952, "model": "gpt-4.1-2025-04-14",
            "service_tier": "default", "system_fingerprint": "fp_06737a9306",
            "choices": [{"index": 0, "delta": {"content": text}, "logprobs": null,
                "finish_reason": null}],
            "usage": null
        }),
        Protocol::Ollama => json!({
            "model": "llama3.2", "created_at": "2025-08-04T08:52:19.385406455-07:00",
            "message": {"role": "assistant", "content": text}, "done": false
        }),
        Protocol::Anthropic => json!({
            "type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": text}
        }),
        Protocol::Gemini => json!({
            "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}],
            "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": token,
                "totalTokenCount": 11 + token},
            "modelVersion": "gemini-2.5-flash", "responseId": "mAitaLmkHPPlz7IPvtfUqQ4"
        }),
    }
}

/// The frames of an answer with what separates them, so many in a chunk.
fn chunks(protocol: Protocol, together: usize) -> Vec<Bytes> {
    let frame = |token| match (protocol, frame(protocol, token)) {
        (Protocol::Ollama, frame) => format!("{frame}\n"),
        (Protocol::Anthropic, frame) => format!("event: content_block_delta\ndata: {frame}\n\n"),
        (Protocol::OpenAi | Protocol::Gemini, frame) => format!("data: {frame}\n\n"),
    };
    let frames: Vec<String> = (0..TOKENS).map(frame).collect();
    frames.chunks(together).map(|chunk| chunk.concat().into()).collect()
}

fn events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("events");
    group.throughput(Throughput::Elements(TOKENS));
    for together in [1, 32] {
        let chunks = chunks(Protocol::OpenAi, together);
        group.bench_function(BenchmarkId::new("in a chunk", together), |bencher| {
            bencher.iter(|| {
                let mut reader = SseReader::new(EVENT_LIMIT);
                for chunk in &chunks {
                    reader.push(chunk.clone());
                    while let Ok(Some(event)) = reader.next_event() {
                        black_box(event.data.len());
                    }
                }
            });
        });
    }
    // An event whose bytes are split between two chunks is put together.
    let whole = Bytes::from(chunks(Protocol::OpenAi, 1).concat());
    let halves: Vec<Bytes> = (0..whole.len())
        .step_by(100)
        .map(|at| whole.slice(at..whole.len().min(at + 100)))
        .collect();
    group.bench_function("split every 100 bytes", |bencher| {
        bencher.iter(|| {
            let mut reader = SseReader::new(EVENT_LIMIT);
            for chunk in &halves {
                reader.push(chunk.clone());
                while let Ok(Some(event)) = reader.next_event() {
                    black_box(event.data.len());
                }
            }
        });
    });
}

fn deltas(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deltas");
    group.throughput(Throughput::Elements(TOKENS));
    for protocol in Protocol::ALL {
        for together in [1, 32] {
            let chunks = chunks(protocol, together);
            let name = BenchmarkId::new(format!("{protocol:?}"), together);
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let mut reader = ReplyReader::of_stream(protocol);
                    let mut read = 0;
                    for chunk in &chunks {
                        reader.push(chunk.clone());
                        while let Some(delta) = reader.next_delta() {
                            black_box(&delta);
                            read += 1;
                        }
                    }
                    assert_eq!(read, TOKENS, "every token is read");
                });
            });
        }
    }
}

criterion_group!(benches, events, deltas);
criterion_main!(benches);
