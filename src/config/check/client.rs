//! `[[client]]`.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use toml::Spanned;

use super::secret::Secrets;
use crate::config::{
    Client,
    raw::{Secret, Table},
};

pub(super) fn read(tables: Vec<Table<'_, '_>>, secrets: &Secrets<'_, '_>) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::with_capacity(tables.len());
    let mut names = HashMap::new();
    for mut table in tables {
        let span = table.span.clone();
        let name = table.required("name").map(Spanned::into_inner);
        if let Some(name) = &name {
            table.label = format!("client `{}`", name.escape_debug());
            if let Some(first) = names.insert(name.clone(), secrets.report.place(&span)) {
                let first = secrets.report.shown(&first);
                let what = format!("{}: the name is taken, see {first}", table.label);
                secrets.report.problem(&span, what, "give every [[client]] its own name");
            }
        }
        let key_sha256 = table.required_secret("key").and_then(|key| digest(&key, &table, secrets));
        for key in ["requests_per_minute", "tokens_per_minute", "models"] {
            table.refuse(key, "take it out; a client has a name and a key");
        }
        table.finish();
        if let (Some(name), Some(key_sha256)) = (name, key_sha256) {
            if let Some(other) = clients.iter().find(|other| other.key_sha256 == key_sha256) {
                let what = format!("clients `{}` and `{name}` have the same key", other.name);
                let remedy = "give each its own, so that they can be told apart";
                secrets.report.warn(secrets.report.place(&span), what, remedy);
            }
            clients.push(Client { name, key_sha256 });
        }
    }
    clients
}

fn digest(
    key: &Spanned<Secret>,
    table: &Table<'_, '_>,
    secrets: &Secrets<'_, '_>,
) -> Option<[u8; 32]> {
    let what = format!("{}: `key`", table.label);
    let Some(hex) = key.get_ref().trim().strip_prefix("sha256:") else {
        let key = secrets.resolve(key, &what, true)?;
        return Some(Sha256::digest(key.as_bytes()).into());
    };
    let digest = from_hex(hex.trim());
    if digest.is_none() {
        let what = format!("{what}: sha256: is not followed by 64 hexadecimal digits");
        let remedy = "write the output of `printf %s \"$KEY\" | sha256sum`";
        secrets.report.problem(&key.span(), what, remedy);
    }
    digest
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let nibble = |digit: u8| u8::try_from(char::from(digit).to_digit(16)?).ok();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect();
    if rest.is_empty() { bytes?.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digests() {
        let digits = "00ff".repeat(16);
        let want: Vec<u8> = [0, 255].repeat(16);
        assert_eq!(from_hex(&digits).map(Vec::from), Some(want.clone()));
        assert_eq!(from_hex(&digits.to_uppercase()).map(Vec::from), Some(want));
        for text in ["", "00", "zz", &format!("{digits}0"), &format!("{digits}00"), "键"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
