//! Gateways between Chorus and a model's provider: which one answered, by its headers, and whether
//! it has tried again by itself. Pure.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// A gateway that names itself in the headers of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// LiteLLM's proxy.
    LiteLlm,
    /// OptiLLM.
    OptiLlm,
    /// TensorZero.
    TensorZero,
    /// Portkey.
    Portkey,
    /// Helicone.
    Helicone,
    /// Cloudflare's AI Gateway.
    Cloudflare,
    /// Busbar.
    Busbar,
    /// Kong's AI Gateway.
    Kong,
}

/// What the names of a gateway's own headers begin with.
const PREFIXES: [(&str, Gateway); 10] = [
    ("x-litellm-", Gateway::LiteLlm),
    ("llm_provider-", Gateway::LiteLlm),
    ("x-optillm-", Gateway::OptiLlm),
    ("tensorzero-", Gateway::TensorZero),
    ("x-tensorzero-", Gateway::TensorZero),
    ("x-portkey-", Gateway::Portkey),
    ("helicone-", Gateway::Helicone),
    ("cf-aig-", Gateway::Cloudflare),
    ("x-busbar-", Gateway::Busbar),
    ("x-kong-llm-", Gateway::Kong),
];

/// Headers that count how often a request was repeated behind the gateway; 0 says that it was not,
/// a negative number that the tries were used up.
const COUNTS: [&str; 2] = ["x-portkey-retry-attempt-count", "x-litellm-attempted-retries"];
/// Envoy's count of the tries, the first one among them.
const TRIES: &str = "x-envoy-attempt-count";

impl Gateway {
    /// The gateway whose headers these are.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let of_name = |name: &str| {
            PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, found)| *found)
        };
        headers.keys().find_map(|name| of_name(name.as_str()))
    }

    /// The gateway whose list of models this is: LiteLLM gives every model the same time of birth,
    /// and no header that names it.
    #[must_use]
    pub fn of_list(list: &Value) -> Option<Self> {
        const BIRTH: u64 = 1_677_610_602;
        let models = list.get("data")?.as_array().filter(|models| !models.is_empty())?;
        let is_one = |model: &Value| {
            model.get("created").and_then(Value::as_u64) == Some(BIRTH)
                && model.get("owned_by").and_then(Value::as_str) == Some("openai")
        };
        models.iter().all(is_one).then_some(Self::LiteLlm)
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LiteLlm => "LiteLLM",
            Self::OptiLlm => "OptiLLM",
            Self::TensorZero => "TensorZero",
            Self::Portkey => "Portkey",
            Self::Helicone => "Helicone",
            Self::Cloudflare => "Cloudflare AI Gateway",
            Self::Busbar => "Busbar",
            Self::Kong => "Kong",
        }
    }

    /// Whether it repeats failed requests unless it is configured not to.
    #[must_use]
    pub fn retries_by_default(self) -> bool {
        match self {
            Self::LiteLlm | Self::OptiLlm | Self::Busbar => true,
            Self::TensorZero | Self::Portkey | Self::Helicone | Self::Cloudflare | Self::Kong => {
                false
            }
        }
    }

    /// Whether the failure with these headers was already tried again behind a gateway, so that
    /// another try of ours multiplies its tries.
    #[must_use]
    pub fn has_retried(headers: &HeaderMap) -> bool {
        let count = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
        let counted = COUNTS.iter().filter_map(|name| count(name)).map(|again| again != 0);
        // What is counted is known, whatever the gateway does by default.
        let again = counted
            .reduce(|one, other| one || other)
            .unwrap_or_else(|| Self::of_headers(headers).is_some_and(Self::retries_by_default));
        again || count(TRIES).is_some_and(|tries| tries > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_known_by_its_headers() {
        let of = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (*name, *value));
            let headers: HeaderMap = pairs
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            (Gateway::of_headers(&headers).map(Gateway::name), Gateway::has_retried(&headers))
        };
        for (pairs, want) in [
            (vec![("x-litellm-call-id", "1")], (Some("LiteLLM"), true)),
            (vec![("date", "now"), ("x-litellm-version", "1.2")], (Some("LiteLLM"), true)),
            (vec![("llm_provider-retry-after", "7")], (Some("LiteLLM"), true)),
            (vec![("x-portkey-trace-id", "1")], (Some("Portkey"), false)),
            (vec![("x-portkey-retry-attempt-count", "0")], (Some("Portkey"), false)),
            (vec![("x-portkey-retry-attempt-count", "3")], (Some("Portkey"), true)),
            (vec![("x-portkey-retry-attempt-count", "-1")], (Some("Portkey"), true)),
            (
                vec![("x-litellm-call-id", "1"), ("x-litellm-attempted-retries", "0")],
                (Some("LiteLLM"), false),
            ),
            (
                vec![("x-litellm-call-id", "1"), ("x-litellm-attempted-retries", "2")],
                (Some("LiteLLM"), true),
            ),
            (
                vec![("x-litellm-call-id", "1"), ("x-litellm-attempted-retries", "many")],
                (Some("LiteLLM"), true),
            ),
            (vec![("x-envoy-attempt-count", "3")], (None, true)),
            (vec![("x-envoy-attempt-count", "1")], (None, false)),
            (
                vec![("x-litellm-call-id", "1"), ("x-envoy-attempt-count", "1")],
                (Some("LiteLLM"), true),
            ),
            (
                vec![("x-litellm-attempted-retries", "0"), ("x-envoy-attempt-count", "2")],
                (Some("LiteLLM"), true),
            ),
            (vec![("helicone-id", "1")], (Some("Helicone"), false)),
            (vec![("cf-aig-log-id", "1")], (Some("Cloudflare AI Gateway"), false)),
            (vec![("x-busbar-route-target", "m")], (Some("Busbar"), true)),
            (vec![("tensorzero-gateway-version", "1")], (Some("TensorZero"), false)),
            (vec![("x-request-id", "1"), ("server", "uvicorn")], (None, false)),
        ] {
            assert_eq!(of(&pairs), want, "{pairs:?}");
        }
    }
}
