//! Cuts the server's bytes into packets, and puts those together that are one.
//!
//! What is whole in the caller's buffer is used in place; only a packet that is split between two reads, or a row that
//! is split between packets, is put together in a buffer of ours, which grows with the bytes that have come, not with
//! the length announced.

use std::sync::Arc;

use crate::mysql::backend::{FULL, HEADER};
use crate::mysql::flight::Step;
use crate::mysql::session::{Phase, Session};
use crate::mysql::statements::Definitions;
use crate::query::Malformed;
use crate::wire::events::{Chunk, Event, Fatal, RowChunk};

/// At most so much in one event, unless one row alone is longer.
const ROWS_AT_ONCE: usize = 256 * 1024;

/// A buffer of more than this is not kept for the next packet.
const KEPT: usize = 64 * 1024;

/// Before the login has ended, a server has no reason to say much.
const LOGIN_PACKET: usize = 64 * 1024;

/// The front of what has not come as a whole.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// Header of the packet that is coming, as far as it is there.
    head: [u8; HEADER],
    head_length: usize,
    /// Header of the first packet and what all packets hold behind theirs.
    bytes: Vec<u8>,
    /// What is missing of the packet whose header is there.
    missing: usize,
    /// Another packet follows.
    full: bool,
    /// The packet's number is not the one that comes next.
    stray: bool,
}

impl Partial {
    pub(super) fn is_empty(&self) -> bool {
        self.head_length == 0 && self.bytes.is_empty()
    }

    /// Reads on in the header; true: it is whole.
    fn take_head(&mut self, data: &mut &[u8]) -> bool {
        while let (Some(slot), Some((byte, rest))) =
            (self.head.get_mut(self.head_length), data.split_first())
        {
            *slot = *byte;
            self.head_length = self.head_length.saturating_add(1);
            *data = rest;
        }
        self.head_length == HEADER
    }

    /// Reads on behind the header; true: the packet is whole.
    fn take_rest(&mut self, data: &mut &[u8]) -> bool {
        if self.missing <= self.bytes.len() {
            // At least half has come: no need to guess any more.
            self.bytes.reserve_exact(self.missing);
        }
        let (taken, rest) = data.split_at(self.missing.min(data.len()));
        self.bytes.extend_from_slice(taken);
        self.missing = self.missing.saturating_sub(taken.len());
        *data = rest;
        self.missing == 0
    }
}

