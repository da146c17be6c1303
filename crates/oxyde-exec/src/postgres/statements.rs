//! What is prepared on one connection.
//!
//! Names are unique in the process and never used twice, so that a pooler which hands our session to another server
//! process can at worst answer "does not exist", never run another statement. The cache is bounded: the statement
//! used longest ago goes first and is closed in front of the next flight, behind everything sent so far.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::SystemTime;

use crate::postgres::backend::is_binary;
use crate::query::{Column, Formats, Statement};

/// A statement's name as messages carry it, its terminating zero included.
pub(crate) type Name = Arc<[u8]>;

/// Which preparation of which statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub(crate) statement: u64,
    pub(crate) name: Name,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    used: u64,
    /// Once the server has described it.
    known: Option<Known>,
}

/// What the server has said about a statement.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) parameters: Arc<[u32]>,
    /// `None`: it returns no rows.
    pub(crate) columns: Option<Arc<[Column]>>,
    /// The formats that are noted in `columns`.
    pub(crate) formats: Formats,
}

impl Known {
    /// The columns with `formats` noted in them: the same object as long as the formats are the same.
    pub(crate) fn columns_as(&mut self, formats: &Formats) -> Option<Arc<[Column]>> {
        if self.formats != *formats {
            self.formats = formats.clone();
            self.columns = self
                .columns
                .take()
                .map(|columns| in_formats(&columns, formats));
        }
        self.columns.clone()
    }
}

pub(crate) fn in_formats(columns: &Arc<[Column]>, formats: &Formats) -> Arc<[Column]> {
    let same = |(index, column): (usize, &Column)| column.binary == is_binary(formats, index);
    if columns.iter().enumerate().all(same) {
        return Arc::clone(columns);
    }
    let formatted = columns.iter().enumerate().map(|(index, column)| Column {
        binary: is_binary(formats, index),
        ..column.clone()
    });
    formatted.collect()
}

/// Statement numbers are dense and our own: mixing their bits is enough.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(26);
    }
}

#[derive(Debug)]
pub(crate) struct Statements {
    entries: HashMap<u64, Entry, BuildHasherDefault<NumberHasher>>,
    limit: usize,
    clock: u64,
    /// On the server, but of no use any more.
    closing: Vec<Name>,
}

impl Statements {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            entries: HashMap::default(),
            limit,
            clock: 0,
            closing: Vec::new(),
        }
    }

    /// A statement that the server has described.
    #[inline]
    pub(crate) fn known(&mut self, statement: u64) -> Option<(&Name, &mut Known)> {
        let entry = self.entries.get_mut(&statement)?;
        let known = entry.known.as_mut()?;
        self.clock = self.clock.wrapping_add(1);
        entry.used = self.clock;
        Some((&entry.name, known))
    }

    pub(crate) fn peek(&self, statement: u64) -> Option<&Known> {
        self.entries.get(&statement)?.known.as_ref()
    }

    /// A name for a statement that is to be parsed; `None`: it should be parsed without a name, because it is not
    /// kept, or because it is being prepared just now and that may fail.
    pub(crate) fn prepare(
        &mut self,
        statement: &Statement,
        in_use: impl Fn(&Name) -> bool,
    ) -> Option<Name> {
        if !statement.keep || self.limit == 0 || self.entries.contains_key(&statement.id) {
            return None;
        }
        if self.entries.len() >= self.limit {
            let oldest = self
                .entries
                .iter()
                .filter(|(_, entry)| !in_use(&entry.name))
                .min_by_key(|(_, entry)| entry.used)
                .map(|(id, _)| *id)?;
            self.forget(oldest);
        }
        self.clock = self.clock.wrapping_add(1);
        let name = new_name();
        let entry = Entry {
            name: Arc::clone(&name),
            used: self.clock,
            known: None,
        };
        self.entries.insert(statement.id, entry);
        Some(name)
    }

    /// The server has described it. Nothing happens when it has been forgotten in the meantime.
    pub(crate) fn described(&mut self, prepared: &Prepared, known: Known) {
        if let Some(entry) = self.entries.get_mut(&prepared.statement)
            && Arc::ptr_eq(&entry.name, &prepared.name)
        {
            entry.known = Some(known);
        }
    }

    /// Preparing it has failed; `parsed`: the server has it nevertheless.
    pub(crate) fn failed(&mut self, prepared: &Prepared, parsed: bool) {
        let current = self.entries.get(&prepared.statement);
        if current.is_some_and(|entry| Arc::ptr_eq(&entry.name, &prepared.name)) {
            self.entries.remove(&prepared.statement);
            if parsed {
                self.closing.push(Arc::clone(&prepared.name));
            }
        }
    }

    pub(crate) fn forget(&mut self, statement: u64) {
        if let Some(entry) = self.entries.remove(&statement) {
            self.closing.push(entry.name);
        }
    }

    /// The server has dropped everything it had prepared.
    pub(crate) fn lost_all(&mut self) {
        self.entries.retain(|_, entry| entry.known.is_none());
    }

    /// Calls `close` for what can be closed now and answers how many those were.
    #[inline]
    pub(crate) fn close(
        &mut self,
        in_use: impl Fn(&Name) -> bool,
        mut close: impl FnMut(&Name),
    ) -> u32 {
        let mut count = 0_u32;
        if !self.closing.is_empty() {
            self.closing.retain(|name| {
                let keep = in_use(name);
                if !keep {
                    close(name);
                    count = count.saturating_add(1);
                }
                keep
            });
        }
        count
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// `oxyde_<of this process>_<number>`.
fn new_name() -> Name {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("oxyde_{:016x}_{number}\0", of_this_process())
        .into_bytes()
        .into()
}

/// A random number of this process: a forked child makes another one.
fn of_this_process() -> u64 {
    // No lock: a child could inherit it held. Two threads that draw at once make two numbers, which is no harm.
    static OWNER: AtomicU32 = AtomicU32::new(0);
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let pid = std::process::id();
    if OWNER.load(Ordering::Acquire) == pid {
        return DRAWN.load(Ordering::Relaxed);
    }
    // The keys of `RandomState` come from the system but are inherited by a child, so that the process and the
    // moment go in as well.
    let mut hasher = RandomState::new().build_hasher();
    pid.hash(&mut hasher);
    if let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        now.as_nanos().hash(&mut hasher);
    }
    let random = hasher.finish();
    DRAWN.store(random, Ordering::Relaxed);
    OWNER.store(pid, Ordering::Release);
    random
}
