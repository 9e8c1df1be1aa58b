//! A late call is made again elsewhere, over real sockets.

use serde_json::json;

use crate::support::{Gate, Script, Upstream, four_stages, question, text_of};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn the_slow_endpoint_sees_the_hang_up_and_the_quick_one_answers() {
    for stream in [false, true] {
        let gate = Gate::shut();
        let slow = Upstream::start([("m", Script::says("slow").waits_before_headers(&gate))]).await;
        let quick = Upstream::start([("m", Script::says("quick"))]).await;
        let keys = format!(
            "hedge_after_ms = 50\n[[model.endpoint]]\napi_base = \"{}/v1\"\npriority = 2",
            quick.base()
        );
        let chorus = four_stages(&["m"]).model_keys("m", &keys).over(&slow).await;
        let mut body = question(CHAT, "m", "hi", stream);
        body["include_workflow"] = json!(true);
        let objects = chorus.objects(CHAT, &body).await;
        let text: String = objects.iter().map(text_of).collect();
        assert_eq!(text, "quick", "{objects:?}");
        slow.hung_up_on(1).await;
        slow.idle().await;
        assert_eq!((slow.seen().len(), quick.seen().len(), quick.hang_ups()), (1, 1, 0));
        let trace = &objects.last().unwrap()["workflow"];
        assert_eq!(trace["status"], "ok", "{trace}");
        let record = &trace["synthesizer"];
        assert_eq!(record["hedged"], true);
        let calls: Vec<_> = record["calls"].as_array().unwrap().iter().collect();
        assert_eq!(
            (&calls[0]["endpoint"], &calls[0]["outcome"]),
            (&json!(slow.authority()), &json!("cancelled"))
        );
        assert_eq!(
            (&calls[1]["endpoint"], &calls[1]["outcome"]),
            (&json!(quick.authority()), &json!("ok"))
        );
        // Before the gate opens: the slow one has not said a word.
        gate.open();
    }
}
