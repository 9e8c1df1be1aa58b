//! Background tasks of clients (a chat's title, its tags, a note to remember), recognised by their
//! form, so that one small model answers them instead of a panel. Pure.
//!
//! A form is described by a few words that stand where only the client writes, never by what stands
//! somewhere in a text: a question with a file around it may quote any of them.
//!
//! What the answer to come depends on is no background task, whatever client sends it: the choice of a
//! tool, the summary that a long conversation goes on with, the merging of answers.

use crate::types::{Message, Part, Request, Role};

/// What a client wants in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A title for the conversation.
    Title,
    /// Tags for it.
    Tags,
    /// What the user may ask or say next.
    FollowUps,
    /// Queries for a search.
    Query,
    /// The rest of what the user is typing.
    Completion,
    /// A description for a model that draws.
    ImagePrompt,
    /// An emoji for the tone of a message.
    Emoji,
    /// Notes of what to remember of it.
    Memory,
}

impl Task {
    /// Its name in the trace and the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Tags => "tags",
            Self::FollowUps => "follow_ups",
            Self::Query => "query",
            Self::Completion => "completion",
            Self::ImagePrompt => "image_prompt",
            Self::Emoji => "emoji",
            Self::Memory => "memory",
        }
    }

    /// The task that a request is; `None`: somebody's question.
    pub(super) fn of(request: &Request) -> Option<Self> {
        if request.prompt.raw || request.messages.iter().any(Message::has_image) {
            return None;
        }
        FORMS.iter().find(|form| form.shape.fits(request, form.words)).map(|form| form.task)
    }
}

/// A form that requests have.
struct Form {
    task: Task,
    shape: Shape,
    /// One of them stands in the sentence that says what to do, in lower case.
    words: &'static [&'static str],
}

