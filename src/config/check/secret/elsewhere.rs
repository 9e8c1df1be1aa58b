//! Keys of systemd's credentials, programs and Vault, each asked once for a load however often it is
//! named.

use std::{cell::RefCell, collections::HashMap, path::Path};

use zeroize::Zeroizing;

use crate::config::{
    Env, SecretStores,
    check::source::Source,
    read,
    report::Report,
    secret::{Failure, Fields, Key, field, vault_path},
};

/// What was found in this load.
pub(super) struct Elsewhere<'a> {
    stores: &'a SecretStores,
    env: Env<'a>,
    folder: &'a Path,
    printed: RefCell<HashMap<String, Result<Key, Failure>>>,
    secrets: RefCell<HashMap<String, Result<Fields, Failure>>>,
}

impl<'a> Elsewhere<'a> {
    pub(super) fn new(source: &Source<'a>) -> Self {
        let folder = source.path.and_then(Path::parent).filter(|it| *it != Path::new(""));
        Self {
            stores: source.stores,
            env: source.env,
            folder: folder.unwrap_or(Path::new(".")),
            printed: RefCell::default(),
            secrets: RefCell::default(),
        }
    }

    /// What the program behind `cmd:` prints.
    pub(super) fn command(&self, line: &str) -> Result<Key, Failure> {
        if let Some(word) = self.stores.stand_for() {
            return Ok(word);
        }
        let mut printed = self.printed.borrow_mut();
        let run = || self.stores.command(line, self.folder);
        printed.entry(line.to_owned()).or_insert_with(run).clone()
    }

    /// The field of a secret in Vault.
    pub(super) fn vault(&self, text: &str) -> Result<Key, Failure> {
        let (path, name) = vault_path(text)?;
        if let Some(word) = self.stores.stand_for() {
            return Ok(word);
        }
        let mut secrets = self.secrets.borrow_mut();
        let read = || self.stores.vault(&path, self.env);
        let fields = secrets.entry(path.clone()).or_insert_with(read);
        field(fields.as_ref().map_err(Clone::clone)?, name)
    }

    /// What systemd gives the service as `LoadCredential=NAME:PATH`.
    pub(super) fn credential(&self, name: &str, report: &Report<'_>) -> Result<Key, Failure> {
        if let Some(word) = self.stores.stand_for() {
            return Ok(word);
        }
        let remedy =
            "give the service LoadCredential=NAME:PATH or LoadCredentialEncrypted=NAME:PATH";
        let folder = (self.env)("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
        let folder = folder.ok_or_else(|| {
            let what = "cred: needs systemd, which has given this process no credentials";
            Failure::new(what, format!("{remedy}, or use file:PATH"))
        })?;
        if matches!(name, "" | "." | "..") || name.contains(['/', '\\']) {
            let what = "cred: is followed by no name of a credential";
            return Err(Failure::new(what, "write the name alone, as in cred:openai"));
        }
        let read = read::named(&report.resolve(&format!("{folder}/{name}")));
        let problem = match read.as_ref().map(|bytes| str::from_utf8(bytes)) {
            Ok(Ok(key)) if !key.trim().is_empty() => {
                return Ok(Zeroizing::new(key.trim().to_owned()));
            }
            Ok(Ok(_)) => "is empty".to_owned(),
            Ok(Err(_)) => "is not text".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
        };
        Err(Failure::new(format!("the credential behind cred: {problem}"), remedy))
    }
}
