use super::*;

fn read(tools: Value) -> Result<Toolbox, AppError> {
    let mut toolbox = Toolbox::default();
    let Value::Array(tools) = tools else { panic!("a list") };
    toolbox.add(tools, "tools").map(|()| toolbox)
}

/// As an agent with a patch tool and one MCP server sends them.
fn of_an_agent() -> Toolbox {
    read(json!([
        {"type": "function", "name": "shell", "parameters": {"type": "object"}, "strict": false},
        {"type": "custom", "name": "apply_patch", "description": "Edits files.",
         "format": {"type": "grammar", "syntax": "lark", "definition": "start: line+"}},
        {"type": "web_search", "search_context_size": "low"},
        {"type": "namespace", "name": "mcp__w", "description": "Weather.", "tools": [
            {"type": "function", "name": "weather", "parameters": {"type": "object"}},
            {"type": "custom", "name": "note"},
            {"type": "image_generation"}]},
        {"type": "web_search"},
    ]))
    .unwrap()
}

fn names(toolbox: &Toolbox) -> Vec<&str> {
    toolbox.functions.iter().map(|function| function.name.as_str()).collect()
}

#[test]
fn models_are_offered_functions_and_clients_find_their_tools_again() {
    let toolbox = of_an_agent();
    assert_eq!(names(&toolbox), ["shell", "apply_patch", "mcp__w__weather", "mcp__w__note"]);
    assert_eq!(toolbox.left_out, ["web_search", "image_generation"]);
    let patch = &toolbox.functions[1];
    assert!(patch.description.as_ref().unwrap().ends_with("grammar (lark):\nstart: line+"));
    assert_eq!(patch.parameters.as_ref().unwrap()["required"], json!(["input"]));
    for (function, name, namespace, is_custom) in [
        ("shell", "shell", None, false),
        ("apply_patch", "apply_patch", None, true),
        ("mcp__w__weather", "weather", Some("mcp__w"), false),
        ("mcp__w__note", "note", Some("mcp__w"), true),
        ("invented", "invented", None, false),
    ] {
        let namespace = namespace.map(str::to_owned);
        let want = ClientTool { name: name.to_owned(), namespace, is_custom };
        assert_eq!(toolbox.clients.behind(function), want);
        assert_eq!(toolbox.function(&want.name, want.namespace.as_deref()), function);
    }
    let repeated = serde_json::to_value(&toolbox.repeated).unwrap();
    let kinds: Vec<&str> =
        repeated.as_array().unwrap().iter().map(|tool| tool["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["function", "custom", "namespace"]);
}

#[test]
fn names_stay_apart_and_short() {
    let long = "x".repeat(70);
    let toolbox = read(json!([
        {"type": "function", "name": "a__b"},
        {"type": "namespace", "name": "a", "tools": [{"name": "b"}, {"name": format!("{long}1")},
                                                     {"name": format!("{long}2")}]},
    ]))
    .unwrap();
    let names = names(&toolbox);
    assert_eq!(&names[..2], ["a__b", "2_a__b"]);
    assert!(names.iter().all(|name| name.chars().count() <= MOST_NAME_CHARS), "{names:?}");
    assert_ne!(names[2], names[3]);
    assert_eq!(toolbox.clients.behind(names[3]).name, format!("{long}2"));
}

#[test]
fn a_tool_without_a_name_is_refused_with_its_place() {
    for (tools, param) in [
        (json!([{"type": "custom"}]), "tools[0].name"),
        (json!([{"type": "namespace", "tools": []}]), "tools[0].name"),
        (
            json!([{"type": "namespace", "name": "n", "tools": [{"name": "f"}, {}]}]),
            "tools[0].tools[1].name",
        ),
        (json!([{"type": "function"}]), "tools[0].name"),
        (json!([5]), "tools[0]"),
    ] {
        let error = read(tools.clone()).err();
        let Some(AppError::Invalid { param: got, .. }) = error else {
            panic!("{tools}: {error:?}")
        };
        assert_eq!(got.as_deref(), Some(param), "{tools}");
    }
}

#[test]
fn a_choice_names_tools_as_the_client_knows_them() {
    let named = |name: &str| Some(ToolChoice::Named(name.to_owned()));
    for (choice, want, left) in [
        (json!({"type": "custom", "name": "apply_patch"}), named("apply_patch"), 4),
        (
            json!({"type": "function", "name": "weather", "namespace": "mcp__w"}),
            named("mcp__w__weather"),
            4,
        ),
        (json!({"type": "function", "name": "shell"}), named("shell"), 4),
        (
            json!({"type": "allowed_tools", "mode": "auto", "tools": [
            {"type": "custom", "name": "apply_patch"}, {"type": "web_search"}]}),
            Some(ToolChoice::Auto),
            1,
        ),
        (
            json!({"type": "allowed_tools", "mode": "required", "tools": [
            {"type": "namespace", "name": "mcp__w"}]}),
            Some(ToolChoice::Required),
            2,
        ),
        (json!("auto"), Some(ToolChoice::Auto), 4),
        (json!(null), None, 4),
    ] {
        let mut toolbox = of_an_agent();
        let (got, _) = toolbox.choose(choice.clone()).unwrap();
        assert_eq!((got, toolbox.functions.len()), (want, left), "{choice}");
    }
    let mut toolbox = of_an_agent();
    let (_, repeated) = toolbox.choose(json!({"type": "custom", "name": "apply_patch"})).unwrap();
    assert_eq!(
        serde_json::to_value(repeated).unwrap(),
        json!({"type": "custom", "name": "apply_patch"})
    );
    for refused in [json!({"type": "web_search"}), json!({"type": "function", "name": "missing"})] {
        assert!(of_an_agent().choose(refused.clone()).is_err(), "{refused}");
    }
}

#[test]
fn free_text_is_found_however_the_model_wrote_it() {
    for (arguments, text) in [
        (r#"{"input":"*** Begin Patch\n"}"#, "*** Begin Patch\n"),
        (r#""bare""#, "bare"),
        ("*** Begin Patch", "*** Begin Patch"),
        ("{}", ""),
        (r#"{"patch":"p"}"#, r#"{"patch":"p"}"#),
    ] {
        assert_eq!(free_text(arguments), text);
    }
    assert_eq!(free_text(&text_arguments("a\"b\n")), "a\"b\n");
}
