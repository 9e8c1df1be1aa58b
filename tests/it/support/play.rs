//! A script and a request make steps; the steps make a response.

use std::{io, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::Response,
};
use serde_json::{Value, json};

use super::{
    Gate, Seen,
    closing::Line,
    script::{Beat, Content, Ending, Point, Script, Split, Veil},
    socket::Fuse,
    upstream::Guard,
    wire::{Block, Whole, Wire},
};

/// What the fake does, one after the other.
#[derive(Debug)]
enum Step {
    Send(Bytes),
    Wait(Duration),
    Yield,
    Pass(Gate),
    Repeat(Bytes, Duration),
    Hang,
    Cut,
    CutWithin(Bytes),
}

/// A response still to be played.
#[derive(Debug)]
pub struct Exchange {
    before_headers: Vec<Step>,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<Step>,
}

/// Enough for the bytes before it to have left the process.
const FLUSH: Duration = Duration::from_millis(5);

impl Exchange {
    pub fn of(script: &Script, seen: &Seen, wire: Wire) -> Self {
        let with_tools = script.with_tools.as_deref().filter(|_| seen.has("tools"));
        let script = with_tools.unwrap_or(script);
        let mut exchange = Self {
            before_headers: vec![Step::Wait(script.delay)],
            status: 200,
            headers: script.headers.clone(),
            body: Vec::new(),
        };
        for (point, gate) in &script.gates {
            if *point == Point::BeforeHeaders {
                exchange.before_headers.push(Step::Pass(gate.clone()));
            }
        }
        let refused = script.refusals.iter().find(|(field, _)| seen.has(field));
        if let Some((field, message)) = refused {
            exchange.refuse(script.veil, seen, wire, &wire.error_body(400, message, Some(field)));
            return exchange;
        }
        if let Some(words) = script.objections.iter().find_map(|objection| objection.0(seen)) {
            exchange.refuse(script.veil, seen, wire, &wire.error_body(400, &words, None));
            return exchange;
        }
        match &script.content {
            Content::Failure { status, body } => {
                let words = format!("failing with {status}");
                let default = || wire.error_body(*status, &words, None).to_string();
                exchange.fail(*status, &body.clone().unwrap_or_else(default));
            }
            Content::Bytes { content_type, bytes } => {
                exchange.header("content-type", content_type);
                exchange.body = split(vec![Step::Send(bytes.clone())], &script.split);
            }
            Content::Beats(beats) => {
                exchange.header("content-type", wire.stream_type());
                exchange.body = beats.iter().filter_map(|beat| step(beat, wire)).collect();
            }
            Content::Answer(answer) => {
                let text = answer(seen);
                if wire.streams(&seen.body) && !script.ignores_stream {
                    exchange.header("content-type", wire.stream_type());
                    exchange.body = split(streamed(script, seen, wire, &text), &script.split);
                } else {
                    exchange.whole(script, wire, &text);
                }
            }
        }
        exchange
    }

    fn header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Refuses with this body, which has the status in it only where its protocol has a place for it.
    fn refuse(&mut self, veil: Veil, seen: &Seen, wire: Wire, body: &Value) {
        match veil {
            Veil::None => self.fail(400, &body.to_string()),
            Veil::Frame if wire.streams(&seen.body) => {
                self.header("content-type", wire.stream_type());
                let framed = match wire.stream_type() {
                    "text/event-stream" => format!("data: {body}\n\n"),
                    _ => format!("{body}\n"),
                };
                self.body.push(Step::Send(framed.into()));
            }
            Veil::Body | Veil::Frame => self.fail(200, &body.to_string()),
            Veil::Gateway(status) => {
                let words = format!("upstream: Error code: 400 - {body}");
                self.fail(status, &json!({"error": {"message": words}}).to_string());
            }
        }
    }

    fn fail(&mut self, status: u16, body: &str) {
        self.status = status;
        let is_json = body.starts_with(['{', '[']);
        self.header("content-type", if is_json { "application/json" } else { "text/html" });
        self.body.push(Step::Send(body.to_owned().into()));
    }

