//! Decides which frames of an answer are errors. Pure.

use serde_json::Value;

use super::{lookup::get_path, upstream_error::folded};

/// The fields that hold an error's words, in a frame that is nothing else.
pub(in crate::llm) const WORDS: [&str; 15] = [
    "message",
    "msg",
    "error_message",
    "error_msg",
    "errorMessage",
    "errorMsg",
    "errmsg",
    "err_msg",
    "errMsg",
    "ret_msg",
    "retMsg",
    "resultMsg",
    "detail",
    "errors",
    "reason",
];
/// The fields that hold a status or a code of the server's own.
pub(in crate::llm) const CODES: [&str; 17] = [
    "code",
    "status",
    "status_code",
    "statusCode",
    "error_code",
    "errorCode",
    "err_code",
    "errcode",
    "errCode",
    "errno",
    "err_no",
    "ret_code",
    "retCode",
    "resultCode",
    "internal_code",
    "internalCode",
    "__type",
];
/// What a frame that is a part of an answer holds, in one protocol or another.
const PARTS: [&str; 6] = ["candidates", "content", "content_block", "delta", "done", "response"];
/// Fields beside words that say nothing of an answer.
const BOOKKEEPING: [&str; 9] =
    ["choices", "created", "id", "model", "object", "requestid", "time", "timestamp", "traceid"];
/// What an error's message speaks of where no code marks it as one.
const TROUBLE: [&str; 53] = [
    "abort",
    "broken",
    "busy",
    "cannot",
    "closed",
    "crash",
    "denied",
    "disconnect",
    "error",
    "exceed",
    "exception",
    "expired",
    "fail",
    "forbidden",
    "gateway",
    "insufficient",
    "interrupt",
    "invalid",
    "limit",
    "n't ",
    "no healthy",
    "not ",
    "overload",
    "panic",
    "quota",
    "refused",
    "reset",
    "restart",
    "shut",
    "terminat",
    "timed out",
    "timeout",
    "too many",
    "traceback",
    "unable",
    "unauthorized",
    "unavailable",
    "unsuccess",
    "不可用",
    "不足",
    "中断",
    "失败",
    "异常",
    "拒绝",
    "无法",
    "稍后",
    "繁忙",
    "超时",
    "过载",
    "错误",
    "重试",
    "限",
    "饱和",
];
/// How words begin that announce an answer, or success.
const CALM: [&str; 16] = [
    "alive",
    "complete",
    "connected",
    "done",
    "finish",
    "generat",
    "loading",
    "processing",
    "progress",
    "queue",
    "ready",
    "start",
    "success",
    "thinking",
    "wait",
    "welcome",
];
/// The same in Chinese, which has no gaps between words.
const CALM_ZH: [&str; 7] = ["完成", "成功", "排队", "处理中", "加载中", "生成中", "等待"];
/// Fields whose words are none of an error.
const REMARKS: [&str; 8] =
    ["warning", "warnings", "notice", "info", "debug", "hint", "deprecation", "metadata"];
/// How deep an error may stand in objects that are no part of an answer.
const DEEPEST: usize = 4;

/// The part of a frame (or body under a 200) that is an error, if it is one: a top-level `error`,
/// vLLM's `"object": "error"`, OpenRouter's error inside the choice, or a code or words where an
/// answer should stand.
pub(super) fn error_in(value: &Value) -> Option<&Value> {
    let is_named = |name: &str| {
        value.get(name).and_then(Value::as_str).is_some_and(|kind| folded(kind).ends_with("error"))
    };
    let is_text = value.as_str().is_some_and(is_failure_in_words);
    if holds_error(value)
        || is_text
        || is_named("object")
        || get_path(value, "0/error").is_some()
        || (is_named("type") && !is_part(value))
        || reports_failure(value, 0)
    {
        return Some(value);
    }
    ["choices/0", "choices/0/delta", "choices/0/message"]
        .iter()
        .find_map(|place| get_path(value, place).filter(|part| holds_error(part)))
}

