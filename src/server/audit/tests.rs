use std::{fs, path::Path};

use serde_json::Value;

use super::*;
use crate::{config::Rotate, types::RequestId};

fn settings(path: &Path) -> config::Audit {
    config::Audit { path: path.to_owned(), rotate: Rotate::Daily, keep: 0 }
}

fn line(path: &str) -> Line<'_> {
    Line {
        time: "2026-12-01T09:00:00Z".parse().unwrap(),
        request_id: RequestId::fresh(),
        workflow_id: None,
        client: Some("laptop"),
        from: Some(std::net::IpAddr::from([127, 0, 0, 1]).into()),
        method: "POST",
        path,
        model: Some("chorus"),
        answered_by: None,
        decision: Decision::Refused,
        code: Some("invalid_api_key"),
        status: Some(401),
        run_status: None,
        spent: None,
        first_token_ms: None,
        duration_ms: 1,
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lines_that_are_missing_are_counted_and_their_place_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inner/audit.jsonl");
    let audit = Audit::start(settings(&path)).unwrap();
    assert!(audit.trouble().is_some());
    for _ in 0..3 {
        audit.write(&line("/v1/models"));
    }
    audit.flush();
    let health = serde_json::to_value(audit.health()).unwrap();
    assert_eq!(health["lost_lines"], 3);
    assert!(health["last_error"]["error"].is_string(), "{health}");
    fs::create_dir(folder.path().join("inner")).unwrap();
    for _ in 0..2 {
        audit.write(&line("/v1/models"));
        audit.flush();
    }
    let lines = lines(&path);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0]["missing_lines"], 3);
    assert!(lines[1..].iter().all(|line| line["status"] == 401), "{lines:?}");
    assert_eq!(audit.trouble(), None);
}

#[test]
fn what_the_queue_does_not_take_is_counted() {
    let (queue, _kept) = sync_channel(2);
    let path = Path::new("audit.jsonl");
    let audit = Audit { settings: settings(path), queue, state: Arc::default() };
    for _ in 0..5 {
        audit.write(&line("/v1/models"));
    }
    assert_eq!(audit.state.lost.get(), 3);
}

#[test]
fn a_line_is_one_object_whatever_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::start(settings(&path)).unwrap();
    let foreign = "/a\"\\\n\u{1b}[31m\u{9b}\u{202e}";
    audit.write(&line(foreign));
    audit.flush();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{text:?}");
    assert_eq!(lines(&path)[0]["path"], foreign);
    assert_eq!(lines(&path)[0]["time"], "2026-12-01T09:00:00.000000Z");
}
