//! Inline answers must not starve the event loop.
//!
//! An await that is answered on the spot never goes through the loop, so a task that does nothing else would
//! keep timers and other tasks waiting for ever. After 16 such answers, or half a millisecond of them, the next
//! one is delivered through the loop. Counted per thread, and a thread runs one loop at a time.

use std::cell::Cell;
use std::time::{Duration, Instant};

const ANSWERS: u32 = 16;
const TIME: Duration = Duration::from_micros(500);

thread_local! {
    static SINCE: Cell<(u32, Option<Instant>)> = const { Cell::new((0, None)) };
}

/// Counts one inline answer; true if this one has to go through the loop.
pub fn trip_is_due() -> bool {
    SINCE.with(|since| {
        let (count, start) = since.get();
        let now = Instant::now();
        let start = start.unwrap_or(now);
        if count + 1 >= ANSWERS || now.duration_since(start) >= TIME {
            since.set((0, None));
            return true;
        }
        since.set((count + 1, Some(start)));
        false
    })
}

/// The loop has run: counting starts again.
pub fn made_a_trip() {
    SINCE.with(|since| since.set((0, None)));
}
