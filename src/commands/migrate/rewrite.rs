//! An old config's text in its new form: order, comments and spacing stay, and each change says so
//! in a comment. Pure.

use std::mem;

use serde_json::Value as Json;
use toml_edit::{
    Array, ArrayOfTables, Decor, DocumentMut, InlineTable, Item, Key, RawString, Table, TableLike,
    Value,
};
use zeroize::Zeroizing;

use super::super::toml_text;
use crate::config::{LimitKind, MILLISECONDS_FROM, STAGE_KEYS, TimeLimits, stage_plan};

/// What became of a file.
#[derive(Debug)]
pub(super) struct Rewritten {
    /// The new file; the old one to the byte when nothing changed. It may hold keys and is wiped; the
    /// copies that the TOML editor works on cannot be.
    pub(super) text: Zeroizing<String>,
    /// What was changed, one line each.
    pub(super) changes: Vec<String>,
    /// Old forms that the new form has no words for, one line each.
    pub(super) left: Vec<String>,
}

/// Begins every comment written here.
const MARK: &str = "chorus migrate";

/// The keys that once held milliseconds.
const LIMITS: [&str; 5] = [
    "analyzer_timeout_secs",
    "worker_timeout_secs",
    "selector_timeout_secs",
    "synthesizer_timeout_secs",
    "connect_timeout_secs",
];

/// Rewrites a file that is valid TOML; `None` when it is not.
pub(super) fn rewrite(text: &str) -> Option<Rewritten> {
    let mut document: DocumentMut = text.parse().ok()?;
    let mut rewriter = Rewriter::default();
    rewriter.single_model(&mut document);
    rewriter.stages(&mut document);
    rewriter.limits(&mut document);
    if rewriter.changes.is_empty() {
        let (text, changes) = (Zeroizing::new(text.to_owned()), Vec::new());
        return Some(Rewritten { text, changes, left: rewriter.left });
    }
    let appended = rewriter.absent(&mut document);
    let Rewriter { changes, left, top } = rewriter;
    let head: String = top.iter().map(|line| format!("# {MARK}: {line}\n")).collect();
    let body = Zeroizing::new(document.to_string());
    let body = Zeroizing::new(body.replace("\r\n", "\n"));
    let new = Zeroizing::new(format!("{head}{}{appended}", body.as_str()));
    // The editor knows no other line end than LF.
    let dos = text.matches("\r\n").count() * 2 > text.matches('\n').count();
    let new = if dos { Zeroizing::new(new.replace('\n', "\r\n")) } else { new };
    let marked = text.starts_with('\u{feff}') && !new.starts_with('\u{feff}');
    let new = if marked { Zeroizing::new(format!("\u{feff}{}", new.as_str())) } else { new };
    Some(Rewritten { text: new, changes, left })
}

#[derive(Default)]
struct Rewriter {
    changes: Vec<String>,
    left: Vec<String>,
    /// Comments for the top of the file: about inline tables, which hold none.
    top: Vec<String>,
}

impl Rewriter {
    /// `[model]` to `[[model]]`.
    fn single_model(&mut self, root: &mut Table) {
        let Some(item) = root.get_mut("model") else { return };
        let note = "[model] is a list now, so that more models can follow: [[model]]";
        match mem::take(item) {
            Item::Table(mut table) => {
                table.set_dotted(false);
                table.set_implicit(false);
                table.set_position(first_position(&table));
                comment_above(table.decor_mut(), &[note.to_owned()]);
                let mut tables = ArrayOfTables::new();
                tables.push(table);
                *item = Item::ArrayOfTables(tables);
            }
            Item::Value(Value::InlineTable(mut table)) => {
                let mut list = Array::new();
                *list.decor_mut() = mem::take(table.decor_mut());
                list.push_formatted(Value::InlineTable(table));
                *item = Item::Value(Value::Array(list));
                self.top.push(note.to_owned());
            }
            other => {
                *item = other;
                return;
            }
        }
        self.changes.push("[model] is now one [[model]]".to_owned());
    }

    /// `analyzer_model` and its like to `json`.
    fn stages(&mut self, root: &mut Table) {
        let Some(item) = root.get_mut("workflow-integration") else { return };
        let Some(table) = item.as_table_like() else { return };
        let Some((plan, keys)) = old_plan(table) else { return };
        let with = "the workflow is one plan in JSON now, which names the selector too";
        match item {
            Item::Table(table) => with_plan(table, &plan, &keys, with),
            Item::Value(Value::InlineTable(table)) => {
                inline_with_plan(table, &plan, &keys);
                self.top.push(with.to_owned());
            }
            _ => return,
        }
        let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        self.changes.push(format!("[workflow-integration] {} are now `json`", keys.join(", ")));
    }