/// Whether a text that stands where a frame belongs reports a failure: it speaks of trouble, or
/// says something that is neither a sign of life nor of success. One word alone says nothing.
pub(in crate::llm) fn is_failure_in_words(text: &str) -> bool {
    let are_words = || {
        let is_word = |word: &&str| word.chars().any(char::is_alphabetic);
        let has_gap = text.split_whitespace().filter(is_word).nth(1).is_some();
        has_gap || text.chars().any(|character| !character.is_ascii() && character.is_alphabetic())
    };
    match Tone::of(text) {
        Tone::Trouble => true,
        Tone::Plain => are_words(),
        Tone::Calm => false,
    }
}

/// Whether a text speaks of an answer on its way, or of success, and of no trouble.
pub(in crate::llm) fn is_calm(text: &str) -> bool {
    Tone::of(text) == Tone::Calm
}

/// An `error` that says something. Typed servers have an empty one, or a zero, beside every answer.
fn holds_error(value: &Value) -> bool {
    value.get("error").is_some_and(|error| !is_nothing(error))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => {
            matches!(text.as_str(), "" | "0" | "OK" | "ok" | "Success" | "success")
        }
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Array(items) => items.iter().all(is_nothing),
    }
}

/// Whether a frame says something of an answer.
fn is_part(value: &Value) -> bool {
    let is_there = |name: &str| value.get(name).is_some_and(|part| !part.is_null());
    PARTS.iter().any(|name| is_there(name))
        || value.get("message").is_some_and(Value::is_object)
        || get_path(value, "choices/0").is_some()
}

/// Whether that is more than an empty frame of it.
fn is_said(value: &Value) -> bool {
    let says = |name: &str| value.get(name).is_some_and(is_filled);
    let message = value.get("message").filter(|message| message.is_object());
    let in_choice = get_path(value, "choices/0").is_some_and(|choice| {
        ["delta", "message", "text", "finish_reason"]
            .iter()
            .any(|name| choice.get(*name).is_some_and(is_filled))
    });
    PARTS.into_iter().any(says) || message.is_some_and(is_filled) || in_choice
}

/// Whether something stands in a value; that it is the assistant's is nothing yet.
pub(super) fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name != "role" && is_filled(value))
        }
        Value::Array(items) => items.iter().any(is_filled),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Whether a frame has a bad code, or words about trouble where an answer should stand, or a
/// field that is an error by its name: AWS's `throttlingException`, Tencent's `Response.Error`.
fn reports_failure(value: &Value, depth: usize) -> bool {
    let Value::Object(fields) = value else { return false };
    // MiniMax has its codes beside whatever the frame says.
    let base = value.get("base_resp").and_then(|base| base.get("status_code"));
    if base.is_some_and(|code| !matches!(code_of(code), Code::None | Code::Fine)) {
        return true;
    }
    let (is_part, is_said) = (is_part(value), is_said(value));
    let words = Words::of(value);
    // A kind of its own: what an agent says of its tools on the way, for one.
    let is_kind = ["type", "event"].iter().any(|name| value.get(*name).is_some_and(is_filled));
    let by_code = match (code(value), &words) {
        (Code::Bad, Some(words)) => !is_said || words.tone != Tone::Calm,
        (Code::Bad, None) => !is_said && !is_kind && depth == 0,
        (Code::Odd { is_failure }, None) => is_failure && !is_said && !is_kind && depth == 0,
        (Code::Odd { .. }, Some(words)) => !is_said && words.tone != Tone::Calm,
        (Code::Fine | Code::None, _) => false,
    };
    if by_code || is_part {
        return by_code;
    }
    let by_words = words.is_some_and(|words| match words.tone {
        _ if !matches!(words.name, "message" | "msg" | "reason") => true,
        Tone::Trouble => true,
        Tone::Plain => words.name != "reason" && is_bare(value),
        Tone::Calm => false,
    });
    let in_depth = || {
        let is_deeper = |inner: &Value| holds_error(inner) || reports_failure(inner, depth + 1);
        let is_looked_at = |name: &str, inner: &Value| {
            inner.is_object() && !REMARKS.contains(&folded(name).as_str())
        };
        let mut looked_at = fields.iter().filter(|(name, inner)| is_looked_at(name, inner));
        depth < DEEPEST && !is_kind && looked_at.any(|(_, inner)| is_deeper(inner))
    };
    by_words || (!is_last_chunk(value) && (names_error(value) || in_depth()))
}

