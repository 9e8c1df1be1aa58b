//! Features before their time, which clients name in a header.

use super::{PATH, VERSION, asking};
use crate::support::{Script, Seen, Upstream, four_stages};

#[tokio::test]
async fn betas_reach_an_upstream_that_has_such_and_are_left_out_where_they_are_refused() {
    let refuses = |seen: &Seen| {
        let words = "Unexpected value(s) `new-1` for the `anthropic-beta` header.";
        seen.header("anthropic-beta").map(|_| words.to_owned())
    };
    let upstream = Upstream::start([
        ("kind", Script::says("well")),
        ("strict", Script::says("well").objects(refuses)),
        ("other", Script::says("well")),
    ])
    .await;
    let keys = "protocol = \"anthropic\"\nheaders = { \"anthropic-beta\" = \"own-1\" }";
    let setup = four_stages(&["kind", "strict", "other"]).model_keys("kind", keys);
    let chorus = setup.model_keys("strict", "protocol = \"anthropic\"").over(&upstream).await;
    let sent = [("anthropic-beta", "new-1,oauth-2"), VERSION];
    for (model, calls, want) in [
        ("kind", 1, Some("own-1,new-1")),
        ("kind", 2, Some("own-1,new-1")),
        ("strict", 2, None),
        ("strict", 3, None),
        ("other", 1, None),
    ] {
        let response = chorus.post_with(PATH, &asking(model, "hi"), &sent).await;
        assert_eq!(response.status(), 200, "{model}");
        let seen = upstream.seen_by(model);
        assert_eq!(seen.len(), calls, "{model}");
        assert_eq!(seen.last().unwrap().header("anthropic-beta"), want, "{model}");
    }
}