/// How a client sends its tasks.
#[derive(Clone, Copy)]
enum Shape {
    /// Open WebUI: whole, one user message without tools, `### Task:` with the sentence below it and
    /// the chat between marks.
    Headed,
    /// Open WebUI's emojis: whole, one user message without tools that begins with these words, in
    /// lower case, and quotes the message behind the sentence.
    Quoting(&'static str),
    /// opencode: the sentence is the system message's first, and the conversation comes behind a
    /// user message that begins with these words; no tools.
    Introduced(&'static str),
    /// qwen-code: the sentence is the system message's first; tools write the notes.
    Agent,
    /// LobeChat, Cherry Studio, chat-ui, Crush and others: the sentence is the system message's first;
    /// no answers in between, no tools.
    Instructed,
    /// NextChat, Zed: the conversation itself, and behind it a user message that begins with the
    /// sentence; no tools.
    Closing,
    /// LibreChat, Chatbox, early Open WebUI: one user message without tools that begins with these
    /// words, in lower case, with a mark of the client's around what it is about further down.
    Around(&'static str),
}

const FORMS: [Form; 16] = [
    Form {
        task: Task::FollowUps,
        shape: Shape::Headed,
        words: &["follow-up", "follow up", "send next", "ask next", "say next", "追问"],
    },
    Form { task: Task::Query, shape: Shape::Headed, words: &["search quer", "搜索查询"] },
    Form { task: Task::Completion, shape: Shape::Headed, words: &["autocomplet", "自动补全"] },
    Form { task: Task::Title, shape: Shape::Headed, words: &[" title", "标题"] },
    Form { task: Task::Tags, shape: Shape::Headed, words: &[" tags", "标签"] },
    Form {
        task: Task::ImagePrompt,
        shape: Shape::Headed,
        words: &["image generation", "图像生成"],
    },
    Form {
        task: Task::Emoji,
        shape: Shape::Quoting("your task is to reflect"),
        words: &["fitting emoji"],
    },
    Form {
        task: Task::Title,
        shape: Shape::Introduced("generate a title for this conversation"),
        words: &["title generator"],
    },
    Form {
        task: Task::Title,
        shape: Shape::Introduced("here are the first few user messages"),
        words: &["only a description in", "title generator"],
    },
    Form {
        task: Task::Title,
        shape: Shape::Instructed,
        words: &[
            "professional conversation summarizer",
            "将用户的会话总结为",
            "summarize the given session as a",
            "将给定的对话总结为",
            "总结给出的会话",
            "chat thread titling assistant",
            "title based on the first message a user begins",
            "5-word-or-less title for the conversation",
        ],
    },
    Form {
        task: Task::Title,
        shape: Shape::Closing,
        words: &[
            "please generate a four to five word title summarizing our conversation",
            "使用四到五个字直接返回这句话的简要主题",
            "generate a concise 3-7 word title for this conversation, omitting",
        ],
    },
    Form {
        task: Task::Title,
        shape: Shape::Around("provide a concise, 5-word-or-less title for the conversation"),
        words: &["\nconversation:\n", "\nuser: "],
    },
    Form {
        task: Task::Title,
        shape: Shape::Around("based on the chat history, give this conversation a name"),
        words: &["\n```\n"],
    },
    Form {
        task: Task::Title,
        shape: Shape::Around("create a concise, 3-5 word phrase as a header for the following"),
        words: &["avoiding the use of the word 'title': "],
    },
    Form {
        task: Task::Title,
        shape: Shape::Around("here is the query:"),
        words: &["phrase with an emoji as a title for the previous query"],
    },
    Form {
        task: Task::Memory,
        shape: Shape::Agent,
        words: &["managed memory extraction", "managed memory dream", "explicit durable memory"],
    },
];

/// What Open WebUI begins every task with.
const HEADING: &str = "### Task:";
/// A prompt of the same heading that wraps the user's own question and a file.
const QUESTION: &str = "respond to the user";
/// Longest sentence that is looked at, in characters.
const SENTENCE: usize = 400;

impl Shape {
    fn fits(self, request: &Request, words: &[&str]) -> bool {
        let asks = |sentence: &str| words.iter().any(|word| sentence.contains(word));
        match self {
            Self::Headed => headed(request).is_some_and(|sentence| asks(&sentence)),
            Self::Quoting(beginning) => alone(request)
                .filter(|text| text.contains("\nMessage: ```") && text.trim_end().ends_with("```"))
                .map(first_line)
                .is_some_and(|sentence| sentence.starts_with(beginning) && asks(&sentence)),
            Self::Introduced(beginning) => {
                let mut users = request.messages.iter().filter(|one| one.role == Role::User);
                let first = users.next().and_then(first_text);
                let begins = first.is_some_and(|text| first_line(text).starts_with(beginning));
                has_no_tools(request) && begins && system(request).is_some_and(|it| asks(&it))
            }
            Self::Agent => system(request).is_some_and(|sentence| asks(&sentence)),
            Self::Instructed => {
                let is_one = !request.messages.iter().any(|one| one.role == Role::Assistant);
                is_one && has_no_tools(request) && system(request).is_some_and(|it| asks(&it))
            }
            Self::Closing => {
                let behind = request.messages.iter().any(|one| one.role == Role::Assistant);
                let last = request.messages.last().filter(|last| last.role == Role::User);
                let sentence = last.and_then(first_text).map(first_line).unwrap_or_default();
                let begins = words.iter().any(|word| sentence.starts_with(word));
                behind && has_no_tools(request) && begins
            }
            Self::Around(beginning) => only(request).is_some_and(|text| {
                first_line(text).starts_with(beginning) && asks(&text.to_lowercase())
            }),
        }
    }
}

/// The text of a request that is nothing but one message, to be answered whole and without tools.
fn alone(request: &Request) -> Option<&str> {
    only(request).filter(|_| !request.stream)
}

fn has_no_tools(request: &Request) -> bool {
    request.prompt.tools.is_empty()
}

/// The only thing said in a request without tools, whole or streamed.
fn only(request: &Request) -> Option<&str> {
    let mut said = request.messages.iter().filter(|message| message.role != Role::System);
    let only = said.next().filter(|message| message.role == Role::User)?;
    if said.next().is_some() || !has_no_tools(request) {
        return None;
    }
    first_text(only)
}

/// The sentence below the heading of a request that is nothing but a task about a chat.
fn headed(request: &Request) -> Option<String> {
    let text = alone(request)?.trim_start();
    let task = text.strip_prefix(HEADING)?;
    if !(text.contains("<chat_history>") && text.contains("</chat_history>")) {
        return None;
    }
    let sentence = first_line(task);
    (!sentence.starts_with(QUESTION)).then_some(sentence)
}

/// The first sentence of the instructions.
fn system(request: &Request) -> Option<String> {
    let first = request.messages.first().filter(|message| message.role == Role::System)?;
    first_text(first).map(first_line)
}

fn first_text(message: &Message) -> Option<&str> {
    message.parts.iter().find_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Image(_) | Part::Other(_) => None,
    })
}

/// The first line with something in it, in lower case.
fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let start: String = line.chars().take(SENTENCE).collect();
    start.to_lowercase()
}

