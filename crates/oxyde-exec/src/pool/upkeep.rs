//! What time and closed event loops do to a pool.

use std::time::Instant;

use crate::engine::{ConnId, LoopId};
use crate::pool::{Action, Pool, Refusal, State, Ticket};

impl Pool {
    /// An event loop is gone and its connections with it: all their permits are free now.
    pub fn loop_closed(&mut self, now: Instant, loop_id: LoopId, out: &mut Vec<Action>) {
        let gone: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, entry)| entry.loop_id == loop_id)
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            if let Some(entry) = self.conns.remove(&number)
                && matches!(entry.state, State::Busy { .. })
            {
                self.busy_total -= 1;
            }
        }
        if let Some(idle) = self.idle.remove(&loop_id) {
            self.idle_total -= idle.len();
        }
        let waiters: Vec<Ticket> = self
            .waiting
            .iter()
            .filter(|(_, waiter)| waiter.loop_id == loop_id)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in waiters {
            self.remove_waiter(ticket);
            out.push(Action::Refuse {
                ticket,
                why: Refusal::LoopClosed,
            });
        }
        self.pump(now, out);
    }

    /// A connection died while it was idle (a loss that comes after it was granted is the borrower's to report).
    pub fn lost_idle(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Action>) {
        let Some(entry) = self.conns.get(&conn.number) else {
            return;
        };
        if !matches!(entry.state, State::Idle { .. }) {
            return;
        }
        if let Some(idle) = self.idle.get_mut(&entry.loop_id)
            && let Some(position) = idle.iter().position(|other| *other == conn.number)
        {
            idle.remove(position);
            self.idle_total -= 1;
        }
        self.conns.remove(&conn.number);
        self.lost += 1;
        self.pump(now, out);
    }

    /// Deadlines, back-off, idle time and lifetime: call at `next_deadline`.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Action>) {
        let rested = self.retry_at.take_if(|at| *at <= now).is_some();
        while let Some(&(deadline, ticket)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.time_out(now, ticket, out);
        }
        self.pump(now, out);
        if rested {
            self.top_up(now, self.failed_loop, out);
        }
        let mut spare = self
            .open_total()
            .saturating_sub(self.config.min_connections);
        let mut victims: Vec<(Instant, u64)> = Vec::new();
        for (number, entry) in &self.conns {
            if let State::Idle { since } = entry.state
                && entry.expires.is_some_and(|at| at <= now)
            {
                victims.push((since, *number));
                spare = spare.saturating_sub(1);
            }
        }
        if let Some(limit) = self.config.idle_timeout {
            let mut stale: Vec<(Instant, u64)> = self
                .conns
                .iter()
                .filter_map(|(number, entry)| match entry.state {
                    State::Idle { since }
                        if since.checked_add(limit).is_some_and(|at| at <= now) =>
                    {
                        Some((since, *number))
                    }
                    _ => None,
                })
                .filter(|stale| !victims.contains(stale))
                .collect();
            stale.sort_unstable();
            stale.truncate(spare);
            victims.extend(stale);
        }
        for (_, number) in victims {
            self.order_close(number, out);
        }
        self.pump(now, out);
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let waiter = self.deadlines.first().map(|(deadline, _)| *deadline);
        let short = !self.waiting.is_empty()
            || (self.ever_opened && self.open_total() < self.config.min_connections);
        let retry = self.retry_at.filter(|_| short && !self.closing);
        let lifetime = self
            .conns
            .values()
            .filter(|entry| matches!(entry.state, State::Idle { .. }))
            .filter_map(|entry| entry.expires)
            .min();
        let idle = match self.config.idle_timeout {
            Some(limit) if self.open_total() > self.config.min_connections => self
                .conns
                .values()
                .filter_map(|entry| match entry.state {
                    State::Idle { since } => since.checked_add(limit),
                    _ => None,
                })
                .min(),
            _ => None,
        };
        [waiter, retry, lifetime, idle].into_iter().flatten().min()
    }

    /// Keeps `min_connections` open once the pool is in use.
    pub(super) fn top_up(&mut self, now: Instant, loop_id: LoopId, out: &mut Vec<Action>) {
        while !self.closing
            && self.ever_opened
            && self.open_total() < self.config.min_connections
            && self.conns.len() < self.config.max_connections
            && self.retry_at.is_none_or(|at| at <= now)
        {
            self.order_open(loop_id, out);
        }
    }

    pub(super) fn time_out(&mut self, now: Instant, ticket: Ticket, out: &mut Vec<Action>) {
        let load = self.load(now);
        self.timeouts += 1;
        self.remove_waiter(ticket);
        out.push(Action::Refuse {
            ticket,
            why: Refusal::Timeout(load),
        });
    }
}
