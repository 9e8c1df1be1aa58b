//! A web page of somebody else cannot make Chorus spend anything.

use reqwest::Method;

use crate::support::{ENDPOINTS, Script, Upstream, four_stages, question};

#[tokio::test]
async fn other_origins_and_other_hosts_are_turned_away_before_anything_runs() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("writer", Script::fuses()),
        ("only", Script::says("draft")),
    ])
    .await;
    let chorus = four_stages(&["only"]).over(&upstream).await;
    for path in ENDPOINTS {
        let body = question(path, "chorus", "hi", false);
        for (name, value) in [
            ("origin", "https://elsewhere.example"),
            ("origin", "null"),
            ("origin", "http://localhost.elsewhere.example"),
            ("host", "elsewhere.example"),
        ] {
            // What a page can send without asking first: a form, or plain text.
            for kind in ["text/plain", "application/x-www-form-urlencoded"] {
                let request = chorus.request(Method::POST, path).header("content-type", kind);
                let response = request.header(name, value).body(body.to_string()).send().await;
                assert_eq!(response.unwrap().status(), 403, "{path} {name}: {value}");
            }
        }
    }
    assert_eq!(upstream.connections(), 0);
    for path in ENDPOINTS {
        let origin = [("origin", "http://localhost:3000")];
        let body = question(path, "chorus", "hi", false);
        let response = chorus.post_with(path, &body, &origin).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["access-control-allow-origin"], "http://localhost:3000");
    }
}
