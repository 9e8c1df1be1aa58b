use serde_json::json;

use super::*;
use crate::types::Role;

#[test]
fn debug_shows_no_text() {
    let mut request = Request::new("m", vec![Message::text(Role::User, "SECRET")]);
    request.prompt.format = OutputFormat::Schema {
        name: "n".to_owned(),
        schema: Arc::new(json!({ "description": "SECRET" }).into()),
        strict: None,
        description: Some("SECRET".to_owned()),
    };
    request.prompt.tools = Arc::from([ToolDefinition {
        name: "tool".to_owned(),
        description: Some("SECRET".to_owned()),
        parameters: Some(json!("SECRET")),
        strict: None,
        unknown: Map::new(),
    }]);
    let fields = [("user".to_owned(), json!("SECRET"))].into_iter().collect();
    request.prompt.extra = Some(Extra::new(Protocol::OpenAi, fields));
    request.prompt.stop = vec!["SECRET".to_owned()];
    let shown = format!("{request:?}");
    assert!(!shown.contains("SECRET") && shown.contains("user"), "{shown}");
}

#[test]
fn the_affinity_is_the_callers_and_the_beginnings() {
    let long = "x".repeat(AFFINITY_BYTES * 2);
    let request = |texts: &[(Role, &str)], caller: Option<&str>| {
        let messages = texts.iter().map(|(role, text)| Message::text(*role, *text)).collect();
        let request = Request { caller: caller.map(Arc::from), ..Request::new("m", messages) };
        request.affinity()
    };
    let (system, user, assistant) = (Role::System, Role::User, Role::Assistant);
    let first = request(&[(system, "be kind"), (user, "why?")], Some("me"));
    let later = [(system, "be kind"), (user, "why?"), (assistant, "so"), (user, "and?")];
    assert_eq!(request(&later, Some("me")), first, "later turns change nothing");
    for (texts, caller) in [
        (vec![(system, "be kind"), (user, "why?")], Some("you")),
        (vec![(system, "be kind"), (user, "why?")], None),
        (vec![(system, "be brief"), (user, "why?")], Some("me")),
        (vec![(system, "be kind"), (user, "how?")], Some("me")),
        (vec![(user, "why?")], Some("me")),
        (vec![(system, &long), (user, "why?")], Some("me")),
    ] {
        assert_ne!(request(&texts, caller), first, "{caller:?}");
    }
}

#[test]
fn a_session_keeps_its_affinity_whatever_its_conversation_begins_with() {
    let number = |text: &str, caller: &str, session: Option<&str>| {
        let messages = vec![Message::text(Role::User, text)];
        let session = session.and_then(|id| Session::new(id, None));
        let caller = Some(Arc::from(caller));
        let request = Request { caller, session, ..Request::new("m", messages) };
        (request.affinity(), request.conversation_number())
    };
    let (affinity, conversation) = number("why?", "me", Some("s"));
    assert_ne!(affinity, conversation);
    let compacted = number("In short: ...", "me", Some("s"));
    assert!(compacted.0 == affinity && compacted.1 != conversation);
    assert_eq!(number("why?", "me", None), (conversation, conversation));
    assert_ne!(number("why?", "you", Some("s")).0, affinity);
    assert_ne!(number("why?", "me", Some("t")).0, affinity);
}
