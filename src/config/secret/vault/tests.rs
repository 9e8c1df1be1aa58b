//! Against a scripted Vault.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// What a request was: method, path, token, namespace, body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    line: String,
    token: String,
    namespace: String,
    body: String,
}

/// A Vault that answers from a script, request by request, and keeps what it was asked.
struct Scripted {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Script = Vec<(u16, &'static str)>;

impl Scripted {
    fn plain(script: Script) -> Self {
        Self::serving("http", script, Box::new)
    }

    fn serving<S: Read + Write>(
        scheme: &str,
        script: Script,
        wrap: impl Fn(std::net::TcpStream) -> Box<S> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("{scheme}://localhost:{}", listener.local_addr().unwrap().port());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for (status, body) in script {
                let Ok((stream, _)) = listener.accept() else { return };
                let mut stream = wrap(stream);
                // A client that trusts nobody here hangs up.
                let Some(request) = request(&mut *stream) else { continue };
                noted.lock().unwrap().push(request);
                let length = body.len();
                let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n");
                let place = "location: http://127.0.0.1:1/\r\nconnection: close\r\n\r\n";
                drop(stream.write_all(format!("{head}{place}{body}").as_bytes()));
                drop(stream.flush());
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|one| format!("{} {}", one.line, one.token)).collect()
    }

    fn vault(&self, login: &[(&str, &str)]) -> Vault {
        let variables = [&[("VAULT_ADDR", self.address.as_str())], login].concat();
        let find = |name: &str| variables.iter().find(|(own, _)| *own == name);
        let settings = Settings::of(&|name| find(name).map(|(_, value)| (*value).to_owned()));
        Vault::new(settings.unwrap()).unwrap()
    }
}

fn request(stream: &mut (impl Read + ?Sized)) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut seen = Seen::default();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            None => seen.line = line.trim_end_matches(" HTTP/1.1").to_owned(),
            Some(("x-vault-token", token)) => seen.token = token.to_owned(),
            Some(("x-vault-namespace", name)) => seen.namespace = name.to_owned(),
            Some(("content-length", text)) => length = text.parse().unwrap(),
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    seen.body = String::from_utf8(body).unwrap();
    Some(seen)
}

const TOKEN: &[(&str, &str)] = &[("VAULT_TOKEN", "t0"), ("VAULT_NAMESPACE", "team/a")];
const ROLE: &[(&str, &str)] = &[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s\"")];
const SECRET: &str = r#"{"data":{"data":{"openai":"sk-1","n":7},"metadata":{"version":3}}}"#;
const LOGIN: &str = r#"{"auth":{"client_token":"t1","lease_duration":60,"renewable":true}}"#;
const LOGIN_2: &str = r#"{"auth":{"client_token":"t2","lease_duration":60,"renewable":true}}"#;

fn text<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    match fields.get(name)? {
        Field::Text(text) => Some(text.0.expose()),
        Field::Other(_) => None,
    }
}

#[test]
fn a_secret_is_read_with_the_token_of_the_environment() {
    let server = Scripted::plain(vec![(200, SECRET)]);
    let fields = server.vault(TOKEN).read("secret/data/a b").unwrap();
    assert_eq!((text(&fields, "openai"), text(&fields, "n")), (Some("sk-1"), None));
    let want = Seen {
        line: "GET /v1/secret/data/a%20b".to_owned(),
        token: "t0".to_owned(),
        namespace: "team/a".to_owned(),
        body: String::new(),
    };
    assert_eq!(server.seen(), [want]);
}

#[test]
fn a_role_logs_in_once_and_again_when_its_token_is_refused() {
    let script = vec![
        (200, LOGIN),
        (200, SECRET),
        (200, SECRET),
        (403, "{}"),
        (200, LOGIN_2),
        (200, SECRET),
    ];
    let server = Scripted::plain(script);
    let mut vault = server.vault(ROLE);
    for _ in 0..3 {
        assert!(vault.read("secret/data/a").is_ok());
    }
    let read = |token: &str| format!("GET /v1/secret/data/a {token}");
    let login = || "POST /v1/auth/approle/login ".to_owned();
    let want = [login(), read("t1"), read("t1"), read("t1"), login(), read("t2")];
    assert_eq!(server.lines(), want);
    let body: Value = serde_json::from_str(&server.seen()[0].body).unwrap();
    assert_eq!(body, json!({ "role_id": "r", "secret_id": "s\"" }));
}