impl Session {
    /// The next event in `data`, which is advanced past what was used; `None`: all was used, more is needed.
    pub fn next<'a>(&mut self, data: &mut &'a [u8]) -> Result<Option<Event<'a>>, Fatal> {
        if let Some(error) = &self.dead {
            return Err(Fatal(error.clone()));
        }
        if self.finished.is_some() {
            return Ok(self.suspended().or_else(|| self.done()));
        }
        let said = self.out.len();
        let event = self.advance(data);
        if matches!(self.phase, Phase::Terminated) {
            // Nothing follows a goodbye.
            self.out.truncate(said);
        }
        if let Err(Fatal(error)) = &event {
            self.dead = Some(error.clone());
            self.partial = Partial::default();
        }
        event
    }

    fn advance<'a>(&mut self, data: &mut &'a [u8]) -> Result<Option<Event<'a>>, Fatal> {
        while !data.is_empty() {
            let event = if self.partial.is_empty() {
                self.in_place(data)?
            } else {
                self.put_together(data)?
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn in_place<'a>(&mut self, data: &mut &'a [u8]) -> Result<Option<Event<'a>>, Fatal> {
        if let Some(rest) = self.known_definitions(data) {
            *data = rest;
            let reply = self.columns_left(0);
            return self.settle(reply);
        }
        let Some((head, rest)) = data.split_first_chunk::<HEADER>() else {
            return self.put_together(data);
        };
        let (length, number) = read(head);
        let Some((payload, behind)) = rest.split_at_checked(length).filter(|_| length < FULL)
        else {
            return self.put_together(data);
        };
        let stray = self.check(length, number)?;
        if !stray && self.is_row(payload, length) {
            let (bytes, count) = self.rows(data)?;
            *data = data.get(bytes.len()..).unwrap_or_default();
            return Ok(self.show_rows(Chunk::Borrowed(bytes), count));
        }
        *data = behind;
        self.count_packet();
        self.packet(payload, stray)
    }

    /// Adds to what was split.
    fn put_together<'a>(&mut self, data: &mut &'a [u8]) -> Result<Option<Event<'a>>, Fatal> {
        loop {
            if self.partial.head_length < HEADER {
                if !self.partial.take_head(data) {
                    return Ok(None);
                }
                let (length, number) = read(&self.partial.head);
                let stray = self.check(length, number)?;
                self.count_packet();
                let partial = &mut self.partial;
                let continued = !partial.bytes.is_empty();
                if !continued {
                    partial.bytes.extend_from_slice(&partial.head);
                }
                partial.missing = length;
                partial.full = length == FULL;
                partial.stray = stray || (continued && partial.stray);
            }
            if !self.partial.take_rest(data) {
                return Ok(None);
            }
            self.partial.head_length = 0;
            if !self.partial.full {
                break;
            }
        }
        let mut bytes = std::mem::take(&mut self.partial.bytes);
        let stray = self.partial.stray;
        let (length, _) = bytes.first_chunk().map_or((0, 0), read);
        let payload = bytes.get(HEADER..).unwrap_or_default();
        if !stray && self.is_row(payload, length) {
            self.count_row(payload.len())?;
            return Ok(self.show_rows(Chunk::Owned(bytes), 1));
        }
        let event = self.packet(payload, stray)?;
        if bytes.capacity() <= KEPT {
            bytes.clear();
            self.partial.bytes = bytes;
        }
        Ok(event)
    }

    /// Whether a packet of this length and number can come now, before its contents are waited for; true: only as an
    /// error, because its number is another one than expected.
    fn check(&self, length: usize, number: u8) -> Result<bool, Fatal> {
        let limits = &self.config.limits;
        let head = self.requests.front();
        let (limit, expected) = match (&self.phase, head) {
            (Phase::Created, _) => return Err(self.violation(Malformed("an unasked word"))),
            (Phase::Login(login), _) => (LOGIN_PACKET, Some(login.number)),
            (_, Some(flight)) if flight.step == Step::Rows => (limits.max_row, Some(flight.number)),
            (_, Some(flight)) => (limits.max_packet, Some(flight.number)),
            // A server that closes the connection may say why.
            (_, None) => (limits.max_packet, None),
        };
        // What this packet continues.
        let held = self.partial.bytes.len().saturating_sub(HEADER);
        if length > limit.saturating_sub(held) {
            return Err(self.violation(Malformed("a packet of an impossible length")));
        }
        Ok(expected.is_some_and(|expected| expected != number))
    }

    fn count_packet(&mut self) {
        if let Phase::Login(login) = &mut self.phase {
            login.number = login.number.wrapping_add(1);
        } else if let Some(flight) = self.requests.front_mut() {
            flight.number = flight.number.wrapping_add(1);
        }
    }

    /// Whether the head's result goes on with this packet.
    fn is_row(&self, payload: &[u8], length: usize) -> bool {
        let head = self.requests.front();
        match (head, payload.first()) {
            (Some(flight), Some(first)) if flight.step == Step::Rows => {
                starts_row(flight.binary, *first, length)
            }
            _ => false,
        }
    }

    /// As many whole rows as `bytes` starts with: only the packets' heads are looked at.
    fn rows<'a>(&mut self, bytes: &'a [u8]) -> Result<(&'a [u8], usize), Fatal> {
        let mut used = 0_usize;
        let mut count = 0_usize;
        let longest = self.config.limits.max_row;
        if let Some(flight) = self.requests.front_mut() {
            let shortest = flight.shortest_row();
            let mut rest = bytes;
            while let Some(([a, b, c, number, first], _)) = rest.split_first_chunk::<5>() {
                let (length, _) = read(&[*a, *b, *c, *number]);
                if *number != flight.number
                    || length == FULL
                    || !(shortest..=longest).contains(&length)
                    || !starts_row(flight.binary, *first, length)
                {
                    break;
                }
                let total = length.saturating_add(HEADER);
                let end = used.saturating_add(total);
                if end > ROWS_AT_ONCE && count > 0 {
                    break;
                }
                let Some(behind) = rest.get(total..) else {
                    break;
                };
                rest = behind;
                used = end;
                count = count.saturating_add(1);
                flight.number = flight.number.wrapping_add(1);
            }
            flight.rows = flight
                .rows
                .saturating_add(u64::try_from(count).unwrap_or_default());
        }
        match bytes.get(..used) {
            Some(rows) if count > 0 => Ok((rows, count)),
            _ => Err(self.violation(TOO_SHORT)),
        }
    }

    /// A row that was put together.
    fn count_row(&mut self, length: usize) -> Result<(), Fatal> {
        match self.requests.front_mut() {
            Some(flight) if length >= flight.shortest_row() => {
                flight.rows = flight.rows.saturating_add(1);
                Ok(())
            }
            _ => Err(self.violation(TOO_SHORT)),
        }
    }

    fn show_rows<'a>(&self, bytes: Chunk<'a>, count: usize) -> Option<Event<'a>> {
        let head = self.requests.front().filter(|flight| !flight.surplus)?;
        Some(Event::Rows(head.request, RowChunk { bytes, count }))
    }

    /// The definitions of a prepared statement's columns, if just those come that came the last time.
    #[inline]
    fn known_definitions<'a>(&mut self, data: &'a [u8]) -> Option<&'a [u8]> {
        let flight = self.requests.front_mut()?;
        let Step::Columns(count) = flight.step else {
            return None;
        };
        let (statement, id) = flight.statement?;
        if flight.number != Definitions::FIRST
            || flight.collected.is_some()
            || flight.preparing.is_some()
        {
            return None;
        }
        let known = self.statements.peek(statement)?;
        if known.id != Some(id) || known.columns.len() != usize::from(count) {
            return None;
        }
        let rest = known.definitions.pass(data)?;
        let [passed, _] = count.to_le_bytes();
        flight.number = flight.number.wrapping_add(passed);
        flight.columns = Some(Arc::clone(&known.columns));
        Some(rest)
    }
}

const TOO_SHORT: Malformed = Malformed("a row shorter than its columns");

/// Length and number.
#[inline]
fn read(head: &[u8; HEADER]) -> (usize, u8) {
    let [a, b, c, number] = *head;
    let length = u32::from_le_bytes([a, b, c, 0]);
    (usize::try_from(length).unwrap_or(FULL), number)
}

/// In the text format a row may begin like the end of the rows: then its first field is longer than a packet.
#[inline]
fn starts_row(binary: bool, first: u8, length: usize) -> bool {
    if binary {
        first == 0
    } else {
        first != 0xff && (first != 0xfe || length == FULL)
    }
}
