//! A plan as a tree of lines.

use std::io::{self, Write};

use serde::Serialize;

use crate::config::{Leaf, Member, Plan, Policy, Schedule, Stage, ToolTurns, WorkerTools};

/// A line and what hangs below it.
#[derive(Serialize)]
pub(super) struct Node {
    text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Node>,
}

/// Writes the plan with box-drawing characters.
pub(super) fn show(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", plan.name)?;
    branches(&stages(plan), "", out)
}

fn branches(nodes: &[Node], indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let last = nodes.len().saturating_sub(1);
    for (index, node) in nodes.iter().enumerate() {
        let (corner, below) = if index == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        writeln!(out, "{indent}{corner}{}", node.text)?;
        branches(&node.children, &format!("{indent}{below}"), out)?;
    }
    Ok(())
}

/// What hangs below a plan's name.
pub(super) fn stages(plan: &Plan) -> Vec<Node> {
    let leaf = |text: String| Node { text, children: Vec::new() };
    let stage = |name: &str, stage: &Option<Stage>| {
        stage.as_ref().map(|stage| leaf(format!("{name}: {}{}", stage.model, options(stage))))
    };
    let workers = Node {
        text: format!("workers{}", policy(plan)),
        children: plan.members.iter().map(member).collect(),
    };
    [
        stage("analyzer", &plan.analyzer),
        Some(workers),
        plan.reranker.as_ref().map(|reranker| {
            let (stage, top_k) = (&reranker.stage, reranker.top_k);
            leaf(format!("reranker: {}, keeps {top_k}{}", stage.model, options(stage)))
        }),
        stage("selector", &plan.selector),
        stage("synthesizer", &plan.synthesizer),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn member(member: &Member) -> Node {
    match member {
        Member::Leaf(Leaf { name, stage, .. }) => {
            let model = &stage.model;
            let text = if name == model { name.clone() } else { format!("{name}: {model}") };
            Node { text: format!("{text}{}", options(stage)), children: Vec::new() }
        }
        Member::Nested(plan) => {
            let goes_up = match (&plan.selector, &plan.synthesizer, &plan.reranker) {
                (None, None, None) => "all its answers go up",
                (None, None, Some(_)) => "its kept answers go up",
                (Some(_), None, _) => "its best answer goes up",
                (_, Some(_), _) => "its synthesis goes up",
            };
            Node { text: format!("{} ({goes_up})", plan.name), children: stages(plan) }
        }
    }
}

/// How the members are waited for, as far as it is not the default.
fn policy(plan: &Plan) -> String {
    let Policy {
        min_success,
        quorum,
        grace,
        deadline,
        agreement,
        schedule,
        overrides,
        worker_tools,
        tool_turns,
    } = plan.policy;
    let mut notes = Vec::new();
    if let Some(quorum) = quorum {
        let members = plan.members.len();
        let enough = quorum.of(members);
        let grace = match grace.is_zero() {
            true => "the others are cut".to_owned(),
            false => format!("the others have {} ms more", grace.as_millis()),
        };
        notes.push(format!("{enough} of {members} are enough, {grace}"));
    }
    if min_success > 1 {
        notes.push(format!("at least {min_success} must succeed"));
    }
    if let Some(deadline) = deadline {
        notes.push(format!("deadline {} s", deadline.as_secs_f64()));
    }
    if let Some(agreement) = agreement {
        notes.push(format!("agreement from {agreement}"));
    }
    if schedule == Schedule::Sequential {
        notes.push("after the analysis".to_owned());
    }
    if overrides {
        notes.push("the analyzer may choose among them".to_owned());
    }
    if worker_tools == WorkerTools::Schemas {
        notes.push("shown the tools' definitions".to_owned());
    }
    if tool_turns == ToolTurns::Panel {
        notes.push("asked on turns of tools too".to_owned());
    }
    in_parentheses(&notes)
}

fn options(stage: &Stage) -> String {
    let mut notes = Vec::new();
    if let Some(temperature) = stage.temperature {
        notes.push(format!("temperature {temperature}"));
    }
    match stage.auto_temperature {
        Some(true) => notes.push("temperature by the analyzer".to_owned()),
        Some(false) => notes.push("temperature not by the analyzer".to_owned()),
        None => {}
    }
    if let Some(tokens) = stage.max_tokens {
        notes.push(format!("at most {tokens} tokens"));
    }
    if stage.system.is_some() {
        notes.push("with instructions".to_owned());
    }
    if let Some(timeout) = stage.timeout {
        notes.push(format!("limit {} s", timeout.as_secs_f64()));
    }
    if !stage.fallback.is_empty() {
        notes.push(format!("then {}", stage.fallback.join(", then ")));
    }
    in_parentheses(&notes)
}

fn in_parentheses(notes: &[String]) -> String {
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) }
}
