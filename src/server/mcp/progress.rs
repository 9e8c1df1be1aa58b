//! Notifications of progress: the lines of a workflow's stages, to who asked for them.

use async_stream::stream;
use futures::{FutureExt, StreamExt, stream::BoxStream};
use rmcp::{
    Peer, RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::RequestContext,
};

use crate::{server::progress::Reporter, workflow::Event};

/// Notifies a client of how its call gets on, where it asked for that.
#[derive(Clone)]
pub(super) struct Notifier {
    to: Option<(Peer<RoleServer>, ProgressToken)>,
    sent: u32,
    total: Option<u32>,
}

impl Notifier {
    /// For a call. `total` is how many lines there will be, where that is known.
    pub(super) fn of(context: &RequestContext<RoleServer>, total: Option<u32>) -> Self {
        let token = context.meta.get_progress_token();
        Self { to: token.map(|token| (context.peer.clone(), token)), sent: 0, total }
    }

    /// Whether anybody wants to know.
    pub(super) fn is_heard(&self) -> bool {
        self.to.is_some()
    }

    pub(super) async fn notify(&mut self, line: String) {
        let Some((peer, token)) = &self.to else { return };
        self.sent = self.sent.saturating_add(1);
        let mut note = ProgressNotificationParam::new(token.clone(), f64::from(self.sent));
        if let Some(total) = self.total {
            note = note.with_total(f64::from(total));
        }
        // Whoever has left hears nothing, and the call ends by itself.
        drop(peer.notify_progress(note.with_message(line)).await);
    }
}

/// The same events; the client is notified of what happens, of the lines of one moment together.
pub(super) fn notified(
    mut events: BoxStream<'static, Event>,
    mut reporter: Reporter,
    mut notifier: Notifier,
) -> BoxStream<'static, Event> {
    let events = stream! {
        loop {
            let event = match events.next().now_or_never() {
                Some(event) => event,
                None => {
                    for line in reporter.lines() {
                        notifier.notify(line).await;
                    }
                    events.next().await
                }
            };
            let Some(event) = event else { break };
            reporter.take(&event);
            yield event;
        }
    };
    events.boxed()
}
