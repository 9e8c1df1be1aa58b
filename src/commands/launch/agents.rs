//! The agents that are known, and what each is given. Pure.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::commands::toml_text::quoted;

/// The variable that holds the key for Chorus, where it asks for one.
pub(super) const KEY: &str = "CHORUS_API_KEY";
/// What is sent as the key where nobody asks for one: agents insist on some.
pub(super) const NO_KEY: &str = "chorus";

/// An agent.
pub(super) struct Agent {
    /// What it is called here, and its program.
    pub(super) name: &'static str,
    /// What people call it.
    pub(super) title: &'static str,
    /// What installs it.
    pub(super) install: &'static str,
    /// What it is given.
    pub(super) setup: fn(&Target) -> Setup,
}

/// What an agent is pointed at.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Chorus, without a slash at the end.
    pub(super) url: String,
    /// The workflow or model.
    pub(super) model: String,
    /// Who answers what agents ask in the background.
    pub(super) small: String,
    /// What `model` takes, in tokens, as far as it is known.
    pub(super) context: Option<u32>,
    /// The user's home, whose settings may be read; `None`: they may not be shown.
    pub(super) home: Option<PathBuf>,
}

/// How an agent is started.
#[derive(Clone, Debug, Default)]
pub(super) struct Setup {
    /// Variables of its environment.
    pub(super) variables: Vec<(&'static str, Text)>,
    /// Variables that would lead it elsewhere, and are taken out.
    pub(super) without: &'static [&'static str],
    /// Arguments before those of the user.
    pub(super) arguments: Vec<Text>,
    /// Temporary files: the path below their folder, and the text.
    pub(super) files: Vec<(&'static str, String)>,
}

/// The value of a variable, or an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// As it stands.
    Plain(String),
    /// The key.
    Key,
    /// The path of a temporary file; empty: of their folder.
    Path(&'static str),
}

/// All of them, in the order in which they are listed.
pub(super) const ALL: &[Agent] = &[
    Agent {
        name: "claude",
        title: "Claude Code",
        install: "npm install -g @anthropic-ai/claude-code",
        setup: claude,
    },
    Agent { name: "codex", title: "Codex", install: "npm install -g @openai/codex", setup: codex },
    Agent {
        name: "opencode",
        title: "opencode",
        install: "npm install -g opencode-ai",
        setup: opencode,
    },
    Agent {
        name: "gemini",
        title: "Gemini CLI",
        install: "npm install -g @google/gemini-cli",
        setup: gemini,
    },
    Agent {
        name: "qwen",
        title: "Qwen Code",
        install: "npm install -g @qwen-code/qwen-code",
        setup: qwen,
    },
    Agent {
        name: "copilot",
        title: "GitHub Copilot CLI",
        install: "npm install -g @github/copilot",
        setup: copilot,
    },
    Agent {
        name: "aider",
        title: "aider",
        install: "python -m pip install aider-chat",
        setup: aider,
    },
    Agent {
        name: "pi",
        title: "pi",
        install: "npm install -g @earendil-works/pi-coding-agent",
        setup: pi,
    },
];

impl Agent {
    /// The agent of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|agent| agent.name == name)
    }
}

impl Target {
    fn openai(&self) -> Text {
        plain(format!("{}/v1", self.url))
    }

    /// What an answer may take of the context, in tokens, for agents that want to be told.
    fn output(&self) -> Option<u32> {
        self.context.map(|context| (context / 4).min(32_000))
    }
}

fn plain(text: impl Into<String>) -> Text {
    Text::Plain(text.into())
}

