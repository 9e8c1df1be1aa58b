//! A late call is made again elsewhere, over real sockets.

use serde_json::json;

use crate::support::{Gate, Script, Upstream, four_stages, question, text_of};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn the_slow_endpoint_sees_the_hang_up_and_the_quick_one_answers() {
    let gate = Gate::shut();
    let slow = Upstream::start([("m", Script::says("slow").waits_before_headers(&gate))]).await;
    let quick = Upstream::start([("m", Script::says("quick"))]).await;
    // A call that kept its permit would leave too few for the next hedge.
    let keys = format!(
        "max_concurrency = 2\nhedge_after_ms = 50\n\
         [[model.endpoint]]\napi_base = \"{}/v1\"\npriority = 2",
        quick.base()
    );
    let chorus = four_stages(&["m"]).model_keys("m", &keys).over(&slow).await;
    for (asked, stream) in (1..).zip([false, true, false, true]) {
        let mut body = question(CHAT, "m", "hi", stream);
        body["include_workflow"] = json!(true);
        let objects = chorus.objects(CHAT, &body).await;
        let text: String = objects.iter().map(text_of).collect();
        assert_eq!(text, "quick", "{objects:?}");
        slow.hung_up_on(asked).await;
        slow.idle().await;
        assert_eq!((slow.seen().len(), quick.seen().len()), (asked, asked));
        let trace = &objects.last().unwrap()["workflow"];
        assert_eq!(trace["status"], "ok", "{trace}");
        let record = &trace["synthesizer"];
        assert_eq!(record["hedged"], true, "{trace}");
        let calls: Vec<(&str, &str)> = (record["calls"].as_array().unwrap().iter())
            .map(|call| (call["endpoint"].as_str().unwrap(), call["outcome"].as_str().unwrap()))
            .collect();
        let (slow, quick) = (slow.authority(), quick.authority());
        assert_eq!(calls, [(slow.as_str(), "cancelled"), (quick.as_str(), "ok")]);
    }
    assert_eq!(quick.hang_ups(), 0);
}
