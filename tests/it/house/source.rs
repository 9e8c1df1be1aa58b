//! A source file as text and as code: comments and strings blanked, tests left out.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One `.rs` file.
pub struct Source {
    /// The path from the root of the repository, with `/`.
    pub path: String,
    /// What people read.
    pub text: String,
    /// The same length, with spaces for comments and for what strings say.
    pub code: String,
    /// The same, with spaces for what only tests compile.
    pub product: String,
}

/// Every source below a folder of the repository, sorted.
pub fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    files.sort();
    let read = |file: PathBuf| {
        let path = file.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        Source::new(path, fs::read_to_string(&file).unwrap())
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A function with a body.
pub struct Function {
    pub name: String,
    /// Lines from its `fn` to its last brace that are neither empty nor a comment.
    pub lines: usize,
}

impl Source {
    pub fn new(path: String, text: String) -> Self {
        let code = blank(&text);
        let product = without_tests(&code);
        Self { path, text, code, product }
    }

    /// How many lines the file has.
    pub fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// Every function in it, tests included.
    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            if at.checked_sub(1).is_some_and(|before| is_word(self.code.as_bytes()[before])) {
                continue;
            }
            let rest = &self.code[at + "fn ".len()..];
            let name: String = rest.bytes().take_while(|b| is_word(*b)).map(char::from).collect();
            let Some(end) = body_end(&self.code, at) else { continue };
            if !name.is_empty() {
                let counts = |line: &&str| !matches!(line.trim(), "") && !is_comment(line);
                let lines = self.text[at..end].lines().filter(counts).count();
                found.push(Function { name, lines });
            }
        }
        found
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Whether a byte can be part of a name.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The end of the body of what begins here: after its closing brace; none where a `;` comes first.
fn body_end(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut in_body = false;
    for (offset, byte) in code[from..].bytes().enumerate() {
        match byte {
            b';' if depth == 0 => return None,
            b'{' | b'(' | b'[' => {
                in_body |= byte == b'{' && depth == 0;
                depth += 1;
            }
            b'}' | b')' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 && in_body {
                    return Some(from + offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Spaces for what follows a `#[cfg(test)]`, up to the end of that item.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        let after = &rest[at + MARK.len()..];
        let end = body_end(after, 0).or_else(|| Some(after.find(';')? + 1)).unwrap_or(after.len());
        let (item, left) = after.split_at(end);
        kept.extend([MARK, item].iter().flat_map(|part| part.chars()).map(blanked));
        rest = left;
    }
    kept + rest
}

fn blanked(character: char) -> char {
    if character == '\n' { '\n' } else { ' ' }
}

/// The text byte by byte, with spaces for comments, strings and characters.
pub fn blank(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = opaque_end(text, at);
        if let Some(end) = end {
            bytes[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
        at = end.unwrap_or(at + 1);
    }
    bytes.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b' ');
    String::from_utf8(bytes).unwrap()
}

/// The end of the comment, string or character that begins here.
fn opaque_end(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let rest = bytes.get(at..)?;
    let find = |from: usize, needle: &str| {
        let found = text.get(from..).and_then(|text| text.find(needle));
        found.map_or(text.len(), |found| from + found + needle.len())
    };
    let goes_on = at.checked_sub(1).is_some_and(|before| is_word(bytes[before]));
    match rest {
        [b'/', b'/', ..] => Some(find(at, "\n") - usize::from(text[at..].contains('\n'))),
        [b'/', b'*', ..] => Some(find(at + 2, "*/")),
        [b'"', ..] => {
            let mut end = at + 1;
            while end < text.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            Some((end + 1).min(text.len()))
        }
        [b'r', b'"' | b'#', ..] | [b'b', b'r', b'"' | b'#', ..] if !goes_on => {
            let start = at + 1 + usize::from(rest[0] == b'b');
            let marks = bytes[start..].iter().take_while(|byte| **byte == b'#').count();
            let opens = bytes.get(start + marks) == Some(&b'"');
            opens.then(|| find(start + marks + 1, &format!("\"{}", "#".repeat(marks))))
        }
        // A lifetime has no second quote behind one character.
        [b'\'', b'\\', ..] => Some(find(at + 3, "'")),
        [b'\'', ..] => {
            let character = text[at + 1..].chars().next()?;
            let end = at + 1 + character.len_utf8();
            (bytes.get(end) == Some(&b'\'')).then_some(end + 1)
        }
        _ => None,
    }
}
