//! What it costs to read a workflow: its plan expanded and everything in it checked, with the file
//! around it. Paid at start-up and at each reload. `cargo bench --bench plan`.

use std::hint::black_box;

use chorus::config::Config;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;

/// A config of so many workers, each of a model of its own, in panels of eight where `nested`.
fn config(workers: usize, depth: u32, nested: bool) -> String {
    let names: Vec<String> = (0..workers).map(|number| format!("m{number}")).collect();
    let mut text = String::new();
    for name in &names {
        text.push_str(&format!(
            "[[model]]\nname = \"{name}\"\napi_base = \"http://{name}.example/v1\"\n"
        ));
    }
    let level = |workers: serde_json::Value| {
        json!({ "analyzer": { "ref": "m0" }, "workers": workers, "selector": { "ref": "m0" },
            "synthesizer": { "ref": "m0", "fallback": ["m0"] }, "policy": { "quorum": 0.75 } })
    };
    let panels = names.chunks(8).enumerate().map(|(number, panel)| {
        let mut panel = level(json!(panel));
        if let Some(fields) = panel.as_object_mut() {
            fields.insert("name".to_owned(), json!(format!("panel {number}")));
        }
        panel
    });
    let plan = level(if nested { panels.collect() } else { json!(names) });
    text.push_str(&format!(
        "[workflow-integration]\nnested_worker_depth = {depth}\nmax_workers = 4096\n\
         json = '''{plan}'''\n"
    ));
    text
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    for (name, workers, depth, nested) in [
        ("one worker", 1, 1, false),
        ("seven workers", 7, 1, false),
        ("64 workers", 64, 1, false),
        ("64 workers in panels", 64, 1, true),
        ("64 workers, depth 3", 64, 3, false),
    ] {
        let text = config(workers, depth, nested);
        let read = || Config::parse(black_box(&text), None, &|_| None);
        let leaves = read().map_or(0, |config| config.workflow.plan.leaf_count());
        assert_eq!(leaves, workers << (depth - 1), "{name}");
        group.throughput(Throughput::Elements(leaves as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| bencher.iter(read));
    }
}

criterion_group!(benches, plans);
criterion_main!(benches);
