//! Where a web page is from that asks.

use url::Url;

/// Where a page is from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// A desktop application, or what the config names.
    Allowed,
    /// This machine, in lower case.
    Local(String),
    Foreign,
}

/// Tells the origins that Ollama accepts: pages served from this machine, desktop applications (on
/// Windows a Tauri application is `http://tauri.localhost`; no name of a network ends so), and what
/// the config names; there a single `*` stands for anything.
pub(super) fn page(origin: &str, extra: &[String]) -> Page {
    const APPLICATIONS: [&str; 5] =
        ["app://", "file://", "tauri://", "vscode-webview://", "vscode-file://"];
    let origin = origin.to_ascii_lowercase();
    if APPLICATIONS.iter().any(|scheme| origin.starts_with(scheme))
        || extra.iter().any(|pattern| matches_pattern(&origin, pattern))
    {
        return Page::Allowed;
    }
    let url = Url::parse(&origin).ok().filter(|url| url.username().is_empty());
    match url
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .as_ref()
        .and_then(Url::host_str)
    {
        Some("tauri.localhost") => Page::Allowed,
        Some("localhost" | "127.0.0.1" | "0.0.0.0" | "[::1]") => Page::Local(origin),
        Some(host) if host.ends_with(".localhost") => Page::Local(origin),
        _ => Page::Foreign,
    }
}

pub(super) fn matches_pattern(origin: &str, pattern: &str) -> bool {
    let pattern = pattern.trim_end_matches('/').to_ascii_lowercase();
    match pattern.split_once('*') {
        Some((start, end)) => {
            origin.len() >= start.len() + end.len()
                && origin.starts_with(start)
                && origin.ends_with(end)
        }
        None => origin == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_this_machine_are_allowed_and_others_are_not() {
        let extra = ["https://ui.example/".to_owned(), "https://*.lab.example".to_owned()];
        for (origin, want) in [
            ("http://localhost:3000", true),
            ("https://LOCALHOST", true),
            ("http://127.0.0.1:8080", true),
            ("http://0.0.0.0", true),
            ("http://[::1]:3000", true),
            ("app://obsidian.md", true),
            ("tauri://localhost", true),
            ("http://tauri.localhost", true),
            ("https://app.localhost:5173", true),
            ("file://", true),
            ("vscode-webview://0a1b", true),
            ("vscode-file://vscode-app", true),
            ("https://ui.example", true),
            ("https://a.lab.example", true),
            ("null", false),
            ("", false),
            ("https://evil.example", false),
            ("https://ui.example.evil.example", false),
            ("http://localhost.evil.example", false),
            ("http://evil-localhost", false),
            ("http://tauri.localhost.evil.example", false),
            ("http://localhost@evil.example", false),
            ("ftp://localhost", false),
            ("https://lab.example", false),
        ] {
            assert_eq!(page(origin, &extra) != Page::Foreign, want, "{origin}");
        }
    }
}
