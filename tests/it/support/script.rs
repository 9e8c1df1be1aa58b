//! What a fake model does when it is asked. Built from verbs, so that a story's cast reads aloud:
//! `Script::says("hello").in_deltas(4).cut_after(2)`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use serde_json::{Value, json};

use super::{Closing, Gate, upstream::Seen};

/// One model's behaviour. By default it answers at once, in three deltas, with finish reason,
/// usage and terminator, streamed or whole as asked.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) content: Content,
    pub(super) reasoning: Option<String>,
    pub(super) tools: Vec<(String, Value)>,
    pub(super) deltas: usize,
    pub(super) delay: Duration,
    pub(super) gap: Duration,
    pub(super) gates: Vec<(Point, Gate)>,
    pub(super) ending: (usize, Ending),
    pub(super) finish: &'static str,
    pub(super) usage: Option<(u64, u64)>,
    pub(super) refusals: Vec<(String, String)>,
    pub(super) objections: Vec<Objection>,
    pub(super) veil: Veil,
    pub(super) split: Split,
    pub(super) linger: Duration,
    pub(super) headers: Vec<(String, String)>,
    pub(super) ignores_stream: bool,
    pub(super) with_tools: Option<Box<Script>>,
    pub(super) closing: Option<Closing>,
    when_asked: Vec<(String, Script)>,
    next: Option<(usize, Arc<AtomicUsize>, Box<Script>)>,
    moods: Option<Arc<Moods>>,
}

/// How a refusal comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Veil {
    /// Refused by a 400.
    None,
    /// Refused in the body of a 200.
    Body,
    /// Refused in the first frame of a stream; whole answers in a body.
    Frame,
    /// Quoted in the prose of a gateway's error of this status.
    Gateway(u16),
}

/// Other behaviours that a model falls into now and then.
#[derive(Debug)]
struct Moods {
    percent: u64,
    ways: Vec<Script>,
    dice: Dice,
}

/// Throws the dice of a chaotic story: always the same numbers, in whatever order calls come.
/// Clones throw the same ones.
#[derive(Clone, Debug, Default)]
pub struct Dice {
    thrown: Arc<AtomicU64>,
    calm: Arc<AtomicBool>,
}

impl Dice {
    /// From now on nothing fails.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    /// A number that looks random: splitmix64 of how often was thrown.
    fn throw(&self) -> u64 {
        let count = self.thrown.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        let mut mixed = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[derive(Clone)]
pub(super) enum Content {
    Answer(Arc<dyn Fn(&Seen) -> String + Send + Sync>),
    Failure { status: u16, body: Option<String> },
    Bytes { content_type: String, bytes: Bytes },
    Beats(Vec<Beat>),
}

/// One thing that a streamed answer does, in whatever protocol.
#[derive(Clone, Debug)]
pub enum Beat {
    /// A piece of text.
    Text(String),
    /// A finish reason, in OpenAI's word; of Ollama's protocol it is the end, too.
    Finish(&'static str),
    /// Usage in a frame of its own; of OpenAI's protocol only.
    Usage(u64, u64),
    /// The terminator, where the protocol has one.
    End,
    /// Just these bytes.
    Raw(String),
    /// A pause.
    Wait(Duration),
    /// Silence for ever, with the connection open.
    Hang,
}

/// What a model says against a request, if anything.
type Objecting = dyn Fn(&Seen) -> Option<String> + Send + Sync;

/// What a model may have against a request.
#[derive(Clone)]
pub(super) struct Objection(pub(super) Arc<Objecting>);

impl fmt::Debug for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Objection")
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(_) => f.write_str("Answer"),
            Self::Failure { status, .. } => write!(f, "Failure({status})"),
            Self::Bytes { content_type, .. } => write!(f, "Bytes({content_type})"),
            Self::Beats(beats) => write!(f, "{beats:?}"),
        }
    }
}

/// The place of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    BeforeHeaders,
    AfterDeltas(usize),
}

