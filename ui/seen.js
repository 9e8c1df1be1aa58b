// What this tab asked, for as long as it is open: the server keeps no texts unless it is told to.

const kept = new Map();
const MOST = 50;

export function remember(trace, question, answer) {
  kept.set(trace.workflow_id, { trace, question, answer });
  if (kept.size > MOST) kept.delete(kept.keys().next().value);
}

/** By the id of the run or of its request. */
export const recall = (id) => kept.get(id) ?? [...kept.values()].find((one) => one.trace.request_id === id) ?? null;
