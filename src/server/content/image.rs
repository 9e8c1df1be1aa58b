//! Pictures inside requests: base64 with or without a `data:` prefix.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::super::error::AppError;
use crate::types::Image;

/// Base64 characters that decode to the 12 bytes a WebP is known by, the longest signature.
const SIGNATURE: usize = 16;

/// A picture from a `data:` URL or bare base64. What it is, its own first bytes say; a URL's media
/// type only stands in for bytes that are not recognised.
///
/// # Errors
/// 400 that names `path`.
pub(in super::super) fn inline(text: &str, path: &str) -> Result<Image, AppError> {
    let refuse = |why: &str| Err(AppError::field(path, format!("{path}: {why}")));
    let (declared, data) = match split_data_url(text) {
        Ok(split) => split,
        Err(why) => return refuse(why),
    };
    let Some(base64) = normalised(data) else { return refuse("this is not base64") };
    let head = base64.get(..SIGNATURE).and_then(|head| STANDARD.decode(head).ok());
    let found = head.as_deref().and_then(sniff).or(declared);
    match found {
        Some(media_type) => Ok(Image::Inline { media_type: media_type.to_owned(), base64 }),
        None => refuse("this is not a PNG, JPEG, WebP or GIF picture"),
    }
}

/// Takes a `data:` prefix off and reads its media type.
fn split_data_url(text: &str) -> Result<(Option<&'static str>, &str), &'static str> {
    let text = text.trim();
    let Some((scheme, rest)) = text.split_once(':') else { return Ok((None, text)) };
    if !scheme.eq_ignore_ascii_case("data") {
        return Err("expected base64 or a data URL");
    }
    let (kind, data) = rest.split_once(',').ok_or("the data URL has no data")?;
    let mut pieces = kind.split(';').map(str::trim);
    let declared = match pieces.next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "" => None,
        "image/png" => Some("image/png"),
        "image/jpeg" | "image/jpg" => Some("image/jpeg"),
        "image/webp" => Some("image/webp"),
        "image/gif" => Some("image/gif"),
        _ => return Err("only PNG, JPEG, WebP and GIF pictures are supported"),
    };
    if !pieces.any(|piece| piece.eq_ignore_ascii_case("base64")) {
        return Err("the data URL must be base64");
    }
    Ok((declared, data))
}

/// Standard base64 with its padding, line breaks taken out; `None` if it is none.
fn normalised(data: &str) -> Option<String> {
    let mut text: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    text.truncate(text.trim_end_matches('=').len());
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if text.is_empty() || text.len() % 4 == 1 || !text.bytes().all(valid) {
        return None;
    }
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    Some(text)
}

fn sniff(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some("image/png");
    }
    if head.starts_with(b"\xff\xd8\xff") {
        return Some("image/jpeg");
    }
    if head.starts_with(b"GIF8") {
        return Some("image/gif");
    }
    let webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
    webp.then_some("image/webp")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(head: &[u8]) -> String {
        let mut bytes = head.to_vec();
        bytes.extend_from_slice(b"and the rest of it");
        STANDARD.encode(bytes)
    }

    #[test]
    fn the_bytes_say_what_a_picture_is() {
        let png = encoded(b"\x89PNG\r\n\x1a\n");
        let bare = png.trim_end_matches('=');
        for (text, want) in [
            (png.clone(), Some("image/png")),
            (bare.to_owned(), Some("image/png")),
            (bare.replace('A', "\nA"), Some("image/png")),
            (encoded(b"\xff\xd8\xff\xe0"), Some("image/jpeg")),
            (encoded(b"GIF89a"), Some("image/gif")),
            (encoded(b"RIFF\0\0\0\0WEBP"), Some("image/webp")),
            (format!("data:;base64,{png}"), Some("image/png")),
            (format!("data:image/jpeg;base64,{png}"), Some("image/png")),
            (format!("DATA:image/jpg;x=y;BASE64,{}", encoded(b"?")), Some("image/jpeg")),
            (encoded(b"%PDF-1.7"), None),
            (format!("data:application/pdf;base64,{png}"), None),
            (format!("data:image/png,{png}"), None),
            ("data:image/png;base64".to_owned(), None),
            (String::new(), None),
            ("not base64!".to_owned(), None),
            ("https://a.example/b.png".to_owned(), None),
        ] {
            let found = match inline(&text, "images[0]") {
                Ok(Image::Inline { media_type, base64 }) => {
                    assert!(STANDARD.decode(&base64).is_ok(), "{text}");
                    Some(media_type)
                }
                Ok(Image::Url { .. }) => panic!("a URL"),
                Err(AppError::Invalid { param, .. }) => {
                    assert_eq!(param.as_deref(), Some("images[0]"));
                    None
                }
                Err(other) => panic!("{other}"),
            };
            assert_eq!(found.as_deref(), want, "{text}");
        }
    }
}
