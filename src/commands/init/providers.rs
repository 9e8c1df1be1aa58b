//! Hosted providers that are known by the variable their key is usually in.

use crate::config::Env;

/// A provider, with two models that are usual at the time of writing.
#[derive(Debug)]
pub(super) struct Provider {
    /// What people call it.
    pub(super) name: &'static str,
    /// Variables its key may be in; the first that is set counts.
    pub(super) keys: &'static [&'static str],
    /// A variable that names another base URL, for a proxy of one's own.
    base_variable: Option<&'static str>,
    base: &'static str,
    /// Written down where the address alone may not show it.
    pub(super) protocol: Option<&'static str>,
    /// The stronger one first.
    pub(super) models: &'static [Hosted],
}

/// A model of a provider.
#[derive(Debug)]
pub(super) struct Hosted {
    pub(super) name: &'static str,
    /// Its makers: models of one family err alike.
    pub(super) family: &'static str,
    /// Only to compare: larger writes better answers.
    pub(super) strength: f64,
    /// Fast and cheap enough to analyse every question.
    pub(super) fast: bool,
    /// Takes no temperature.
    pub(super) fixed_temperature: bool,
}

const fn strong(name: &'static str, family: &'static str, strength: f64) -> Hosted {
    Hosted { name, family, strength, fast: false, fixed_temperature: false }
}

const fn fast(name: &'static str, family: &'static str, strength: f64) -> Hosted {
    Hosted { name, family, strength, fast: true, fixed_temperature: false }
}

/// Every provider known, in the order in which a fast model is chosen as analyzer. Strengths are
/// above those of local models, which are their billions of parameters.
const PROVIDERS: &[Provider] = &[
    Provider {
        name: "Gemini",
        keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        base_variable: None,
        base: "https://generativelanguage.googleapis.com",
        protocol: Some("gemini"),
        models: &[
            strong("gemini-2.5-pro", "gemini", 1900.0),
            fast("gemini-2.5-flash", "gemini", 1400.0),
        ],
    },
    Provider {
        name: "OpenAI",
        keys: &["OPENAI_API_KEY"],
        base_variable: Some("OPENAI_BASE_URL"),
        base: "https://api.openai.com/v1",
        protocol: None,
        models: &[
            Hosted { fixed_temperature: true, ..strong("gpt-5", "gpt", 1950.0) },
            fast("gpt-4.1-mini", "gpt", 1300.0),
        ],
    },
    Provider {
        name: "Anthropic",
        keys: &["ANTHROPIC_API_KEY"],
        base_variable: Some("ANTHROPIC_BASE_URL"),
        base: "https://api.anthropic.com",
        protocol: Some("anthropic"),
        models: &[
            strong("claude-sonnet-4-5", "claude", 2000.0),
            fast("claude-haiku-4-5", "claude", 1450.0),
        ],
    },
    Provider {
        name: "DeepSeek",
        keys: &["DEEPSEEK_API_KEY"],
        base_variable: None,
        base: "https://api.deepseek.com/v1",
        protocol: None,
        models: &[fast("deepseek-chat", "deepseek", 1700.0)],
    },
    Provider {
        name: "DashScope (Qwen)",
        keys: &["DASHSCOPE_API_KEY"],
        base_variable: None,
        base: "https://dashscope.aliyuncs.com/compatible-mode/v1",
        protocol: None,
        models: &[strong("qwen-plus", "qwen", 1650.0), fast("qwen-flash", "qwen", 1100.0)],
    },
    Provider {
        name: "Moonshot (Kimi)",
        keys: &["MOONSHOT_API_KEY"],
        base_variable: None,
        base: "https://api.moonshot.cn/v1",
        protocol: None,
        models: &[strong("kimi-k2-0905-preview", "kimi", 1750.0)],
    },
    Provider {
        name: "Zhipu (GLM)",
        keys: &["ZHIPUAI_API_KEY"],
        base_variable: None,
        base: "https://open.bigmodel.cn/api/paas/v4",
        protocol: None,
        models: &[strong("glm-4.6", "glm", 1600.0)],
    },
    Provider {
        name: "Mistral",
        keys: &["MISTRAL_API_KEY"],
        base_variable: None,
        base: "https://api.mistral.ai/v1",
        protocol: None,
        models: &[
            strong("mistral-large-latest", "mistral", 1500.0),
            fast("mistral-small-latest", "mistral", 1050.0),
        ],
    },
    Provider {
        name: "xAI",
        keys: &["XAI_API_KEY"],
        base_variable: None,
        base: "https://api.x.ai/v1",
        protocol: None,
        models: &[strong("grok-4", "grok", 1850.0), fast("grok-3-mini", "grok", 1150.0)],
    },
    Provider {
        name: "Groq",
        keys: &["GROQ_API_KEY"],
        base_variable: None,
        base: "https://api.groq.com/openai/v1",
        protocol: None,
        models: &[
            strong("openai/gpt-oss-120b", "gpt-oss", 1250.0),
            fast("llama-3.3-70b-versatile", "llama", 1200.0),
        ],
    },
    Provider {
        name: "Together",
        keys: &["TOGETHER_API_KEY"],
        base_variable: None,
        base: "https://api.together.xyz/v1",
        protocol: None,
        models: &[
            strong("Qwen/Qwen3-235B-A22B-Instruct-2507-tput", "qwen", 1550.0),
            fast("meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama", 1180.0),
        ],
    },
    Provider {
        name: "OpenRouter",
        keys: &["OPENROUTER_API_KEY"],
        base_variable: None,
        base: "https://openrouter.ai/api/v1",
        protocol: None,
        models: &[
            strong("anthropic/claude-sonnet-4.5", "claude", 1990.0),
            fast("google/gemini-2.5-flash", "gemini", 1390.0),
            strong("deepseek/deepseek-chat-v3.1", "deepseek", 1690.0),
            strong("qwen/qwen3-235b-a22b-2507", "qwen", 1540.0),
        ],
    },
];

