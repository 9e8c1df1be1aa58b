//! What the text of a key refers to. Pure.

use crate::config::foreign;

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Reference<'t> {
    /// The text is the key.
    Literal,
    /// `env:NAME`: an environment variable.
    Variable(&'t str),
    /// `file:PATH`.
    File(&'t str),
    /// `cred:NAME`: a file in the credentials directory of systemd.
    Credential(&'t str),
    /// `cmd:PROGRAM ARGS`: what a program prints.
    Command(&'t str),
    /// `vault:PATH#FIELD`: a field of a secret in Vault.
    Vault(&'t str),
}

/// Every prefix, with an example of what stands behind it.
pub(in crate::config) const PREFIXES: [&str; 5] = ["env:", "file:", "cred:", "cmd:", "vault:"];

impl<'t> Reference<'t> {
    /// Reads a text, without blanks around it.
    pub(in crate::config) fn of(text: &'t str) -> Self {
        let kinds = [Self::Variable, Self::File, Self::Credential, Self::Command, Self::Vault];
        if foreign::variable(text).is_some() {
            return Self::Literal;
        }
        PREFIXES
            .iter()
            .zip(kinds)
            .find_map(|(prefix, kind)| Some(kind(text.strip_prefix(prefix)?.trim())))
            .unwrap_or(Self::Literal)
    }
}

/// The path and the field of `PATH#FIELD`, and the path as Vault's interface has it: `data` stands
/// behind the name of the store, which is the first part unless `data` is written out.
pub(super) fn vault_place(text: &str) -> Option<(String, &str)> {
    let (path, field) = text.rsplit_once('#')?;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let is_sound = |part: &&str| !matches!(*part, "" | "." | "..") && !part.contains('#');
    if field.is_empty() || parts.len() < 2 || !parts.iter().all(is_sound) {
        return None;
    }
    let (store, rest) = match parts.iter().skip(1).position(|part| *part == "data") {
        Some(at) => (parts.get(..=at)?, parts.get(at.saturating_add(2)..)?),
        None => parts.split_at_checked(1)?,
    };
    (!rest.is_empty()).then(|| (format!("{}/data/{}", store.join("/"), rest.join("/")), field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_say_where_a_key_is() {
        for (text, want) in [
            ("sk-1f9a", Reference::Literal),
            ("env:KEY", Reference::Variable("KEY")),
            ("env: KEY", Reference::Variable("KEY")),
            ("file:key.txt", Reference::File("key.txt")),
            ("cred:openai", Reference::Credential("openai")),
            ("cmd:pass show openai", Reference::Command("pass show openai")),
            ("vault:secret/chorus#openai", Reference::Vault("secret/chorus#openai")),
            ("env::KEY", Reference::Literal),
            ("VAULT:secret/chorus#openai", Reference::Literal),
            ("vault://secret/chorus#openai", Reference::Literal),
            ("CMD:pass", Reference::Literal),
            ("command", Reference::Literal),
        ] {
            assert_eq!(Reference::of(text), want, "{text}");
        }
    }

    #[test]
    fn places_in_vault_are_written_as_for_its_command_line_or_its_interface() {
        for (text, want) in [
            ("secret/chorus#openai", Some(("secret/data/chorus", "openai"))),
            ("/secret/team/chorus/#openai", Some(("secret/data/team/chorus", "openai"))),
            ("secret/data/chorus#openai", Some(("secret/data/chorus", "openai"))),
            ("team/kv/data/chorus#a#b", None),
            ("team/kv/data/chorus#b", Some(("team/kv/data/chorus", "b"))),
            ("secret/chorus", None),
            ("secret/chorus#", None),
            ("secret#openai", None),
            ("secret/data#openai", None),
            ("secret/../sys#openai", None),
            ("secret//chorus#openai", None),
            ("#openai", None),
            ("", None),
        ] {
            let found = vault_place(text);
            let found = found.as_ref().map(|(path, field)| (path.as_str(), *field));
            assert_eq!(found, want, "{text}");
        }
    }
}
