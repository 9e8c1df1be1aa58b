//! What it costs to encode one piece of a streamed answer, in each form that answers have.
//! `cargo bench --bench encode`.

use std::hint::black_box;

use chorus::server::encoding::{Form, encode};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A stream of so many pieces: what is done once for each stream weighs as much as it does there.
const PIECES: usize = 200;

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(200));
    let long = "A longer piece, as of a model that is told whole sentences. ".repeat(8);
    for (kind, text) in [("token", " sky"), ("escapes", "\"\n\t\\\u{1}"), ("long", &long)] {
        for form in [
            Form::ChatCompletion,
            Form::Completion,
            Form::Response,
            Form::OllamaChat,
            Form::OllamaGenerate,
        ] {
            group.bench_function(BenchmarkId::new(format!("{form:?}"), kind), |bencher| {
                bencher.iter(|| encode(form, PIECES, black_box(text)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, encoding);
criterion_main!(benches);
