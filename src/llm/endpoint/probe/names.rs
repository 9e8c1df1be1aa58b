//! A model's name among the names that an endpoint lists. Pure.

/// Most names that are proposed.
const MOST: usize = 3;
/// Most names that are shown where none is like the wanted one.
pub(super) const SHOWN: usize = 8;

/// The names that may have been meant, the likest first: those that one is the beginning of, and
/// those of which at most a third is written differently.
pub(super) fn near<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let wanted = wanted.to_lowercase();
    let likeness = |name: &'n str| {
        let lower = name.to_lowercase();
        // Whoever leaves out the maker's name means the same model.
        let short = lower.rsplit('/').next().unwrap_or(&lower);
        let begins = lower.starts_with(&wanted) || wanted.starts_with(&lower) || short == wanted;
        let distance = strsim::osa_distance(&wanted, &lower);
        let length = wanted.chars().count().max(lower.chars().count());
        let is_near = !lower.is_empty() && (begins || distance <= (length / 3).max(1));
        is_near.then_some((!begins, distance, name))
    };
    let mut near: Vec<_> = names.filter_map(likeness).collect();
    near.sort();
    near.dedup();
    near.into_iter().map(|(_, _, name)| name).take(MOST).collect()
}

/// Says that the model is not there: `near` names may have been meant, else there are `first` ones of
/// all that are `listed`.
pub(super) fn unknown(wanted: &str, listed: usize, near: &[String], first: &[String]) -> String {
    let among = match listed {
        0 => return format!("it has no model `{wanted}`, and no other either"),
        1 => "its only model is another one".to_owned(),
        more => format!("it is none of its {more} models"),
    };
    let quoted = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| format!("`{name}`")).collect()
    };
    let hint = match quoted(near).split_last() {
        None => {
            let more = if listed > first.len() { " and more" } else { "" };
            format!("it has {}{more}: correct `upstream_model`", quoted(first).join(", "))
        }
        Some((last, [])) => format!("did you mean {last}?"),
        Some((last, rest)) => format!("did you mean {} or {last}?", rest.join(", ")),
    };
    format!("it has no model `{wanted}` ({among}); {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_have_been_meant() {
        for (wanted, names, want) in [
            (
                "llama3.2",
                vec!["qwen3:8b", "llama3.2:3b", "llama3.1"],
                vec!["llama3.2:3b", "llama3.1"],
            ),
            ("claude-sonnet-4", vec!["claude-sonnet-4-20250514"], vec!["claude-sonnet-4-20250514"]),
            ("gpt-4o", vec!["openai/gpt-4o", "openai/o3"], vec!["openai/gpt-4o"]),
            (
                "qwen3:8b",
                vec!["Qwen3:8B", "qwen3:4b", "qwen3:8b-q4", "qwen3:9b"],
                vec!["Qwen3:8B", "qwen3:8b-q4", "qwen3:4b"],
            ),
            ("deepseek-chat", vec!["gpt-4o", ""], vec![]),
            ("gpt", vec![], vec![]),
            ("模型-大", vec!["模型-小"], vec!["模型-小"]),
        ] {
            assert_eq!(near(wanted, names.into_iter()), want, "{wanted}");
        }
    }

    #[test]
    fn a_missing_model_is_reported_with_a_remedy() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (listed, near, want) in [
            (0, names(&[]), "it has no model `m`, and no other either"),
            (
                1,
                names(&["n"]),
                "it has no model `m` (its only model is another one); did you mean `n`?",
            ),
            (
                9,
                names(&["n", "o", "p"]),
                "it has no model `m` (it is none of its 9 models); did you mean `n`, `o` or `p`?",
            ),
            (
                9,
                names(&[]),
                "it has no model `m` (it is none of its 9 models); it has `a`, `b` and more: correct \
                 `upstream_model`",
            ),
            (
                2,
                names(&[]),
                "it has no model `m` (it is none of its 2 models); it has `a`, `b`: correct \
                 `upstream_model`",
            ),
        ] {
            assert_eq!(unknown("m", listed, &near, &names(&["a", "b"])), want);
        }
    }
}
