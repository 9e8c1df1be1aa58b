//! How much of a value is shown, by what its key is for. Pure.

use url::Url;

use crate::{
    config::{foreign, fullwidth, schema::Use, secret::PREFIXES},
    types::{keys_in, without_keys},
};

/// Letters of a word that is shown without its key being known.
const WORD: usize = 16;
/// Letters of a name of a variable or a file.
const NAME: usize = 64;
/// A part of an address or a path that is longer may be a key when it has digits.
const SEGMENT: usize = 20;

/// What is shown instead of a text; `None`: the text itself. `use_`: what its key is for, `None` when
/// nobody knows.
pub(super) fn shown(use_: Option<Use>, text: &str) -> Option<String> {
    let hidden = || Some(HIDDEN.to_owned());
    match use_ {
        // Nothing in it could be a secret.
        _ if !text.chars().any(char::is_alphanumeric) => None,
        Some(Use::Name) => None,
        Some(Use::Word) if is_word(text) => None,
        Some(Use::Address) => address(text).map(|text| without_keys(&text)),
        Some(Use::Path) if is_path(text) => None,
        Some(Use::Key) => key(text),
        None | Some(Use::Section | Use::Plan) => {
            let is_harmless = is_word(text) || is_path(text) || foreign::is_plain_reference(text);
            if is_harmless { None } else { address(text).map(|text| without_keys(&text)) }
        }
        Some(Use::Word | Use::Path) => hidden(),
    }
}

/// The reference that a secret is read from, which may be known.
fn key(text: &str) -> Option<String> {
    let text = text.trim();
    if foreign::is_plain_reference(text) {
        return None;
    }
    let folded = fullwidth::folded(text);
    let prefix = PREFIXES.iter().find(|prefix| folded.starts_with(**prefix));
    let Some((prefix, rest)) = prefix.and_then(|it| Some((*it, folded.strip_prefix(it)?.trim())))
    else {
        return Some(HIDDEN.to_owned());
    };
    let is_shown = match prefix {
        "env:" => is_variable(rest),
        "vault:" => rest
            .rsplit_once('#')
            .is_some_and(|(path, field)| is_path(path) && (is_path(field) || is_variable(field))),
        // Its arguments may be anything.
        "cmd:" => {
            let program = rest.split_whitespace().next().filter(|program| is_path(program));
            let shown = program.map(|program| format!("{program} ")).unwrap_or_default();
            return Some(format!("cmd:{shown}{HIDDEN}"));
        }
        _ => is_path(rest),
    };
    (!is_shown).then(|| format!("{prefix}{HIDDEN}"))
}

/// A variable's name: capitals, or words with underscores between them and hardly a digit.
fn is_variable(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    name.len() <= NAME
        && name.bytes().all(allowed)
        && keys_in(name).is_empty()
        && (name.bytes().all(|byte| !byte.is_ascii_lowercase())
            || (name.contains('_') && digits <= 2))
}

/// A number with or without a unit, or a short text of letters.
fn is_word(text: &str) -> bool {
    let folded = fullwidth::folded(text);
    let text = folded.trim();
    if text.chars().count() > WORD {
        return false;
    }
    let letters = |letter: char| letter.is_alphabetic() || matches!(letter, '-' | '_' | ' ');
    let number = text.trim_start_matches(['-', '+']);
    let unit = number.trim_start_matches(|c: char| c.is_ascii_digit() || ".,_".contains(c));
    let is_unit = unit.trim_start().chars().all(char::is_alphabetic);
    text.chars().all(letters) || (unit.len() < number.len() && is_unit)
}

/// A path, or the name of a file: one with an ending, one that begins where paths begin, or one of
/// letters alone, since a secret may hold a slash. No part of it looks like a key.
fn is_path(text: &str) -> bool {
    let ending = text.rsplit_once('.').is_some_and(|(name, ending)| {
        !name.is_empty()
            && (2..=5).contains(&ending.len())
            && ending.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    let plain = |letter: char| letter.is_alphabetic() || matches!(letter, '-' | '_');
    let parts = || text.split(['/', '\\']);
    let is_name = parts().all(|part| part.chars().count() <= NAME && part.chars().all(plain));
    (begins_a_path(text) || ending || is_name)
        && !text.contains("://")
        && !text.contains(['+', '=', '?', '@', '"', '\''])
        && parts().all(|part| !is_keylike(part))
}

/// `./`, `~/`, a drive, or a folder of the root.
fn begins_a_path(text: &str) -> bool {
    let is_drive = || {
        text.split_once(":\\").or_else(|| text.split_once(":/")).is_some_and(|(drive, _)| {
            drive.len() == 1 && drive.bytes().all(|letter| letter.is_ascii_alphabetic())
        })
    };
    ["./", "../", "~/"].iter().any(|start| text.starts_with(start))
        || text.strip_prefix('/').is_some_and(|rest| rest.contains('/'))
        || is_drive()
}

/// A part of a path that may be a key: a long run of letters and digits, or one as keys begin.
fn is_keylike(part: &str) -> bool {
    let run = |run: &str| {
        run.len() >= 12
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let digits = part.bytes().any(|byte| byte.is_ascii_digit());
    !keys_in(part).is_empty()
        || part.contains(['=', '&', '%'])
        || part.split(['-', '_', '.']).any(run)
        || (part.len() > SEGMENT && digits && part.contains(|c: char| c.is_ascii_alphabetic()))
}

/// An address without what stands before its host and behind its path, and without parts that look
/// like keys. A text that is none may be a key in the wrong place.
fn address(written: &str) -> Option<String> {
    let folded = fullwidth::folded(written);
    let text = folded.trim();
    if is_word(text) {
        return None;
    }
    let hidden = || Some(HIDDEN.to_owned());
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            (format!("{scheme}://"), rest)
        }
        Some(_) => return hidden(),
        // Somebody left the scheme out.
        None if is_host(text) => (String::new(), text),
        None => return hidden(),
    };
    let Ok(url) = Url::parse(&format!("http://{rest}")) else { return hidden() };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let Some((authority, path)) = rest.split_at_checked(end) else { return hidden() };
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{HIDDEN}@{host}"),
        None => authority.to_owned(),
    };
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let Some((path, query)) = path.split_at_checked(end) else { return hidden() };
    let segment = |segment: &str| match is_keylike(segment) || segment.contains(['@', '\\']) {
        true => HIDDEN.to_owned(),
        false => segment.to_owned(),
    };
    let path = path.split('/').map(segment).collect::<Vec<_>>().join("/");
    let mark = query.get(..1).map(|mark| format!("{mark}{HIDDEN}")).unwrap_or_default();
    let shown = format!("{scheme}{host}{path}{mark}");
    // A host that the parser found elsewhere is no host.
    let same = url.host_str().is_some_and(|found| {
        let plain = host.rsplit('@').next().unwrap_or_default().to_lowercase();
        plain.starts_with(&found.to_lowercase()) || plain.starts_with(|c: char| c.is_ascii_digit())
    });
    match same {
        true => (shown != text).then_some(shown),
        false => hidden(),
    }
}