    /// All waiting is done before the headers, as a model that does not stream does.
    fn whole(&mut self, script: &Script, wire: Wire, text: &str) {
        self.header("content-type", "application/json");
        for (point, gate) in &script.gates {
            if matches!(point, Point::AfterDeltas(_)) {
                self.before_headers.push(Step::Pass(gate.clone()));
            }
        }
        let gaps = u32::try_from(script.deltas.saturating_sub(1)).unwrap_or(0);
        self.before_headers.push(Step::Wait(script.gap * gaps));
        let answer = wire.whole(&Whole {
            text,
            reasoning: script.reasoning.as_deref(),
            tools: &script.tools,
            finish: script.finish,
            usage: script.usage,
        });
        let bytes: Bytes = answer.to_string().into();
        let half = bytes.slice(..bytes.len() / 2);
        let space = Bytes::from_static(b" ");
        match &script.ending.1 {
            Ending::Complete => self.body.push(Step::Send(bytes)),
            Ending::Hang | Ending::Ping(_) => self.before_headers.push(Step::Hang),
            Ending::Cut => self.body.extend([Step::Send(half), Step::Cut]),
            Ending::CutInChunk => self.body.push(Step::CutWithin(bytes)),
            Ending::EndEarly => self.body.push(Step::Send(half)),
            Ending::Error(message) => {
                let error = wire.error_body(500, message, None).to_string();
                self.body.push(Step::Send(error.into()));
            }
            Ending::Trickle(every) => self.body.push(Step::Repeat(space, *every)),
            Ending::FloodOfDeltas | Ending::FloodOfOneLine => {
                self.body.push(Step::Repeat(vec![b' '; 64 << 10].into(), Duration::ZERO));
            }
        }
    }

    /// Plays it. The call counts as hung up on when `guard` is dropped before the end.
    pub async fn play(
        self,
        fuse: Fuse,
        mut guard: Guard,
        closing: Option<(Line, Duration)>,
    ) -> Response<Body> {
        for step in self.before_headers {
            match step {
                Step::Wait(pause) => tokio::time::sleep(pause).await,
                Step::Pass(gate) => gate.pass().await,
                _ => std::future::pending().await,
            }
        }
        let body = async_stream::stream! {
            for step in self.body {
                match step {
                    Step::Send(bytes) => yield Ok(bytes),
                    Step::Wait(Duration::ZERO) => {}
                    Step::Wait(pause) => tokio::time::sleep(pause).await,
                    Step::Yield => tokio::task::yield_now().await,
                    Step::Pass(gate) => gate.pass().await,
                    Step::Hang => std::future::pending::<()>().await,
                    Step::Repeat(bytes, every) => loop {
                        yield Ok(bytes.clone());
                        tokio::time::sleep(every).await;
                    },
                    Step::Cut => {
                        tokio::time::sleep(FLUSH).await;
                        guard.ends_it();
                        yield Err(io::Error::from(io::ErrorKind::ConnectionReset));
                    }
                    Step::CutWithin(bytes) => {
                        tokio::time::sleep(FLUSH).await;
                        guard.ends_it();
                        fuse.blow_after(bytes.len() / 2);
                        yield Ok(bytes);
                        std::future::pending::<()>().await;
                    }
                }
            }
            match closing {
                // The last chunk is still to be written.
                Some((line, Duration::ZERO)) => {
                    line.close();
                    tokio::task::yield_now().await;
                }
                Some((line, pause)) => line.close_after(pause),
                None => {}
            }
            guard.ends_it();
        };
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Body::from_stream(body)).expect("a story's headers are valid")
    }
}

/// What a beat is in a protocol, which may have no word for it.
fn step(beat: &Beat, wire: Wire) -> Option<Step> {
    match beat {
        Beat::Text(text) => Some(Step::Send(wire.delta(text))),
        Beat::Finish(reason) => Some(Step::Send(wire.finish(reason, None))),
        Beat::Usage(prompt, completion) => wire.usage((*prompt, *completion)).map(Step::Send),
        Beat::End => wire.terminator().map(Step::Send),
        Beat::Raw(bytes) => Some(Step::Send(bytes.clone().into())),
        Beat::Wait(pause) => Some(Step::Wait(*pause)),
        Beat::Hang => Some(Step::Hang),
    }
}