/// What happens after so many deltas.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    Complete,
    Hang,
    Ping(Duration),
    Cut,
    CutInChunk,
    EndEarly,
    Error(String),
    Trickle(Duration),
    FloodOfDeltas,
    FloodOfOneLine,
}

/// Into which pieces the bytes of a stream are sent.
#[derive(Clone, Debug)]
pub(super) enum Split {
    AsFramed,
    At(Vec<usize>),
    EveryByte,
}

impl Script {
    fn of(content: Content) -> Self {
        Self {
            content,
            reasoning: None,
            tools: Vec::new(),
            deltas: 3,
            delay: Duration::ZERO,
            gap: Duration::ZERO,
            gates: Vec::new(),
            ending: (usize::MAX, Ending::Complete),
            finish: "stop",
            usage: Some((11, 7)),
            refusals: Vec::new(),
            objections: Vec::new(),
            veil: Veil::None,
            split: Split::AsFramed,
            linger: Duration::ZERO,
            headers: Vec::new(),
            ignores_stream: false,
            with_tools: None,
            closing: None,
            when_asked: Vec::new(),
            next: None,
            moods: None,
        }
    }

    // --- answers

    /// Always the same text.
    pub fn says(text: &str) -> Self {
        let text = text.to_owned();
        Self::answers(move |_| text.clone())
    }

