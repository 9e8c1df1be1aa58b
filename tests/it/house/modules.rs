//! Which module uses what of which other one, read from the sources: imports and paths are followed
//! through re-exports to the module that has the thing.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, is_word};

type Path = Vec<String>;

/// The product's modules, from the root of the library.
pub struct Modules(BTreeMap<Path, Module>);

#[derive(Default)]
struct Module {
    /// What is written in it at the outermost level.
    items: BTreeSet<String>,
    /// What is imported, by the name it has here.
    imports: BTreeMap<String, Path>,
    globs: Vec<Path>,
    /// Every path in it that may lead elsewhere; those of re-exports are left out, since whoever
    /// uses them is led on.
    paths: Vec<Path>,
}

/// One module uses something of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: String,
    pub to: String,
}

impl Modules {
    pub fn of(sources: &[Source]) -> Self {
        let mut modules = BTreeMap::new();
        for source in sources {
            let Some(path) = source.path.strip_prefix("src/") else { continue };
            let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
            let path: Path = match path {
                "main" => continue,
                "lib" => Vec::new(),
                path => path.split('/').map(str::to_owned).collect(),
            };
            modules.insert(path, Module::read(&source.product));
        }
        // What only tests compile is declared in tests only.
        let declared = |path: &Path| {
            (1..=path.len()).all(|length| {
                let (parent, name) = (&path[..length - 1], &path[length - 1]);
                modules.get(parent).is_some_and(|parent| parent.items.contains(name))
            })
        };
        let product: Vec<Path> = modules.keys().filter(|path| declared(path)).cloned().collect();
        modules.retain(|path, _| product.contains(path));
        Self(modules)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The modules that each one uses, inside one layer.
    pub fn edges(&self) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        for (from, module) in &self.0 {
            for path in &module.paths {
                let Some(path) = self.absolute(from, path) else { continue };
                let Some(to) = self.owner(&path, 0) else { continue };
                if to != *from && to.first() == from.first() && !from.is_empty() {
                    edges.insert(Edge { from: from.join("::"), to: to.join("::") });
                }
            }
        }
        edges
    }

