//! What a refusal says about the endpoint that sent it. Pure.
//!
//! A status alone does not say: 403 is a key without permission, and a prompt that a filter did not
//! like; 404 is a model that is not there, and a route that this request would need. Only what is
//! about the key or the model puts an endpoint out of service; all else counts for the call alone.

use super::upstream_error::{
    Refusal,
    words::{is_about_content, is_about_key, is_passing, mentions},
};
use crate::llm::LlmErrorKind;

/// The one to blame for a refusal that looks like a wrong key or model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::llm) enum Blame {
    /// The key or the model, so that every call will fail.
    Endpoint,
    /// Perhaps those: what it says of itself has to be compared with the endpoint's model list.
    Unclear,
    /// This request, or nothing that is known.
    Request,
}

impl Blame {
    /// Decides it for a refusal of this kind.
    pub(in crate::llm) fn of(refusal: &Refusal, kind: LlmErrorKind) -> Self {
        // Inside a stream, and under a status of another meaning, it is the word of somebody behind.
        if refusal.is_in_band() {
            return Self::Request;
        }
        let words = refusal.words();
        match (refusal.status, kind) {
            (401, LlmErrorKind::Unauthorized) => Self::Endpoint,
            // Gemini's way to say 401.
            (400, LlmErrorKind::Unauthorized)
                if mentions(&words, &["api_key_invalid", "api key not valid"]) =>
            {
                Self::Endpoint
            }
            (403 | 404, LlmErrorKind::Unauthorized | LlmErrorKind::NotFound)
                if is_passing(&words) =>
            {
                Self::Request
            }
            (403, LlmErrorKind::Unauthorized)
                if is_about_content(&words) || mentions(&words, &REQUEST_WORDS) =>
            {
                Self::Request
            }
            (403, LlmErrorKind::Unauthorized) if is_about_key(&words) => Self::Endpoint,
            (403, LlmErrorKind::Unauthorized | LlmErrorKind::Upstream { .. }) => Self::Unclear,
            (404, LlmErrorKind::NotFound) if mentions(&words, &ROUTE_WORDS) => Self::Request,
            (404, LlmErrorKind::NotFound)
                if mentions(&words, &SURE_MODEL) || words.lines().any(misses_model) =>
            {
                Self::Endpoint
            }
            (404, LlmErrorKind::NotFound) => Self::Unclear,
            _ => Self::Request,
        }
    }
}

/// A request that is too large, or that asks for what is not allowed in it.
const REQUEST_WORDS: [&str; 9] = [
    "too large",
    "too long",
    "this request",
    "your request",
    "request blocked",
    "request was blocked",
    "tool use",
    "waf",
    "firewall",
];

/// What a route is looked up by beside the model: other requests find theirs.
const ROUTE_WORDS: [&str; 21] = [
    "no endpoints found that",
    "no endpoints found matching",
    "no endpoints available",
    "no allowed providers",
    "data policy",
    "privacy",
    "guardrail",
    "support tool",
    "tool use",
    "tool not found",
    "function not found",
    "support image",
    "support input",
    "requested parameters",
    "could not download",
    "file not found",
    "image not found",
    "previous_response",
    "previous response",
    "conversation",
    "cached",
];

/// Whether a line is of the kind "the model `x` does not exist".
fn misses_model(line: &str) -> bool {
    const MISSING: [&str; 4] = ["not found", "is not found", "does not exist", "doesn't exist"];
    let rest = line.strip_prefix("the ").unwrap_or(line).strip_prefix("model ");
    let behind = rest.and_then(|rest| rest.split_once(' ')).map(|(_name, behind)| behind);
    behind.is_some_and(|behind| MISSING.iter().any(|words| behind.starts_with(words)))
}

