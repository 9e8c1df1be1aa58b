//! Where keys are, when they do not stand in the file: what a text refers to, and the places that have
//! to be asked for one, which are programs and Vault.

mod command;
mod failure;
mod reference;
mod stores;
mod vault;

pub(super) use failure::Failure;
pub(super) use reference::{PREFIXES, Reference};
pub use stores::SecretStores;
pub(super) use stores::{Key, field, vault_path};
pub(super) use vault::Fields;
