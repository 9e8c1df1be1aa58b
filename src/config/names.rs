//! Which workflow or model a name means, the names that clients are shown, and `[[alias]]`.

use std::sync::Arc;

use wildmatch::WildMatch;

use super::{
    Config, DEFAULT_WORKFLOW, Model, Workflow,
    error::{SHOWN_NAMES, did_you_mean},
};
use crate::types::ModelName;

/// A longer name is nobody's; what is shown of one that a client made up.
const LONGEST_NAME: usize = 256;

/// The default workflow's name for clients that show no other than Anthropic's: Claude Code's list of
/// models has those only that hold `claude` or `anthropic`. Whatever else has the name comes first.
pub const AGENTS_NAME: &str = "claude-chorus";

/// `[[alias]]`: a further name, or a pattern of names, for a workflow or a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    /// The name as written: `*` stands for any characters, `/` and `:` included, `?` for one.
    pub name: String,
    /// The workflow, profile or model that it means; checked to be there.
    pub model: String,
    /// A note for whoever reads the config.
    pub note: Option<String>,
    pattern: WildMatch,
}

impl Alias {
    /// A name for `model`, which has to be there.
    #[must_use]
    pub fn new(name: String, model: String, note: Option<String>) -> Self {
        Self { pattern: WildMatch::new(&name), name, model, note }
    }

    /// Whether it is a single name, which can be listed.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.name.contains(['*', '?'])
    }

    /// Whether a name is one of its.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.pattern.matches(name)
    }
}

/// The meaning of a name.
#[derive(Clone, Copy, Debug)]
pub enum Named<'a> {
    /// A workflow, the default one or a profile.
    Workflow(&'a Workflow),
    /// One model alone.
    Model(&'a Arc<Model>),
}

impl<'a> Named<'a> {
    /// The name of its own.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Self::Workflow(workflow) => &workflow.plan.name,
            Self::Model(model) => &model.name,
        }
    }
}

impl Config {
    /// What a client means by a name: exactly this one, or without `:latest`; else the first alias
    /// that fits. No name at all is the default workflow, and so is [`AGENTS_NAME`], unless somebody has
    /// it. `None`: nobody has it.
    #[must_use]
    pub fn named(&self, asked: &str) -> Option<Named<'_>> {
        self.named_through(asked).map(|(named, _)| named)
    }

    /// The same, with the alias that leads there if one does.
    pub(super) fn named_through(&self, asked: &str) -> Option<(Named<'_>, Option<&Alias>)> {
        if asked.is_empty() {
            return Some((Named::Workflow(&self.workflow), None));
        }
        if asked.len() > LONGEST_NAME {
            return None;
        }
        let bare = ModelName::of(asked).as_str();
        let aliased = || {
            let fits = |alias: &&Alias| alias.matches(asked) || alias.matches(bare);
            let alias = self.aliases.iter().find(fits)?;
            Some((self.exactly(&alias.model)?, Some(alias)))
        };
        let for_agents =
            || (bare == AGENTS_NAME).then_some((Named::Workflow(&self.workflow), None));
        let exactly = self.exactly(asked).or_else(|| self.exactly(bare));
        exactly.map(|named| (named, None)).or_else(aliased).or_else(for_agents)
    }

    /// The workflow or model of exactly this name. No model has a workflow's.
    fn exactly(&self, name: &str) -> Option<Named<'_>> {
        let workflow = self.workflow_named(name).map(Named::Workflow);
        workflow.or_else(|| self.models.get(name).map(Named::Model))
    }

    /// The names that clients are shown: the workflows first, then the models in the order of the
    /// file (without those that are not `listed`), then the aliases that are single names.
    pub fn listed_names(&self) -> impl Iterator<Item = &str> {
        let workflows = self.workflows().map(|workflow| workflow.plan.name.as_str());
        let models = self.models.values().filter(|model| model.listed);
        let models = models.map(|model| model.name.as_str());
        let single = self.aliases.iter().enumerate().filter(|(place, alias)| {
            let earlier = self.aliases.iter().take(*place);
            alias.is_exact()
                && self.exactly(&alias.name).is_none()
                && !earlier.into_iter().any(|earlier| earlier.name == alias.name)
        });
        workflows.chain(models).chain(single.map(|(_, alias)| alias.name.as_str()))
    }

    /// The message for a client whose model name means nobody: the name it probably meant and the
    /// `names` there are for it.
    #[must_use]
    pub fn about_unknown(asked: &str, names: &[&str]) -> String {
        let shown: String = asked.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        let mut message = format!("model '{shown}' not found");
        if let Some(near) = near(&shown, names) {
            message.push_str(&format!("; did you mean '{near}'?"));
        } else {
            message.push(';');
        }
        message.push_str(&format!(" there are: {}", listed(names)));
        message
    }

    /// The message for a client that may not ask for a name, with the `names` that it may ask for.
    #[must_use]
    pub fn about_forbidden(asked: &str, names: &[&str]) -> String {
        let asked = if asked.is_empty() { DEFAULT_WORKFLOW } else { asked };
        let asked: String = asked.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        format!("this key may not ask for the model '{asked}'; it may ask for: {}", listed(names))
    }
}

/// Names as messages have them: not all, where there are many.
fn listed(names: &[&str]) -> String {
    let (first, more) = names.split_at_checked(SHOWN_NAMES).unwrap_or((names, &[]));
    let first = first.join(", ");
    match more.len() {
        0 => first,
        more => format!("{first} and {more} more, see GET /v1/models"),
    }
}

/// The name that was probably meant: a few letters differ, or one goes on where the other ends
/// (`qwen3` for `qwen3:8b`), or it has a provider's name before it (`openai/gpt-4o`).
fn near<'n>(asked: &str, names: &[&'n str]) -> Option<&'n str> {
    let goes_on = |longer: &str, shorter: &str| {
        let rest = longer.strip_prefix(shorter).filter(|_| !shorter.is_empty());
        rest.is_some_and(|rest| rest.starts_with([':', '-', '/', '@']))
    };
    let asked = ModelName::of(asked.trim()).as_str();
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let (lower, bare) = (asked.to_lowercase(), last(asked));
    let either = |name: &&&str| {
        let name = name.to_lowercase();
        goes_on(&name, &lower) || goes_on(&lower, &name) || last(&name) == bare
    };
    did_you_mean(asked, names.iter().copied()).or_else(|| names.iter().find(either).copied())
}

/// Whether a name is the default workflow's, which nobody else may have.
pub(super) fn is_reserved(name: &str) -> bool {
    ModelName::of(name) == ModelName::of(DEFAULT_WORKFLOW)
}