#[cfg(test)]
mod clients;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{Prompt, ToolDefinition};

    const CHAT: &str = "### Chat History:\n<chat_history>\nUSER: hi\n</chat_history>";

    fn whole(messages: &[(Role, &str)]) -> Request {
        let messages = messages.iter().map(|(role, text)| Message::text(*role, *text)).collect();
        Request { stream: false, ..Request::new("chorus", messages) }
    }

    fn headed(sentence: &str) -> Request {
        whole(&[(Role::User, &format!("### Task:\n{sentence}\n### Guidelines:\n- one\n{CHAT}"))])
    }

    fn tool() -> ToolDefinition {
        let parameters = Some(json!({"type": "object"}));
        ToolDefinition {
            name: "read_file".to_owned(),
            description: None,
            parameters,
            strict: None,
            unknown: serde_json::Map::new(),
        }
    }

    #[test]
    fn the_tasks_of_open_webui_are_recognised_by_their_heading_and_sentence() {
        for (sentence, want) in [
            ("Generate a concise title for the chat.", Task::Title),
            ("Create a concise, 3-5 word title with an emoji.", Task::Title),
            ("Generate 1-3 broad tags for the main themes.", Task::Tags),
            ("Suggest 3-5 relevant follow-up questions.", Task::FollowUps),
            // Open WebUI 0.12
            ("Predict 3-5 messages this user might naturally send next.", Task::FollowUps),
            ("Determine the necessity of generating search queries.", Task::Query),
            ("Predict 3-5 useful messages this user might send next to get on.", Task::FollowUps),
            ("You are an autocompletion system.", Task::Completion),
            ("Generate a detailed prompt for am image generation task.", Task::ImagePrompt),
            ("为这段对话生成标题。", Task::Title),
        ] {
            is_recognised_alone(&headed(sentence), want);
        }
    }

    fn is_recognised_alone(request: &Request, want: Task) {
        let text = first_text(&request.messages[0]).unwrap();
        assert_eq!(Task::of(request), Some(want), "{text}");
        let with_system = whole(&[(Role::System, "Be kind."), (Role::User, text)]);
        assert_eq!(Task::of(&with_system), Some(want), "{text}");
        // Somebody reads along, offers tools, or has said something before.
        assert_eq!(Task::of(&Request { stream: true, ..request.clone() }), None);
        let asked = |prompt| Task::of(&Request { prompt, ..request.clone() });
        assert_eq!(asked(Prompt { tools: [tool()].into(), ..request.prompt.clone() }), None);
        let later = whole(&[(Role::User, "hi"), (Role::Assistant, "yes"), (Role::User, text)]);
        assert_eq!(Task::of(&later), None);
        assert_eq!(asked(Prompt { raw: true, ..request.prompt.clone() }), None);
    }

    #[test]
    fn an_emoji_for_a_message_is_recognised_by_its_beginning_and_its_quote() {
        let sentence = "Your task is to reflect the speaker's mood through a fitting emoji.";
        let emoji = format!("{sentence}\n\nMessage: ```what a day\nindeed```");
        is_recognised_alone(&whole(&[(Role::User, &emoji)]), Task::Emoji);
        for text in [
            sentence.to_owned(),
            format!("Improve this prompt: {emoji}"),
            format!("{emoji}\nHow can this prompt be improved?"),
            emoji.replace("a fitting emoji", "a poem"),
        ] {
            assert_eq!(Task::of(&whole(&[(Role::User, &text)])), None, "{text}");
        }
    }

    /// Open WebUI asks for these by prompts of the same kind.
    #[test]
    fn what_the_answer_depends_on_is_no_background_task() {
        let choice =
            "Available Tools: [{\"name\": \"title\"}]\n\nYour task is to choose the tools.";
        let voice = "You are a friendly voice assistant.";
        for messages in [
            vec![(Role::System, choice), (Role::User, "Query: generate a title")],
            vec![(Role::System, voice), (Role::User, "Generate tags for it.")],
            vec![(
                Role::User,
                "### Task:\nSummarize the history that will be compacted.\n\n<chat_history>\n</chat_history>",
            )],
            vec![(
                Role::User,
                "You have been provided with a set of responses from various models",
            )],
        ] {
            assert_eq!(Task::of(&whole(&messages)), None, "{messages:?}");
        }
    }

    #[test]
    fn a_question_is_no_task_whatever_its_file_holds() {
        let file = headed("Generate a title. Suggest follow-up questions. Generate tags.");
        let file = first_text(&file.messages[0]).unwrap();
        for text in [
            format!("### Task:\nRespond to the user query using the provided context.\n{file}"),
            format!("### Task:\n\nRespond to the user query, a title.\n<context>{file}</context>"),
            format!("What does this file say?\n{file}"),
            format!("You have been given a set of responses from various models.\n{file}"),
            format!("### Task:\nYou have been given a set of responses to a query.\n{file}"),
            "### Task:\nGenerate a title for my book.".to_owned(),
            "### Task:\nGenerate a prompt for an image generation task.".to_owned(),
            "Generate a title for this conversation:".to_owned(),
            "generate tags".to_owned(),
            String::new(),
        ] {
            assert_eq!(Task::of(&whole(&[(Role::User, &text)])), None, "{text}");
        }
        assert_eq!(Task::of(&whole(&[])), None);
    }

    #[test]
    fn the_notes_of_qwen_code_are_recognised_with_their_tools() {
        let system = "You are now the managed memory extraction subagent.\n\nRules:\n- short";
        let history = [(Role::User, "hi"), (Role::Assistant, "yes"), (Role::User, "scan it")];
        let notes = [&[(Role::System, system)][..], &history].concat();
        for stream in [true, false] {
            let prompt = Prompt { tools: [tool()].into(), ..Prompt::default() };
            let request = Request { stream, prompt, ..whole(&notes) };
            assert_eq!(Task::of(&request), Some(Task::Memory));
        }
        let quoted = format!("Be kind.\n{system}");
        let quoted = [&[(Role::System, quoted.as_str())][..], &history].concat();
        assert_eq!(Task::of(&whole(&quoted)), None);
    }
}
