//! What a worker learns of the tools of its conversation, which it cannot call: a short list in
//! words. Definitions are long, each worker would pay for them, and some servers let a model call
//! what it is shown whatever their instructions say.

use super::excerpt::floor_boundary;
use crate::types::ToolDefinition;

/// The list is never longer, in bytes.
const MOST_BYTES: usize = 2048;
/// Nor is what is said of one tool.
const SENTENCE_BYTES: usize = 160;
/// Kept free to say how many tools are not named.
const REST_BYTES: usize = 32;

const OPENING: &str = "The assistant of this conversation has the tools below; you do not, so call \
none. Where one is needed, say which, with what, and what for. Earlier calls and their results are \
shown as text.";

/// The names and, as far as there is room, first sentences; none for no tools.
pub(in crate::workflow) fn listed(tools: &[ToolDefinition]) -> Option<String> {
    if tools.is_empty() {
        return None;
    }
    let names: usize = tools.iter().map(|tool| name(tool).len()).sum();
    let mut text = OPENING.to_owned();
    let mut spare = MOST_BYTES.saturating_sub(REST_BYTES + text.len() + names);
    for (place, tool) in tools.iter().enumerate() {
        let name = name(tool);
        if text.len() + name.len() + REST_BYTES > MOST_BYTES {
            let rest = tools.len().saturating_sub(place);
            text.push_str(&format!("\n- and {rest} more"));
            break;
        }
        text.push_str(&name);
        let sentence = first_sentence(tool.description.as_deref().unwrap_or_default());
        if !sentence.is_empty() && sentence.len() + 2 <= spare {
            spare -= sentence.len() + 2;
            text.push_str(": ");
            text.push_str(&sentence);
        }
    }
    Some(text)
}

fn name(tool: &ToolDefinition) -> String {
    let end = floor_boundary(&tool.name, SENTENCE_BYTES);
    format!("\n- {}", tool.name.get(..end).unwrap_or_default())
}

/// The text up to its first full stop, on one line.
fn first_sentence(text: &str) -> String {
    let text = text.trim();
    let stops = ["\n\n", ". ", ".\n", "。"];
    let end = stops.iter().filter_map(|stop| {
        let at = text.find(stop)?;
        Some(if stop.starts_with('\n') { at } else { at.saturating_add(stop.trim_end().len()) })
    });
    let sentence = text.get(..end.min().unwrap_or(text.len())).unwrap_or(text);
    let sentence = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    if sentence.len() <= SENTENCE_BYTES {
        return sentence;
    }
    let end = floor_boundary(&sentence, SENTENCE_BYTES.saturating_sub(3));
    format!("{}...", sentence.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tool(name: &str, description: &str) -> ToolDefinition {
        ToolDefinition {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            parameters: None,
            strict: None,
            unknown: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_list_has_names_and_first_sentences() {
        assert_eq!(listed(&[]), None);
        let tools = [
            tool("read", "Reads a file. Needs a path."),
            tool("wetter", "查天气。需要城市。"),
            tool("run", "Runs\n  a command\n\nwith care"),
            tool("e", "version 1.2 of it"),
            tool("bare", " "),
        ];
        let list = listed(&tools).unwrap();
        let want = "\n- read: Reads a file.\n- wetter: 查天气。\n- run: Runs a command\n\
                    - e: version 1.2 of it\n- bare";
        assert_eq!(list.strip_prefix(OPENING), Some(want));
    }

    #[test]
    fn of_many_tools_the_names_come_first() {
        let many = |count: usize| -> Vec<ToolDefinition> {
            (0..count).map(|n| tool(&format!("tool_number_{n}"), &"long ".repeat(100))).collect()
        };
        let list = listed(&many(36)).unwrap();
        assert!(list.len() <= MOST_BYTES && list.contains("tool_number_35"), "{list}");
        assert!(list.contains("tool_number_0: long") && !list.contains("more"), "{list}");
        let list = listed(&many(500)).unwrap();
        assert!(list.len() <= MOST_BYTES && list.ends_with(" more"), "{list}");
    }

    proptest! {
        #[test]
        fn a_list_is_bounded(
            tools in prop::collection::vec(("\\PC{0,200}", "\\PC{0,300}"), 1..60),
        ) {
            let tools: Vec<_> =
                tools.iter().map(|(name, description)| tool(name, description)).collect();
            prop_assert!(listed(&tools).unwrap().len() <= MOST_BYTES);
        }
    }
}
