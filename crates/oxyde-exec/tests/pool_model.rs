//! The pool against random interleavings: a fake engine obeys its actions late and in any order, and what must always
//! hold is checked after every step.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use oxyde_exec::pool::{Action, Pool, PoolConfig, Refusal, Ticket};
use oxyde_exec::{ConnId, ErrorKind, ExecError, Lane, LoopId, Stats};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Acquire {
        loop_id: u64,
        deadline: Option<u64>,
    },
    /// At once or not at all; whoever would lend it may refuse.
    Lend {
        loop_id: u64,
        willing: bool,
    },
    Cancel(usize),
    Open {
        nth: usize,
        fails: bool,
    },
    Close(usize),
    Release {
        nth: usize,
        alive: bool,
    },
    Discard(usize),
    LoopClosed(u64),
    Wait(u64),
}

fn step(loops: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..=loops, proptest::option::of(0..2_000_u64))
            .prop_map(|(loop_id, deadline)| Step::Acquire { loop_id, deadline }),
        3 => (1..=loops, proptest::bool::weighted(0.8))
            .prop_map(|(loop_id, willing)| Step::Lend { loop_id, willing }),
        2 => any::<usize>().prop_map(Step::Cancel),
        6 => (any::<usize>(), proptest::bool::weighted(0.15)).prop_map(|(nth, fails)| Step::Open { nth, fails }),
        3 => any::<usize>().prop_map(Step::Close),
        7 => (any::<usize>(), proptest::bool::weighted(0.9)).prop_map(|(nth, alive)| Step::Release { nth, alive }),
        1 => any::<usize>().prop_map(Step::Discard),
        1 => (1..=loops).prop_map(Step::LoopClosed),
        3 => (0..3_000_u64).prop_map(Step::Wait),
    ]
}

struct Model {
    pool: Pool,
    config: PoolConfig,
    loops: u64,
    now: Instant,
    next: u64,
    /// Open connections of the fake engine and the loop they are bound to.
    alive: BTreeMap<ConnId, LoopId>,
    opening: Vec<(ConnId, LoopId)>,
    closing: Vec<(ConnId, LoopId)>,
    held: BTreeMap<ConnId, Ticket>,
    waiting: BTreeMap<Ticket, (LoopId, Option<Instant>)>,
    answered: HashSet<Ticket>,
    granted: HashMap<LoopId, VecDeque<Ticket>>,
    ever: BTreeSet<ConnId>,
    grants: u64,
}

impl Model {
    fn new(config: PoolConfig, loops: u64) -> Self {
        Self {
            pool: Pool::new(Lane::Write, config.clone()),
            config,
            loops,
            now: Instant::now(),
            next: 1,
            alive: BTreeMap::new(),
            opening: Vec::new(),
            closing: Vec::new(),
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            answered: HashSet::new(),
            granted: HashMap::new(),
            ever: BTreeSet::new(),
            grants: 0,
        }
    }

