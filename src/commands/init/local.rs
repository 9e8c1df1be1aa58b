//! Model servers on this machine, asked for their models all at the same time.

use std::time::Duration;

use futures::{StreamExt, future::join_all};
use reqwest::{Client, header::HeaderMap};
use serde_json::Value;
use url::Url;

use crate::{
    config::Env,
    llm::endpoint::probe::about::{self, Capacity},
};

/// How long all servers together are waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// A longer list of models is no list of models.
const LONGEST: usize = 1 << 20;

/// A kind of server, by the list of models it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/api/tags`.
    Ollama,
    /// `/v1/models`.
    OpenAi,
}

/// An address at which a server may be.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// What people call it.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Its URL, without a path.
    pub(super) url: Url,
}

/// A server that answered.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) address: Address,
    /// Chat models only; may be empty.
    pub(super) models: Vec<Local>,
}

/// A model of a server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Local {
    /// What the server calls it.
    pub(super) id: String,
    /// What kind of model it is, lower-cased: `qwen`, `llama`.
    pub(super) family: String,
    /// Billions of parameters, as far as is known.
    pub(super) billions: Option<f64>,
    /// How many calls it takes at a time, and how much they hold.
    pub(super) capacity: Capacity,
}

/// The usual addresses of servers on this machine; `OLLAMA_HOST` says otherwise for Ollama.
pub(super) fn addresses(env: Env<'_>) -> Vec<Address> {
    let ollama = env("OLLAMA_HOST").and_then(|host| ollama_url(&host));
    let defaults = [
        ("Ollama", Kind::Ollama, ollama, "http://127.0.0.1:11434/"),
        ("llama.cpp", Kind::OpenAi, None, "http://127.0.0.1:8080/"),
        ("LM Studio", Kind::OpenAi, None, "http://127.0.0.1:1234/"),
    ];
    let address = |(name, kind, named, defaults): (_, _, Option<Url>, &str)| {
        let url = named.or_else(|| defaults.parse().ok())?;
        Some(Address { name, kind, url })
    };
    defaults.into_iter().filter_map(address).collect()
}

/// `OLLAMA_HOST` as Ollama's own client reads it: host, port and scheme may each be left out, and
/// an address to listen on everywhere is reached over loopback.
fn ollama_url(host: &str) -> Option<Url> {
    let host = host.trim().trim_matches(['"', '\'']).trim_end_matches('/');
    if host.is_empty() {
        return None;
    }
    let (scheme, rest) = host.split_once("://").unwrap_or(("", host));
    let colons = rest.matches(':').count();
    let rest = if rest.starts_with(':') && colons == 1 {
        format!("127.0.0.1{rest}")
    } else {
        rest.to_owned()
    };
    // Bare IPv6 addresses go in brackets in a URL.
    let bare = colons > 1 && !rest.starts_with('[');
    let rest = if bare { format!("[{rest}]") } else { rest };
    let with_scheme = if scheme.is_empty() { "http" } else { scheme };
    let mut url: Url = format!("{with_scheme}://{rest}").parse().ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !plain || !matches!(with_scheme, "http" | "https") {
        return None;
    }
    let explicit = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if scheme.is_empty() && !explicit {
        url.set_port(Some(11434)).ok()?;
    }
    match url.host_str() {
        Some("0.0.0.0") => url.set_host(Some("127.0.0.1")).ok()?,
        Some("[::]") => url.set_host(Some("[::1]")).ok()?,
        _ => {}
    }
    Some(url)
}

/// What is at a place.
enum Answer {
    Server(Server),
    /// Another Chorus, or this one: nothing to ask.
    Chorus(Url),
}

/// The servers that answer within a second, in the order of `addresses`, and remarks on what else did.
pub(super) async fn find(addresses: Vec<Address>) -> (Vec<Server>, Vec<String>) {
    // Without a provider reqwest panics. Another one that is installed already serves as well.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().timeout(PATIENCE);
    let client = client.redirect(reqwest::redirect::Policy::none()).build();
    let (mut servers, mut remarks) = (Vec::new(), Vec::new());
    let Ok(client) = client else { return (servers, remarks) };
    let asked = addresses.into_iter().map(|address| ask(&client, address));
    for answer in join_all(asked).await.into_iter().flatten() {
        match answer {
            Answer::Server(server) => servers.push(server),
            Answer::Chorus(url) => remarks.push(format!(
                "{} is a Chorus itself and would ask itself; left out (look at OLLAMA_HOST)",
                url.as_str().trim_end_matches('/')
            )),
        }
    }
    (servers, remarks)
}