#[test]
fn refusals_say_what_to_do_and_show_nothing() {
    let secret = r#"{"errors":["s3cret"],"data":{"data":null}}"#;
    for (status, body, want) in [
        (200, secret, "Vault has no secret there"),
        (200, "s3cret", "Vault answers what it should not"),
        (200, r#"{"data":{"data":"s3cret"}}"#, "Vault answers what it should not"),
        (403, secret, "may not read this (status 403)"),
        (404, secret, "Vault has no secret there"),
        (307, secret, "it leads elsewhere (status 307)"),
        (500, secret, "is not given (status 500)"),
        (503, secret, "it is sealed (status 503)"),
        (473, secret, "it is a standby (status 473)"),
    ] {
        let server = Scripted::plain(vec![(status, body)]);
        let failure = server.vault(TOKEN).read("secret/data/a").err().unwrap();
        assert!(failure.what.contains(want), "{status}: {failure:?}");
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
    }
    let server = Scripted::plain(vec![(400, "{}")]);
    let failure = server.vault(ROLE).read("secret/data/a").err().unwrap();
    assert!(failure.what.contains("the role is refused (status 400)"), "{failure:?}");
    let server = Scripted::plain(vec![]);
    let failure = server.vault(TOKEN).read("secret/data/a").err().unwrap();
    assert!(failure.what.starts_with("Vault does not answer: "), "{failure:?}");
}

#[test]
fn a_token_is_renewed_at_two_thirds_of_its_life_and_said_to_have_ended_once() {
    let renewed = r#"{"auth":{"client_token":"t0","lease_duration":30,"renewable":true}}"#;
    let server = Scripted::plain(vec![
        (200, r#"{"data":{"ttl":60,"renewable":true}}"#),
        (200, renewed),
        (500, "{}"),
    ]);
    let mut vault = server.vault(TOKEN);
    let begun = Instant::now();
    let at = |seconds| begun + Duration::from_secs(seconds);
    let mut keep = |seconds| vault.keep(at(seconds)).map_err(|failure| failure.what);
    let asked = || server.seen().len();
    assert_eq!((keep(0), asked()), (Ok(()), 1), "nobody knew how long it lives");
    assert_eq!((keep(39), asked()), (Ok(()), 1));
    assert_eq!((keep(40), asked()), (Ok(()), 2));
    let refused = Err("Vault: the token is not renewed (status 500)".to_owned());
    assert_eq!((keep(60), asked()), (refused, 3), "it lives until 70");
    assert_eq!((keep(61), asked()), (Ok(()), 3), "not at once again");
    assert_eq!((keep(70), asked()), (Ok(()), 3), "it ends now");
    let over = "Vault: the token has ended".to_owned();
    assert_eq!((keep(71), keep(72), asked()), (Err(over), Ok(()), 3));
    let renew = "POST /v1/auth/token/renew-self t0";
    assert_eq!(server.lines(), ["GET /v1/auth/token/lookup-self t0", renew, renew]);
}

#[test]
fn the_token_of_a_role_that_ends_is_had_anew_by_the_next_load() {
    let server = Scripted::plain(vec![(200, LOGIN), (200, SECRET), (200, LOGIN_2), (200, SECRET)]);
    let mut vault = server.vault(ROLE);
    let begun = Instant::now();
    assert!(vault.read("secret/data/a").is_ok());
    let later = begun + Duration::from_secs(90);
    assert!(vault.keep(later).is_ok() && vault.token.is_none());
    assert!(vault.keep(later).is_ok() && vault.read("secret/data/a").is_ok());
    assert_eq!(server.lines().last().unwrap(), "GET /v1/secret/data/a t2");
}

#[test]
fn tls_is_checked_against_the_authority_that_is_named() {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let _already = rustls::crypto::ring::default_provider().install_default();
    let chain = vec![CertificateDer::from(issued.cert.der().to_vec())];
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let server = Scripted::serving("https", vec![(200, SECRET), (200, SECRET)], move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        Box::new(rustls::StreamOwned::new(connection, stream))
    });
    let failure = server.vault(TOKEN).read("secret/data/a").err().unwrap();
    assert!(failure.what.contains("ertificate"), "{failure:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, issued.cert.pem()).unwrap();
    let login = [TOKEN, &[("VAULT_CACERT", path.to_str().unwrap())]].concat();
    assert!(server.vault(&login).read("secret/data/a").is_ok());
}
