//! How other tools write a variable where a key belongs. Here it would be taken as the key itself,
//! which shows only when an upstream refuses it. Pure.

use crate::types::keys_in;

/// The variable that a text refers to in the spelling of another tool; `None`: it is none of those.
/// The name is empty where it is not known, or could be a key.
pub(super) fn variable(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    is_reference(text).then(|| name(text).unwrap_or_default())
}

/// Whether a text is such a reference and nothing else, so that it may be shown: every word in it is
/// a part of the spelling, or the name.
pub(super) fn is_plain_reference(text: &str) -> bool {
    const SPELLING: [&str; 14] = [
        "env", "os", "environ", "getenv", "get", "fetch", "process", "import", "meta", "secrets",
        "system", "bearer", "vars", "config",
    ];
    let Some(name) = variable(text).filter(|name| !name.is_empty()) else { return false };
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| !word.is_empty())
        .all(|word| word == name || SPELLING.contains(&word.to_ascii_lowercase().as_str()))
}

/// Whether a text names a file in the spelling of another tool, or by its path alone.
pub(super) fn is_file(text: &str) -> bool {
    const STARTS: [&str; 6] = ["@/", "@./", "@~/", "~/", "./", "../"];
    let is_ours = text.starts_with("file:");
    let lower = text.to_ascii_lowercase();
    let names_one = lower.starts_with("file:") || lower.starts_with("@file:");
    (names_one && !is_ours)
        || STARTS.iter().any(|start| text.starts_with(start))
        || is_absolute(&lower)
}

/// `/run/secrets/key`, `c:\keys\key`: a key may begin with a slash too, but not with a folder that
/// every machine has.
fn is_absolute(text: &str) -> bool {
    const ROOTS: [&str; 14] = [
        "app", "data", "etc", "home", "keys", "mnt", "opt", "root", "run", "secrets", "srv", "usr",
        "users", "var",
    ];
    let root = text.strip_prefix('/').and_then(|path| path.split_once('/'));
    let mut letters = text.chars();
    let drive = letters.next().is_some_and(|one| one.is_ascii_alphabetic())
        && letters.next() == Some(':')
        && matches!(letters.next(), Some('\\' | '/'));
    drive || root.is_some_and(|(root, rest)| ROOTS.contains(&root) && !rest.is_empty())
}

fn is_reference(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let around = |open: &str, close: &str| {
        text.len() > open.len() + close.len() && text.starts_with(open) && text.ends_with(close)
    };
    let identifier = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !text.is_empty()
            && text.bytes().all(allowed)
            && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    // `env:NAME` is ours, in these letters and with one colon; likewise `vault:PATH#FIELD`.
    let is_ours =
        |prefix: &str| text.strip_prefix(prefix).is_some_and(|rest| !rest.starts_with([':', '/']));
    let after = |word: &str| {
        let rest = lower.trim_start_matches(['!', '@', '(', '{']).strip_prefix(word);
        rest.is_some_and(|rest| rest.starts_with([':', '/', '.', '[', '(', ' ', '\'', '"']))
    };
    text.starts_with('$')
        || around("%", "%")
        || around("%{", "}")
        || around("{", "}")
        || ["os.environ", "os.getenv", "process.env", "import.meta.env", "system.getenv", "secrets"]
            .iter()
            .any(|word| after(word))
        || (after("env") && !is_ours("env:"))
        || after("getenv")
        || after("environment")
        || after("dynamic")
        // Of keyrings.
        || (lower.starts_with("vault:") && !is_ours("vault:"))
        || ["op://", "keyring:", "secret:", "sops:", "doppler:", "aws-sm:", "bws:"]
            .iter()
            .any(|scheme| lower.starts_with(scheme))
        || is_file(text)
        || around("`", "`")
        || around("#{", "}")
        // A name alone that can only be a variable's.
        || (identifier(text)
            && text.contains('_')
            && text.bytes().all(|byte| !byte.is_ascii_lowercase())
            && ["_KEY", "_TOKEN", "_SECRET"].iter().any(|ending| text.ends_with(ending)))
}

