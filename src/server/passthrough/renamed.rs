//! The name of the model in a long answer that goes through piece by piece.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memchr2;
use serde_json::Value;

/// Goes through the pieces of a JSON object and puts another text in the place of that of its field
/// `model`. Everything else stays byte for byte.
pub(super) struct Renamed {
    /// In JSON.
    name: Vec<u8>,
    /// How many lists and objects are open.
    depth: usize,
    position: Position,
    /// The last text in the outermost object, which may be the name of a field: as many of its bytes as
    /// matter.
    field: Vec<u8>,
    /// A value of the outermost object comes next, and not the name of a field.
    is_value: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Outside,
    /// In a text; of one that goes away nothing is kept.
    Text {
        goes: bool,
    },
    /// Behind the backslash in one.
    Escape {
        goes: bool,
    },
}

const FIELD: &[u8] = b"model";

impl Renamed {
    pub(super) fn to(name: &str) -> Self {
        let name = Value::from(name).to_string().into_bytes();
        Self { name, depth: 0, position: Position::Outside, field: Vec::new(), is_value: false }
    }

    /// The next piece.
    pub(super) fn piece(&mut self, piece: Bytes) -> Bytes {
        let mut kept = BytesMut::with_capacity(piece.len().saturating_add(self.name.len()));
        let mut rest: &[u8] = &piece;
        while let Some((&byte, behind)) = rest.split_first() {
            match self.position {
                Position::Text { goes } => {
                    // To the next byte that means anything.
                    let length = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    let (text, end) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                    let (mark, behind) = end.split_at_checked(1).unwrap_or((end, &[]));
                    self.text(text, mark, goes);
                    if !goes {
                        kept.put(text);
                        kept.put(mark);
                    }
                    rest = behind;
                    continue;
                }
                Position::Escape { goes } => {
                    self.position = Position::Text { goes };
                    // No name that matters is written so.
                    self.field.push(b'\\');
                    if !goes {
                        kept.put_u8(byte);
                    }
                }
                Position::Outside => self.outside(byte, &mut kept),
            }
            rest = behind;
        }
        kept.freeze()
    }

    fn text(&mut self, text: &[u8], mark: &[u8], goes: bool) {
        let room = (FIELD.len() + 1).saturating_sub(self.field.len());
        self.field.extend_from_slice(text.get(..text.len().min(room)).unwrap_or_default());
        self.position = match mark {
            b"\"" => Position::Outside,
            b"\\" => Position::Escape { goes },
            _ => self.position,
        };
    }

    fn outside(&mut self, byte: u8, kept: &mut BytesMut) {
        match byte {
            b'"' => {
                let goes = self.depth == 1 && self.is_value && self.field == FIELD;
                self.position = Position::Text { goes };
                if !(self.depth == 1 && self.is_value) {
                    self.field.clear();
                }
                if goes {
                    kept.put(self.name.as_slice());
                    // A second text would be no JSON.
                    self.field.clear();
                    return;
                }
            }
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 => self.is_value = true,
            b',' if self.depth == 1 => {
                self.is_value = false;
                self.field.clear();
            }
            _ => {}
        }
        kept.put_u8(byte);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Everything, in pieces of that size.
    fn renamed(text: &str, size: usize) -> String {
        let mut renamed = Renamed::to("my \"own\"");
        let pieces = text.as_bytes().chunks(size);
        let whole: Vec<u8> =
            pieces.flat_map(|piece| renamed.piece(Bytes::copy_from_slice(piece))).collect();
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn only_the_model_of_the_outermost_object_changes() {
        for (text, want) in [
            (r#"{"model":"m"}"#, r#"{"model":"my \"own\""}"#),
            (r#"{"model" : "m \" \\","a":1}"#, r#"{"model" : "my \"own\"","a":1}"#),
            (r#"{"a":"model","model":"m"}"#, r#"{"a":"model","model":"my \"own\""}"#),
            (
                r#"{"a":{"model":"m"},"b":["model","m"]}"#,
                r#"{"a":{"model":"m"},"b":["model","m"]}"#,
            ),
            (r#"{"models":"m","mode":"l","":"model"}"#, r#"{"models":"m","mode":"l","":"model"}"#),
            (r#"{"mod\u0065l":"m","model":null}"#, r#"{"mod\u0065l":"m","model":null}"#),
            (
                r#"{"data":[0.10, -1e-30],"model":"é\ud83d"}"#,
                r#"{"data":[0.10, -1e-30],"model":"my \"own\""}"#,
            ),
            (r#"{"x":"\\","model":"m"}"#, r#"{"x":"\\","model":"my \"own\""}"#),
            (r#"{"model":"","y":"z"}"#, r#"{"model":"my \"own\"","y":"z"}"#),
        ] {
            for size in 1..=text.len() {
                assert_eq!(renamed(text, size), want, "{text} {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn an_object_stays_what_it_was(
            fields in prop::collection::btree_map("[a-z\"\\\\:,{]{0,6}", "[a-z\"\\\\:,}\\[]{0,6}", 0..5),
            model in "[a-z\"\\\\]{0,6}",
            size in 1_usize..40,
        ) {
            let mut object = json!(fields);
            object["model"] = json!(model);
            let read: Value = serde_json::from_str(&renamed(&object.to_string(), size)).unwrap();
            object["model"] = json!("my \"own\"");
            prop_assert_eq!(read, object);
        }
    }
}