    fn event(&mut self, event: impl FnOnce(&mut Pool, Instant, &mut Vec<Action>)) {
        let mut out = Vec::new();
        event(&mut self.pool, self.now, &mut out);
        for action in out {
            self.obey(action);
        }
        self.check();
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Open { slot, loop_id } => {
                assert!(self.ever.insert(slot), "a slot is never used twice");
                self.opening.push((slot, loop_id));
            }
            Action::Grant { ticket, conn, .. } => {
                let (loop_id, _) = self
                    .waiting
                    .remove(&ticket)
                    .expect("granted to one who waits");
                assert_eq!(
                    self.alive.get(&conn),
                    Some(&loop_id),
                    "an open connection of the waiter's own loop"
                );
                assert!(
                    !self.closing.iter().any(|(other, _)| *other == conn),
                    "not one that is being closed"
                );
                assert!(
                    self.held.insert(conn, ticket).is_none(),
                    "not one that is in use"
                );
                assert!(self.answered.insert(ticket), "answered once");
                // First come, first served, among those who could use the connection.
                let earlier = self
                    .waiting
                    .iter()
                    .find(|(other, (other_loop, _))| **other < ticket && *other_loop == loop_id);
                assert_eq!(
                    earlier, None,
                    "an earlier waiter of the loop was passed over"
                );
                self.granted.entry(loop_id).or_default().push_back(ticket);
                self.grants += 1;
            }
            Action::Refuse { ticket, why } => {
                let (_, deadline) = self
                    .waiting
                    .remove(&ticket)
                    .expect("refused to one who waits");
                assert!(self.answered.insert(ticket), "answered once");
                match why {
                    Refusal::Timeout(load) => {
                        assert!(deadline.is_some_and(|deadline| deadline <= self.now));
                        assert!(load.in_use <= load.max_connections);
                    }
                    Refusal::Full(load) => assert!(
                        self.config
                            .max_waiting
                            .is_some_and(|limit| load.waiting >= limit)
                    ),
                    Refusal::OpenFailed(cause) => assert_eq!(cause.kind, ErrorKind::Connect),
                    Refusal::Cancelled | Refusal::LoopClosed | Refusal::Closed => {}
                }
            }
            Action::Close { conn, loop_id } => {
                assert!(!self.held.contains_key(&conn), "nobody uses it");
                assert!(
                    !self.closing.iter().any(|(other, _)| *other == conn),
                    "closed once"
                );
                self.closing.push((conn, loop_id));
            }
        }
    }

    fn check(&self) {
        let live = self.alive.len() + self.opening.len();
        assert!(
            live <= self.config.max_connections,
            "above the limit: {live}"
        );
        let mut stats = Stats::default();
        self.pool.add_stats(self.now, &mut stats);
        assert_eq!(stats.in_use, self.held.len());
        assert_eq!(stats.waiting, self.waiting.len());
        assert_eq!(stats.acquired, self.grants);
        assert!(stats.size <= self.config.max_connections);
        // Nobody waits while a connection of his loop is idle.
        let idle: HashSet<LoopId> = self
            .alive
            .iter()
            .filter(|(conn, _)| {
                !self.held.contains_key(conn)
                    && !self.closing.iter().any(|(other, _)| other == *conn)
            })
            .map(|(_, loop_id)| *loop_id)
            .collect();
        assert_eq!(stats.idle == 0, idle.is_empty());
        for (loop_id, _) in self.waiting.values() {
            assert!(
                !idle.contains(loop_id),
                "a waiter beside an idle connection"
            );
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Acquire { loop_id, deadline } => {
                let ticket = Ticket(self.next);
                self.next += 1;
                let deadline = deadline.map(|after| self.now + Duration::from_millis(after));
                let loop_id = LoopId(loop_id);
                self.waiting.insert(ticket, (loop_id, deadline));
                self.event(|pool, now, out| pool.acquire(now, ticket, loop_id, deadline, out));
            }
            Step::Lend { loop_id, willing } => {
                let loop_id = LoopId(loop_id);
                let mut asked = None;
                let lent = self.pool.lend(self.now, loop_id, |conn| {
                    asked = Some(conn);
                    willing.then_some(conn)
                });
                assert_eq!(lent.is_some(), willing && asked.is_some());
                if let Some(conn) = asked {
                    assert!(self.waiting.is_empty(), "somebody was passed by");
                    assert_eq!(self.alive.get(&conn), Some(&loop_id));
                    assert!(!self.closing.iter().any(|(other, _)| *other == conn));
                    assert!(!self.held.contains_key(&conn));
                }
                if let Some(conn) = lent {
                    // Nobody waited for it: no ticket of the model's.
                    self.held.insert(conn, Ticket(0));
                    self.grants += 1;
                }
                self.check();
            }
            Step::Cancel(nth) => {
                let ticket = Ticket(1 + nth as u64 % self.next);
                let waits = self.waiting.contains_key(&ticket);
                let mut cancelled = false;
                self.event(|pool, now, out| cancelled = pool.cancel(now, ticket, out));
                assert_eq!(cancelled, waits);
            }
            Step::Open { nth, fails } => {
                if self.opening.is_empty() {
                    return;
                }
                let (conn, loop_id) = self.opening.remove(nth % self.opening.len());
                if fails {
                    let cause = ExecError::new(ErrorKind::Connect, "refused");
                    self.event(|pool, now, out| pool.open_failed(now, conn, &cause, 500, out));
                } else {
                    self.alive.insert(conn, loop_id);
                    self.event(|pool, now, out| pool.opened(now, conn, 500, out));
                }
            }
            Step::Close(nth) => {
                if self.closing.is_empty() {
                    return;
                }
                let (conn, _) = self.closing.remove(nth % self.closing.len());
                self.alive.remove(&conn);
                self.event(|pool, now, out| pool.closed(now, conn, out));
            }
            Step::Release { nth, alive } => {
                if let Some(conn) = self.nth_held(nth) {
                    self.held.remove(&conn);
                    if !alive {
                        self.alive.remove(&conn);
                    }
                    self.event(|pool, now, out| pool.release(now, conn, alive, out));
                }
            }
            Step::Discard(nth) => {
                if let Some(conn) = self.nth_held(nth) {
                    self.held.remove(&conn);
                    self.event(|pool, now, out| pool.discard(now, conn, out));
                }
            }
            Step::LoopClosed(loop_id) => {
                let loop_id = LoopId(loop_id);
                let gone: Vec<ConnId> = self
                    .alive
                    .iter()
                    .filter(|(_, other)| **other == loop_id)
                    .map(|(conn, _)| *conn)
                    .collect();
                for conn in gone {
                    self.alive.remove(&conn);
                    self.held.remove(&conn);
                    self.closing.retain(|(other, _)| *other != conn);
                }
                self.opening.retain(|(_, other)| *other != loop_id);
                self.event(|pool, now, out| pool.loop_closed(now, loop_id, out));
                assert!(self.waiting.values().all(|(other, _)| *other != loop_id));
            }
            Step::Wait(milliseconds) => {
                self.now += Duration::from_millis(milliseconds);
                self.event(|pool, now, out| pool.expire(now, out));
                assert!(
                    self.pool
                        .next_deadline()
                        .is_none_or(|deadline| deadline > self.now),
                    "expire did its work"
                );
            }
        }
    }

    fn nth_held(&self, nth: usize) -> Option<ConnId> {
        let held: Vec<ConnId> = self.held.keys().copied().collect();
        (!held.is_empty()).then(|| held[nth % held.len()])
    }

    /// With an engine that works and borrowers who give back, everybody who still waits is served.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.waiting.is_empty()
                && self.held.is_empty()
                && self.opening.is_empty()
                && self.closing.is_empty()
            {
                break;
            }
            // Deadlines must not do the pool's work here.
            self.now += Duration::from_millis(1);
            if !self.opening.is_empty() {
                self.apply(&Step::Open {
                    nth: 0,
                    fails: false,
                });
            } else if !self.closing.is_empty() {
                self.apply(&Step::Close(0));
            } else if !self.held.is_empty() {
                self.apply(&Step::Release {
                    nth: 0,
                    alive: true,
                });
            } else {
                // Only the back-off may hold waiters up now.
                self.apply(&Step::Wait(1));
            }
        }
        assert!(self.waiting.is_empty(), "lost waiters: {:?}", self.waiting);
        assert_eq!(
            self.answered.len() as u64,
            self.next - 1,
            "every ticket was answered exactly once"
        );
    }

    fn close(&mut self) {
        self.event(|pool, _, out| pool.close(out));
        assert!(self.waiting.is_empty());
        self.apply(&Step::Acquire {
            loop_id: 1,
            deadline: None,
        });
        for _ in 0..1_000 {
            if self.pool.is_drained() {
                break;
            }
            if !self.opening.is_empty() {
                self.apply(&Step::Open {
                    nth: 0,
                    fails: false,
                });
            } else if !self.closing.is_empty() {
                self.apply(&Step::Close(0));
            } else {
                self.apply(&Step::Release {
                    nth: 0,
                    alive: true,
                });
            }
        }
        assert!(self.pool.is_drained());
        assert!(self.alive.is_empty() && self.loops > 0);
    }
}