/// Whether a text without a scheme begins with a host: dots between names and a last one of letters,
/// an IP address, or a port behind it.
fn is_host(text: &str) -> bool {
    let host = text.split(['/', '?', '#']).next().unwrap_or_default();
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let has_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let last = name.rsplit('.').next().unwrap_or_default();
    let has_domain = name.contains('.')
        && (last.bytes().all(|byte| byte.is_ascii_alphabetic())
            || name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    name.bytes().all(allowed)
        && (has_port || has_domain)
        && name.split('.').all(|part| !is_keylike(part))
}

/// What stands for what is hidden.
pub(in crate::config) const HIDDEN: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_paths_are_shown_and_keys_are_not() {
        let hidden = Some(HIDDEN);
        for (use_, text, want) in [
            (None, "60", None),
            (None, "60 seconds", None),
            (None, "blue", None),
            (None, "自动", None),
            (None, "１１４３５", None),
            (None, "plans/a.json", None),
            (None, "hunter2", hidden),
            (None, "correct horse battery staple", hidden),
            (None, "7-seas-of-rhye", hidden),
            (None, "250ms", None),
            (None, "", None),
            (Some(Use::Word), "opnai", None),
            (Some(Use::Word), "64 parsecs", None),
            (Some(Use::Word), "pa55", hidden),
            (Some(Use::Key), "12345", hidden),
            (Some(Use::Key), "blue", hidden),
            (Some(Use::Key), "env:OPENAI_KEY", None),
            (Some(Use::Key), "env:openai_api_key", None),
            (Some(Use::Key), "env：OPENAI_KEY", None),
            (Some(Use::Key), "env:pa55word", Some("env:***")),
            (Some(Use::Key), "file:/run/secrets/openai", None),
            (Some(Use::Key), "file:keys/openai.key", None),
            (Some(Use::Key), "file:openai_key", None),
            (Some(Use::Key), "file:pa55word", Some("file:***")),
            (Some(Use::Key), "file:aGVsbG8/d29ybGQx+dGhlcmU=", Some("file:***")),
            (Some(Use::Key), "cred:openai-key", None),
            (Some(Use::Key), "cred:pa55word", Some("cred:***")),
            (Some(Use::Key), "vault:secret/chorus#openai", None),
            (Some(Use::Key), "vault:secret/chorus#OPENAI_KEY", None),
            (Some(Use::Key), "vault:secret/chorus#pa55word", Some("vault:***")),
            (Some(Use::Key), "vault:pa55word", Some("vault:***")),
            (Some(Use::Key), "cmd:pass show openai", Some("cmd:pass ***")),
            (Some(Use::Key), "cmd:pa55word", Some("cmd:***")),
            (Some(Use::Key), "$OPENAI_API_KEY", None),
            (Some(Use::Key), "os.environ/OPENAI_API_KEY", None),
            (Some(Use::Key), "${OPENAI_API_KEY:-hunter2}", hidden),
            (Some(Use::Path), "certs/ca.pem", None),
            (Some(Use::Path), "pa55-word", hidden),
            (Some(Use::Path), "pa55\\word", hidden),
            (Some(Use::Path), "pa55/word", hidden),
            (Some(Use::Path), "/pa55word", hidden),
            (Some(Use::Path), "certs\\ca2.pem", None),
            (Some(Use::Path), "certs/of/us", None),
            (Some(Use::Path), "C:\\certs\\ca2", None),
            (Some(Use::Path), "./ca2", None),
            (Some(Use::Path), "/etc/ca2/bundle", None),
            (Some(Use::Address), "localhost:8080", None),
            (Some(Use::Address), "api.example.com/v1", None),
            (Some(Use::Address), "10.0.0.7:8000/v1", None),
            (Some(Use::Address), "htp://gpu:8000/v1", None),
            (Some(Use::Address), "http：//127.0.0.1:8080", None),
            (Some(Use::Address), "https://a.example/deployments/gpt-4o-of-my-team/v1", None),
            (Some(Use::Address), "*", None),
            (Some(Use::Address), "hunter2", hidden),
            (Some(Use::Address), "me:hunter2@api.example.com", hidden),
            (
                Some(Use::Address),
                "http://me:pa55@h.example/v1?k=1",
                Some("http://***@h.example/v1?***"),
            ),
        ] {
            assert_eq!(shown(use_, text).as_deref(), want, "{use_:?} {text}");
        }
    }
}
