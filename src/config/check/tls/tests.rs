use std::{fs, path::Path};

use jiff::ToSpan;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::config::Config;

/// Writes `cert.pem` and `key.pem`, valid until that day.
fn write(folder: &Path, (year, month, day): (i32, u8, u8)) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, month, day);
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    allow_owner_only(&folder.join("key.pem"));
}

#[cfg(unix)]
fn allow_owner_only(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[cfg(not(unix))]
fn allow_owner_only(_path: &Path) {}

fn load(folder: &Path, tls: &str) -> Result<Config, String> {
    let path = folder.join("config.toml");
    let text = format!(
        "[server.tls]\n{tls}\n[[model]]\nname = \"m\"\napi_base = \"http://127.0.0.1:9/v1\"\n\
         [workflow-integration]\njson = '{{\"workers\": [\"m\"], \"selector\": \"m\"}}'\n"
    );
    Config::parse(&text, Some(&path), &|_| None).map_err(|error| error.to_string())
}

const BOTH: &str = "cert = \"cert.pem\"\nkey = \"key.pem\"";

#[test]
fn files_that_fit_make_an_acceptor_and_another_certificate_another_one() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), (2099, 1, 1));
    let first = load(folder.path(), BOTH).unwrap();
    let tls = first.server.tls.clone().unwrap();
    assert_eq!(tls.acceptor.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert!(first.warnings.is_empty(), "{:?}", first.warnings);
    assert!(first.files.iter().any(|file| file.ends_with("key.pem")), "{:?}", first.files);
    assert!(first.means_the_same(&load(folder.path(), BOTH).unwrap()));
    write(folder.path(), (2099, 1, 2));
    let changes = first.changes_to(&load(folder.path(), BOTH).unwrap());
    assert_eq!(changes, ["the certificate of [server.tls]"]);
    let with_ca = load(folder.path(), &format!("{BOTH}\nclient_ca = \"cert.pem\"")).unwrap();
    assert!(with_ca.server.tls.is_some());
}

#[test]
fn what_is_wrong_names_the_file_and_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), (2099, 1, 1));
    let key = KeyPair::generate().unwrap();
    fs::write(folder.path().join("other.pem"), key.serialize_pem()).unwrap();
    fs::write(folder.path().join("text.pem"), "no PEM").unwrap();
    for (tls, words) in [
        ("cert = \"cert.pem\"", "`key`"),
        ("cert = \"none.pem\"\nkey = \"key.pem\"", "none.pem cannot be read"),
        ("cert = \"text.pem\"\nkey = \"key.pem\"", "text.pem holds no certificate"),
        ("cert = \"key.pem\"\nkey = \"key.pem\"", "key.pem holds no certificate"),
        ("cert = \"cert.pem\"\nkey = \"cert.pem\"", "cert.pem holds no private key"),
        ("cert = \"cert.pem\"\nkey = \"other.pem\"", "other.pem do not go together"),
        (&format!("{BOTH}\nclient_ca = \"text.pem\""), "`client_ca`"),
        (&format!("{BOTH}\nclient_ca = \"none.pem\""), "none.pem cannot be read"),
    ] {
        let error = load(folder.path(), tls).unwrap_err();
        assert!(error.contains(words), "{tls}: {error}");
    }
}

#[test]
fn an_end_that_is_near_and_a_key_that_all_can_read_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let today = jiff::Zoned::now().date();
    let on = |days: i64| {
        let day = today.checked_add(days.days()).unwrap();
        (day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
    };
    for (days, want) in [(-5, Some("has expired on")), (5, Some("expires on")), (60, None)] {
        write(folder.path(), on(days));
        let warnings = load(folder.path(), BOTH).unwrap().warnings;
        let said = warnings.iter().map(|one| one.what.as_str()).collect::<Vec<_>>().join("\n");
        assert_eq!(want.is_some(), !said.is_empty(), "{days}: {said}");
        assert!(said.contains(want.unwrap_or_default()), "{days}: {said}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = folder.path().join("key.pem");
        fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
        let warnings = load(folder.path(), BOTH).unwrap().warnings;
        assert!(warnings.iter().any(|one| one.what.contains("can read `key`")), "{warnings:?}");
    }
}

#[test]
fn the_end_of_a_certificate_is_found_whatever_its_form() {
    for (year, want) in [(2049, "2049-12-31"), (2050, "2050-12-31"), (2345, "2345-12-31")] {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let end = validity::end(made.der()).unwrap();
        assert_eq!(end.strftime("%Y-%m-%d").to_string(), want);
        // No piece of it makes the reader fall.
        for length in 0..made.der().len() {
            let _ = validity::end(made.der().get(..length).unwrap());
        }
    }
}
