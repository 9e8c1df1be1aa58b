//! Tool calls that wait for their results.

use std::collections::{HashMap, VecDeque};

use super::ToolCall;

/// An id and a name.
type Named = (String, String);

/// Calls in the order they were made, each until its result comes. A client decides how many there
/// are and in which order they are answered, so that each is found in the same time.
#[derive(Default)]
pub struct OpenCalls {
    calls: Vec<Option<Named>>,
    by_id: Index,
    by_name: Index,
    /// Before this one all have been taken.
    first: usize,
}

impl OpenCalls {
    /// Adds a call.
    pub fn push(&mut self, call: &ToolCall) {
        self.calls.push(Some((call.id.clone(), call.name.clone())));
    }

    /// Takes the first call that a result of this id, else of this name, answers: its id and its name.
    /// A result that says neither answers the first that is left.
    pub fn take(&mut self, id: Option<&str>, name: Option<&str>) -> Option<(String, String)> {
        let at = match (id, name) {
            (Some(id), _) => self.by_id.next(&self.calls, id, |(id, _)| id)?,
            (None, Some(name)) => self.by_name.next(&self.calls, name, |(_, name)| name)?,
            (None, None) => {
                let left = self.calls.iter().skip(self.first);
                let taken = left.take_while(|call| call.is_none()).count();
                self.first = self.first.saturating_add(taken);
                self.first
            }
        };
        self.calls.get_mut(at)?.take()
    }
}

/// The places of calls by one of their texts, as far as they have been looked for.
#[derive(Default)]
struct Index {
    places: HashMap<String, VecDeque<usize>>,
    seen: usize,
}

impl Index {
    /// The first place of this text whose call is not taken.
    fn next(
        &mut self,
        calls: &[Option<Named>],
        text: &str,
        of: fn(&Named) -> &String,
    ) -> Option<usize> {
        let unseen = calls.iter().enumerate().skip(self.seen);
        for (at, call) in unseen.filter_map(|(at, call)| Some((at, call.as_ref()?))) {
            self.places.entry(of(call).clone()).or_default().push_back(at);
        }
        self.seen = calls.len();
        let places = self.places.get_mut(text)?;
        std::iter::from_fn(|| places.pop_front())
            .find(|at| calls.get(*at).is_some_and(Option::is_some))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(id: &str, name: &str) -> ToolCall {
        ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: String::new() }
    }

    proptest! {
        #[test]
        fn calls_are_taken_as_from_a_plain_list(
            steps in prop::collection::vec(
                (any::<bool>(), "[abc]", "[fgh]", any::<bool>(), any::<bool>()),
                0..60,
            ),
        ) {
            let (mut open, mut list) = (OpenCalls::default(), Vec::<Named>::new());
            for (is_call, id, name, says_id, says_name) in steps {
                if is_call {
                    open.push(&call(&id, &name));
                    list.push((id, name));
                    continue;
                }
                let (id, name) = (says_id.then_some(id), says_name.then_some(name));
                let at = match (&id, &name) {
                    (Some(id), _) => list.iter().position(|(known, _)| known == id),
                    (None, Some(name)) => list.iter().position(|(_, known)| known == name),
                    (None, None) => (!list.is_empty()).then_some(0),
                };
                let want = at.map(|at| list.remove(at));
                prop_assert_eq!(open.take(id.as_deref(), name.as_deref()), want);
            }
        }
    }
}
