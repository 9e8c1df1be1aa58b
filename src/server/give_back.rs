//! Memory that a busy time took, on its way back to the system.

use std::{hint::black_box, time::Duration};

use tokio::time::sleep;

/// How long a quiet server keeps what it does not need.
const PAUSE: Duration = Duration::from_secs(5);
/// A block of its own for the allocator; nobody touches it, so it takes no memory.
const LARGE: usize = 8 << 20;

/// Has the allocator give back what has been free for a moment. It looks for that only when a large block
/// is freed, and a server that has become quiet frees none. Never ends.
pub(super) async fn give_back() {
    loop {
        sleep(PAUSE).await;
        drop(black_box(Vec::<u8>::with_capacity(LARGE)));
    }
}
