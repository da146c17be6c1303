//! What is prepared on one connection.
//!
//! The server numbers statements per connection. The cache is bounded: the statement used longest ago goes first and
//! is closed in front of the next command, behind everything sent so far.

use std::sync::Arc;

use crate::mysql::backend::StatementId;
use crate::mysql::words::Verb;
use crate::numbers::NumberMap;
use crate::query::{Column, Statement};

#[derive(Debug)]
struct Entry {
    used: u64,
    /// Once the server has described it.
    known: Option<Known>,
}

/// What the server has said about a statement.
#[derive(Debug)]
pub(super) struct Known {
    /// `None`: it cannot be prepared and is sent as a text.
    pub(super) id: Option<StatementId>,
    /// As many zeros as it has parameters: their types are not told.
    pub(super) parameters: Arc<[u32]>,
    pub(super) verb: Verb,
    /// As of the last time that the server described them; empty: it returns no rows.
    pub(super) columns: Arc<[Column]>,
    pub(super) definitions: Definitions,
}

/// Packets that define columns, numbered as they are in an answer to a short command: from 2 on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Definitions(Vec<u8>);

impl Definitions {
    /// Number of the first packet: behind the one that tells how many columns there are.
    pub(super) const FIRST: u8 = 2;

    pub(super) fn push(&mut self, payload: &[u8], index: usize) {
        let [a, b, c, _] = u32::try_from(payload.len())
            .unwrap_or_default()
            .to_le_bytes();
        let [number, ..] = index.wrapping_add(usize::from(Self::FIRST)).to_le_bytes();
        self.0.extend_from_slice(&[a, b, c, number]);
        self.0.extend_from_slice(payload);
    }

    /// What is behind these packets, if `bytes` begin with just them.
    #[inline]
    pub(super) fn pass<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.strip_prefix(self.0.as_slice())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Debug)]
pub(super) struct Statements {
    entries: NumberMap<Entry>,
    limit: usize,
    clock: u64,
    /// On the server, but of no use any more.
    closing: Vec<StatementId>,
}

impl Statements {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            entries: NumberMap::default(),
            limit,
            clock: 0,
            closing: Vec::new(),
        }
    }

    /// A statement that the server has described.
    #[inline]
    pub(super) fn known(&mut self, statement: u64) -> Option<&mut Known> {
        let entry = self.entries.get_mut(&statement)?;
        let known = entry.known.as_mut()?;
        self.clock = self.clock.wrapping_add(1);
        entry.used = self.clock;
        Some(known)
    }

    #[inline]
    pub(super) fn peek(&self, statement: u64) -> Option<&Known> {
        self.entries.get(&statement)?.known.as_ref()
    }

    /// Makes room for a statement that is to be prepared; false: it is not kept, or it is there already.
    pub(super) fn prepare(&mut self, statement: &Statement) -> bool {
        if !statement.keep || self.limit == 0 || self.entries.contains_key(&statement.id) {
            return false;
        }
        if self.entries.len() >= self.limit {
            let oldest = self
                .entries
                .iter()
                .filter(|(_, entry)| entry.known.is_some())
                .min_by_key(|(_, entry)| entry.used)
                .map(|(id, _)| *id);
            match oldest {
                Some(oldest) => self.forget(oldest),
                None => return false,
            }
        }
        self.clock = self.clock.wrapping_add(1);
        let entry = Entry {
            used: self.clock,
            known: None,
        };
        self.entries.insert(statement.id, entry);
        true
    }

    /// The server has described it. Answers it back when it has been forgotten in the meantime.
    pub(super) fn described(&mut self, statement: u64, known: Known) -> Result<(), Known> {
        match self.entries.get_mut(&statement) {
            Some(entry) if entry.known.is_none() => {
                entry.known = Some(known);
                Ok(())
            }
            _ => Err(known),
        }
    }

    /// It could not be prepared.
    pub(super) fn failed(&mut self, statement: u64) {
        if self.peek(statement).is_none() {
            self.entries.remove(&statement);
        }
    }

    pub(super) fn forget(&mut self, statement: u64) {
        let known = self
            .entries
            .remove(&statement)
            .and_then(|entry| entry.known);
        self.closing.extend(known.and_then(|known| known.id));
    }

    /// The server does not know `id`, which was this statement's.
    pub(super) fn lost(&mut self, statement: u64, id: StatementId) {
        if self
            .peek(statement)
            .is_some_and(|known| known.id == Some(id))
        {
            self.entries.remove(&statement);
        }
    }

    /// From now on nothing is kept.
    pub(super) fn close_all(&mut self) {
        self.limit = 0;
        let entries = self.entries.drain();
        let ids = entries.filter_map(|(_, entry)| entry.known.and_then(|known| known.id));
        self.closing.extend(ids);
    }

    /// The server is going to drop everything it has prepared.
    pub(super) fn lost_all(&mut self) {
        self.entries.clear();
        self.closing.clear();
    }

    /// A statement that was prepared but is not kept.
    pub(super) fn drop_id(&mut self, id: StatementId) {
        self.closing.push(id);
    }

    /// Calls `close` for what can be closed now.
    #[inline]
    pub(super) fn close(&mut self, close: impl FnMut(StatementId)) {
        if !self.closing.is_empty() {
            self.closing.drain(..).for_each(close);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
