//! Many requests at once: none lost, none mixed up.

use crate::support::{
    Client, ENDPOINTS, Events, Script, Seen, Upstream, four_stages, question, text_of,
};

/// Everything between `[[` and `]]`.
fn markers(text: &str) -> Vec<&str> {
    text.split("[[").skip(1).filter_map(|rest| rest.split("]]").next()).collect()
}

async fn answer(client: &Client, number: usize) -> String {
    let path = ENDPOINTS[number % ENDPOINTS.len()];
    let body = question(path, "chorus", &format!("[[{number}]]"), number.is_multiple_of(2));
    // Two hundred debug-built runs at once may take longer than a story's usual patience.
    let response = client.try_post(path, &body, &[]).await.expect("the server answers");
    assert_eq!(response.status(), 200, "{number}");
    let objects = Events::of(response).rest().await;
    objects.iter().map(text_of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_requests_at_once_keep_their_own_answers() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("first")),
        ("first", Script::echoes("first says ")),
        ("second", Script::echoes("second says ").in_deltas(9)),
        ("third", Script::echoes("third says ").split_at(&[50, 101, 333, 334])),
        ("writer", Script::fuses()),
    ])
    .await;
    let chorus = four_stages(&["first", "second", "third"]).over(&upstream).await;
    let asked = (0..200).map(|number| answer(&chorus, number));
    let answers = futures::future::join_all(asked).await;
    for (number, text) in answers.iter().enumerate() {
        let own = number.to_string();
        assert_eq!(markers(text), [own.as_str(); 3], "{number}: {text}");
        assert!(text.contains("first says") && text.contains("third says"), "{number}: {text}");
    }
    let asked = ["first", "second", "third", "writer"].map(|model| upstream.seen_by(model).len());
    assert_eq!(asked, [200; 4]);
    let (analyses, verdicts): (Vec<_>, Vec<_>) =
        upstream.seen_by("judge").into_iter().partition(Seen::asks_for_analysis);
    assert_eq!(verdicts.len(), 200);
    // No stage here waits for the analysis, so one that comes late to its connection is cut unasked.
    assert!(analyses.len() <= 200, "{}", analyses.len());
}
