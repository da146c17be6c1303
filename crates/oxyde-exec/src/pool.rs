//! Who may use which connection: a state machine without I/O.
//!
//! Callers report what happened (`acquire`, `opened`, `release`, …) and get back [`Action`]s to carry out; the time is
//! an argument. So every interleaving can be stepped through by tests, and no lock is held while anything happens.
//!
//! * A connection counts towards `max_connections` from the moment its opening is ordered until `closed` (or a death)
//!   is reported, so the limit holds at every instant.
//! * Waiters are served first come, first served. A waiter that cannot be served at once either claims a connection
//!   that is being opened for its loop, or a permit that is about to be freed, or causes one of these two; those
//!   behind it then compete for the rest. Idle connections belong to an event loop (`LoopId::ANY` for all others); when the
//!   limit is reached, the longest idle connection of another loop is closed for the sake of a waiter.
//! * After a failed opening nothing is opened for a while (50 ms doubling to 500 ms, jitter passed in). If no
//!   connection is left that could serve them, all waiters are told the cause.

mod action;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::engine::{ConnId, Lane, LoopId, Stats, Waits};
use crate::error::ExecError;
pub use crate::pool::action::{Action, Load, PoolConfig, Refusal, Ticket};

const FIRST_BACK_OFF: Duration = Duration::from_millis(50);
const LONGEST_BACK_OFF: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Conn {
    loop_id: LoopId,
    state: State,
    expires: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Opening,
    Idle { since: Instant },
    Busy { since: Instant },
    Closing,
}

#[derive(Debug)]
struct Waiter {
    loop_id: LoopId,
    since: Instant,
    deadline: Option<Instant>,
}

#[derive(Debug)]
pub struct Pool {
    lane: Lane,
    config: PoolConfig,
    conns: BTreeMap<u64, Conn>,
    /// Idle connections per loop, the most recently used last.
    idle: HashMap<LoopId, Vec<u64>>,
    idle_total: usize,
    busy_total: usize,
    /// Ordered by ticket, which is the order of arrival.
    waiting: BTreeMap<Ticket, Waiter>,
    deadlines: BTreeSet<(Instant, Ticket)>,
    next_number: u64,
    failures: u32,
    retry_at: Option<Instant>,
    /// The loop whose opening failed last.
    failed_loop: LoopId,
    ever_opened: bool,
    closing: bool,
    acquired: u64,
    timeouts: u64,
    lost: u64,
    waits: Waits,
}

/// What is under way and not yet spoken for, during one pass over the waiters.
struct InFlight {
    openings: HashMap<LoopId, usize>,
    closings: usize,
}

impl InFlight {
    fn claim(&mut self, loop_id: LoopId) -> bool {
        if let Some(left) = self.openings.get_mut(&loop_id)
            && *left > 0
        {
            *left -= 1;
            return true;
        }
        if self.closings > 0 {
            self.closings -= 1;
            return true;
        }
        false
    }
}

impl Pool {
    pub fn new(lane: Lane, config: PoolConfig) -> Self {
        Self {
            lane,
            config,
            conns: BTreeMap::new(),
            idle: HashMap::new(),
            idle_total: 0,
            busy_total: 0,
            waiting: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next_number: 1,
            failures: 0,
            retry_at: None,
            failed_loop: LoopId::ANY,
            ever_opened: false,
            closing: false,
            acquired: 0,
            timeouts: 0,
            lost: 0,
            waits: Waits::default(),
        }
    }

