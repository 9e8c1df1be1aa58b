// A config over upstream.mjs: a default workflow with a member that fails, one that is cut, one that
// is asked twice, and one that is a workflow itself.

const MODELS = ["analyst", "quick", "steady", "fails", "retried", "slow", "panel-a", "panel-b", "judge", "writer", "hostile", "long-line"];

export function config(upstream, extra = "") {
  const models = MODELS.map((name) =>
    `[[model]]\nname = "${name}"\napi_base = "${upstream}/v1"\nprotocol = "openai"\n` +
    `price = { input_per_mtok = 0.5, output_per_mtok = 1.5 }\n`);
  const plan = {
    analyzer: { ref: "analyst", auto_temperature: true },
    workers: [
      { ref: "quick", temperature: 0.2 },
      { ref: "steady" },
      { ref: "retried" },
      { ref: "fails" },
      { name: "panel", workers: ["panel-a", "panel-b"], selector: "judge", synthesizer: "writer" },
      { ref: "slow" },
    ],
    selector: "judge",
    synthesizer: "writer",
    policy: { quorum: 4, grace_ms: 150 },
  };
  return `${extra}\n${models.join("\n")}
[workflow-integration]
nested_worker_depth = 1
nested_worker_mode = "workflow"
json = '''
${JSON.stringify(plan, null, 2)}
'''

[[workflow-profile]]
name = "hostile-panel"
json = '{ "workers": ["hostile", "hostile"], "synthesizer": "hostile" }'

[[workflow-profile]]
name = "patient"
json = '{ "workers": ["slow", "quick"], "synthesizer": "writer" }'

[workflow.retry]
max_retries = 1
base_delay_ms = 120

[workflow.health]
failure_threshold = 1000
probe_interval_secs = 0
`;
}

if (process.argv[2]) console.log(config(process.argv[2], process.argv[3] ?? ""));