/// Whether it is the chunk of usage that most streams end with.
fn is_last_chunk(value: &Value) -> bool {
    let choices = value.get("choices").and_then(Value::as_array);
    choices.is_some_and(Vec::is_empty) && value.get("usage").is_some_and(Value::is_object)
}

/// Whether a field is an error by its name.
fn names_error(value: &Value) -> bool {
    let has_name = |(name, value): (&String, &Value)| {
        is_error_name(name) && (value.is_string() || value.is_object()) && !is_nothing(value)
    };
    value.as_object().is_some_and(|fields| fields.iter().any(has_name))
}

fn is_error_name(name: &str) -> bool {
    let name = folded(name);
    let ends = ["exception", "error", "errormsg", "fault", "failure"];
    ends.iter().any(|end| name.ends_with(end))
}

/// Whether nothing beside words says more of what a frame is.
fn is_bare(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| {
        fields.iter().all(|(name, value)| {
            WORDS.contains(&name.as_str())
                || BOOKKEEPING.contains(&folded(name).as_str())
                || !is_filled(value)
        })
    })
}

/// What a frame says in words.
struct Words {
    name: &'static str,
    tone: Tone,
}

impl Words {
    fn of(value: &Value) -> Option<Self> {
        WORDS.iter().find_map(|name| {
            let tone = match value.get(*name)? {
                Value::String(text) if !text.is_empty() => Tone::of(text),
                Value::Array(list) if !list.is_empty() => Tone::Plain,
                Value::Object(fields) if !fields.is_empty() && *name != "message" => Tone::Plain,
                _ => return None,
            };
            Some(Self { name, tone })
        })
    }
}

/// What words sound like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Calm,
    Plain,
    Trouble,
}

impl Tone {
    fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let mentions = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let is_calm = |word: &str| word == "ok" || CALM.iter().any(|start| word.starts_with(start));
        if mentions(&TROUBLE) {
            Self::Trouble
        } else if mentions(&CALM_ZH) || text.split(|c: char| !c.is_alphanumeric()).any(is_calm) {
            Self::Calm
        } else {
            Self::Plain
        }
    }
}

/// What the codes of a frame say.
enum Code {
    None,
    Fine,
    /// No success as HTTP or most others know it; below 0, and from 400 on, no success anywhere.
    Odd {
        is_failure: bool,
    },
    /// A failure of HTTP's, or by its name.
    Bad,
}

/// The worst of the codes of a frame.
fn code(value: &Value) -> Code {
    if value.get("success").and_then(Value::as_bool) == Some(false) {
        return Code::Bad;
    }
    let codes = CODES.iter().filter_map(|name| value.get(*name)).map(code_of);
    codes.fold(Code::None, |worst, code| match (worst, code) {
        (Code::Bad, _) | (_, Code::Bad) => Code::Bad,
        (Code::Odd { is_failure: one }, Code::Odd { is_failure: other }) => {
            Code::Odd { is_failure: one || other }
        }
        (odd @ Code::Odd { .. }, _) | (_, odd @ Code::Odd { .. }) => odd,
        (Code::Fine, _) | (_, Code::Fine) => Code::Fine,
        (Code::None, Code::None) => Code::None,
    })
}

fn code_of(code: &Value) -> Code {
    let of_number = |number: i64| match number {
        0 | 200..300 | 20_000 => Code::Fine,
        400..600 => Code::Bad,
        number => Code::Odd { is_failure: !(0..400).contains(&number) },
    };
    match code {
        Value::Number(number) => number.as_i64().map_or(Code::None, of_number),
        Value::String(text) => match text.parse::<i64>() {
            Ok(number) => of_number(number),
            Err(_) => {
                let word = text.to_lowercase();
                let is_bad = ["error", "exception", "fail", "invalid", "exceed", "denied", "limit"]
                    .iter()
                    .any(|bad| word.contains(bad));
                if is_bad { Code::Bad } else { Code::None }
            }
        },
        _ => Code::None,
    }
}

#[cfg(test)]
mod tests;