/// What can only be about the model.
const SURE_MODEL: [&str; 6] = [
    "model_not_found",
    "deploymentnotfound",
    "try pulling it",
    "no endpoints found for",
    "no such model",
    "unknown model",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_key_and_model_are_the_endpoints_fault() {
        use Blame::{Endpoint, Request, Unclear};
        for (status, body, want) in [
            (401, "", Endpoint),
            (401, r#"{"error":{"message":"bad key"}}"#, Endpoint),
            (403, "", Unclear),
            (403, "<!DOCTYPE html><title>Attention Required! | Cloudflare</title>", Unclear),
            (403, r#"{"error":{"message":"Your input was flagged for: violence"}}"#, Request),
            (403, r#"{"error":{"code":"content_policy_violation"}}"#, Request),
            (403, r#"{"error":{"message":"输入内容包含敏感信息"}}"#, Request),
            (403, r#"{"error":{"message":"Invalid API key"}}"#, Endpoint),
            (403, r#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#, Unclear),
            (403, r#"{"error":{"type":"permission_error","message":"no"}}"#, Unclear),
            (403, r#"{"message":"Access Denied","reference":"18.7a1b"}"#, Unclear),
            (
                403,
                r#"{"error":{"message":"Tool web_search is not enabled for your organization"}}"#,
                Unclear,
            ),
            (
                403,
                r#"{"error":{"message":"You do not have permission to access the File abc"}}"#,
                Unclear,
            ),
            (403, r#"{"error":{"message":"Project does not have access to model `m`"}}"#, Endpoint),
            (403, r#"{"detail":"Forbidden"}"#, Unclear),
            (
                403,
                r#"{"error":{"message":"Country, region, or territory not supported","code":"unsupported_country_region_territory"}}"#,
                Unclear,
            ),
            (403, r#"{"error":{"message":"Tool use is disabled for this request"}}"#, Request),
            (403, r#"{"error":{"message":"Request body too large for this account"}}"#, Request),
            (403, "Request blocked by WAF: SQL injection detected", Request),
            (404, r#"{"error":{"message":"The model is overloaded"}}"#, Request),
            (
                404,
                r#"{"error":{"message":"model m is currently unavailable, try again later"}}"#,
                Request,
            ),
            (404, r#"{"error":{"message":"tool not found: the model cannot call f"}}"#, Request),
            (404, "", Unclear),
            (404, "404 page not found", Unclear),
            (404, r#"{"detail":"Not Found"}"#, Unclear),
            (404, r#"{"error":"model 'x' not found, try pulling it first"}"#, Endpoint),
            (404, r#"{"error":{"code":"model_not_found","message":"nope"}}"#, Endpoint),
            (404, r#"{"error":{"message":"The model `x` does not exist."}}"#, Endpoint),
            (404, r#"{"error":"model 'x' not found"}"#, Endpoint),
            (
                404,
                r#"{"error":{"message":"Model m with modality image is not supported"}}"#,
                Unclear,
            ),
            (
                404,
                r#"{"error":{"message":"The image URL could not be fetched: 404 not found (model input)"}}"#,
                Unclear,
            ),
            (
                404,
                r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
                Endpoint,
            ),
            (
                404,
                r#"{"type":"error","error":{"type":"not_found_error","message":"model: c"}}"#,
                Unclear,
            ),
            (
                404,
                r#"{"error":{"code":404,"message":"models/x is not found for API version v1beta","status":"NOT_FOUND"}}"#,
                Unclear,
            ),
            (404, r#"{"error":{"message":"No endpoints found for a/b."}}"#, Endpoint),
            (
                404,
                r#"{"error":{"message":"No endpoints found that support tool use. To learn more about provider routing, visit: x"}}"#,
                Request,
            ),
            (
                404,
                r#"{"error":{"message":"No endpoints found matching your data policy (Free model publication)."}}"#,
                Request,
            ),
            (
                404,
                r#"{"error":{"message":"No allowed providers are available for the selected model."}}"#,
                Request,
            ),
            (400, r#"{"error":{"code":400,"message":"API key not valid."}}"#, Endpoint),
            (400, "", Request),
            (500, r#"{"error":{"message":"Error 401 Unauthorized from upstream"}}"#, Request),
        ] {
            let refusal = Refusal::of_response(status, body.as_bytes());
            let kind = refusal.error_kind(None);
            assert_eq!(Blame::of(&refusal, kind), want, "{status} {body} ({kind:?})");
        }
        let inside = Refusal::inside(&serde_json::json!({"error": {"code": 401}}));
        assert_eq!(Blame::of(&inside, LlmErrorKind::Unauthorized), Request);
    }
}
