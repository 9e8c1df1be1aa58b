//! The temperature rule, one pure function per role. `TEMPERATURE_CONFIG.md`
//! explains it to users.

use crate::{
    config::{Model, Stage},
    workflow::trace::TemperatureSource as Source,
};

/// What a worker has when nobody says anything: drafts should differ.
const WORKER_DEFAULT: f32 = 1.4;
/// What a writer has when nobody says anything.
const SYNTHESIZER_DEFAULT: f32 = 0.7;
/// What readers and judges have when nobody says anything.
const STEADY_DEFAULT: f32 = 0.0;

/// A temperature and where it came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chosen {
    pub(super) value: f32,
    pub(super) source: Source,
}

/// Everybody who may have a say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Voices {
    /// The plan's node.
    pub(super) node: Option<f32>,
    /// The analyzer, when its advice is wanted here and it gave one.
    pub(super) auto: Option<f32>,
    /// The client.
    pub(super) request: Option<f32>,
    /// The model's config.
    pub(super) model: Option<f32>,
}

/// First that applies: the node's, the analyzer's where wanted, the request's, the model's, 1.4.
pub(super) fn worker(voices: Voices) -> Chosen {
    let Voices { node, auto, request, model } = voices;
    first([
        (node, Source::Node),
        (auto, Source::Auto),
        (request, Source::Request),
        (model, Source::Model),
    ])
    .unwrap_or(Chosen { value: WORKER_DEFAULT, source: Source::Default })
}

/// First that applies: the node's, the request's, the analyzer's where wanted, the model's, 0.7.
pub(super) fn synthesizer(voices: Voices) -> Chosen {
    let Voices { node, auto, request, model } = voices;
    first([
        (node, Source::Node),
        (request, Source::Request),
        (auto, Source::Auto),
        (model, Source::Model),
    ])
    .unwrap_or(Chosen { value: SYNTHESIZER_DEFAULT, source: Source::Default })
}

/// Analyzer, reranker and selector: the node's, the model's, 0.
pub(super) fn steady(node: Option<f32>, model: Option<f32>) -> Chosen {
    first([(node, Source::Node), (model, Source::Model)])
        .unwrap_or(Chosen { value: STEADY_DEFAULT, source: Source::Default })
}

/// A direct call: the request's, the model's, else the field is not sent.
pub(super) fn direct(request: Option<f32>, model: Option<f32>) -> Option<Chosen> {
    first([(request, Source::Request), (model, Source::Model)])
}

/// Whether the analyzer's temperature is wanted: the node's word, else the model's, else the
/// analyzer node's, else no. A model that is sent none has no use for it.
pub(super) fn wants_advice(node: &Stage, model: &Model, analyzer: Option<&Stage>) -> bool {
    let word = node
        .auto_temperature
        .or(model.auto_temperature)
        .or(analyzer.and_then(|stage| stage.auto_temperature));
    model.send_temperature && word.unwrap_or(false)
}

