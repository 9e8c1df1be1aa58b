//! The five characters: what each says, and how fast. Pure.

use std::{net::SocketAddr, time::Duration};

use super::{
    Pace,
    ask::{Ask, Language, fenced},
};

/// A demonstration model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    Terse,
    Warm,
    Scholar,
    Judge,
    Writer,
}

/// How long it thinks before it speaks, and between two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tempo {
    pub(super) before: Duration,
    pub(super) between: Duration,
}

/// Stands at the start of every answer in prose; nobody may take it for a real model's.
fn notice(language: Language) -> &'static str {
    match language {
        Language::English => "[Simulated answer from the Chorus demo: no real model is behind it.]",
        Language::Chinese => "【这是 Chorus 演示的模拟回答，背后没有真实模型。】",
    }
}

impl Character {
    pub(super) const ALL: [Self; 5] =
        [Self::Terse, Self::Warm, Self::Scholar, Self::Judge, Self::Writer];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Terse => "demo-terse",
            Self::Warm => "demo-warm",
            Self::Scholar => "demo-scholar",
            Self::Judge => "demo-judge",
            Self::Writer => "demo-writer",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|character| character.name() == name)
    }

    pub(super) fn tempo(self, pace: Pace) -> Tempo {
        let (before, between) = match (pace, self) {
            (Pace::Instant, _) => (0, 0),
            (Pace::Natural, Self::Terse) => (150, 12),
            (Pace::Natural, Self::Warm) => (300, 18),
            (Pace::Natural, Self::Scholar) => (450, 22),
            (Pace::Natural, Self::Judge) => (200, 5),
            (Pace::Natural, Self::Writer) => (250, 25),
        };
        Tempo { before: Duration::from_millis(before), between: Duration::from_millis(between) }
    }

    /// Its `[[model]]`. The prices are made up, as everything here.
    pub(super) fn config(self, address: SocketAddr) -> String {
        let (input, output) = match self {
            Self::Terse => (0.1, 0.4),
            Self::Warm => (0.25, 1.0),
            Self::Scholar | Self::Writer => (1.0, 4.0),
            Self::Judge => (0.5, 2.0),
        };
        format!(
            "[[model]]\nname = \"{}\"\napi_base = \"http://{address}/v1\"\nprotocol = \"openai\"\n\
             price = {{ input_per_mtok = {input:?}, output_per_mtok = {output:?} }}\n",
            self.name()
        )
    }

    /// Its answer in prose.
    pub(super) fn answer(self, ask: &Ask) -> String {
        let language = ask.language();
        let body = match (self, language) {
            (Self::Writer, _) => fused(ask, language),
            (Self::Judge, Language::English) => {
                "I only judge: I read a task, or pick the best of several drafts.".to_owned()
            }
            (Self::Judge, Language::Chinese) => {
                "我只做评判：分析任务，或在几份草稿中选出最好的一份。".to_owned()
            }
            (_, Language::English) => self.english(&topic(ask)),
            (_, Language::Chinese) => self.chinese(&topic(ask)),
        };
        format!("{} {body}", notice(language))
    }

    fn english(self, topic: &str) -> String {
        match self {
            Self::Terse => format!("“{topic}”: a real model would settle this in one sentence."),
            Self::Warm => format!(
                "Thank you for asking about “{topic}”! A real model would walk you through it with \
                 an example here. What you can trust already is the way this text reached you: \
                 word by word, as it was written."
            ),
            Self::Scholar | Self::Judge | Self::Writer => format!(
                "Three remarks on “{topic}”.\n\
                 1. A real model would first say what the question takes for granted.\n\
                 2. It would then weigh the evidence on each side.\n\
                 3. Last, it would say how sure one can be, and where to read on."
            ),
        }
    }

    fn chinese(self, topic: &str) -> String {
        match self {
            Self::Terse => format!("关于“{topic}”：真实模型会用一句话说清楚。"),
            Self::Warm => format!(
                "谢谢你问起“{topic}”！换成真实模型，这里会举个例子带你一步步理解。\
                 现在就能确认的是：这些文字是边写边送到你面前的。"
            ),
            Self::Scholar | Self::Judge | Self::Writer => format!(
                "关于“{topic}”，有三点。\n\
                 1. 真实模型会先说明这个问题的前提。\n\
                 2. 然后逐一权衡各方的依据。\n\
                 3. 最后说明结论有多可靠，以及可以继续读什么。"
            ),
        }
    }
}

