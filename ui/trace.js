// A record of a run as rows on one clock. Pure.

const STAGES = ["analyzer", "workers", "reranker", "selector", "synthesizer"];

export const FAILURES = ["failed", "timeout"];

const idOf = (stage, name, level) => `${level ?? ""}/${stage}/${name}`;

function row(stage, name, record, level, depth) {
  const start = record.started_ms ?? 0, length = record.duration_ms ?? 0;
  const queued = Math.min(record.queued_ms ?? 0, length);
  const calls = record.calls ?? [];
  // Attempts follow each other unless a second one was made beside a late first one.
  const last = calls.at(-1);
  const retried = calls.length > 1 && !record.hedged ? Math.max(0, length - queued - (last.outcome === "ok" || calls.length > 1 ? last.ms : 0)) : 0;
  return {
    id: idOf(stage, name, level), stage, name, level, depth, record, start, end: start + length, queued, retried,
    first: record.first_token_ms === undefined ? null : start + record.first_token_ms,
    status: record.status, model: record.model ?? "", parent: null, folds: false,
  };
}

function level(record, path, depth, parent, rows) {
  const add = (stage, name, one, nested) => {
    const made = row(stage, name, one, path, depth);
    made.parent = parent;
    rows.push(made);
    if (nested) {
      made.folds = true;
      level(nested, path ? `${path}/${name}` : name, depth + 1, made.id, rows);
    }
  };
  for (const stage of STAGES) {
    if (stage === "workers") for (const worker of record.workers ?? []) add("worker", worker.name, worker, worker.nested);
    else if (record[stage]) add(stage, record[stage].model || stage, record[stage]);
  }
}

/** The rows of a finished run, with its critical path and the time that nobody accounts for. */
export function ofTrace(trace) {
  const rows = [];
  level(trace, undefined, 0, null, rows);
  const byId = new Map(rows.map((one) => [one.id, one]));
  const critical = (trace.critical_path ?? []).map((step) => ({ ...step, row: byId.get(idOf(step.stage, step.name, step.level)) })).filter((step) => step.row);
  for (const step of critical) step.row.critical = true;
  const total = Math.max(trace.total_ms ?? 0, ...rows.map((one) => one.end), 1);
  const gaps = [];
  let at = 0;
  for (const step of critical) {
    if (step.row.start > at) gaps.push({ start: at, end: step.row.start });
    at = Math.max(at, Math.min(step.row.start + step.duration_ms, step.row.end));
  }
  if (trace.total_ms > at) gaps.push({ start: at, end: trace.total_ms });
  const known = (trace.critical_path ?? []).reduce((sum, step) => sum + step.duration_ms, 0);
  const unaccounted = critical.length ? Math.max(0, (trace.total_ms ?? 0) - known) : null;
  return { rows, critical: critical.map((step) => step.row.id), gaps: unaccounted >= 1 ? gaps : [], unaccounted, total, first: trace.first_token_ms ?? null, live: false };
}

/** The rows of a run in flight, as of now. */
export function ofLive(run, elapsed) {
  const rows = [];
  // Two levels may have a judge of one name.
  const taken = new Map();
  const own = (id) => {
    taken.set(id, (taken.get(id) ?? 0) + 1);
    return taken.get(id) > 1 ? `${id}#${taken.get(id)}` : id;
  };
  const groups = new Map();
  for (const one of run.stages ?? []) {
    const nested = one.level;
    if (one.stage === "worker" && (run.stages ?? []).some((other) => other.level === (nested ? `${nested}/${one.name}` : one.name))) {
      groups.set(nested ? `${nested}/${one.name}` : one.name, one);
    }
  }
  const add = (stages, path, depth, parent) => {
    for (const one of stages.filter((stage) => (stage.level || undefined) === path)) {
      const below = path ? `${path}/${one.name}` : one.name;
      const folds = one.stage === "worker" && groups.has(below);
      const going = one.state === "running" || one.state === "queued";
      const start = one.started_ms ?? 0;
      const id = own(idOf(one.stage, one.name, path));
      rows.push({
        id, stage: one.stage, name: one.name, level: path, depth, parent, folds, start, record: {},
        end: going ? Math.max(elapsed, start) : start + (one.duration_ms ?? 0),
        queued: one.state === "queued" ? Math.max(0, elapsed - start) : 0, retried: 0, first: null,
        status: one.state, model: "", detail: one.detail,
      });
      if (folds) add(stages, below, depth + 1, id);
    }
  };
  const known = run.stages ?? [];
  add(known, undefined, 0, null);
  // A level whose member is not told of stands by itself.
  for (const path of new Set(known.map((one) => one.level).filter(Boolean))) {
    if (!groups.has(path)) {
      const inside = known.filter((one) => one.level === path);
      const start = Math.min(...inside.map((one) => one.started_ms ?? 0));
      const going = inside.some((one) => one.state === "running" || one.state === "queued");
      const end = going ? elapsed : Math.max(...inside.map((one) => (one.started_ms ?? 0) + (one.duration_ms ?? 0)));
      const id = idOf("worker", path, undefined);
      rows.push({ id, stage: "worker", name: path, depth: 0, parent: null, folds: true, start, end, queued: 0, retried: 0, first: null, status: going ? "running" : "ok", model: "", record: {} });
      add(known, path, 1, id);
    }
  }
  const total = Math.max(elapsed, 1);
  return { rows, critical: [], gaps: [], unaccounted: null, total, first: run.first_token_ms ?? null, live: true };
}

/** How many calls a record tells of. */
export function calls(trace) {
  return ofTrace(trace).rows.reduce((sum, one) => sum + (one.record.attempts ?? 0), 0);
}

/** The slowest model call of a run. */
export function slowest(trace) {
  return ofTrace(trace).rows.filter((one) => !one.folds).sort((a, b) => b.end - b.start - (a.end - a.start))[0] ?? null;
}
