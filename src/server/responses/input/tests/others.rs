//! Items of tools that models are not offered.

use super::*;

#[test]
fn items_of_other_tools_become_calls_and_results_or_are_left_out() {
    let input = json!([
        {"type": "additional_tools", "role": "developer", "tools": [
            {"type": "namespace", "name": "mcp__w", "tools": [{"name": "weather"}]},
            {"type": "tool_search"}]},
        {"role": "user", "content": "hi"},
        {"type": "custom_tool_call", "call_id": "1", "name": "apply_patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "1", "output": "Done"},
        {"type": "function_call", "call_id": "2", "name": "weather", "namespace": "mcp__w",
         "arguments": "{}"},
        {"type": "function_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "warm"}]},
        {"type": "local_shell_call", "id": "ls_1", "call_id": "3", "status": "completed",
         "action": {"type": "exec", "command": ["ls"]}},
        {"type": "local_shell_call_output", "call_id": "3", "output": "a.txt"},
        {"type": "mcp_call", "id": "mcp_1", "name": "find", "server_label": "s",
         "arguments": "{\"q\":1}", "output": "found"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "x"}},
        {"type": "compaction", "encrypted_content": "gAAA"},
        {"role": "user", "content": "and now?"},
    ]);
    let mut toolbox = Toolbox::default();
    let source = sources(json!({ "input": input }));
    let read = conversation(source, Vec::new(), &mut toolbox, &HashMap::new).unwrap();
    assert_eq!(
        glance(&read.messages),
        [
            "user: hi",
            "assistant: [apply_patch({\"input\":\"*** Begin\"})=1]",
            "tool: (1 apply_patch) Done",
            "assistant: [mcp__w__weather({})=2]",
            "tool: (2 mcp__w__weather) warm",
            "assistant: [local_shell({\"type\":\"exec\",\"command\":[\"ls\"]})=3]",
            "tool: (3 local_shell) a.txt",
            "assistant: [find({\"q\":1})=mcp_1]",
            "tool: (mcp_1 find) found",
            "user: and now?",
        ]
    );
    assert_eq!(toolbox.left_out, ["tool_search", "web_search_call", "compaction"]);
    assert_eq!(toolbox.functions[0].name, "mcp__w__weather");
    // What is kept brings its tools along.
    let mut next = Toolbox::default();
    let more = sources(json!({"input": "go on"}));
    conversation(more, read.context, &mut next, &HashMap::new).unwrap();
    assert_eq!(next.functions[0].name, "mcp__w__weather");
}
