//! `[[client]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Secret, wording};

/// Somebody who may call.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Client {
    /// Who it is, for you; it stands in the log, and what it has used is kept under it.
    #[schemars(required, regex(pattern = r"\S"), example = &"laptop")]
    pub name: Option<String>,
    /// The key it sends: the key itself, where it is (as `api_key` of a model), or `sha256:HEX` (64
    /// digits, which `chorus client new` writes). At least 16 characters where others than this
    /// machine can connect.
    #[schemars(
        required,
        regex(pattern = r"\S"),
        transform = wording::digest,
        example = &"env:CHORUS_LAPTOP_KEY"
    )]
    pub key: Option<Secret>,
    /// The names that it may ask for and is shown: `*` stands for any characters, `?` for one. A name
    /// fits by itself or by the workflow or model that it means. None: all.
    #[schemars(length(min = 1), inner(regex(pattern = r"\S")), example = ["chorus", "gpt-*"])]
    pub models: Option<Vec<String>>,
    /// Requests for answers within any 60 seconds; more get 429 with `Retry-After`. None: any number.
    #[schemars(range(min = 1, max = 1_000_000), example = 120)]
    pub requests_per_minute: Option<u32>,
    /// Tokens, read and written in all calls together, within any 60 seconds. A request is let in while
    /// they are not used up; until it ends, it counts with what it may take at worst. None: any number.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), example = 200_000)]
    pub tokens_per_minute: Option<u64>,
    /// Requests for answers at once; more get 429. None: as many as the server takes.
    #[schemars(range(min = 1, max = 1_000_000), example = 16)]
    pub max_in_flight: Option<u32>,
    /// What it may use up in a day, week or month: one table, or a list of them.
    #[schemars(
        transform = wording::one_or_many,
        extend("default" = []),
        example = serde_json::json!({ "usd": 5, "per": "day" })
    )]
    pub budget: Vec<Budget>,
    /// The addresses that it may call from: networks such as `10.0.0.0/8`, or single addresses. None:
    /// any.
    #[schemars(
        length(min = 1),
        inner(regex(pattern = r"^\s*[0-9A-Fa-f.:]+(/[0-9]{1,3})?\s*$")),
        example = ["10.0.0.0/8"]
    )]
    pub allowed_ips: Option<Vec<String>>,
    /// The day (UTC) from whose beginning on its key is refused. None: never.
    #[schemars(
        regex(pattern = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}\s*$"),
        example = &"2027-01-01"
    )]
    pub expires: Option<String>,
    /// Whether it may see what concerns everybody: the config in use, and what each client has used.
    #[schemars(extend("default" = false))]
    pub admin: bool,
    /// `false` refuses its key.
    #[schemars(extend("default" = true))]
    pub enabled: bool,
}

/// What a client may use up; at least one of `usd`, `tokens` and `calls`. Once that is used up, its
/// requests get 429 `insufficient_quota` until the next day, week or month begins.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Budget {
    /// How long it is for, by the calendar, UTC.
    #[schemars(required, extend("x-missing" = "write `per = \"day\"`, or week, or month"))]
    pub per: Option<Period>,
    /// US dollars, by the `price` of the models; a model without one costs nothing here.
    #[schemars(range(min = 0.01, max = 1_000_000), example = 5)]
    pub usd: Option<f64>,
    /// Tokens, read and written in all calls together.
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_u64), example = 2_000_000)]
    pub tokens: Option<u64>,
    /// Calls of models, of which a request to a workflow makes several.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), example = 5000)]
    pub calls: Option<u64>,
}

/// `per`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Period {
    /// from midnight to midnight
    Day,
    /// from Monday to Sunday
    Week,
    /// from the first to the last of a month
    Month,
}