/// A provider whose key is in the environment.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) provider: &'static Provider,
    /// The variable; what it holds is never kept.
    pub(super) key: &'static str,
    pub(super) base: String,
}

/// Providers whose keys are set, and remarks on keys that cannot be used. What a key is goes no
/// further than this function.
pub(super) fn known(env: Env<'_>) -> (Vec<Known>, Vec<String>) {
    let (mut found, mut remarks) = (Vec::new(), Vec::new());
    for provider in PROVIDERS {
        let set = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let Some((key, value)) = provider.keys.iter().find_map(|name| Some((*name, set(name)?)))
        else {
            continue;
        };
        if !value.trim().bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            remarks.push(format!("{key} holds characters that no key has; left out"));
            continue;
        }
        let other = provider.base_variable.and_then(|name| Some((name, set(name)?)));
        let base = match other {
            None => provider.base.to_owned(),
            Some((_, base)) if is_base(&base) => base.trim().to_owned(),
            Some((name, _)) => {
                // The key belongs to that other place, so it is not sent to the usual one.
                remarks.push(format!(
                    "{name} is not a base URL that Chorus can use; {key} is left out"
                ));
                continue;
            }
        };
        found.push(Known { provider, key, base });
    }
    (found, remarks)
}

/// Every variable that is looked at for a key.
pub(super) fn key_variables() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().flat_map(|provider| provider.keys).copied()
}

/// Whether the config would take it as `api_base`.
fn is_base(text: &str) -> bool {
    let base = super::super::toml_text::quoted(text.trim());
    let config = format!(
        "[[model]]\nname = \"a\"\napi_base = {base}\nprotocol = \"openai\"\n\
         [workflow-integration]\njson = '{{\"workers\":[\"a\"],\"selector\":\"a\"}}'\n"
    );
    crate::config::Config::parse(&config, None, &|_| None).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_counts() {
        for (variables, want) in [
            (vec![("GOOGLE_API_KEY", "k")], vec![("Gemini", "GOOGLE_API_KEY")]),
            (
                vec![("GOOGLE_API_KEY", "k"), ("GEMINI_API_KEY", "k")],
                vec![("Gemini", "GEMINI_API_KEY")],
            ),
            (vec![("OPENAI_API_KEY", "  ")], vec![]),
            (vec![("MISTRAL_API_KEY", "schlüssel")], vec![]),
            (
                vec![("XAI_API_KEY", "k"), ("OPENAI_API_KEY", "k")],
                vec![("OpenAI", "OPENAI_API_KEY"), ("xAI", "XAI_API_KEY")],
            ),
        ] {
            let env = |name: &str| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            let (found, _) = known(&env);
            let found: Vec<_> = found.iter().map(|it| (it.provider.name, it.key)).collect();
            assert_eq!(found, want);
        }
    }

    #[test]
    fn a_key_goes_only_where_it_belongs() {
        for (base, want) in [
            (None, Some("https://api.openai.com/v1")),
            (Some("https://proxy.example/v1"), Some("https://proxy.example/v1")),
            (Some("proxy.example"), None),
            (Some("https://me:pa55word@proxy.example/v1"), None),
        ] {
            let env = |name: &str| match name {
                "OPENAI_API_KEY" => Some("sk-secret".to_owned()),
                "OPENAI_BASE_URL" => base.map(str::to_owned),
                _ => None,
            };
            let (found, remarks) = known(&env);
            assert_eq!(found.first().map(|it| it.base.as_str()), want, "{base:?}");
            assert_eq!(remarks.len(), usize::from(want.is_none()));
            let shown = format!("{found:?} {remarks:?}");
            assert!(!shown.contains("sk-secret") && !shown.contains("pa55word"), "{shown}");
        }
    }
}