fn streamed(script: &Script, seen: &Seen, wire: Wire, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = wire.opening(script.usage).map(Step::Send).into_iter().collect();
    if let Some(thoughts) = &script.reasoning {
        steps.extend(wire.begins(Block::Thoughts).map(Step::Send));
        steps.extend(thoughts.split_inclusive(' ').map(|text| Step::Send(wire.reasoning(text))));
        steps.extend(wire.ends(Block::Thoughts).map(Step::Send));
    }
    steps.extend(wire.begins(Block::Text).map(Step::Send));
    let deltas = pieces(text, script.deltas);
    let (ends_after, ending) = &script.ending;
    for sent in 0..=deltas.len() {
        for (point, gate) in &script.gates {
            if *point == Point::AfterDeltas(sent) {
                steps.push(Step::Pass(gate.clone()));
            }
        }
        if sent == *ends_after {
            steps.extend(broken_off(ending, wire));
            return steps;
        }
        let Some(delta) = deltas.get(sent) else { break };
        if sent > 0 {
            steps.push(Step::Wait(script.gap));
        }
        steps.push(Step::Send(wire.delta(delta)));
    }
    steps.extend(wire.ends(Block::Text).map(Step::Send));
    for (index, (name, arguments)) in script.tools.iter().enumerate() {
        steps.extend(wire.tool_call(index, name, arguments).into_iter().map(Step::Send));
    }
    steps.push(Step::Send(wire.finish(script.finish, script.usage)));
    if let Some(usage) = script.usage
        && seen.has("stream_options.include_usage")
    {
        steps.extend(wire.usage(usage).map(Step::Send));
    }
    steps.extend(wire.terminator().map(Step::Send));
    steps.push(Step::Wait(script.linger));
    steps
}

fn broken_off(ending: &Ending, wire: Wire) -> Vec<Step> {
    let more = || wire.delta("and so on ");
    match ending {
        Ending::Complete | Ending::EndEarly => Vec::new(),
        Ending::Hang => vec![Step::Hang],
        Ending::Ping(every) => vec![Step::Repeat(wire.ping(), *every)],
        Ending::Cut => vec![Step::Cut],
        Ending::CutInChunk => vec![Step::CutWithin(more())],
        Ending::Error(message) => vec![Step::Send(wire.error_event(message))],
        Ending::Trickle(every) => vec![Step::Wait(*every), Step::Repeat(more(), *every)],
        Ending::FloodOfDeltas => vec![Step::Repeat(more(), Duration::ZERO)],
        Ending::FloodOfOneLine => vec![
            Step::Send(Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"")),
            Step::Repeat(vec![b'x'; 64 << 10].into(), Duration::ZERO),
        ],
    }
}

/// `text` in `count` pieces of about the same number of characters; fewer when it is too short.
fn pieces(text: &str, count: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let size = characters.len().div_ceil(count.max(1)).max(1);
    characters.chunks(size).map(|piece| piece.iter().collect()).collect()
}

/// Sends the same bytes in other pieces. Pauses and gates are lost, unless nothing is split.
fn split(steps: Vec<Step>, split: &Split) -> Vec<Step> {
    let mut bytes = Vec::new();
    if matches!(split, Split::AsFramed) {
        return steps;
    }
    for step in steps {
        if let Step::Send(piece) = step {
            bytes.extend_from_slice(&piece);
        }
    }
    let ends: Vec<usize> = match split {
        Split::At(positions) => positions.clone(),
        Split::AsFramed | Split::EveryByte => (1..bytes.len()).collect(),
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in ends.into_iter().chain([bytes.len()]) {
        let end = end.clamp(start, bytes.len());
        if end > start {
            pieces.push(Step::Send(Bytes::copy_from_slice(&bytes[start..end])));
            // Pending once, so that the piece leaves alone.
            pieces.push(Step::Yield);
        }
        start = end;
    }
    pieces
}
