//! `[[client]]`.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::secret::Secrets;
use crate::config::{
    Client,
    file::{self, Secret},
    section::Section,
};

pub(super) fn read(written: &[file::Client], secrets: &Secrets<'_, '_>) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::with_capacity(written.len());
    let mut names = HashMap::new();
    for (index, file::Client { name, key }) in written.iter().enumerate() {
        let at = Section::entry(secrets.report, "client", index, name.as_ref());
        if let Some(first) = name.as_ref().and_then(|name| names.insert(name, at.place(""))) {
            let what = format!("the name is taken, see {}", secrets.report.shown(&first));
            at.problem("", what, "give every [[client]] its own name");
        }
        let key_sha256 = key.as_ref().and_then(|key| digest(key, &at, secrets));
        if let (Some(name), Some(key_sha256)) = (name, key_sha256) {
            if let Some(other) = clients.iter().find(|other| other.key_sha256 == key_sha256) {
                let what = format!("clients `{}` and `{name}` have the same key", other.name);
                let remedy = "give each its own, so that they can be told apart";
                secrets.report.warn(at.place(""), what, remedy);
            }
            clients.push(Client { name: name.clone(), key_sha256 });
        }
    }
    clients
}

fn digest(key: &Secret, at: &Section<'_, '_>, secrets: &Secrets<'_, '_>) -> Option<[u8; 32]> {
    let what = format!("{}: `key`", at.label);
    let Some(hex) = key.expose().strip_prefix("sha256:") else {
        let key = secrets.resolve(key, &at.place("key"), &what, true)?;
        return Some(Sha256::digest(key.as_bytes()).into());
    };
    let digest = from_hex(hex.trim());
    if digest.is_none() {
        let remedy = "write the output of `printf %s \"$KEY\" | sha256sum`";
        let what = "`key`: sha256: is not followed by 64 hexadecimal digits";
        at.problem("key", what, remedy);
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
