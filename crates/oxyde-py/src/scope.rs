//! Whether this thread is inside a callback of an event loop.
//!
//! There, what belongs to that loop can be done directly: connections are pumped at once, and answers are delivered
//! when the callback ends, without a wake-up. Known without asking Python, so that any thread may ask, with or
//! without the GIL.

use std::cell::Cell;

use oxyde_exec::LoopId;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A call of a program: its answer comes through the loop, so that nobody starves the others with errors.
    Call,
    /// The loop called us: answers are delivered at the end.
    Callback,
}

#[derive(Clone, Copy)]
struct Scope {
    loop_id: LoopId,
    kind: Kind,
}

thread_local! {
    static SCOPE: Cell<Option<Scope>> = const { Cell::new(None) };
}

pub fn is_inside(loop_id: LoopId) -> bool {
    SCOPE.with(|scope| scope.get().is_some_and(|scope| scope.loop_id == loop_id))
}

pub fn is_callback(loop_id: LoopId) -> bool {
    SCOPE.with(|scope| {
        scope
            .get()
            .is_some_and(|scope| scope.loop_id == loop_id && scope.kind == Kind::Callback)
    })
}

/// Ends a scope, also by unwinding.
pub struct Guard(Option<Scope>);

/// Enters a scope; inside a callback everything stays part of that callback.
pub fn enter(loop_id: LoopId, kind: Kind) -> Guard {
    SCOPE.with(|scope| {
        let before = scope.get();
        let kind = match before {
            Some(outer) if outer.loop_id == loop_id && outer.kind == Kind::Callback => {
                Kind::Callback
            }
            _ => kind,
        };
        scope.set(Some(Scope { loop_id, kind }));
        Guard(before)
    })
}

impl Drop for Guard {
    fn drop(&mut self) {
        SCOPE.with(|scope| scope.set(self.0));
    }
}