    pub fn acquire(
        &mut self,
        now: Instant,
        ticket: Ticket,
        loop_id: LoopId,
        deadline: Option<Instant>,
        out: &mut Vec<Action>,
    ) {
        if self.closing {
            out.push(Action::Refuse {
                ticket,
                why: Refusal::Closed,
            });
            return;
        }
        if self.waiting.is_empty()
            && let Some(number) = self.pop_idle(loop_id)
        {
            self.grant(now, ticket, number, Duration::ZERO, out);
            return;
        }
        // Only those count as waiting who really have to: whose connection is being opened is as good as served.
        if let Some(limit) = self.config.max_waiting
            && self.conns.len() >= self.config.max_connections
            && self.waiting.len().saturating_sub(self.opening_total()) >= limit
        {
            out.push(Action::Refuse {
                ticket,
                why: Refusal::Full(self.load(now)),
            });
            return;
        }
        self.waiting.insert(
            ticket,
            Waiter {
                loop_id,
                since: now,
                deadline,
            },
        );
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, ticket));
        }
        self.pump(now, out);
        if deadline.is_some_and(|deadline| deadline <= now) && self.waiting.contains_key(&ticket) {
            self.time_out(now, ticket, out);
        }
    }

    /// An idle connection for a borrower who would not wait and passes nobody by. `take` has the last word; without
    /// its consent nothing has happened.
    pub fn lend<T>(
        &mut self,
        now: Instant,
        loop_id: LoopId,
        take: impl FnOnce(ConnId) -> Option<T>,
    ) -> Option<T> {
        if self.closing || !self.waiting.is_empty() {
            return None;
        }
        let number = *self.idle.get(&loop_id)?.last()?;
        let taken = take(ConnId {
            lane: self.lane,
            number,
        })?;
        self.pop_idle(loop_id);
        self.make_busy(now, number, Duration::ZERO);
        Some(taken)
    }

    /// A waiter no longer wants a connection; false if the ticket does not wait (any more).
    pub fn cancel(&mut self, now: Instant, ticket: Ticket, out: &mut Vec<Action>) -> bool {
        let waited = self.remove_waiter(ticket).is_some();
        if waited {
            out.push(Action::Refuse {
                ticket,
                why: Refusal::Cancelled,
            });
            self.pump(now, out);
        }
        waited
    }

    /// `jitter` (0 to 1000) takes up to a tenth off the lifetime, so that connections opened together do not expire
    /// together.
    pub fn opened(&mut self, now: Instant, conn: ConnId, jitter: u32, out: &mut Vec<Action>) {
        let life = self
            .config
            .max_lifetime
            .map(|life| life.saturating_sub(life / 10_000 * jitter.min(1000)));
        let expires = life.and_then(|life| now.checked_add(life));
        self.failures = 0;
        self.retry_at = None;
        self.ever_opened = true;
        match self.conns.get_mut(&conn.number) {
            Some(entry) if entry.state == State::Opening => {
                entry.expires = expires;
                if self.closing {
                    self.order_close(conn.number, out);
                } else {
                    self.make_idle(now, conn.number);
                }
            }
            // Its loop was closed in the meantime.
            _ => out.push(Action::Close {
                conn,
                loop_id: LoopId::ANY,
            }),
        }
        self.pump(now, out);
    }

    /// `jitter` (0 to 1000) adds up to a half to the back-off.
    pub fn open_failed(
        &mut self,
        now: Instant,
        conn: ConnId,
        cause: &ExecError,
        jitter: u32,
        out: &mut Vec<Action>,
    ) {
        match self.conns.get(&conn.number) {
            Some(entry) if entry.state == State::Opening => self.failed_loop = entry.loop_id,
            _ => return,
        }
        self.conns.remove(&conn.number);
        self.lost += 1;
        let wait = FIRST_BACK_OFF
            .saturating_mul(1 << self.failures.min(4))
            .min(LONGEST_BACK_OFF);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.checked_add(wait.saturating_add(wait / 2000 * jitter.min(1000)));
        let hope = self
            .conns
            .values()
            .any(|entry| entry.state != State::Closing);
        if !hope {
            for (ticket, _) in std::mem::take(&mut self.waiting) {
                out.push(Action::Refuse {
                    ticket,
                    why: Refusal::OpenFailed(cause.clone()),
                });
            }
            self.deadlines.clear();
        }
        self.pump(now, out);
    }

    /// The borrower is done. `alive: false` means that the connection no longer exists.
    pub fn release(&mut self, now: Instant, conn: ConnId, alive: bool, out: &mut Vec<Action>) {
        let Some(entry) = self.conns.get(&conn.number) else {
            return;
        };
        if !matches!(entry.state, State::Busy { .. }) {
            return;
        }
        let loop_id = entry.loop_id;
        let expired = entry.expires.is_some_and(|at| at <= now);
        if !alive {
            self.busy_total -= 1;
            self.conns.remove(&conn.number);
            self.lost += 1;
            self.top_up(now, loop_id, out);
        } else if self.closing || expired {
            self.order_close(conn.number, out);
        } else {
            self.make_idle(now, conn.number);
        }
        self.pump(now, out);
    }

    /// The borrower is done and the connection must not be used again.
    pub fn discard(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Action>) {
        let busy = self
            .conns
            .get(&conn.number)
            .is_some_and(|entry| matches!(entry.state, State::Busy { .. }));
        if busy {
            self.lost += 1;
            self.order_close(conn.number, out);
            self.pump(now, out);
        }
    }

    /// An opening came to nothing because its event loop ended: that says nothing about the database.
    pub fn opening_ended(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Action>) {
        let opening = |entry: &Conn| entry.state == State::Opening;
        if self.conns.get(&conn.number).is_some_and(opening) {
            self.conns.remove(&conn.number);
            self.pump(now, out);
        }
    }

    /// A `Close` was carried out: its permit is free.
    pub fn closed(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Action>) {
        let closing = self
            .conns
            .get(&conn.number)
            .filter(|entry| entry.state == State::Closing);
        if let Some(loop_id) = closing.map(|entry| entry.loop_id) {
            self.conns.remove(&conn.number);
            self.pump(now, out);
            self.top_up(now, loop_id, out);
        }
    }

    /// No more grants: waiters are refused, idle connections closed, busy ones when they come back.
    pub fn close(&mut self, out: &mut Vec<Action>) {
        self.closing = true;
        for (ticket, _) in std::mem::take(&mut self.waiting) {
            out.push(Action::Refuse {
                ticket,
                why: Refusal::Closed,
            });
        }
        self.deadlines.clear();
        let idle: Vec<u64> = self.idle.values().flatten().copied().collect();
        for number in idle {
            self.order_close(number, out);
        }
    }

    /// After `close`: nothing is left to wait for.
    pub fn is_drained(&self) -> bool {
        self.closing && self.conns.is_empty()
    }

    pub fn load(&self, now: Instant) -> Load {
        Load {
            max_connections: self.config.max_connections,
            in_use: self.busy_total,
            waiting: self.waiting.len(),
            longest_hold: self
                .conns
                .iter()
                .filter_map(|(number, entry)| match entry.state {
                    State::Busy { since } => {
                        let conn = ConnId {
                            lane: self.lane,
                            number: *number,
                        };
                        Some((now.saturating_duration_since(since), conn))
                    }
                    _ => None,
                })
                .max_by_key(|(held, _)| *held),
        }
    }

    /// Adds this pool's numbers to `stats`; answers which connection has been held longest, and for how long.
    pub fn add_stats(&self, now: Instant, stats: &mut Stats) -> Option<(Duration, ConnId)> {
        let load = self.load(now);
        stats.size += self.conns.len();
        stats.idle += self.idle_total;
        stats.in_use += load.in_use;
        stats.waiting += load.waiting;
        stats.acquired += self.acquired;
        stats.timeouts += self.timeouts;
        stats.lost += self.lost;
        stats.max_connections += self.config.max_connections;
        stats.waits.merge(&self.waits);
        load.longest_hold
    }

    /// Serves the waiters in order, as the module's documentation says.
    fn pump(&mut self, now: Instant, out: &mut Vec<Action>) {
        let mut in_flight: Option<InFlight> = None;
        let mut cursor = Ticket(0);
        while let Some((ticket, loop_id)) = self
            .waiting
            .range(cursor..)
            .next()
            .map(|(ticket, waiter)| (*ticket, waiter.loop_id))
        {
            cursor = Ticket(ticket.0.saturating_add(1));
            if let Some(number) = self.pop_idle(loop_id) {
                let since = self
                    .remove_waiter(ticket)
                    .map_or(now, |waiter| waiter.since);
                let waited = now.saturating_duration_since(since);
                self.grant(now, ticket, number, waited, out);
                continue;
            }
            if in_flight
                .get_or_insert_with(|| self.in_flight())
                .claim(loop_id)
            {
                continue;
            }
            if self.conns.len() < self.config.max_connections {
                if self.retry_at.is_none_or(|at| at <= now) {
                    self.order_open(loop_id, out);
                    continue;
                }
            } else if let Some(number) = self.longest_idle() {
                self.order_close(number, out);
                continue;
            }
            if self.idle_total == 0 {
                break;
            }
        }
    }

    fn in_flight(&self) -> InFlight {
        let mut in_flight = InFlight {
            openings: HashMap::new(),
            closings: 0,
        };
        for entry in self.conns.values() {
            match entry.state {
                State::Opening => *in_flight.openings.entry(entry.loop_id).or_insert(0) += 1,
                State::Closing => in_flight.closings += 1,
                State::Idle { .. } | State::Busy { .. } => {}
            }
        }
        in_flight
    }

    /// Nothing is idle for this loop and nothing may be opened.
    pub fn is_full(&self, loop_id: LoopId) -> bool {
        self.busy_total > 0
            && self.conns.len() >= self.config.max_connections
            && self.idle.get(&loop_id).is_none_or(Vec::is_empty)
    }

    fn opening_total(&self) -> usize {
        self.conns
            .values()
            .filter(|entry| entry.state == State::Opening)
            .count()
    }

    fn open_total(&self) -> usize {
        self.conns
            .values()
            .filter(|entry| entry.state != State::Closing)
            .count()
    }

    fn grant(
        &mut self,
        now: Instant,
        ticket: Ticket,
        number: u64,
        waited: Duration,
        out: &mut Vec<Action>,
    ) {
        if self.make_busy(now, number, waited) {
            out.push(Action::Grant {
                ticket,
                conn: ConnId {
                    lane: self.lane,
                    number,
                },
                waited,
            });
        }
    }

    fn make_busy(&mut self, now: Instant, number: u64, waited: Duration) -> bool {
        let Some(entry) = self.conns.get_mut(&number) else {
            return false;
        };
        entry.state = State::Busy { since: now };
        self.busy_total += 1;
        self.acquired += 1;
        self.waits.add(waited);
        true
    }

    fn order_open(&mut self, loop_id: LoopId, out: &mut Vec<Action>) {
        let number = self.next_number;
        self.next_number += 1;
        self.conns.insert(
            number,
            Conn {
                loop_id,
                state: State::Opening,
                expires: None,
            },
        );
        out.push(Action::Open {
            slot: ConnId {
                lane: self.lane,
                number,
            },
            loop_id,
        });
    }

    fn order_close(&mut self, number: u64, out: &mut Vec<Action>) {
        let Some(entry) = self.conns.get_mut(&number) else {
            return;
        };
        match entry.state {
            State::Busy { .. } => self.busy_total -= 1,
            State::Idle { .. } => {
                if let Some(idle) = self.idle.get_mut(&entry.loop_id)
                    && let Some(position) = idle.iter().position(|other| *other == number)
                {
                    idle.remove(position);
                    self.idle_total -= 1;
                }
            }
            State::Opening => {}
            State::Closing => return,
        }
        entry.state = State::Closing;
        out.push(Action::Close {
            conn: ConnId {
                lane: self.lane,
                number,
            },
            loop_id: entry.loop_id,
        });
    }

    fn make_idle(&mut self, now: Instant, number: u64) {
        if let Some(entry) = self.conns.get_mut(&number) {
            if matches!(entry.state, State::Busy { .. }) {
                self.busy_total -= 1;
            }
            entry.state = State::Idle { since: now };
            self.idle.entry(entry.loop_id).or_default().push(number);
            self.idle_total += 1;
        }
    }

    fn pop_idle(&mut self, loop_id: LoopId) -> Option<u64> {
        let number = self.idle.get_mut(&loop_id)?.pop()?;
        self.idle_total -= 1;
        Some(number)
    }

    fn longest_idle(&self) -> Option<u64> {
        self.conns
            .iter()
            .filter_map(|(number, entry)| match entry.state {
                State::Idle { since } => Some((since, *number)),
                _ => None,
            })
            .min()
            .map(|(_, number)| number)
    }

    fn remove_waiter(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.waiting.remove(&ticket)?;
        if let Some(deadline) = waiter.deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
        Some(waiter)
    }
}
