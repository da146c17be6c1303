//! What the engine wants from whoever moves bytes.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::engine::LoopId;
use crate::wire::link::Link;
use crate::wire::session::Cancel;

/// Makes connections and brings links to run on the thread of their event loop.
///
/// Everything that a [`Link`] does happens on the thread of its loop; the methods here may be called on any thread.
pub trait Driver: Send + Sync {
    /// Makes a connection for `link` — address, socket, TLS, for each host in turn — and ends by `link.ready()` or
    /// `link.failed(error)`. Between those, for each attempt: `link.start(channel, …)`, then bytes by
    /// `link.receive(…)`, until the `started` callback tells whether the server let us in.
    fn open(&self, link: Arc<Link>);

    /// Sees to it that `link.pump()` is called on its loop's thread: at once if this is that thread.
    fn wake(&self, link: &Arc<Link>);

    /// Connects once more to where `link` is connected (same TLS mode, bounded in time) and does what `request` says:
    /// sends the packet and waits until the server closes that connection, or starts a `link.helper(…)` there and
    /// closes after it has started. Then calls `link.cancel_sent(true)`; `false` if any of that fails.
    fn cancel(&self, link: &Arc<Link>, request: Cancel);

    /// Sees to it that `Database::expire` is called on that loop's thread no later than `at`.
    fn alarm(&self, loop_id: LoopId, at: Instant);

    /// The loop is gone: its sockets can be closed without it. Called at most once per loop and engine.
    fn forget_loop(&self, loop_id: LoopId);
}

/// One open byte stream. Used on its loop's thread only, except `kill`.
pub trait Channel: Send + Sync {
    /// Whether the peer has closed the stream, or sent something that was not asked for, since the loop looked last:
    /// one system call that does not wait. False where that cannot be asked.
    fn is_dead(&self) -> bool {
        false
    }
    /// Reads nothing more until `go_on`; what was read already may still come.
    fn pause(&self) {}
    fn go_on(&self) {}
    /// Sends all of `bytes`, now or as soon as the peer takes them; errors arrive as `link.lost(…)`.
    fn write(&self, bytes: &[u8]);
    /// Whether more is written already than the peer has taken of late; `link.supply()` follows when it is no more so.
    fn is_full(&self) -> bool {
        false
    }
    /// Closes after what was written has been sent. `link.lost(None)` follows.
    fn close(&self);
    /// Closes without another word. `link.lost(None)` follows.
    fn abort(&self);
    /// Closes the socket without the event loop, which is gone. Nothing follows.
    fn kill(&self);
}

impl fmt::Debug for dyn Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}

impl fmt::Debug for dyn Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}