/// Any failure means that it is not there: nobody asked for it.
async fn ask(client: &Client, address: Address) -> Option<Answer> {
    let path = match address.kind {
        Kind::Ollama => "api/tags",
        Kind::OpenAi => "v1/models",
    };
    let (headers, list) = get(client, &address.url, path).await?;
    if about::is_chorus(&headers, Some(&list)) {
        return Some(Answer::Chorus(address.url));
    }
    let mut models = models(address.kind, &list)?;
    if address.kind == Kind::OpenAi && about::is_llama_cpp(&headers, &list) {
        let props = get(client, &address.url, "props").await.map(|(_, props)| props);
        for model in &mut models {
            let capacity = Capacity::of(entry(&list, &model.id), props.as_ref());
            model.capacity = capacity;
        }
    }
    Some(Answer::Server(Server { address, models }))
}

/// A JSON object below a place, with the headers it came with.
async fn get(client: &Client, address: &Url, path: &str) -> Option<(HeaderMap, Value)> {
    let mut url = address.clone();
    url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
    let answer = client.get(url).send().await.ok()?.error_for_status().ok()?;
    let headers = answer.headers().clone();
    let mut body = Vec::new();
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.ok()?);
        if body.len() > LONGEST {
            return None;
        }
    }
    Some((headers, serde_json::from_slice(&body).ok()?))
}

/// A model's entry in a list of OpenAI's form.
fn entry<'l>(list: &'l Value, id: &str) -> Option<&'l Value> {
    let entries = list.get("data")?.as_array()?;
    entries.iter().find(|entry| entry.get("id").is_some_and(|one| one == id))
}

/// The chat models of a list; `None` when it is not one.
fn models(kind: Kind, list: &Value) -> Option<Vec<Local>> {
    let (list, id) = match kind {
        Kind::Ollama => (list.get("models")?, "name"),
        Kind::OpenAi => (list.get("data")?, "id"),
    };
    let model = |entry: &Value| {
        let id = entry.get(id)?.as_str()?;
        let details = entry.get("details");
        let detail = |key| details.and_then(|details| details.get(key)).and_then(Value::as_str);
        let named = detail("family").unwrap_or_default();
        if id.is_empty() || id.chars().any(char::is_control) || !chats(id, named) {
            return None;
        }
        let name = short(id);
        let bytes = entry.get("size").and_then(Value::as_f64).map(|bytes| bytes / 0.6e9);
        let billions = detail("parameter_size").and_then(size).or_else(|| size(name)).or(bytes);
        let capacity = Capacity::of(Some(entry), None);
        Some(Local { id: id.to_owned(), family: family(named, name), billions, capacity })
    };
    Some(list.as_array()?.iter().filter_map(model).collect())
}

/// A model's name without the folders and the ending of its file.
pub(super) fn short(id: &str) -> &str {
    let file = id.rsplit(['/', '\\']).next().unwrap_or(id);
    file.strip_suffix(".gguf").unwrap_or(id)
}

/// Whether it answers questions, instead of turning texts into numbers or speech.
fn chats(id: &str, family: &str) -> bool {
    let id = id.to_lowercase();
    let others = [
        "embed",
        "bge-",
        "bge:",
        "gte-",
        "e5-",
        "minilm",
        "rerank",
        "whisper",
        "tts",
        "stable-diff",
        "guard",
        "ocr",
    ];
    !others.iter().any(|word| id.contains(word)) && !family.to_lowercase().contains("bert")
}

/// The letters that a family or a name begins with: `qwen` of `qwen3:8b`.
fn family(named: &str, name: &str) -> String {
    let from = if named.is_empty() { name.rsplit('/').next().unwrap_or(name) } else { named };
    let letters = from.chars().take_while(|c| c.is_alphabetic()).collect::<String>().to_lowercase();
    if letters.is_empty() { from.to_lowercase() } else { letters }
}

/// Billions of parameters in a name: 8 in `8.0B` or `qwen3-8b`, 56 in `8x7b`, 0.137 in `137M`.
fn size(text: &str) -> Option<f64> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
    words.filter_map(word_size).reduce(f64::max)
}

