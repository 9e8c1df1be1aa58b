//! The text of documents and search results (Anthropic's API reference), as far as it goes: every
//! model can read it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// What a block says, with its title and what is said of it; `None` where that is no text.
pub(super) fn text(kind: &str, fields: &Map<String, Value>) -> Option<String> {
    let said = |name: &str| fields.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    let (body, heading) = match kind {
        "search_result" => (blocks(fields.get("content")?)?, ["title", "source"]),
        _ => (source(fields.get("source")?)?, ["title", "context"]),
    };
    let lines = heading.into_iter().filter_map(said).chain([body.as_str()]);
    Some(lines.collect::<Vec<_>>().join("\n"))
}

fn source(source: &Value) -> Option<String> {
    let said = |name: &str| source.get(name).and_then(Value::as_str);
    match said("type")? {
        "text" => said("data").map(str::to_owned),
        "content" => blocks(source.get("content")?),
        "base64" if is_text(said("media_type")?) => {
            let bytes = STANDARD.decode(said("data")?).ok()?;
            String::from_utf8(bytes).ok()
        }
        _ => None,
    }
}

fn is_text(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/") || matches!(kind.as_str(), "application/json" | "application/xml")
}

/// Text, or blocks of nothing but text.
fn blocks(content: &Value) -> Option<String> {
    if let Some(text) = content.as_str() {
        return Some(text.to_owned());
    }
    let text = |block: &Value| block.get("text").and_then(Value::as_str).map(str::to_owned);
    let texts = content.as_array()?.iter().map(text).collect::<Option<Vec<_>>>()?;
    Some(texts.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_read_as_far_as_they_are_text() {
        for (kind, block, want) in [
            (
                "document",
                json!({"source": {"type": "text", "media_type": "text/plain", "data": "hi"}}),
                Some("hi"),
            ),
            (
                "document",
                json!({"title": "T", "context": "C", "source": {"type": "text", "data": "hi"}}),
                Some("T\nC\nhi"),
            ),
            (
                "document",
                json!({"source": {"type": "content", "content": [
                    {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}),
                Some("a\nb"),
            ),
            ("document", json!({"source": {"type": "content", "content": "a"}}), Some("a")),
            (
                "document",
                json!({"source": {"type": "base64", "media_type": "text/markdown",
                    "data": "aGVsbG8="}}),
                Some("hello"),
            ),
            (
                "document",
                json!({"source": {"type": "base64", "media_type": "application/pdf",
                    "data": "aGVsbG8="}}),
                None,
            ),
            (
                "document",
                json!({"source": {"type": "content", "content": [{"type": "image"}]}}),
                None,
            ),
            ("document", json!({"source": {"type": "url", "url": "https://a.example"}}), None),
            ("document", json!({}), None),
            (
                "search_result",
                json!({"source": "s", "title": "T",
                    "content": [{"type": "text", "text": "found"}]}),
                Some("T\ns\nfound"),
            ),
        ] {
            let Value::Object(fields) = &block else { panic!("an object") };
            assert_eq!(text(kind, fields).as_deref(), want, "{block}");
        }
    }
}
