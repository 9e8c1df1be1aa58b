//! `chorus client`: makes a key for somebody, and shows what the clients have used.

mod list;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use rustls::crypto::ring;
use sha2::{Digest, Sha256};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};
use zeroize::Zeroizing;

use super::{
    diagnostics::{self, Look},
    file,
};
use crate::config::{Config, Env};
pub use list::{Form, run as list};

/// Exit code when the client is there.
const FINE: u8 = 0;
/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of a config or a name that cannot be used.
const REFUSED: u8 = 2;
/// By its beginning a key is known for one, by people and by scanners of sources.
const BEGINNING: &str = "sk-chorus-";
/// Random bytes of a key.
const LENGTH: usize = 24;

/// Where a command writes.
pub struct Screen<'a> {
    /// What the command is asked for.
    pub out: &'a mut dyn Write,
    /// Everything else.
    pub err: &'a mut dyn Write,
    /// How problems look.
    pub look: Look,
}

/// Writes a `[[client]]` with a new key into the config at `path`, of which the file gets the hash only,
/// and prints the key. Returns the exit code.
///
/// # Errors
/// When the screen cannot be written to.
pub fn create(path: &Path, name: &str, env: Env<'_>, screen: &mut Screen<'_>) -> io::Result<u8> {
    let Screen { out, err, look } = screen;
    let place = path.display();
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        writeln!(err, "chorus: a client's name has letters: `chorus client new ann`")?;
        return Ok(REFUSED);
    }
    let text = match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => text,
        Err(error) => {
            writeln!(err, "chorus: {place} cannot be read: {error}")?;
            return Ok(FAILED);
        }
    };
    let before = Config::parse(&text, Some(path), env);
    if let Err(error) = &before {
        diagnostics::refused(error, *look, *err)?;
        return Ok(REFUSED);
    }
    let is_first = before.is_ok_and(|config| config.clients.is_empty());
    let Some(key) = new_key() else {
        writeln!(err, "chorus: the system gives no random numbers; try again")?;
        return Ok(FAILED);
    };
    let Some(added) = with_client(&text, name, &key) else {
        let what = "`client` is there in a form that cannot be added to; write it as [[client]]";
        writeln!(err, "chorus: {place}: {what}")?;
        return Ok(REFUSED);
    };
    // The name may be taken.
    if let Err(error) = Config::parse(&added, Some(path), env) {
        diagnostics::refused(&error, *look, *err)?;
        return Ok(REFUSED);
    }
    if let Err(error) = file::swap(path, &added) {
        writeln!(err, "chorus: {error}")?;
        return Ok(FAILED);
    }
    writeln!(
        err,
        "client `{name}` is in {place}; a server that is running takes it within a second"
    )?;
    if is_first {
        writeln!(err, "it is the first: from now on every request needs a key")?;
    }
    writeln!(err, "its key, which nobody can show again:")?;
    writeln!(out, "{}", &*key)?;
    Ok(FINE)
}

/// A key that nobody guesses.
fn new_key() -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    ring::default_provider().secure_random.fill(&mut *bytes).ok()?;
    let mut key = Zeroizing::new(String::with_capacity(BEGINNING.len() + 2 * LENGTH));
    key.push_str(BEGINNING);
    bytes.iter().for_each(|byte| key.push_str(&format!("{byte:02x}")));
    Some(key)
}

/// The config with one more client; `None`: its clients are not written as tables.
fn with_client(text: &str, name: &str, key: &str) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let clients = document.entry("client").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let clients = clients.as_array_of_tables_mut()?;
    let hash: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut client = Table::new();
    client.insert("name", value(name));
    client.insert("key", value(format!("sha256:{hash}")));
    client.decor_mut().set_prefix("\n");
    clients.push(client);
    Some(document.to_string())
}