fn word_size(word: &str) -> Option<f64> {
    let (number, unit) = match (word.strip_suffix('b'), word.strip_suffix('m')) {
        (Some(number), _) => (number, 1.0),
        (_, Some(number)) => (number, 0.001),
        _ => return None,
    };
    let (experts, number) = number.split_once('x').unwrap_or(("1", number));
    let product = experts.parse::<f64>().ok()? * number.parse::<f64>().ok()? * unit;
    (product.is_finite() && product > 0.0).then_some(product)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ollama_host_is_read_as_ollama_reads_it() {
        for (host, want) in [
            ("", None),
            ("127.0.0.1", Some("http://127.0.0.1:11434/")),
            ("0.0.0.0", Some("http://127.0.0.1:11434/")),
            ("0.0.0.0:8000", Some("http://127.0.0.1:8000/")),
            (":8000", Some("http://127.0.0.1:8000/")),
            ("[::]:8000", Some("http://[::1]:8000/")),
            ("::1", Some("http://[::1]:11434/")),
            ("gpu.lan", Some("http://gpu.lan:11434/")),
            ("http://gpu.lan", Some("http://gpu.lan/")),
            ("http://gpu.lan:80/", Some("http://gpu.lan/")),
            ("https://gpu.lan/ollama/", Some("https://gpu.lan/ollama")),
            ("http://me:secret@gpu.lan", None),
            ("ftp://gpu.lan", None),
            ("no host", None),
        ] {
            assert_eq!(ollama_url(host).map(String::from).as_deref(), want, "{host}");
        }
    }

    #[test]
    fn chat_models_are_listed_with_family_and_size() {
        let ollama = json!({"models": [
            {"name": "qwen3:8b", "size": 5_200_000_000_u64,
             "details": {"family": "qwen3", "parameter_size": "8.2B"}},
            {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}},
            {"name": "all-minilm:22m"},
            {"name": "odd", "details": {"family": "bert"}},
            {"name": "mine", "size": 1_200_000_000},
            {"name": "mixtral:8x7b"}, {"name": ""}, {"model": "no name"}, "text",
        ]});
        let openai = json!({"object": "list", "data": [
            {"id": "/models/Llama-3.2-3B-Instruct-Q4_K_M.gguf"},
            {"id": "text-embedding-nomic-embed-text-v1.5"},
            {"id": "openai/gpt-oss-20b"},
        ]});
        let found = |kind, list| {
            let models = models(kind, &list).unwrap();
            let named = |it: Local| format!("{} {} {:.1}", it.id, it.family, it.billions.unwrap());
            models.into_iter().map(named).collect::<Vec<_>>()
        };
        assert_eq!(
            found(Kind::Ollama, ollama),
            ["qwen3:8b qwen 8.2", "mine mine 2.0", "mixtral:8x7b mixtral 56.0"]
        );
        assert_eq!(
            found(Kind::OpenAi, openai),
            ["/models/Llama-3.2-3B-Instruct-Q4_K_M.gguf llama 3.0", "openai/gpt-oss-20b gpt 20.0"]
        );
        for other in [json!({}), json!([]), json!({"data": 1}), json!("hello")] {
            assert_eq!(models(Kind::OpenAi, &other), None);
            assert_eq!(models(Kind::Ollama, &other), None);
        }
    }

    /// A port that is open and never answers must not keep anybody from what does.
    #[tokio::test]
    async fn whoever_answers_is_found_beside_whoever_hangs() {
        let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let speaks = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = |listener: &tokio::net::TcpListener, name| Address {
            name,
            kind: Kind::OpenAi,
            url: format!("http://{}", listener.local_addr().unwrap()).parse().unwrap(),
        };
        let addresses =
            vec![address(&silent, "silent"), address(&speaks, "speaks"), address(&silent, "too")];
        let list = async || axum::Json(json!({"data": [{"id": "qwen3-8b"}]}));
        let app = axum::Router::new().route("/v1/models", axum::routing::get(list));
        let found = tokio::select! {
            (found, _) = find(addresses) => found,
            ended = async { axum::serve(speaks, app).await } => panic!("{ended:?}"),
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it waits for ever"),
        };
        let found: Vec<_> =
            found.iter().map(|it| (it.address.name, it.models[0].id.as_str())).collect();
        assert_eq!(found, [("speaks", "qwen3-8b")]);
    }

    #[test]
    fn a_file_is_called_by_its_name() {
        for (id, want) in [
            ("/models/Qwen3-8B-Q4_K_M.gguf", "Qwen3-8B-Q4_K_M"),
            (r"C:\models\a.gguf", "a"),
            ("openai/gpt-oss-20b", "openai/gpt-oss-20b"),
            ("qwen3:8b", "qwen3:8b"),
        ] {
            assert_eq!(short(id), want);
        }
    }
}