    /// Milliseconds under a `_secs` key to seconds.
    fn limits(&mut self, root: &mut Table) {
        let Some(workflow) = root.get_mut("workflow") else { return };
        let inline = workflow.is_inline_table();
        let Some(workflow) = workflow.as_table_like_mut() else { return };
        if let Some(timeouts) = workflow.get_mut("timeouts") {
            self.seconds(timeouts, inline, "[workflow.timeouts]");
        }
        let Some(domains) = workflow.get_mut("domains") else { return };
        let inline = inline || domains.is_inline_table();
        let Some(domains) = domains.as_table_like_mut() else { return };
        for (name, domain) in domains.iter_mut() {
            let label = format!("[workflow.domains.\"{}\"]", name.get().escape_debug());
            self.seconds(domain, inline, &label);
        }
    }

    fn seconds(&mut self, item: &mut Item, inline: bool, label: &str) {
        let inline = inline || item.is_inline_table();
        let Some(table) = item.as_table_like_mut() else { return };
        for key in LIMITS {
            let Some(value) = table.get_mut(key).and_then(Item::as_value_mut) else { continue };
            let Some(milliseconds) = number(value).filter(|it| *it >= MILLISECONDS_FROM) else {
                continue;
            };
            let seconds = milliseconds / 1000.0;
            let before = bare(value);
            if seconds >= MILLISECONDS_FROM {
                // Written as seconds it would be taken for milliseconds again.
                self.left.push(format!(
                    "{label} `{key} = {before}` means {seconds} s and stays: 10000 and more is \
                     read as milliseconds"
                ));
                continue;
            }
            let Ok(mut new) = seconds.to_string().parse::<Value>() else { continue };
            *new.decor_mut() = mem::take(value.decor_mut());
            let note = format!("was {before}, which is milliseconds");
            if inline {
                self.top.push(format!("{label} `{key}` {note}"));
            } else {
                comment_behind(new.decor_mut(), &note);
            }
            *value = new;
            self.changes.push(format!("{label} `{key} = {before}` is now `{key} = {seconds}`"));
        }
    }

    /// What old files lack, with the defaults that hold: text for the end of the file.
    fn absent(&mut self, root: &mut Table) -> String {
        let mut appended = String::new();
        if !root.contains_key("server") {
            appended.push_str(&format!(
                "\n# {MARK}: where it listens; these are the defaults.\n\
                 [server]\nhost = \"127.0.0.1\"\nport = 11435\n"
            ));
            self.changes.push("[server] is written down, with its defaults".to_owned());
        }
        let workflow = root.get("workflow");
        let missing = workflow.is_none_or(|item| {
            item.as_table_like().is_some_and(|table| !table.contains_key("timeouts"))
        });
        // A table can be added only below one that was not written as one line or with dots.
        let open = |item: &Item| item.as_table().is_some_and(|table| !table.is_dotted());
        if missing && workflow.is_none_or(open) {
            let limits = TimeLimits::default();
            let seconds = |kind| limits.base(kind).as_secs();
            appended.push_str(&format!(
                "\n# {MARK}: the limits of the stages, in seconds; these are the defaults.\n\
                 [workflow.timeouts]\nanalyzer_timeout_secs = {}\nworker_timeout_secs = {}\n\
                 synthesizer_timeout_secs = {}\n",
                seconds(LimitKind::Analyzer),
                seconds(LimitKind::Worker),
                seconds(LimitKind::Synthesizer),
            ));
            let change = "[workflow.timeouts] is written down, with its defaults";
            self.changes.push(change.to_owned());
        }
        self.temperature(root);
        appended
    }

    fn temperature(&mut self, root: &mut Table) {
        let says = |table: &dyn TableLike| {
            table.contains_key("temperature") || table.contains_key("auto_temperature")
        };
        let note = "no temperature is set: plan, request and defaults decide";
        let remedy = "`temperature = 0.7` sets one, `auto_temperature = true` follows the analyzer";
        let note = [note.to_owned(), remedy.to_owned()];
        match root.get_mut("model") {
            Some(Item::ArrayOfTables(models)) => {
                if models.iter().any(|model| says(model)) {
                    return;
                }
                if let Some(first) = models.get_mut(0) {
                    comment_above(first.decor_mut(), &note);
                }
            }
            Some(Item::Value(Value::Array(models))) => {
                if models.iter().filter_map(Value::as_inline_table).any(|model| says(model)) {
                    return;
                }
                self.top.extend(note);
            }
            _ => return,
        }
        self.changes.push("a comment says which temperature a model gets".to_owned());
    }
}