/// Every tier of models is the one that is asked for, but the small one. The header of attribution
/// changes with each request and would leave no prompt's beginning in a cache.
fn claude(target: &Target) -> Setup {
    let Target { url, model, small, .. } = target;
    let mut variables = vec![
        ("ANTHROPIC_BASE_URL", plain(url)),
        ("ANTHROPIC_AUTH_TOKEN", Text::Key),
        ("ANTHROPIC_MODEL", plain(model)),
        ("ANTHROPIC_DEFAULT_OPUS_MODEL", plain(model)),
        ("ANTHROPIC_DEFAULT_SONNET_MODEL", plain(model)),
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", plain(small)),
        ("CLAUDE_CODE_SUBAGENT_MODEL", plain(model)),
        ("CLAUDE_CODE_ATTRIBUTION_HEADER", plain("0")),
    ];
    let context = target.context.map(|tokens| plain(tokens.to_string()));
    variables.extend(context.map(|tokens| ("CLAUDE_CODE_MAX_CONTEXT_TOKENS", tokens)));
    let without = &[
        "ANTHROPIC_API_KEY",
        "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_FOUNDRY",
        "CLAUDE_CODE_USE_VERTEX",
    ];
    Setup { variables, without, ..Setup::default() }
}

fn codex(target: &Target) -> Setup {
    let mut settings = vec![
        format!("model={}", quoted(&target.model)),
        "model_provider=\"chorus\"".to_owned(),
        "model_providers.chorus.name=\"Chorus\"".to_owned(),
        format!("model_providers.chorus.base_url={}", quoted(&format!("{}/v1", target.url))),
        format!("model_providers.chorus.env_key={}", quoted(KEY)),
        "model_providers.chorus.wire_api=\"responses\"".to_owned(),
        "model_providers.chorus.supports_websockets=false".to_owned(),
    ];
    settings.extend(target.context.map(|tokens| format!("model_context_window={tokens}")));
    let arguments = settings.into_iter().flat_map(|setting| [plain("-c"), plain(setting)]);
    Setup { arguments: arguments.collect(), ..Setup::default() }
}

fn opencode(target: &Target) -> Setup {
    let Target { url, model, small, context, .. } = target;
    let limit = context.map(|tokens| json!({ "context": tokens, "output": target.output() }));
    let entry = |name: &String| {
        let about = [("name", name.as_str().into()), ("tool_call", true.into())];
        let about = about.into_iter().chain([("attachment", true.into())]);
        let about = about.chain(limit.clone().map(|limit| ("limit", limit)));
        let about: serde_json::Map<String, Value> =
            about.map(|(key, value)| (key.to_owned(), value)).collect();
        (name.clone(), about.into())
    };
    let models: serde_json::Map<String, Value> = [model, small].into_iter().map(entry).collect();
    let config = json!({
        "model": format!("chorus/{model}"),
        "small_model": format!("chorus/{small}"),
        "provider": { "chorus": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Chorus",
            "options": { "baseURL": format!("{url}/v1"), "apiKey": format!("{{env:{KEY}}}") },
            "models": models,
        } },
    });
    let variables = vec![("OPENCODE_CONFIG_CONTENT", plain(config.to_string()))];
    Setup { variables, ..Setup::default() }
}

/// No variable chooses how it authenticates, and its user may have chosen Google's own servers. So it
/// gets a home for the session, with the user's settings but for that choice. Which folders are
/// trusted stays the user's.
fn gemini(target: &Target) -> Setup {
    let own = target.home.as_ref().map(|home| home.join(".gemini"));
    let read = |folder: &PathBuf| fs::read(folder.join("settings.json")).ok();
    let text = own.as_ref().and_then(read).unwrap_or_default();
    let mut settings: serde_json::Map<String, Value> =
        serde_json::from_slice(&text).unwrap_or_default();
    let auth = json!({ "selectedType": "gemini-api-key" });
    match settings.get_mut("security").and_then(Value::as_object_mut) {
        Some(security) => drop(security.insert("auth".to_owned(), auth)),
        None => drop(settings.insert("security".to_owned(), json!({ "auth": auth }))),
    }
    let trusted = own.map(|folder| folder.join("trustedFolders.json").display().to_string());
    let mut variables = vec![
        ("GEMINI_CLI_HOME", Text::Path("")),
        ("GOOGLE_GEMINI_BASE_URL", plain(&target.url)),
        ("GEMINI_API_KEY", Text::Key),
        ("GEMINI_MODEL", plain(&target.model)),
    ];
    variables.extend(trusted.map(|path| ("GEMINI_CLI_TRUSTED_FOLDERS_PATH", plain(path))));
    Setup {
        variables,
        without: &["GOOGLE_API_KEY", "GOOGLE_GENAI_USE_GCA", "GOOGLE_GENAI_USE_VERTEXAI"],
        files: vec![(".gemini/settings.json", Value::from(settings).to_string())],
        ..Setup::default()
    }
}