fn config() -> impl Strategy<Value = PoolConfig> {
    (
        1..5_usize,
        0..3_usize,
        proptest::option::of(0..6_usize),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(max, min, max_waiting, idle, lifetime)| PoolConfig {
            max_connections: max,
            min_connections: min.min(max),
            max_waiting,
            idle_timeout: idle.then_some(Duration::from_millis(1_500)),
            max_lifetime: lifetime.then_some(Duration::from_millis(4_000)),
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold(config in config(), loops in 1..4_u64, steps in proptest::collection::vec(step(3), 1..120), end in any::<bool>()) {
        let mut model = Model::new(config, loops);
        for step in &steps {
            let step = match step.clone() {
                Step::Acquire { loop_id, deadline } => Step::Acquire { loop_id: (loop_id - 1) % loops + 1, deadline },
                Step::Lend { loop_id, willing } => Step::Lend { loop_id: (loop_id - 1) % loops + 1, willing },
                Step::LoopClosed(_) if loops == 1 => continue,
                other => other,
            };
            model.apply(&step);
        }
        if end {
            model.close();
        } else {
            model.settle();
        }
    }
}

fn acquire(model: &mut Model, loop_id: u64) -> Ticket {
    model.apply(&Step::Acquire {
        loop_id,
        deadline: None,
    });
    Ticket(model.next - 1)
}

fn plain(max: usize) -> PoolConfig {
    PoolConfig {
        max_connections: max,
        min_connections: 0,
        max_waiting: None,
        idle_timeout: None,
        max_lifetime: None,
    }
}

#[test]
fn an_idle_connection_of_another_loop_makes_room() {
    let mut model = Model::new(plain(1), 2);
    acquire(&mut model, 1);
    model.apply(&Step::Open {
        nth: 0,
        fails: false,
    });
    model.apply(&Step::Release {
        nth: 0,
        alive: true,
    });
    let second = acquire(&mut model, 2);
    assert_eq!(
        model.closing.len(),
        1,
        "the other loop is asked to close its idle connection"
    );
    assert!(model.waiting.contains_key(&second));
    model.apply(&Step::Close(0));
    model.apply(&Step::Open {
        nth: 0,
        fails: false,
    });
    assert_eq!(model.held.values().next(), Some(&second));
}

#[test]
fn a_closed_loop_frees_its_permits_at_once() {
    let mut model = Model::new(plain(1), 2);
    acquire(&mut model, 1);
    model.apply(&Step::Open {
        nth: 0,
        fails: false,
    });
    let second = acquire(&mut model, 2);
    model.apply(&Step::LoopClosed(1));
    assert_eq!(model.opening.len(), 1);
    model.apply(&Step::Open {
        nth: 0,
        fails: false,
    });
    assert_eq!(model.held.values().next(), Some(&second));
}

#[test]
fn a_failed_opening_tells_the_cause_and_backs_off() {
    let mut model = Model::new(plain(2), 1);
    acquire(&mut model, 1);
    acquire(&mut model, 1);
    model.apply(&Step::Open {
        nth: 0,
        fails: true,
    });
    assert_eq!(
        model.waiting.len(),
        2,
        "the other opening may still serve them"
    );
    model.apply(&Step::Open {
        nth: 0,
        fails: true,
    });
    assert!(model.waiting.is_empty(), "both were told");
    acquire(&mut model, 1);
    assert!(model.opening.is_empty(), "not at once");
    let retry = model.pool.next_deadline().unwrap();
    assert!(
        retry <= model.now + Duration::from_millis(150),
        "{:?}",
        retry - model.now
    );
    model.apply(&Step::Wait(150));
    assert_eq!(model.opening.len(), 1);
    // However long it lasts, a caller learns the cause within a second.
    for _ in 0..20 {
        model.apply(&Step::Open {
            nth: 0,
            fails: true,
        });
        acquire(&mut model, 1);
        let wait = model.pool.next_deadline().unwrap() - model.now;
        assert!(wait <= Duration::from_millis(750), "{wait:?}");
        model.apply(&Step::Wait(u64::try_from(wait.as_millis()).unwrap() + 1));
    }
}

#[test]
fn the_queue_is_bounded() {
    let mut model = Model::new(
        PoolConfig {
            max_waiting: Some(2),
            ..plain(1)
        },
        1,
    );
    for _ in 0..3 {
        acquire(&mut model, 1);
        model.apply(&Step::Open {
            nth: 0,
            fails: false,
        });
    }
    assert_eq!(model.waiting.len(), 2);
    acquire(&mut model, 1);
    assert_eq!(
        (model.waiting.len(), model.answered.len()),
        (2, 2),
        "the fourth was refused"
    );
}

#[test]
fn waits_are_counted_by_their_length() {
    let mut pool = Pool::new(
        Lane::Write,
        PoolConfig {
            max_connections: 1,
            min_connections: 0,
            max_waiting: None,
            idle_timeout: None,
            max_lifetime: None,
        },
    );
    let start = Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    let mut out = Vec::new();
    pool.acquire(start, Ticket(1), LoopId::ANY, None, &mut out);
    let conn = ConnId {
        lane: Lane::Write,
        number: 1,
    };
    pool.opened(at(7), conn, 0, &mut out);
    pool.acquire(at(8), Ticket(2), LoopId::ANY, None, &mut out);
    pool.acquire(at(8), Ticket(3), LoopId::ANY, None, &mut out);
    pool.cancel(at(9), Ticket(3), &mut out);
    pool.release(at(1_008), conn, true, &mut out);
    pool.release(at(1_009), conn, true, &mut out);
    pool.acquire(at(60_000), Ticket(4), LoopId::ANY, None, &mut out);
    let waited: Vec<u128> = out
        .iter()
        .filter_map(|action| match action {
            Action::Grant { waited, .. } => Some(waited.as_millis()),
            _ => None,
        })
        .collect();
    assert_eq!(waited, [7, 1_000, 0]);
    let mut stats = Stats::default();
    let longest = pool.add_stats(at(60_500), &mut stats);
    assert_eq!(longest, Some((Duration::from_millis(500), conn)));
    assert_eq!(stats.waits.total, Duration::from_millis(1_007));
    assert_eq!(stats.waits.counts, [1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(stats.acquired, 3);
}
