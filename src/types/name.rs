//! The names of models.

/// A model's name. `:latest` behind it, which Ollama and its clients write where nothing else is
/// said, means the same as nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelName<'a>(&'a str);

impl<'a> ModelName<'a> {
    /// What somebody wrote, with or without `:latest`.
    #[must_use]
    pub fn of(written: &'a str) -> Self {
        Self(written.strip_suffix(":latest").unwrap_or(written))
    }

    /// The name without `:latest`.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_says_nothing() {
        for (one, other, same) in [
            ("m", "m:latest", true),
            ("m:latest", "m:latest", true),
            ("m:8b", "m", false),
            ("latest", "", false),
            (":latest", "", true),
        ] {
            assert_eq!(ModelName::of(one) == ModelName::of(other), same, "{one} {other}");
        }
    }
}