fn qwen(target: &Target) -> Setup {
    Setup {
        variables: vec![
            ("OPENAI_BASE_URL", target.openai()),
            ("OPENAI_API_KEY", Text::Key),
            ("OPENAI_MODEL", plain(&target.model)),
        ],
        arguments: vec![plain("--auth-type"), plain("openai")],
        ..Setup::default()
    }
}

fn copilot(target: &Target) -> Setup {
    let mut variables = vec![
        ("COPILOT_PROVIDER_TYPE", plain("openai")),
        ("COPILOT_PROVIDER_BASE_URL", target.openai()),
        ("COPILOT_PROVIDER_API_KEY", Text::Key),
        ("COPILOT_PROVIDER_WIRE_API", plain("responses")),
        ("COPILOT_MODEL", plain(&target.model)),
    ];
    if let (Some(context), Some(output)) = (target.context, target.output()) {
        let prompt = context.saturating_sub(output);
        variables.push(("COPILOT_PROVIDER_MAX_PROMPT_TOKENS", plain(prompt.to_string())));
        variables.push(("COPILOT_PROVIDER_MAX_OUTPUT_TOKENS", plain(output.to_string())));
    }
    let without = &[
        "COPILOT_PROVIDER_API_KEY_COMMAND",
        "COPILOT_PROVIDER_BEARER_TOKEN",
        "COPILOT_PROVIDER_TRANSPORT",
    ];
    Setup { variables, without, ..Setup::default() }
}

fn aider(target: &Target) -> Setup {
    const METADATA: &str = "model-metadata.json";
    let Target { model, small, .. } = target;
    let mut variables = vec![
        ("OPENAI_API_BASE", target.openai()),
        ("OPENAI_API_KEY", Text::Key),
        ("AIDER_MODEL", plain(format!("openai/{model}"))),
        ("AIDER_WEAK_MODEL", plain(format!("openai/{small}"))),
    ];
    let mut files = Vec::new();
    if let (Some(context), Some(output)) = (target.context, target.output()) {
        let about = json!({
            "litellm_provider": "openai", "mode": "chat",
            "max_input_tokens": context, "max_output_tokens": output,
            "input_cost_per_token": 0, "output_cost_per_token": 0,
        });
        let entry = |name: &String| (format!("openai/{name}"), about.clone());
        let all: serde_json::Map<String, Value> = [model, small].into_iter().map(entry).collect();
        files.push((METADATA, Value::from(all).to_string()));
        variables.push(("AIDER_MODEL_METADATA_FILE", Text::Path(METADATA)));
    }
    Setup { variables, files, ..Setup::default() }
}

/// Providers come from its settings or from an extension, which is a file for the session.
fn pi(target: &Target) -> Setup {
    const EXTENSION: &str = "chorus.js";
    let context = target.context.unwrap_or(131_072);
    let provider = json!({
        "name": "Chorus",
        "baseUrl": format!("{}/v1", target.url),
        "apiKey": format!("${KEY}"),
        "api": "openai-completions",
        "models": [{
            "type": "chat", "id": target.model, "name": target.model, "reasoning": false,
            "input": ["text", "image"],
            "cost": { "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0 },
            "contextWindow": context, "maxTokens": (context / 4).min(32_000),
        }],
    });
    let text = format!("export default (pi) => pi.registerProvider(\"chorus\", {provider});\n");
    let words = [plain("--extension"), Text::Path(EXTENSION), plain("--provider"), plain("chorus")];
    let model = [plain("--model"), plain(&target.model)];
    Setup {
        arguments: words.into_iter().chain(model).collect(),
        files: vec![(EXTENSION, text)],
        ..Setup::default()
    }
}
