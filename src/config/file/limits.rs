//! `[limits]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{server::Size, wording};

/// What all requests together may take of the machine.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// Memory for requests and whole answers in flight, as a size or a number of bytes; what comes
    /// beyond it gets 503 `overloaded` with `Retry-After`. A request counts twice its body's bytes, since
    /// it is read and sent on. None: half of what the machine has, or its control group.
    #[schemars(
        with = "Option<String>",
        transform = wording::large_size,
        regex(pattern = r"^\s*0*[1-9][0-9]*\s*([KkMmGg]?[Bb]|[KkMmGg]([Ii][Bb])?)?\s*$"),
        example = &"2GiB"
    )]
    pub memory: Option<Size>,
}