    /// A text that depends on the request.
    pub fn answers(answer: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Self {
        Self::of(Content::Answer(Arc::new(answer)))
    }

    /// `prefix` and the last user message.
    pub fn echoes(prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        Self::answers(move |seen| format!("{prefix}{}", seen.question()))
    }

    /// Analyses and selects with valid JSON; prefers the candidate that holds `marker`, else the
    /// first one shown.
    pub fn judges_for(marker: &str) -> Self {
        let marker = marker.to_owned();
        Self::answers(move |seen| {
            if seen.asks_for_analysis() {
                return json!({"task_type": "question", "temperature": 0.3, "language": "en"})
                    .to_string();
            }
            verdict(seen, &marker).to_string()
        })
    }

    /// Fuses: every draft it was shown, in the order shown, joined by ` + `.
    pub fn fuses() -> Self {
        Self::answers(|seen| seen.drafts().join(" + "))
    }

    /// Calls a tool instead of talking.
    pub fn calls_tool(name: &str, arguments: Value) -> Self {
        let mut script = Self::says("");
        script.tools.push((name.to_owned(), arguments));
        script.finish = "tool_calls";
        script
    }

    // --- failures

    /// A status, with an error body of the protocol.
    pub fn fails(status: u16) -> Self {
        Self::of(Content::Failure { status, body: None })
    }

    /// A status and a body of the story's own.
    pub fn fails_saying(status: u16, body: &str) -> Self {
        Self::of(Content::Failure { status, body: Some(body.to_owned()) })
    }

    /// Takes the request and never answers, not even with headers.
    pub fn hangs() -> Self {
        Self::says("").waits_before_headers(&Gate::shut())
    }

    /// One delta every so often, for ever.
    pub fn trickles(every: Duration) -> Self {
        Self::says("drip").in_deltas(1).with_ending(1, Ending::Trickle(every))
    }

    /// Deltas without end, as fast as they are read.
    pub fn floods() -> Self {
        Self::says("flood").in_deltas(1).with_ending(1, Ending::FloodOfDeltas)
    }

    /// A line without end, as fast as it is read.
    pub fn floods_one_line() -> Self {
        Self::says("flood").in_deltas(1).with_ending(1, Ending::FloodOfOneLine)
    }

    /// A 200 of the right type whose events are no events.
    pub fn says_garbage() -> Self {
        Self::sends("text/event-stream", b"data: {\"choices\": [{]\n\n\xff\xfe\x00garbage\n\n")
    }

    /// A 200 with just these bytes.
    pub fn sends(content_type: &str, bytes: &[u8]) -> Self {
        let bytes = Bytes::copy_from_slice(bytes);
        Self::of(Content::Bytes { content_type: content_type.to_owned(), bytes })
    }

    /// A stream of the story's own making.
    pub fn plays(beats: impl IntoIterator<Item = Beat>) -> Self {
        Self::of(Content::Beats(beats.into_iter().collect()))
    }

    // --- adverbs

    /// The number of deltas in which a streamed answer comes.
    pub fn in_deltas(mut self, deltas: usize) -> Self {
        self.deltas = deltas;
        self
    }

    /// How long it thinks before its headers.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// How long it pauses between deltas.
    pub fn with_gaps(mut self, gap: Duration) -> Self {
        self.gap = gap;
        self
    }

    /// Stops at the gate before its headers.
    pub fn waits_before_headers(mut self, gate: &Gate) -> Self {
        self.gates.push((Point::BeforeHeaders, gate.clone()));
        self
    }

    /// Stops at the gate once so many deltas are out.
    pub fn waits_after(mut self, deltas: usize, gate: &Gate) -> Self {
        self.gates.push((Point::AfterDeltas(deltas), gate.clone()));
        self
    }

    /// Falls silent for ever after so many deltas.
    pub fn hangs_after(self, deltas: usize) -> Self {
        self.with_ending(deltas, Ending::Hang)
    }

    /// Falls silent but for keep-alives (comments, empty lines of Ollama's) for ever.
    pub fn only_pings_after(self, deltas: usize, every: Duration) -> Self {
        self.with_ending(deltas, Ending::Ping(every))
    }

    /// The connection closes after so many deltas.
    pub fn cut_after(self, deltas: usize) -> Self {
        self.with_ending(deltas, Ending::Cut)
    }

    /// The connection closes inside the chunk after so many deltas.
    pub fn cut_in_chunk_after(self, deltas: usize) -> Self {
        self.with_ending(deltas, Ending::CutInChunk)
    }

    /// The body ends in good order after so many deltas, with neither finish reason nor terminator.
    pub fn ends_after(self, deltas: usize) -> Self {
        self.with_ending(deltas, Ending::EndEarly)
    }

    /// An error inside the stream after so many deltas.
    pub fn errs_after(self, deltas: usize, message: &str) -> Self {
        self.with_ending(deltas, Ending::Error(message.to_owned()))
    }

    /// Thinks aloud before it answers.
    pub fn reasoning(mut self, thoughts: &str) -> Self {
        self.reasoning = Some(thoughts.to_owned());
        self
    }

    /// Its finish reason, in the protocol's word.
    pub fn finishing_with(mut self, reason: &'static str) -> Self {
        self.finish = reason;
        self
    }

    /// Never reports what it used.
    pub fn without_usage(mut self) -> Self {
        self.usage = None;
        self
    }

    /// Answers 400 to any request that has this field (`temperature`, `options.top_k`), naming it.
    pub fn refuses(self, field: &str) -> Self {
        let message = format!("Unsupported parameter: '{field}' is not supported with this model.");
        self.refuses_saying(field, &message)
    }

    /// The same in its own words.
    pub fn refuses_saying(mut self, field: &str, message: &str) -> Self {
        self.refusals.push((field.to_owned(), message.to_owned()));
        self
    }

    /// Answers 400 with these words to any conversation that its chat template does not take.
    pub fn takes_only(self, takes: fn(&Seen) -> bool, else_says: &str) -> Self {
        let words = else_says.to_owned();
        self.objects(move |seen| (!takes(seen)).then(|| words.clone()))
    }

    /// Answers 400 with what the objection says of a request, where it says anything.
    pub fn objects(
        mut self,
        objection: impl Fn(&Seen) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.objections.push(Objection(Arc::new(objection)));
        self
    }

    /// What it refuses it says in this way.
    pub fn behind(mut self, veil: Veil) -> Self {
        self.veil = veil;
        self
    }

    /// The stream's bytes come in pieces that end at these positions, whatever they fall into.
    pub fn split_at(mut self, positions: &[usize]) -> Self {
        self.split = Split::At(positions.to_vec());
        self
    }

    /// The stream's bytes come one by one.
    pub fn split_everywhere(mut self) -> Self {
        self.split = Split::EveryByte;
        self
    }

    /// The body's last chunk comes so long after the terminator.
    pub fn lingers(mut self, after_terminator: Duration) -> Self {
        self.linger = after_terminator;
        self
    }

    /// One more response header.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Answers whole even when a stream was asked for.
    pub fn ignoring_stream(mut self) -> Self {
        self.ignores_stream = true;
        self
    }

    /// Closes its connections so, whatever its headers promise.
    pub fn closing(mut self, when: Closing) -> Self {
        self.closing = Some(when);
        self
    }

    /// This way when the request holds the word.
    pub fn when_asked(mut self, word: &str, way: Self) -> Self {
        self.when_asked.push((word.to_owned(), way));
        self
    }

    /// This for the first `times` calls, then `next`.
    pub fn first(mut self, times: usize, next: Self) -> Self {
        self.next = Some((times, Arc::new(AtomicUsize::new(0)), Box::new(next)));
        self
    }

    /// This for requests that show tools.
    pub fn with_tools(mut self, other: Self) -> Self {
        self.with_tools = Some(Box::new(other));
        self
    }

    /// So many calls in a hundred go one of these ways instead.
    pub fn but(mut self, percent: u64, ways: Vec<Self>, dice: &Dice) -> Self {
        assert!(!ways.is_empty(), "a mood is a way to behave");
        self.moods = Some(Arc::new(Moods { percent, ways, dice: dice.clone() }));
        self
    }

    fn with_ending(mut self, deltas: usize, ending: Ending) -> Self {
        self.ending = (deltas, ending);
        self
    }

    /// What it is about, for messages.
    pub fn content(&self) -> impl fmt::Debug {
        self.content.clone()
    }

    /// How it ends, for messages.
    pub fn ending(&self) -> impl fmt::Debug {
        self.ending.clone()
    }

    /// The script for the call that just came in.
    pub(super) fn current(&self, seen: &Seen) -> &Self {
        let body = || seen.body.to_string();
        if let Some((_, way)) = self.when_asked.iter().find(|(word, _)| body().contains(word)) {
            return way.current(seen);
        }
        if let Some(moods) = &self.moods
            && !moods.dice.calm.load(Ordering::SeqCst)
        {
            let number = moods.dice.throw();
            if number % 100 < moods.percent {
                let way = usize::try_from(number / 100).unwrap_or(0) % moods.ways.len();
                return moods.ways[way].current(seen);
            }
        }
        match &self.next {
            Some((times, used, next)) if used.fetch_add(1, Ordering::SeqCst) >= *times => {
                next.current(seen)
            }
            _ => self,
        }
    }
}

fn verdict(seen: &Seen, marker: &str) -> Value {
    let candidates = fenced(&seen.text(), "candidate", "label");
    let label = |text: &str| text.parse::<u64>().map_or(json!(text), |number| json!(number));
    let best = candidates.iter().find(|(_, text)| text.contains(marker)).or(candidates.first());
    let scores: serde_json::Map<String, Value> = (candidates.iter())
        .map(|(name, text)| (name.clone(), json!(if text.contains(marker) { 9 } else { 5 })))
        .collect();
    json!({"reason": "it is the one", "scores": scores,
        "best": best.map(|(name, _)| label(name))})
}

/// The texts a prompt fences as `<KIND-NONCE ATTRIBUTE="LABEL">...</KIND-NONCE>`, with their
/// labels.
pub fn fenced(prompt: &str, kind: &str, attribute: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = prompt;
    while let Some((_, after)) = rest.split_once(&format!("<{kind}-")) {
        rest = after;
        let Some((nonce, tail)) = after.split_once(&format!(" {attribute}=\"")) else { continue };
        let Some((label, tail)) = tail.split_once("\">") else { continue };
        let Some((text, tail)) = tail.split_once(&format!("</{kind}-{nonce}>")) else { continue };
        found.push((label.to_owned(), text.trim().to_owned()));
        rest = tail;
    }
    found
}