/// The last word in it that looks like a variable's name and like no key.
fn name(text: &str) -> Option<String> {
    let mut words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let allowed = |word: &&str| {
        let capital = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
        word.len() > 3
            && word.len() <= 64
            && word.bytes().all(capital)
            && word.starts_with(|first: char| first.is_ascii_uppercase())
            && (word.contains('_') || word.bytes().all(|byte| byte.is_ascii_uppercase()))
            && keys_in(word).is_empty()
    };
    words.rfind(allowed).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_other_tools_are_known() {
        for text in [
            "$OPENAI_API_KEY",
            "${OPENAI_API_KEY}",
            "${OPENAI_API_KEY:-none}",
            "${env:OPENAI_API_KEY}",
            "$env:OPENAI_API_KEY",
            "${{ secrets.OPENAI_API_KEY }}",
            "$(OPENAI_API_KEY)",
            "os.environ/OPENAI_API_KEY",
            "os.environ[\"OPENAI_API_KEY\"]",
            "os.environ.get('OPENAI_API_KEY')",
            "os.getenv(\"OPENAI_API_KEY\")",
            "getenv('OPENAI_API_KEY')",
            "ENV:OPENAI_API_KEY",
            "Env:OPENAI_API_KEY",
            "env::OPENAI_API_KEY",
            "env://OPENAI_API_KEY",
            "env.OPENAI_API_KEY",
            "env/OPENAI_API_KEY",
            "env OPENAI_API_KEY",
            "env(OPENAI_API_KEY)",
            "!ENV OPENAI_API_KEY",
            "{{ env.OPENAI_API_KEY }}",
            "{{OPENAI_API_KEY}}",
            "{env:OPENAI_API_KEY}",
            "{$OPENAI_API_KEY}",
            "%OPENAI_API_KEY%",
            "ENV['OPENAI_API_KEY']",
            "ENV.fetch('OPENAI_API_KEY')",
            "process.env.OPENAI_API_KEY",
            "process.env['OPENAI_API_KEY']",
            "import.meta.env.OPENAI_API_KEY",
            "secrets.OPENAI_API_KEY",
            "Bearer $OPENAI_API_KEY",
            "OPENAI_API_KEY",
            "VAULT:OPENAI_API_KEY",
            "vault://kv/OPENAI_API_KEY",
            "op://keys/OPENAI_API_KEY",
            "#{OPENAI_API_KEY}",
            "`echo OPENAI_API_KEY`",
            "%{OPENAI_API_KEY}",
            "dynamic::OPENAI_API_KEY",
            "environment:OPENAI_API_KEY",
        ] {
            assert_eq!(variable(text).as_deref(), Some("OPENAI_API_KEY"), "{text}");
        }
    }

    #[test]
    fn files_of_other_tools_are_known() {
        for text in [
            "FILE:/run/key",
            "File:key.txt",
            "@/run/key",
            "@./key",
            "@~/key",
            "@file:key.txt",
            "/run/secrets/openai",
            "/Users/me/key.txt",
            "~/.openai_key",
            "../key",
            "C:\\keys\\openai.txt",
        ] {
            assert!(is_file(text) && variable(text).is_some(), "{text}");
        }
        for text in ["file:/run/key", "@key", "files", "/aB3+x/9Qz==", "/run", "sk-/run/x"] {
            assert!(!is_file(text), "{text}");
        }
    }

    #[test]
    fn keys_are_not_taken_for_variables_and_never_shown() {
        for text in [
            "",
            "sk-1f9a",
            "ollama",
            "EMPTY",
            "none",
            "env:OPENAI_API_KEY",
            "env: OPENAI_API_KEY",
            "env:my_key",
            "file:keys/openai",
            "vault:secret/chorus#OPENAI_API_KEY",
            "cmd:pass show OPENAI_API_KEY",
            "environment-7",
            "envoy",
            "a$b%c",
            "%",
            "0123456789abcdef0123456789abcdef",
            "ABCDEF0123456789ABCDEF0123456789",
            "Bearer sk-1f9a",
        ] {
            assert_eq!(variable(text), None, "{text}");
        }
        for text in ["$sk-5ecre7", "ENV:5ecre7pa55", "%pa55word%", "$A1B2C3D4E5F6A1B2C3D4E5F6"] {
            assert_eq!(variable(text).as_deref(), Some(""), "{text}");
        }
    }
}
