//! The places that have to be asked for a key, kept over the loads of one process.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use zeroize::Zeroizing;

use super::{
    command,
    failure::Failure,
    reference::vault_place,
    vault::{Field, Fields, Settings, Vault},
};
use crate::config::Env;

/// A key that was found.
pub(in crate::config) type Key = Zeroizing<String>;

/// Programs and Vault, which are asked for keys when a config is loaded. One of them serves all loads
/// of a process, so that the token for Vault lives on.
#[derive(Debug, Default)]
pub struct SecretStores {
    vault: Mutex<Option<Vault>>,
    asked: Mutex<Asking>,
    /// Nobody is asked: a word stands for each key.
    is_closed: bool,
}

/// What the last load did.
#[derive(Debug, Default)]
struct Asking {
    anybody: bool,
    /// Who answered, as it may be shown.
    names: BTreeSet<String>,
}

impl SecretStores {
    /// Stores that nobody asks: a word stands for each key, also for those in credentials. For whoever
    /// wants to know what a config means but for its keys.
    #[must_use]
    pub fn closed() -> Self {
        Self { is_closed: true, ..Self::default() }
    }

    /// Whether the last load asked a program or Vault.
    #[must_use]
    pub fn were_asked(&self) -> bool {
        lock(&self.asked).anybody
    }

    /// Renews the token for Vault when it is time. To be called every second or so while the process
    /// lives; takes up to 5 s.
    ///
    /// # Errors
    /// In words without any secret, when that failed. It is tried again later.
    pub fn keep(&self) -> Result<(), String> {
        let mut vault = lock(&self.vault);
        let kept = vault.as_mut().map_or(Ok(()), |vault| vault.keep(Instant::now()));
        kept.map_err(|Failure { what, remedy }| format!("{what}; {remedy}"))
    }

    /// A load begins.
    pub(in crate::config) fn begin(&self) {
        *lock(&self.asked) = Asking::default();
    }

    /// Who was asked since, in alphabetical order.
    pub(in crate::config) fn names(&self) -> Vec<String> {
        lock(&self.asked).names.iter().cloned().collect()
    }

    /// The word for every key, where nobody is asked.
    pub(in crate::config) fn stand_for(&self) -> Option<Key> {
        self.is_closed.then(|| Zeroizing::new("not-set".to_owned()))
    }

    /// What a program prints.
    pub(in crate::config) fn command(&self, line: &str, folder: &Path) -> Result<Key, Failure> {
        lock(&self.asked).anybody = true;
        let printed = command::run(line, folder, command::LIMIT)?;
        // What is no program may be a key in the wrong place.
        lock(&self.asked).names.insert(format!("the program `{}`", printed.program));
        Ok(printed.key)
    }

    /// The fields of a secret in Vault, whose path `vault_path` gives.
    pub(in crate::config) fn vault(&self, path: &str, env: Env<'_>) -> Result<Fields, Failure> {
        let settings = Settings::of(env)?;
        {
            let mut asked = lock(&self.asked);
            asked.anybody = true;
            asked.names.insert(format!("Vault at {}", settings.shown()));
        }
        let mut kept = lock(&self.vault);
        if kept.as_ref().is_none_or(|vault| vault.settings != settings) {
            *kept = Some(Vault::new(settings)?);
        }
        match kept.as_mut() {
            Some(vault) => vault.read(path),
            None => Err(Failure::new("there is no Vault", "see VAULT_ADDR")),
        }
    }
}

/// The path in Vault's interface and the field that the text behind `vault:` names.
pub(in crate::config) fn vault_path(text: &str) -> Result<(String, &str), Failure> {
    vault_place(text).ok_or_else(|| {
        let remedy = "write vault:STORE/PATH#FIELD, as in vault:secret/chorus#openai";
        Failure::new("vault: is followed by no path and field", remedy)
    })
}

/// The field of a secret.
pub(in crate::config) fn field(fields: &Fields, name: &str) -> Result<Key, Failure> {
    let remedy = "correct the name behind `#`, or write it with `vault kv patch`";
    match fields.get(name) {
        Some(Field::Text(text)) if !text.0.expose().trim().is_empty() => {
            Ok(Zeroizing::new(text.0.expose().trim().to_owned()))
        }
        Some(Field::Text(_)) => {
            Err(Failure::new("the field of the secret in Vault is empty", remedy))
        }
        Some(Field::Other(_)) => {
            Err(Failure::new("the field of the secret in Vault is no text", remedy))
        }
        None => Err(Failure::new("the secret in Vault has no such field", remedy)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