fn first<const N: usize>(voices: [(Option<f32>, Source); N]) -> Option<Chosen> {
    voices.into_iter().find_map(|(value, source)| Some(Chosen { value: value?, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! page {
        ($language:literal) => {
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/docs/",
                $language,
                "/src/temperature.md"
            ))
        };
    }

    /// The manual's page in each language, the heading of its examples, and how it says "not sent".
    const PAGES: [(&str, &str, &str); 2] =
        [(page!("zh"), "\n## 例子\n", "不发送"), (page!("en"), "\n## Examples\n", "not sent")];

    /// The rows of the `table`th table of a page's examples.
    fn documented(page: &'static str, heading: &str, table: usize) -> Vec<Vec<&'static str>> {
        let (_, rest) = page.split_once(heading).unwrap();
        let (section, _) = rest.split_once("```").unwrap();
        let tables = section.split("\n\n").filter(|part| part.starts_with("| "));
        let rows = tables.skip(table).take(1).flat_map(|table| table.lines().skip(2));
        let cells = |row: &'static str| row.split('|').map(str::trim).skip(1).collect::<Vec<_>>();
        rows.map(cells).collect()
    }

    fn cell(chosen: Option<Chosen>) -> String {
        chosen.map_or_else(String::new, |Chosen { value, source }| {
            let source = serde_json::to_value(source).unwrap();
            format!("{value:?} `{}`", source.as_str().unwrap())
        })
    }

    /// Every stage that anybody gives a voice, and what the page says of it.
    #[test]
    fn the_examples_of_the_manual_are_what_is_done() {
        for (page, heading, unsent) in PAGES {
            examples_hold(&documented(page, heading, 0), unsent);
        }
    }

    fn examples_hold(rows: &[Vec<&str>], unsent: &str) {
        let (node, auto, request, model) = (Some(0.2), Some(0.9), Some(0.5), Some(0.7));
        let cases = [
            (node, auto, request, model),
            (None, auto, request, model),
            (None, auto, None, model),
            (None, None, request, model),
            (None, None, None, model),
            (None, None, None, None),
        ];
        assert_eq!(rows.len(), cases.len());
        for (row, (node, auto, request, model)) in rows.iter().zip(cases) {
            let said = |value: Option<f32>| value.map_or_else(String::new, |it| it.to_string());
            let voices = Voices { node, auto, request, model };
            let alone = node.is_none() && auto.is_none();
            let direct = match direct(request, model) {
                _ if !alone => String::new(), // there is neither a node nor an analyzer
                None => unsent.to_owned(),
                chosen => cell(chosen),
            };
            let want = [
                said(node),
                said(auto),
                said(request),
                said(model),
                cell(Some(worker(voices))),
                cell(Some(synthesizer(voices))),
                cell(Some(steady(node, model))),
                direct,
                String::new(),
            ];
            assert_eq!(*row, want);
        }
    }

    #[test]
    fn advice_is_wanted_as_the_manual_says() {
        let rows = PAGES.iter().flat_map(|(page, heading, _)| documented(page, heading, 1));
        let rows: Vec<_> = rows.collect();
        assert_eq!(rows.len(), 12);
        for row in rows {
            let word = |cell: &str| cell.trim_matches('`').parse::<bool>().ok();
            let mut model = Model::plain("m", "http://127.0.0.1:1/v1");
            model.auto_temperature = word(row[1]);
            let stage = |auto| Stage { auto_temperature: auto, ..Stage::of("m") };
            let analyzer = stage(word(row[2]));
            let wanted = |model: &Model| wants_advice(&stage(word(row[0])), model, Some(&analyzer));
            assert_eq!(Some(wanted(&model)), word(row[3]), "{row:?}");
            model.send_temperature = false;
            assert!(!wanted(&model), "{row:?}");
        }
    }

    #[test]
    fn the_first_that_applies_wins() {
        let all = [Some(0.1), Some(0.2), Some(0.3), Some(0.4)];
        for silent in 0..=4 {
            let say = |i: usize| all[i].filter(|_| i >= silent);
            let voices = Voices { node: say(0), auto: say(1), request: say(2), model: say(3) };
            let want = [
                (0.1, Source::Node),
                (0.2, Source::Auto),
                (0.3, Source::Request),
                (0.4, Source::Model),
                (1.4, Source::Default),
            ][silent];
            assert_eq!(worker(voices), Chosen { value: want.0, source: want.1 });
        }
    }

    #[test]
    fn a_writer_heeds_the_client_before_the_analyzer() {
        let voices = Voices { auto: Some(0.2), request: Some(0.3), ..Voices::default() };
        assert_eq!(synthesizer(voices), Chosen { value: 0.3, source: Source::Request });
        let voices = Voices { auto: Some(0.2), model: Some(0.4), ..Voices::default() };
        assert_eq!(synthesizer(voices), Chosen { value: 0.2, source: Source::Auto });
        let silent = synthesizer(Voices::default());
        assert_eq!(silent, Chosen { value: 0.7, source: Source::Default });
    }

    #[test]
    fn judges_are_steady_and_direct_calls_say_only_what_was_said() {
        assert_eq!(steady(None, None), Chosen { value: 0.0, source: Source::Default });
        assert_eq!(steady(None, Some(0.4)), Chosen { value: 0.4, source: Source::Model });
        assert_eq!(steady(Some(0.1), Some(0.4)), Chosen { value: 0.1, source: Source::Node });
        assert_eq!(direct(None, None), None);
        let model = Some(Chosen { value: 0.4, source: Source::Model });
        assert_eq!(direct(None, Some(0.4)), model);
        let request = Some(Chosen { value: 0.3, source: Source::Request });
        assert_eq!(direct(Some(0.3), Some(0.4)), request);
    }
}
