//! What a key is for, by its name alone: where the file cannot be read, and where nobody knows the key.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::config::{
    error::did_you_mean,
    fullwidth,
    schema::{Rule, Use},
};

/// Every key of the config and of plans; of several uses the one that shows less.
static KEYS: LazyLock<BTreeMap<&'static str, Use>> = LazyLock::new(|| {
    let mut keys = BTreeMap::new();
    for (key, use_) in Rule::every_key() {
        let known = keys.entry(key).or_insert(use_);
        *known = use_.max(*known);
    }
    keys
});

/// Words in keys of secrets and prompts.
const SECRET: [&str; 20] = [
    "key",
    "token",
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "auth",
    "cred",
    "bearer",
    "cookie",
    "signature",
    "private",
    "header",
    "session",
    "system",
    "prompt",
    "instruction",
    "content",
    "message",
    "login",
];
/// And whole keys of secrets that are a part of other words.
const SECRET_ALONE: [&str; 4] = ["pass", "pw", "pin", "user"];

/// The use of a key; `None`: nobody knows it.
pub(super) fn use_of(key: &str) -> Option<Use> {
    KEYS.get(key).copied()
}

/// What a key is probably meant to be: itself, a known one that it is much like, or a secret's.
pub(super) fn meant(key: &str) -> Option<Use> {
    let key = fullwidth::folded(key);
    let near = || did_you_mean(&key, KEYS.keys().copied()).and_then(use_of);
    // A misspelt secret is one, however much it is like something else.
    let near_secret = || {
        let secrets = KEYS.iter().filter(|(_, use_)| **use_ == Use::Key);
        did_you_mean(&key, secrets.map(|(key, _)| *key)).map(|_| Use::Key)
    };
    // `token` is no misspelt `tokens`.
    let is_word = SECRET.iter().chain(&SECRET_ALONE).any(|word| *word == key);
    let word = || is_word.then_some(Use::Key);
    let any = || is_secret(&key).then_some(Use::Key);
    use_of(&key).or_else(near_secret).or_else(word).or_else(near).or_else(any)
}

/// Whether a word says that what comes next is a secret, or somebody's prompt.
pub(super) fn is_secret(word: &str) -> bool {
    let word = fullwidth::folded(word).to_lowercase();
    match use_of(&word) {
        Some(use_) => use_ == Use::Key,
        None => {
            SECRET.iter().any(|secret| word.contains(secret))
                || word.split(['_', '-', '.']).any(|part| SECRET_ALONE.contains(&part))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_judged_by_what_it_was_meant_to_be() {
        for (key, want) in [
            ("api_key", Some(Use::Key)),
            ("api_keyy", Some(Use::Key)),
            ("apikey", Some(Use::Key)),
            ("api-key", Some(Use::Key)),
            ("kye", Some(Use::Key)),
            ("ap_ky", Some(Use::Key)),
            ("token", Some(Use::Key)),
            ("my_password", Some(Use::Key)),
            ("pass", Some(Use::Key)),
            ("heders", Some(Use::Key)),
            ("systm", Some(Use::Key)),
            ("system_prompt", Some(Use::Key)),
            ("worker_timout_secs", Some(Use::Word)),
            ("header_hold_sec", Some(Use::Word)),
            ("context_token", Some(Use::Word)),
            ("tempature", Some(Use::Word)),
            ("hots", Some(Use::Name)),
            ("rfe", Some(Use::Name)),
            ("api_bse", Some(Use::Address)),
            ("modell", Some(Use::Name)),
            ("colour", None),
            ("温度", None),
        ] {
            assert_eq!(meant(key), want, "{key}");
        }
    }
}
