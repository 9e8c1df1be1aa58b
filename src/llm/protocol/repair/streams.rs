//! Whether a refusal says that there are no streams, or rather that there is nothing else. Pure.

use super::names::has_word;
use crate::llm::{
    Call,
    protocol::upstream_error::{Refusal, words::mentions},
};

/// The characters that end a statement.
const ENDS: [char; 11] = ['\n', ',', '.', ';', '!', '(', ')', '，', '。', '；', '！'];

/// Whether a model is told not to stream. Options of streams are parameters of their own.
pub(super) fn refuses_streams(refusal: &Refusal, words: &str, call: &Call) -> bool {
    if !call.stream || !matches!(refusal.refused_status(), 400 | 403 | 404 | 405 | 422 | 500 | 501)
    {
        return false;
    }
    let words = with_whole(words);
    let statements = || words.split(ENDS).filter(|one| !has_word(one, "stream_options"));
    let blamed = refusal.blames("stream");
    !statements().any(|one| demands(one, blamed)) && statements().any(|one| refuses(one, blamed))
}

/// The same with one name for what is no stream.
fn with_whole(words: &str) -> String {
    const NAMES: [&str; 4] = ["non-stream", "non_stream", "non stream", "nonstream"];
    let named = NAMES.iter().fold(words.to_owned(), |words, name| words.replace(name, WHOLE));
    named.replace("非流式", WHOLE)
}

const WHOLE: &str = "\u{1}whole";

fn is_about(statement: &str) -> bool {
    const NAMES: [&str; 7] = [
        "流式",
        "responsestream",
        "streamgeneratecontent",
        "conversestream",
        "server-sent event",
        "incremental output",
        "incremental_output",
    ];
    ["stream", "streams", "streaming", "streamed", "sse"]
        .iter()
        .any(|name| has_word(statement, name))
        || mentions(statement, &NAMES)
}

/// Whether a statement says that answers come as streams only.
fn demands(statement: &str, blamed: bool) -> bool {
    const ONLY: [&str; 20] = [
        "only support",
        "only allow",
        "only accept",
        "only work",
        "only available",
        "only true",
        "must be true",
        "must be set to true",
        "to true",
        "require stream",
        "requires stream",
        "require the stream",
        "requires the stream",
        "is required",
        "without stream",
        "only in stream",
        "仅支持",
        "只支持",
        "仅允许",
        "必须",
    ];
    (blamed || is_about(statement))
        && !mentions(statement, &[WHOLE, "false"])
        && mentions(statement, &ONLY)
}

/// Whether a statement says that there are no streams.
fn refuses(statement: &str, blamed: bool) -> bool {
    const WHY: [&str; 15] = [
        "not support",
        "isn't support",
        "unsupported",
        "not available",
        "unavailable",
        "not allowed",
        "not permitted",
        "not enabled",
        "not implemented",
        "disabled",
        "verified to stream",
        "不支持",
        "不可用",
        "未开启",
        "禁用",
    ];
    /// Said of what is to be had in the place of a stream.
    const INSTEAD: [&str; 8] = ["only", "use", "must", "should", "仅", "只", "请", "必须"];
    const OFF: [&str; 6] = [
        "must be false",
        "be set to false",
        "should be false",
        "only false",
        "to false",
        "use false",
    ];
    if statement.contains(WHOLE) {
        return mentions(statement, &INSTEAD) && !mentions(statement, &WHY);
    }
    if !blamed && !is_about(statement) {
        return false;
    }
    match statement.contains("false") {
        true => mentions(statement, &OFF),
        false => mentions(statement, &WHY),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::llm::testing;

    fn refuses(status: u16, message: &str) -> bool {
        let error = json!({"error": {"message": message}}).to_string();
        let refusal = Refusal::of_response(status, error.as_bytes());
        let call = crate::llm::Call { stream: true, ..testing::call("hi") };
        refuses_streams(&refusal, &refusal.words(), &call)
    }

    #[test]
    fn that_there_are_no_streams_is_understood() {
        for message in [
            "stream must be false",
            "stream=true is not supported",
            "Streaming unsupported",
            "This model only supports non-streaming mode",
            "only non-stream supported",
            "Please use non-streaming requests",
            "streaming is not supported, use nonstreaming",
            "\"stream\" : only false is allowed",
            "please set stream to false",
            "Your organization must be verified to stream this model. Go to the settings.",
            "stream mode not supported",
            "Unsupported value: stream does not support true with this model",
            "Streaming responses are not available",
            "SSE is not supported",
            "ResponseStream not supported",
            "InvokeModelWithResponseStream is not supported for this model",
            "models/x is not supported for streamGenerateContent",
            "incremental output unsupported",
            "流式输出不支持",
            "该模型不支持流式调用",
            "该模型仅支持非流式调用",
            "请使用非流式",
        ] {
            for status in [400, 404, 500] {
                assert!(refuses(status, message), "{message}");
            }
        }
    }

    #[test]
    fn that_there_is_nothing_else_is_no_refusal() {
        for message in [
            "This model only supports stream mode, non-streaming is not supported",
            "This model only support stream mode, please enable the stream parameter",
            "non-streaming is not supported",
            "Non-stream requests are not allowed",
            "stream=false is not supported",
            "stream must be true",
            "requests without stream are not supported",
            "该模型仅支持流式调用",
            "不支持非流式调用，请使用流式",
            "只支持流式输出，不支持非流式",
            "stream_options is not supported",
            "Stream options not supported",
            "the stream of consciousness",
            "this river is not supported",
        ] {
            assert!(!refuses(400, message), "{message}");
        }
        assert!(!refuses(429, "streaming is not supported"));
    }
}