/// The drafts it was shown as one text: the best whole, of the others what adds
/// to it. Without drafts (asked directly) it says what it is.
fn fused(ask: &Ask, language: Language) -> String {
    let drafts = fenced(&ask.text(), "draft", "rank");
    let mut bodies = drafts.iter().map(|(_, text)| without_notice(text));
    let Some(best) = bodies.next() else {
        return match language {
            Language::English => "I only fuse drafts, and was given none.".to_owned(),
            Language::Chinese => "我只负责融合草稿，而这次没有收到草稿。".to_owned(),
        };
    };
    let rest = bodies.map(first_sentence).filter(|sentence| !best.contains(sentence));
    std::iter::once(best).chain(rest).collect::<Vec<_>>().join("\n\n")
}

fn without_notice(text: &str) -> &str {
    let notices = [notice(Language::English), notice(Language::Chinese)];
    let stripped = notices.into_iter().find_map(|notice| text.strip_prefix(notice));
    stripped.unwrap_or(text).trim()
}

/// Up to the first full stop that is not inside the quoted question.
fn first_sentence(text: &str) -> &str {
    let mut quoted = false;
    for (start, character) in text.char_indices() {
        match character {
            '“' => quoted = true,
            '”' => quoted = false,
            '。' | '！' | '.' | '!' | '\n' if !quoted => {
                return text.get(..start + character.len_utf8()).unwrap_or(text).trim();
            }
            _ => {}
        }
    }
    text
}

/// The head of the question, on one line.
fn topic(ask: &Ask) -> String {
    const LONGEST: usize = 60;
    let question = ask.topic();
    let mut words = question.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = words.char_indices().nth(LONGEST) {
        words.truncate(cut);
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(system: &str, question: &str) -> Ask {
        let messages = json!([{"role": "system", "content": system},
            {"role": "user", "content": question}]);
        Ask::read(json!({"model": "m", "messages": messages}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn everyone_says_that_it_is_simulated_in_the_language_of_the_question() {
        for (question, notice) in [("why?", "Simulated"), ("为什么？", "模拟")] {
            for character in Character::ALL {
                let answer = character.answer(&ask("", question));
                assert!(answer.contains(notice), "{answer}");
                assert_eq!(Character::named(character.name()), Some(character));
            }
        }
    }

    #[test]
    fn drafters_differ() {
        let drafts: Vec<String> =
            Character::ALL.iter().map(|character| character.answer(&ask("", "why?"))).collect();
        for (index, draft) in drafts.iter().enumerate() {
            assert!(!drafts.iter().skip(index + 1).any(|other| other == draft), "{draft}");
        }
    }

    #[test]
    fn the_writer_fuses_what_it_was_given() {
        let scholar = Character::Scholar.answer(&ask("", "why?"));
        let warm = Character::Warm.answer(&ask("", "why?"));
        let system = format!(
            "Fuse.\n<draft-0a rank=\"1\">{scholar}</draft-0a>\n<draft-0a rank=\"2\">{warm}</draft-0a>"
        );
        let answer = Character::Writer.answer(&ask(&system, "why?"));
        assert_eq!(answer.matches("Simulated").count(), 1, "{answer}");
        assert!(answer.contains("Three remarks") && answer.ends_with("about “why?”!"), "{answer}");
        assert!(Character::Writer.answer(&ask("", "why?")).contains("given none"));
    }

    #[test]
    fn long_questions_are_quoted_by_their_head() {
        assert_eq!(topic(&ask("", " two\n words ")), "two words");
        assert_eq!(topic(&ask("", &"水".repeat(61))), format!("{}…", "水".repeat(60)));
    }
}
