//! Conversations that a later request may continue (`previous_response_id`): in memory, bounded in
//! number, size and age, and never shown to another client.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::entry::{Entry, Item};
use crate::types::{Image, Message, Part};

/// Most responses that are kept.
const MAX_RESPONSES: usize = 256;
/// Most bytes that are kept in all.
const MAX_BYTES: usize = 64 << 20;
/// How long one is kept.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// What an entry takes beside its text, roughly.
const ENTRY_OVERHEAD: usize = 256;

/// A caller; see [`crate::server::caller::Caller::identity`].
pub(super) type Client = [u8; 32];

/// The conversations of finished responses, the oldest first. A full store forgets the oldest.
/// `Debug` shows none of them.
#[derive(Default)]
pub(in super::super) struct Store(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    responses: VecDeque<Response>,
    bytes: usize,
}

struct Response {
    client: Client,
    id: String,
    kept_at: Instant,
    bytes: usize,
    /// The whole conversation up to and with this response.
    context: Vec<Entry>,
    /// The response itself, as JSON.
    object: Bytes,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Keeps a response, which is `object` as JSON, and its conversation. One that alone is over the
    /// limit is not kept.
    pub(super) fn put(&self, client: Client, id: String, context: Vec<Entry>, object: Bytes) {
        // Conversations share their entries' text, and each is charged for all of it: simple, and
        // never above the limit.
        let own = ENTRY_OVERHEAD.saturating_add(object.len());
        let bytes = context.iter().map(size).fold(own, usize::saturating_add);
        if bytes > MAX_BYTES {
            return;
        }
        let mut kept = self.kept();
        kept.bytes = kept.bytes.saturating_add(bytes);
        let response = Response { client, id, kept_at: Instant::now(), bytes, context, object };
        kept.responses.push_back(response);
        while kept.responses.len() > MAX_RESPONSES || kept.bytes > MAX_BYTES {
            kept.forget_oldest();
        }
    }

    /// The conversation of a client's earlier response.
    pub(super) fn context(&self, client: Client, id: &str) -> Option<Vec<Entry>> {
        let kept = self.kept();
        let mut own = kept.responses.iter().filter(|response| response.client == client);
        own.find(|response| response.id == id).map(|response| response.context.clone())
    }

    /// A client's earlier response itself.
    pub(super) fn object(&self, client: Client, id: &str) -> Option<Bytes> {
        let kept = self.kept();
        let mut own = kept.responses.iter().filter(|response| response.client == client);
        own.find(|response| response.id == id).map(|response| response.object.clone())
    }

    /// Forgets a client's earlier response; whether there was one.
    pub(super) fn remove(&self, client: Client, id: &str) -> bool {
        let mut kept = self.kept();
        let mut all = kept.responses.iter();
        let place = all.position(|response| response.client == client && response.id == id);
        let removed = place.and_then(|place| kept.responses.remove(place));
        kept.bytes = kept.bytes.saturating_sub(removed.as_ref().map_or(0, |it| it.bytes));
        removed.is_some()
    }

    /// Every item of a client's earlier conversations, by its id.
    pub(super) fn items(&self, client: Client) -> HashMap<String, Entry> {
        let kept = self.kept();
        let own = kept.responses.iter().filter(|response| response.client == client);
        let entries = own.flat_map(|response| &response.context);
        entries.filter_map(|entry| Some((entry.id.clone()?, entry.clone()))).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.responses.front().is_some_and(|oldest| oldest.kept_at.elapsed() >= MAX_AGE) {
            kept.forget_oldest();
        }
        kept
    }
}

impl Kept {
    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.responses.pop_front() {
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
        }
    }
}

fn size(entry: &Entry) -> usize {
    let own = match &*entry.item {
        Item::Message(message) | Item::Output(message) => message_size(message),
        Item::Call(call) => call.name.len() + call.arguments.len(),
        Item::Thoughts(text) => text.len(),
        Item::Tools(tools) => tools.iter().map(|tool| tool.to_string().len()).sum(),
    };
    own.saturating_add(ENTRY_OVERHEAD)
}

fn message_size(message: &Message) -> usize {
    let parts = message.parts.iter().map(|part| match part {
        Part::Text(text) => text.len(),
        Part::Image(Image::Inline { base64, .. }) => base64.len(),
        Part::Image(Image::Url { url, .. }) => url.len(),
        Part::Other(part) => part.to_string().len(),
    });
    let calls = message.tool_calls.iter();
    let calls = calls.map(|call| call.name.len() + call.arguments.len() + ENTRY_OVERHEAD);
    let each = parts.map(|bytes| bytes + size_of::<Part>()).chain(calls);
    each.fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::Role;

    const ALICE: Client = [1; 32];
    const BOB: Client = [2; 32];

    fn said(id: &str, bytes: usize) -> Vec<Entry> {
        let item = Item::Message(Message::text(Role::User, "x".repeat(bytes)));
        vec![Entry { id: Some(id.to_owned()), item: Arc::new(item) }]
    }

    fn known(store: &Store, client: Client, id: &str) -> bool {
        store.context(client, id).is_some()
    }

    #[tokio::test]
    async fn a_client_finds_its_own_and_nobody_elses() {
        let store = Store::default();
        store.put(ALICE, "resp_1".to_owned(), said("msg_1", 3), Bytes::from("{}"));
        assert_eq!(store.object(ALICE, "resp_1").unwrap(), "{}");
        assert!(store.object(BOB, "resp_1").is_none() && !store.remove(BOB, "resp_1"));
        assert_eq!(store.context(ALICE, "resp_1").unwrap()[0].id.as_deref(), Some("msg_1"));
        assert!(store.items(ALICE).contains_key("msg_1"));
        assert!(!known(&store, BOB, "resp_1") && store.items(BOB).is_empty());
        assert!(!known(&store, ALICE, "resp_2"));
        assert!(store.remove(ALICE, "resp_1") && !store.remove(ALICE, "resp_1"));
        assert!(!known(&store, ALICE, "resp_1"));
        assert_eq!(store.kept().bytes, 0);
    }

    #[tokio::test]
    async fn the_oldest_go_first() {
        let store = Store::default();
        for number in 0..=MAX_RESPONSES {
            store.put(ALICE, format!("resp_{number}"), said("msg", 1), Bytes::new());
        }
        assert!(!known(&store, ALICE, "resp_0") && known(&store, ALICE, "resp_1"));
    }

    #[tokio::test]
    async fn bytes_are_bounded() {
        let store = Store::default();
        for number in 0..4 {
            store.put(ALICE, format!("resp_{number}"), said("msg", MAX_BYTES / 3), Bytes::new());
        }
        let found = (0..4).map(|number| known(&store, ALICE, &format!("resp_{number}")));
        assert_eq!(found.collect::<Vec<_>>(), [false, false, true, true]);
        store.put(ALICE, "whale".to_owned(), said("msg", MAX_BYTES), Bytes::new());
        assert!(!known(&store, ALICE, "whale") && known(&store, ALICE, "resp_3"));
        assert!(store.kept().bytes <= MAX_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_is_enough() {
        let store = Store::default();
        store.put(ALICE, "resp_1".to_owned(), said("msg", 1), Bytes::new());
        tokio::time::advance(MAX_AGE - Duration::from_secs(1)).await;
        assert!(known(&store, ALICE, "resp_1"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!known(&store, ALICE, "resp_1"));
        assert_eq!(store.kept().bytes, 0);
    }
}
