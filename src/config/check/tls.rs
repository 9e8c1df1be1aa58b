//! `[server.tls]`: the files read, and that they fit.

mod validity;

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::secret::world_readable;
use crate::config::{Tls, file::server as file, read, report::Report, section::Section};

const PATH_REMEDY: &str = "correct the path (relative ones start at the config's folder)";

/// A file that was read.
struct Pem {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
}

/// What the section means; `None` also where something is wrong with it, which is reported.
pub(super) fn read(written: &file::Tls, report: &Report<'_>) -> Option<Tls> {
    let at = Section::of(report, "server.tls");
    let pem = |key: &str, written: Option<&String>| written.and_then(|path| pem(path, key, &at));
    let cert = pem("cert", written.cert.as_ref());
    let key = pem("key", written.key.as_ref());
    let ca = written.client_ca.as_ref().map(|path| pem("client_ca", Some(path)));
    let (cert, key) = (cert?, key?);
    let ca = match ca {
        Some(ca) => Some(ca?),
        None => None,
    };
    if world_readable(&key.path) {
        let what = format!("every user of this machine can read `key` {}", shown(&key));
        at.warn("key", what, "run chmod 600 on that file");
    }
    let mut digest = Sha256::new();
    for file in [Some(&cert), Some(&key), ca.as_ref()].into_iter().flatten() {
        digest.update(file.bytes.len().to_le_bytes());
        digest.update(file.bytes.as_slice());
    }
    let verifier = match ca {
        Some(ca) => Some(client_verifier(&ca, &at)?),
        None => None,
    };
    let chain = certificates(&cert, "cert", &at)?;
    let ends = chain.iter().filter_map(|one| validity::end(one)).min();
    warn_of_end(ends, &cert, &at);
    let acceptor = Arc::new(acceptor(chain, &cert, &key, verifier, &at)?);
    Some(Tls { acceptor, ends, digest: digest.finalize().into() })
}

fn pem(written: &str, key: &str, at: &Section<'_, '_>) -> Option<Pem> {
    let path = at.report.resolve(written);
    match read::named(&path) {
        Ok(bytes) => Some(Pem { path, bytes }),
        Err(error) => {
            let shown = path.display().to_string();
            let what = format!("`{key}` {} cannot be read: {error}", shown.escape_debug());
            at.problem(key, what, PATH_REMEDY);
            None
        }
    }
}

fn shown(file: &Pem) -> String {
    file.path.display().to_string().escape_debug().to_string()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS 1.2 and 1.3 with the suites of the library, none of which is weak.
fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    cert: &Pem,
    key: &Pem,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    at: &Section<'_, '_>,
) -> Option<ServerConfig> {
    let Ok(private) = PrivateKeyDer::from_pem_slice(&key.bytes) else {
        let what = format!("`key` {} holds no private key", shown(key));
        let remedy = "name a PEM file with a key in PKCS #8, PKCS #1 or SEC1 form, not encrypted";
        at.problem("key", what, remedy);
        return None;
    };
    let builder = ServerConfig::builder_with_provider(provider());
    let made = builder.with_safe_default_protocol_versions().and_then(|builder| {
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        builder.with_single_cert(chain, private)
    });
    match made {
        Ok(mut made) => {
            made.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Some(made)
        }
        Err(error) => {
            let what = format!(
                "`cert` {} and `key` {} do not go together: {error}",
                shown(cert),
                shown(key)
            );
            at.problem(
                "key",
                what,
                "name the key that the first certificate in `cert` was made for",
            );
            None
        }
    }
}

/// Those who show a certificate that one of these authorities signed may come in, and nobody else.
fn client_verifier(ca: &Pem, at: &Section<'_, '_>) -> Option<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    let all = certificates(ca, "client_ca", at)?;
    let is_fine = all.into_iter().all(|one| roots.add(one).is_ok());
    let made = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    match made.ok().filter(|_| is_fine) {
        Some(verifier) => Some(verifier),
        None => {
            let what = format!("`client_ca` {} holds no usable certificate", shown(ca));
            at.problem("client_ca", what, "name a PEM file of certificates of authorities");
            None
        }
    }
}

fn certificates(
    file: &Pem,
    key: &str,
    at: &Section<'_, '_>,
) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file.bytes).collect();
    match all {
        Ok(all) if !all.is_empty() => Some(all),
        _ => {
            let what = format!("`{key}` {} holds no certificate", shown(file));
            at.problem(key, what, "name a PEM file that begins with -----BEGIN CERTIFICATE-----");
            None
        }
    }
}

fn warn_of_end(ends: Option<Timestamp>, file: &Pem, at: &Section<'_, '_>) {
    let about = ends.and_then(|end| Tls::about_end(end, Timestamp::now()));
    if let Some(about) = about {
        let what = format!("a certificate in `cert` {} {about}", shown(file));
        at.warn("cert", what, "renew it; a changed file is loaded within a second");
    }
}

#[cfg(test)]
mod tests;