    /// The path from the root; none where it leads out of the crate.
    fn absolute(&self, from: &Path, path: &[String]) -> Option<Path> {
        let mut base = from.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" | "super" => {
                while let Some(step @ ("self" | "super")) = rest.first().map(String::as_str) {
                    if step == "super" {
                        base.pop()?;
                    }
                    rest = &rest[1..];
                }
            }
            name => {
                let module = self.0.get(from)?;
                if !module.items.contains(name) {
                    let import = module.imports.get(name).filter(|import| import[0] != name)?;
                    base = self.absolute(from, import)?;
                    rest = &path[1..];
                }
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// The module in which the thing at this path is written.
    fn owner(&self, path: &[String], followed: usize) -> Option<Path> {
        let known = |length: &usize| self.0.contains_key(&path[..*length]);
        let length = (0..=path.len()).rev().find(known)?;
        let module = path[..length].to_vec();
        let Some(name) = path.get(length) else { return Some(module) };
        let here = self.0.get(&module)?;
        if here.items.contains(name) || followed > 20 {
            return Some(module);
        }
        if let Some(import) = here.imports.get(name) {
            let mut next = self.absolute(&module, import)?;
            next.extend(path[length + 1..].iter().cloned());
            return self.owner(&next, followed + 1);
        }
        here.globs.iter().find_map(|glob| {
            let mut next = self.absolute(&module, glob)?;
            next.extend(path[length..].iter().cloned());
            self.owner(&next, followed + 1)
        })
    }
}

/// The edges that are left when whatever no circle needs is taken away.
pub fn circles(mut edges: BTreeSet<Edge>) -> BTreeSet<Edge> {
    loop {
        let from: BTreeSet<String> = edges.iter().map(|edge| edge.from.clone()).collect();
        let to: BTreeSet<String> = edges.iter().map(|edge| edge.to.clone()).collect();
        let before = edges.len();
        edges.retain(|edge| from.contains(&edge.to) && to.contains(&edge.from));
        if edges.len() == before {
            return edges;
        }
    }
}

impl Module {
    fn read(code: &str) -> Self {
        let tokens = tokens(code);
        let mut module = Self::default();
        let mut depth = 0_usize;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1).copied().unwrap_or_default();
            match *token {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                "use" => {
                    let mut leaves = Vec::new();
                    let is_shown = at.checked_sub(1).is_some_and(|it| shows(&tokens, it));
                    at = tree(&tokens, at + 1, &[], &mut leaves);
                    module.import(leaves, is_shown);
                    continue;
                }
                "struct" | "enum" | "fn" | "const" | "static" | "type" | "trait" | "union"
                | "mod"
                    if depth == 0 && is_name(next) =>
                {
                    module.items.insert(next.to_owned());
                }
                // `pub(in a::b)` says who sees, and uses nothing.
                "in" if at > 1 && tokens[at - 1] == "(" && tokens[at - 2] == "pub" => {
                    at = path_end(&tokens, at + 1);
                    continue;
                }
                name if is_name(name) && next == "::" && !follows(&tokens, at) => {
                    let end = path_end(&tokens, at);
                    let path = tokens[at..end].iter().filter(|token| **token != "::");
                    module.paths.push(path.map(|step| (*step).to_owned()).collect());
                    at = end;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        module
    }

    fn import(&mut self, leaves: Vec<(Path, String)>, is_shown: bool) {
        for (mut path, name) in leaves {
            if path.last().is_some_and(|last| last == "*") {
                path.pop();
                self.globs.push(path);
                continue;
            }
            if !is_shown {
                self.paths.push(path.clone());
            }
            self.imports.insert(name, path);
        }
    }
}

/// Whether the visibility of a re-export ends here.
fn shows(tokens: &[&str], at: usize) -> bool {
    matches!(tokens[at], "pub" | ")")
}

/// Whether this is a further step of a path, or a method.
fn follows(tokens: &[&str], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| matches!(tokens[before], "::" | "."))
}

fn is_name(token: &str) -> bool {
    token.bytes().next().is_some_and(|byte| is_word(byte) && !byte.is_ascii_digit())
}

/// The place behind the last step of the path that begins here.
fn path_end(tokens: &[&str], mut at: usize) -> usize {
    while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|it| is_name(it)) {
        at += 2;
    }
    at + 1
}

/// Reads the tree of an import; gives the place behind it.
fn tree(
    tokens: &[&str],
    mut at: usize,
    base: &[String],
    leaves: &mut Vec<(Path, String)>,
) -> usize {
    let mut path = base.to_vec();
    loop {
        match tokens[at] {
            "{" => {
                at += 1;
                while tokens[at] != "}" {
                    at = tree(tokens, at, &path, leaves);
                    at += usize::from(tokens[at] == ",");
                }
                return at + 1;
            }
            "::" => at += 1,
            step => {
                path.push(step.to_owned());
                at += 1;
                if tokens.get(at) == Some(&"::") {
                    continue;
                }
                if path.len() > 1 && step == "self" {
                    path.pop();
                }
                let mut name = path.last().cloned().unwrap_or_default();
                if tokens.get(at) == Some(&"as") {
                    tokens[at + 1].clone_into(&mut name);
                    at += 2;
                }
                leaves.push((path, name));
                return at;
            }
        }
    }
}

/// Names, `::`, and every other sign by itself.
fn tokens(code: &str) -> Vec<&str> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += 1;
        if is_word(bytes[start]) {
            while at < bytes.len() && is_word(bytes[at]) {
                at += 1;
            }
        } else if code[start..].starts_with("::") {
            at += 1;
        } else if bytes[start].is_ascii_whitespace() {
            continue;
        }
        found.push(&code[start..at]);
    }
    found
}
