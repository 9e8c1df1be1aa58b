//! What it costs to read a judge's verdict, from clean JSON to prose. `cargo bench --bench selector`.

use std::hint::black_box;

use chorus::workflow::stage::selector::parse;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;

fn verdicts(criterion: &mut Criterion) {
    let scores: serde_json::Map<_, _> =
        (1..=7).map(|label: u32| (label.to_string(), json!(label))).collect();
    let reason = "The third is correct, complete, and in the user's language.";
    let clean = json!({ "reason": reason, "scores": scores, "best": "3" }).to_string();
    let loose =
        json!({ "reason": reason, "scores": { "#1": "4", "Candidate 3": "9.5" }, "best": 3 });
    let prose = "Both the first and the third answer the question {fully}, I think. ".repeat(60);
    let order = [6, 5, 4, 3, 2, 1, 0];
    let mut group = criterion.benchmark_group("verdict");
    for (name, reply, is_one) in [
        ("clean", clean.clone(), true),
        ("fenced", format!("```json\n{clean}\n```"), true),
        ("numbers and texts", loose.to_string(), true),
        ("after 4 KB of prose", format!("{prose}\n{clean}"), true),
        ("prose alone", prose, false),
        ("no such label", clean.replace("\"best\":\"3\"", "\"best\":\"8\""), false),
    ] {
        assert_eq!(parse(&reply, &order).is_some(), is_one, "{name}");
        group.throughput(Throughput::Bytes(reply.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| parse(black_box(&reply), &order));
        });
    }
}

criterion_group!(benches, verdicts);
criterion_main!(benches);
