//! A request's body on its way to the socket: a long conversation is shared with the other calls that
//! send it, and not copied for each.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use serde_json::Error;

use super::{Body, Content, LONG};

/// So much of it is handed on at once: what encrypts it copies that.
const PIECE: usize = 64 * 1024;

/// A body as it is sent, in pieces. Clones share them.
#[derive(Clone, Debug)]
pub(in crate::llm) struct Pieces(Vec<Bytes>);

impl Pieces {
    /// Writes a body.
    ///
    /// # Errors
    /// When something in it is no JSON.
    pub(in crate::llm) fn of(body: &Body) -> Result<Self, Error> {
        let mut pieces = Vec::new();
        let mut text = Vec::with_capacity(body.size_hint());
        text.push(b'{');
        for (index, (name, content)) in body.contents().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            serde_json::to_writer(&mut text, name)?;
            text.push(b':');
            match content {
                Content::Value(value) => serde_json::to_writer(&mut text, value)?,
                Content::Around(around) => serde_json::to_writer(&mut text, &around)?,
                Content::Written(field) if field.json.len() < LONG => {
                    text.extend_from_slice(&field.json);
                }
                Content::Written(field) => {
                    pieces.push(std::mem::take(&mut text).into());
                    pieces.extend(cut(field.json.clone()));
                }
            }
        }
        text.push(b'}');
        pieces.push(text.into());
        Ok(Self(pieces))
    }
}

fn cut(mut long: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length = long.len().min(PIECE);
        (length > 0).then(|| long.split_to(length))
    })
}

impl From<Pieces> for reqwest::Body {
    fn from(Pieces(mut pieces): Pieces) -> Self {
        match (pieces.pop(), pieces.is_empty()) {
            (Some(only), true) => only.into(),
            (last, _) => {
                pieces.extend(last);
                let length = pieces.iter().map(Bytes::len).sum::<usize>();
                let left = u64::try_from(length).unwrap_or(u64::MAX);
                Self::wrap(Sending { left, pieces: pieces.into_iter() })
            }
        }
    }
}

/// Pieces that are being sent; their length is known, so that no server has to take chunks.
struct Sending {
    pieces: vec::IntoIter<Bytes>,
    left: u64,
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        let length = piece.as_ref().map_or(0, Bytes::len);
        self.left = self.left.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.as_slice().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::llm::protocol::conversation::Written;

    #[test]
    fn a_long_conversation_is_sent_from_where_it_stands() {
        let long = vec![json!({"role": "user", "content": "word ".repeat(100)}); 2_000];
        for (count, is_shared) in [(1, false), (2_000, true)] {
            let mut written = Written::default();
            written.field("system", &"be brief".into());
            written.list("messages", 0, long.iter().take(count).cloned());
            let written = Arc::new(written);
            let mut body = Body::new();
            body.insert("model".into(), "m\"".into());
            body.splice(Arc::clone(&written));
            body.insert("stream".into(), true.into());
            let pieces = Pieces::of(&body).unwrap();
            assert_eq!(pieces.0.len() > 1, is_shared);
            let bytes: Vec<u8> = pieces.0.iter().flatten().copied().collect();
            assert_eq!(bytes, serde_json::to_vec(&body).unwrap());
            assert!(serde_json::from_slice::<Value>(&bytes).unwrap()["stream"].is_boolean());
            let raw = written.fields[1].json.as_ptr_range();
            let inside = pieces.0.iter().filter(|piece| raw.contains(&piece.as_ptr())).count();
            assert_eq!(inside > 1, is_shared, "it is not copied");
            let sent = reqwest::Body::from(pieces);
            assert_eq!(
                hyper::body::Body::size_hint(&sent).exact(),
                Some(u64::try_from(bytes.len()).unwrap())
            );
        }
    }
}