/// The plan that the old keys mean, and those that are there, in the order of the file.
fn old_plan(table: &dyn TableLike) -> Option<(Json, Vec<String>)> {
    let keys: Vec<String> = table
        .iter()
        .map(|(key, _)| key.to_owned())
        .filter(|key| STAGE_KEYS.contains(&key.as_str()))
        .collect();
    if keys.is_empty() {
        return None;
    }
    let text = |item: &Item| item.as_str().map(str::to_owned);
    let model = |key: &str| table.get(key).and_then(text);
    let workers = table.get("worker_models").and_then(Item::as_array);
    let workers = workers
        .map(|all| all.iter().filter_map(|worker| worker.as_str().map(str::to_owned)).collect());
    let (analyzer, selector) = (model("analyzer_model"), model("selector_model"));
    Some((stage_plan(analyzer, workers, selector, model("synthesizer_model")), keys))
}

/// Puts `json` where the first old key is. The old keys stay readable in the comment above it, with
/// the comments that stood at them.
fn with_plan(table: &mut Table, plan: &Json, keys: &[String], note: &str) {
    let order: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
    let mut lead: Option<String> = None;
    let mut was = vec![format!("{note}. It was:")];
    for name in keys {
        let Some((key, item)) = table.remove_entry(name) else { continue };
        let above = text_of(key.leaf_decor().prefix(), "");
        match lead {
            None => lead = Some(above),
            Some(_) => was.extend(indented(&above)),
        }
        let statement = format!("{} = {}", key.display_repr(), item.to_string().trim());
        was.extend(indented(&statement));
    }
    let mut key = Key::new("json");
    key.leaf_decor_mut().set_prefix(lead.unwrap_or_default());
    comment_above(key.leaf_decor_mut(), &was);
    let Ok(mut value) = toml_text::plan(plan).parse::<Value>() else { return };
    value.decor_mut().set_prefix(" ");
    table.insert_formatted(&key, Item::Value(value));
    let rank = |key: &Key| {
        let name = if key.get() == "json" { keys.first().map(String::as_str) } else { None };
        let name = name.unwrap_or_else(|| key.get());
        order.iter().position(|known| known == name)
    };
    table.sort_values_by(|left, _, right, _| rank(left).cmp(&rank(right)));
}

fn inline_with_plan(table: &mut InlineTable, plan: &Json, keys: &[String]) {
    for key in keys {
        table.remove(key);
    }
    table.insert("json", Value::from(plan.to_string()));
    table.fmt();
}

/// A header may follow those of its own tables below; as a list it must not.
fn first_position(table: &Table) -> Option<isize> {
    let below = table.iter().filter_map(|(_, item)| match item {
        Item::Table(table) => first_position(table),
        Item::ArrayOfTables(tables) => tables.iter().filter_map(first_position).min(),
        _ => None,
    });
    below.chain(table.position()).min()
}

/// Comment lines between what stands above something and itself, indented alike.
fn comment_above(decor: &mut Decor, lines: &[String]) {
    let before = text_of(decor.prefix(), "\n");
    let (above, indent) = match before.rsplit_once('\n') {
        Some((above, indent)) => (format!("{above}\n"), indent.to_owned()),
        None => (String::new(), before),
    };
    let mut text = above;
    for (number, line) in lines.iter().enumerate() {
        let mark = if number == 0 { format!("{MARK}: ") } else { String::new() };
        text.push_str(&format!("{indent}# {mark}{line}\n"));
    }
    text.push_str(&indent);
    decor.set_prefix(text);
}

/// A comment at the end of a value's line, behind one that may be there.
fn comment_behind(decor: &mut Decor, text: &str) {
    let before = text_of(decor.suffix(), "");
    let before = before.trim_end();
    let between = if before.is_empty() { "  # " } else { "; " };
    decor.set_suffix(format!("{before}{between}{MARK}: {text}"));
}

fn text_of(raw: Option<&RawString>, default: &str) -> String {
    raw.and_then(RawString::as_str).unwrap_or(default).replace('\r', "")
}

/// The lines of a statement or of comments, to be shown within a comment.
fn indented(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).map(|line| {
        // Comments keep their sign: it tells them from what was in force.
        format!("  {line}")
    })
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        #[expect(clippy::cast_precision_loss, reason = "a limit of 2^53 seconds is no limit")]
        Value::Integer(number) => *number.value() as f64,
        Value::Float(number) => *number.value(),
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// The value as it was written, without what is around it.
fn bare(value: &Value) -> String {
    let mut value = value.clone();
    value.decor_mut().clear();
    value.to_string()
}
