//! What of an answer's text is not passed on: the words it was asked to go on from, said again, and
//! what stands behind a stop sequence. Pure.

/// Fewer bytes may well be how any answer begins.
const LEAST_ECHO: usize = 4;
/// White space before an echo that is held back.
const MOST_SPACE: usize = 256;

/// Holds back only what may still become an echo or a stop sequence.
#[derive(Debug, Default)]
pub(super) struct Gate {
    echo: Option<Echo>,
    /// With their places in the request.
    stops: Vec<(u16, String)>,
    /// Perhaps the beginning of a stop sequence.
    held: String,
}

/// An answer that may begin with the words of the turn it goes on from.
#[derive(Debug)]
struct Echo {
    words: String,
    held: String,
}

/// What can be passed on now.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Passed {
    pub(super) text: String,
    /// The stop sequence that stands behind it, by its place in the request.
    pub(super) stopped: Option<u16>,
}

impl Gate {
    /// The gate for an answer to a conversation that ends with these words of the assistant's;
    /// `None` where everything passes.
    pub(super) fn new(opening: Option<&str>, stops: &[String]) -> Option<Self> {
        let words = opening.map(str::trim).filter(|words| words.len() >= LEAST_ECHO);
        let echo = words.map(|words| Echo { words: words.to_owned(), held: String::new() });
        let stops = (0..).zip(stops).filter(|(_, stop)| !stop.is_empty());
        let stops: Vec<(u16, String)> = stops.map(|(place, stop)| (place, stop.clone())).collect();
        (echo.is_some() || !stops.is_empty()).then(|| Self { echo, stops, held: String::new() })
    }

    /// The place in the request of a stop sequence that an upstream names.
    pub(super) fn place(&self, stop: &str) -> Option<u16> {
        self.stops.iter().find(|(_, known)| known == stop).map(|(place, _)| *place)
    }

    /// Takes a piece of text.
    pub(super) fn push(&mut self, piece: &str) -> Passed {
        match &mut self.echo {
            None => self.until_stop(piece),
            Some(echo) => match echo.push(piece) {
                None => Passed::default(),
                Some(text) => {
                    self.echo = None;
                    self.until_stop(&text)
                }
            },
        }
    }

    /// What was held back, once the answer is over.
    pub(super) fn finish(&mut self) -> Passed {
        let unechoed = self.echo.take().map(|echo| echo.held).unwrap_or_default();
        let mut passed = self.until_stop(&unechoed);
        if passed.stopped.is_none() {
            passed.text.push_str(&std::mem::take(&mut self.held));
        }
        passed
    }

    fn until_stop(&mut self, piece: &str) -> Passed {
        let mut text = std::mem::take(&mut self.held);
        text.push_str(piece);
        // The one that was complete first, as when it is looked for at each character.
        let found = self.stops.iter().filter_map(|(place, stop)| {
            let start = text.find(stop.as_str())?;
            Some((start.saturating_add(stop.len()), start, *place))
        });
        if let Some((_, start, place)) = found.min() {
            text.truncate(start);
            return Passed { text, stopped: Some(place) };
        }
        let ends = self.stops.iter().map(|(_, stop)| partial_suffix(&text, stop));
        let keep = ends.max().unwrap_or(0);
        self.held = text.split_off(text.len().saturating_sub(keep));
        Passed { text, stopped: None }
    }
}

impl Echo {
    /// The text that is no echo, as soon as that is certain.
    fn push(&mut self, piece: &str) -> Option<String> {
        self.held.push_str(piece);
        let begun = self.held.trim_start();
        if let Some(rest) = begun.strip_prefix(&self.words) {
            return Some(rest.to_owned());
        }
        let space = self.held.len().saturating_sub(begun.len());
        let may_be_echo = space <= MOST_SPACE && self.words.starts_with(begun);
        (!may_be_echo).then(|| std::mem::take(&mut self.held))
    }
}

/// How many bytes at the end of `text` may be the beginning of `whole`.
fn partial_suffix(text: &str, whole: &str) -> usize {
    (1..whole.len())
        .rev()
        .find(|length| whole.get(..*length).is_some_and(|head| text.ends_with(head)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(opening: Option<&str>, stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let Some(mut gate) = Gate::new(opening, &stops) else { return (pieces.concat(), false) };
        let mut text = String::new();
        for piece in pieces {
            let passed = gate.push(piece);
            text.push_str(&passed.text);
            if passed.stopped.is_some() {
                return (text, true);
            }
        }
        let passed = gate.finish();
        (text + &passed.text, passed.stopped.is_some())
    }

    #[test]
    fn an_echo_is_cut_and_nothing_else() {
        for (opening, input, want) in [
            ("The answer is", "The answer is 42", " 42"),
            ("The answer is ", " The answer is 42", " 42"),
            ("The answer is", " 42", " 42"),
            ("The answer is", "The answer was", "The answer was"),
            ("The answer is", "The", "The"),
            ("The", "The answer", "The answer"),
            ("答案是", "答案是四十二", "四十二"),
            ("The answer is", "", ""),
        ] {
            for (at, _) in input.char_indices() {
                let (head, tail) = input.split_at(at);
                let got = pass(Some(opening), &[], &[head, tail]);
                assert_eq!(got, (want.to_owned(), false), "{input:?} at {at}");
            }
        }
        let flood = " ".repeat(1000);
        assert_eq!(pass(Some("The answer is"), &[], &[&flood, "x"]).0, flood + "x");
    }

    #[test]
    fn text_ends_before_the_first_stop() {
        for (stops, input, want) in [
            (vec!["END"], "one END two", ("one ", true)),
            (vec!["END"], "one EN", ("one EN", false)),
            (vec!["x", "END"], "one END x", ("one ", true)),
            (vec!["abz", "b"], "xabz", ("xa", true)),
            (vec!["\n\n"], "a\nb\n\nc", ("a\nb", true)),
            (vec!["停"], "走停", ("走", true)),
            (vec![""], "text", ("text", false)),
            (vec!["aab"], "aaab", ("a", true)),
            (vec!["END"], "END", ("", true)),
        ] {
            for (at, _) in input.char_indices() {
                let (head, tail) = input.split_at(at);
                let got = pass(None, &stops, &[head, tail]);
                assert_eq!(got, (want.0.to_owned(), want.1), "{input:?} at {at}");
            }
        }
        let mut gate = Gate::new(None, &["END".to_owned()]).unwrap();
        assert_eq!(gate.push("plain ").text, "plain ", "nothing is held that is no beginning");
        assert!(Gate::new(None, &[]).is_none() && Gate::new(Some("a"), &[String::new()]).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_split_passes_the_same(
            pieces in prop::collection::vec("[ab停]{0,4}", 0..8),
            stops in prop::collection::vec("[ab停]{1,3}", 0..6),
            opening in "[ab]{4,6}",
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let slices: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = slices.concat();
            let split = pass(Some(&opening), &stops, &slices);
            prop_assert_eq!(&split, &pass(Some(&opening), &stops, &[&whole]));
            prop_assert!(!stops.iter().any(|stop| split.0.contains(stop)));
        }
    }
}
