//! Callers of statements get their answer at the deadline, whatever has become of the connection.
//!
//! The engine of a server stops a statement at its deadline and drains the connection. If the network has swallowed
//! the connection, no answer ever comes: so a little later the caller is answered without one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use oxyde_exec::{Effect, ErrorKind, ExecError};

/// How long the engine's own answer may take to arrive.
const GRACE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub deadline: Instant,
    /// The statement changes nothing, or a transaction answers for it: an answer that is missing hides nothing.
    pub harmless: bool,
}

impl Limit {
    /// What a caller is told whom the connection does not answer.
    pub fn error(self) -> ExecError {
        let mut error = ExecError::new(
            ErrorKind::QueryTimeout,
            "the statement ran into its deadline",
        );
        if !self.harmless {
            error.outcome = Effect::Unknown;
            error.retryable = false;
        }
        error
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The engine is to stop it.
    Stop,
    /// The caller is answered.
    Answer,
}

/// The deadlines of one loop's operations.
#[derive(Debug, Default)]
pub struct Deadlines {
    ordered: BTreeSet<(Instant, u64, Stage)>,
}

/// Operations whose time has come.
#[derive(Debug, Default)]
pub struct Due {
    pub stop: Vec<u64>,
    pub answer: Vec<u64>,
}

impl Deadlines {
    pub fn add(&mut self, operation: u64, limit: Limit) {
        self.ordered
            .insert((limit.deadline, operation, Stage::Stop));
    }

    pub fn remove(&mut self, operation: u64, limit: Limit) {
        if !self
            .ordered
            .remove(&(limit.deadline, operation, Stage::Stop))
        {
            self.ordered
                .remove(&(limit.deadline + GRACE, operation, Stage::Answer));
        }
    }

    pub fn next(&self) -> Option<Instant> {
        self.ordered.first().map(|(at, ..)| *at)
    }

    pub fn take_due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        while let Some(&(at, operation, stage)) = self.ordered.first()
            && at <= now
        {
            self.ordered.pop_first();
            match stage {
                Stage::Stop => {
                    due.stop.push(operation);
                    self.ordered.insert((at + GRACE, operation, Stage::Answer));
                }
                Stage::Answer => due.answer.push(operation),
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(deadline: Instant) -> Limit {
        Limit {
            deadline,
            harmless: false,
        }
    }

    #[test]
    fn stops_first_and_answers_later() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.add(1, limit(start));
        let due = deadlines.take_due(start);
        assert_eq!((due.stop, due.answer), (vec![1], vec![]));
        let due = deadlines.take_due(start + GRACE);
        assert_eq!((due.stop, due.answer), (vec![], vec![1]));
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn what_has_ended_is_never_due() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        for operation in [1, 2] {
            deadlines.add(operation, limit(start));
        }
        deadlines.remove(1, limit(start));
        assert_eq!(deadlines.take_due(start).stop, vec![2]);
        deadlines.remove(2, limit(start));
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn both_stages_at_once_if_nobody_looked_in_time() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.add(1, limit(start));
        let due = deadlines.take_due(start + GRACE * 2);
        assert_eq!((due.stop, due.answer), (vec![1], vec![1]));
    }
}
