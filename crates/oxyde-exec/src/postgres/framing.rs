//! Cuts the server's bytes into messages.
//!
//! What is whole in the caller's buffer is used in place; only a message that is split between two reads is put
//! together in a buffer of ours, which grows with the bytes that have come, not with the length announced.

use crate::postgres::flight::Step;
use crate::postgres::session::{Phase, Session};
use crate::query::Malformed;
use crate::wire::events::{Chunk, Event, Fatal, RowChunk};

/// At most so much in one event, unless one row alone is longer.
const ROWS_AT_ONCE: usize = 256 * 1024;

/// A buffer of more than this is not kept for the next message.
const KEPT: usize = 64 * 1024;

/// Before the login has ended, a server has no reason to say much.
const LOGIN_MESSAGE: usize = 64 * 1024;

impl Session {
    /// The next event in `data`, which is advanced past what was used; `None`: all was used, more is needed.
    pub fn next<'a>(&mut self, data: &mut &'a [u8]) -> Result<Option<Event<'a>>, Fatal> {
        if let Some(error) = &self.dead {
            return Err(Fatal(error.clone()));
        }
        let event = self.advance(data);
        if let Err(Fatal(error)) = &event {
            self.dead = Some(error.clone());
            self.partial = Vec::new();
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
        let whole = match self.header(data)? {
            Some((kind, total)) => data.split_at_checked(total).map(|split| (kind, split)),
            None => None,
        };
        let Some((kind, (message, rest))) = whole else {
            self.partial.extend_from_slice(data);
            *data = &[];
            return Ok(None);
        };
        match kind {
            b'D' => {
                let (bytes, count) = self.rows(data)?;
                *data = data.get(bytes.len()..).unwrap_or_default();
                Ok(self.show_rows(Chunk::Borrowed(bytes), count))
            }
            b'd' => {
                *data = rest;
                Ok(self.show_copy(Chunk::Borrowed(message.get(5..).unwrap_or_default())))
            }
            _ => {
                *data = rest;
                self.message(kind, message.get(5..).unwrap_or_default())
            }
        }
    }

    /// Adds to the message that was split.
    fn put_together<'a>(&mut self, data: &mut &'a [u8]) -> Result<Option<Event<'a>>, Fatal> {
        self.take(data, 5);
        let Some((kind, total)) = self.header(&self.partial)? else {
            return Ok(None);
        };
        let missing = total.saturating_sub(self.partial.len());
        if missing <= self.partial.len() {
            // At least half has come: no need to guess any more.
            self.partial.reserve_exact(missing);
        }
        self.take(data, total);
        if self.partial.len() < total {
            return Ok(None);
        }
        let mut message = std::mem::take(&mut self.partial);
        match kind {
            b'D' => {
                let (rows, count) = self.rows(&message)?;
                debug_assert_eq!(rows.len(), message.len());
                Ok(self.show_rows(Chunk::Owned(message), count))
            }
            b'd' => {
                message.drain(..5);
                Ok(self.show_copy(Chunk::Owned(message)))
            }
            _ => {
                let event = self.message(kind, message.get(5..).unwrap_or_default())?;
                if message.capacity() <= KEPT {
                    message.clear();
                    self.partial = message;
                }
                Ok(event)
            }
        }
    }

    /// Moves bytes over until the split message has `length`.
    fn take(&mut self, data: &mut &[u8], length: usize) {
        let missing = length.saturating_sub(self.partial.len());
        let (taken, rest) = data.split_at(missing.min(data.len()));
        self.partial.extend_from_slice(taken);
        *data = rest;
    }

    /// Type and whole length of the message at the front of `bytes`, as soon as they are there. A message that has
    /// no place here is refused before its contents are waited for.
    fn header(&self, bytes: &[u8]) -> Result<Option<(u8, usize)>, Fatal> {
        let Some(([kind, a, b, c, d], _)) = bytes.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let Some(limit) = self.limit(*kind) else {
            return Err(self.violation(Malformed("a message that has no place here"), *kind));
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        match usize::try_from(length) {
            Ok(length) if (4..=limit).contains(&length) => {
                Ok(Some((*kind, length.saturating_add(1))))
            }
            _ => Err(self.violation(Malformed("a message of an impossible length"), *kind)),
        }
    }

    /// Greatest length of a message of this type now; `None`: it cannot come.
    fn limit(&self, kind: u8) -> Option<usize> {
        let limits = &self.config.limits;
        let head = self.requests.front();
        match (&self.phase, kind) {
            (Phase::Created, _) => None,
            (Phase::Login(_), b'R' | b'E' | b'N' | b'v') => Some(LOGIN_MESSAGE),
            (Phase::Login(_), _) => None,
            (Phase::Greeting, b'S' | b'K' | b'Z' | b'E' | b'N' | b'A' | b'v') => {
                Some(LOGIN_MESSAGE)
            }
            (Phase::Greeting, _) => None,
            (_, b'D') => head?.takes_rows().then_some(limits.max_message),
            (_, b'd') => head?.takes_copy().then_some(limits.max_message),
            (_, b'E' | b'N') => Some(limits.max_report),
            (_, b'S' | b'A') => Some(limits.max_backend_small),
            (
                _,
                b'1' | b'2' | b'3' | b't' | b'T' | b'n' | b'C' | b'I' | b's' | b'G' | b'H' | b'c'
                | b'Z',
            ) => head.map(|_| limits.max_backend_small),
            _ => None,
        }
    }

    /// As many whole rows as `bytes` starts with: only the messages' heads are looked at.
    fn rows<'a>(&self, bytes: &'a [u8]) -> Result<(&'a [u8], usize), Fatal> {
        let head = self.requests.front();
        // Rows of a refused COPY's fellow statements are passed over, whatever their width.
        let width = head
            .filter(|flight| flight.step != Step::Refused)
            .and_then(|flight| flight.columns.as_ref())
            .map(|columns| columns.len());
        let mut rest = bytes;
        let mut used = 0_usize;
        let mut count = 0_usize;
        while let Some(([b'D', a, b, c, d, high, low], _)) = rest.split_first_chunk::<7>() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]);
            let Ok(length) = usize::try_from(length) else {
                break;
            };
            let fields = usize::from(u16::from_be_bytes([*high, *low]));
            if length < 6
                || length > self.config.limits.max_message
                || width.is_some_and(|width| width != fields)
            {
                break;
            }
            let total = length.saturating_add(1);
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
        }
        match bytes.get(..used) {
            Some(rows) if count > 0 => Ok((rows, count)),
            _ => Err(self.violation(Malformed("a row of another width than announced"), b'D')),
        }
    }

    fn show_rows<'a>(&self, bytes: Chunk<'a>, count: usize) -> Option<Event<'a>> {
        let head = self.requests.front()?;
        (head.step != Step::Refused).then_some(Event::Rows(head.request, RowChunk { bytes, count }))
    }

    fn show_copy<'a>(&self, bytes: Chunk<'a>) -> Option<Event<'a>> {
        let head = self.requests.front()?;
        (head.step != Step::Refused).then_some(Event::CopyData(head.request, bytes))
    }
}
