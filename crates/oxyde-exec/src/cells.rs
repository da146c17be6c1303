//! One packed buffer for parameters and for results.
//!
//! A value is a 16-byte [`Cell`]; texts and blobs live one behind the other in a single byte heap and their cells
//! hold offsets into it. A whole result is therefore two allocations, crosses a thread as one move, and is decoded
//! in place. Cells never carry a type beyond SQLite's five storage classes: the decoder knows the column's type.

use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

/// One stored value; texts and blobs are offsets into the owning [`Cells`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text { len: u32, start: u64 },
    Blob { len: u32, start: u64 },
}

/// A value borrowed from a [`Cells`]. `Text` may be invalid UTF-8: a database file can hold anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CellRef<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// A growable list of values. `clear` keeps the memory, so a buffer can be reused for the next call.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    cells: Vec<Cell>,
    heap: Vec<u8>,
    overflowed: bool,
}

/// How many spare buffers are kept, and of what size: at most 16 MiB in all.
const KEPT: usize = 4;
const KEPT_BYTES: RangeInclusive<usize> = 32 * 1024..=4 * 1024 * 1024;

static SPARES: Mutex<Vec<Cells>> = Mutex::new(Vec::new());

impl Cells {
    pub const fn new() -> Self {
        Self {
            cells: Vec::new(),
            heap: Vec::new(),
            overflowed: false,
        }
    }

    pub fn with_capacity(cells: usize, heap: usize) -> Self {
        Self {
            cells: Vec::with_capacity(cells),
            heap: Vec::with_capacity(heap),
            overflowed: false,
        }
    }

    pub fn len(&self) -> usize {
        self.cells.len()
    }

    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Bytes held by texts and blobs.
    pub fn heap_len(&self) -> usize {
        self.heap.len()
    }

    /// True once a value of 4 GiB or more was pushed: its cell is NULL, so engines refuse such a buffer.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    pub fn clear(&mut self) {
        self.cells.clear();
        self.heap.clear();
        self.overflowed = false;
    }

    pub fn push_null(&mut self) {
        self.cells.push(Cell::Null);
    }

    pub fn push_int(&mut self, value: i64) {
        self.cells.push(Cell::Int(value));
    }

    pub fn push_real(&mut self, value: f64) {
        self.cells.push(Cell::Real(value));
    }

    pub fn push_text(&mut self, value: &str) {
        self.push_text_bytes(value.as_bytes());
    }

    pub fn push_text_bytes(&mut self, value: &[u8]) {
        let cell = match self.store(value) {
            Some((len, start)) => Cell::Text { len, start },
            None => Cell::Null,
        };
        self.cells.push(cell);
    }

    pub fn push_blob(&mut self, value: &[u8]) {
        let cell = match self.store(value) {
            Some((len, start)) => Cell::Blob { len, start },
            None => Cell::Null,
        };
        self.cells.push(cell);
    }

    pub fn push(&mut self, value: CellRef<'_>) {
        match value {
            CellRef::Null => self.push_null(),
            CellRef::Int(value) => self.push_int(value),
            CellRef::Real(value) => self.push_real(value),
            CellRef::Text(value) => self.push_text_bytes(value),
            CellRef::Blob(value) => self.push_blob(value),
        }
    }

    pub fn get(&self, index: usize) -> Option<CellRef<'_>> {
        self.cells.get(index).map(|cell| self.resolve(*cell))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = CellRef<'_>> {
        self.cells.iter().map(|cell| self.resolve(*cell))
    }

    /// The values of `[start, start + width)`, fewer at the end.
    pub fn slice(&self, start: usize, width: usize) -> impl ExactSizeIterator<Item = CellRef<'_>> {
        let end = start.saturating_add(width).min(self.cells.len());
        let cells = self.cells.get(start.min(end)..end).unwrap_or(&[]);
        cells.iter().map(|cell| self.resolve(*cell))
    }

    /// An empty buffer, if possible one whose memory served before: large results would otherwise pay for fresh
    /// pages (a tenth of a read of a thousand rows).
    pub fn spare() -> Self {
        let mut spares = SPARES.lock().unwrap_or_else(PoisonError::into_inner);
        spares.pop().unwrap_or_default()
    }

    /// Gives the memory to the next taker of a spare; small and very large buffers are simply freed.
    pub fn give_back(mut self) {
        let bytes = self
            .heap
            .capacity()
            .saturating_add(self.cells.capacity().saturating_mul(size_of::<Cell>()));
        if KEPT_BYTES.contains(&bytes) {
            self.clear();
            let mut spares = SPARES.lock().unwrap_or_else(PoisonError::into_inner);
            if spares.len() < KEPT {
                spares.push(self);
            }
        }
    }

    /// Drops the values from `len` on (their heap bytes, too, when they were the last ones pushed).
    pub fn truncate(&mut self, len: usize) {
        let first = self
            .cells
            .get(len..)
            .into_iter()
            .flatten()
            .find_map(|cell| match *cell {
                Cell::Text { start, .. } | Cell::Blob { start, .. } => usize::try_from(start).ok(),
                _ => None,
            });
        self.cells.truncate(len);
        if let Some(first) = first {
            self.heap.truncate(first);
        }
    }

    fn store(&mut self, value: &[u8]) -> Option<(u32, u64)> {
        let (Ok(len), Ok(start)) = (u32::try_from(value.len()), u64::try_from(self.heap.len()))
        else {
            self.overflowed = true;
            return None;
        };
        self.heap.extend_from_slice(value);
        Some((len, start))
    }

    fn resolve(&self, cell: Cell) -> CellRef<'_> {
        match cell {
            Cell::Null => CellRef::Null,
            Cell::Int(value) => CellRef::Int(value),
            Cell::Real(value) => CellRef::Real(value),
            Cell::Text { len, start } => CellRef::Text(self.bytes(len, start)),
            Cell::Blob { len, start } => CellRef::Blob(self.bytes(len, start)),
        }
    }

    fn bytes(&self, len: u32, start: u64) -> &[u8] {
        // Offsets are only made by `store`, so the range is always there; an empty slice keeps this panic-free.
        let range = usize::try_from(start)
            .ok()
            .zip(usize::try_from(len).ok())
            .and_then(|(start, len)| Some(start..start.checked_add(len)?));
        range.and_then(|range| self.heap.get(range)).unwrap_or(&[])
    }
}

/// A result: `width` values per row, row after row. `width` 0 means the statement returns no rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub width: usize,
    pub cells: Cells,
}

impl Rows {
    pub const fn new() -> Self {
        Self {
            width: 0,
            cells: Cells::new(),
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// One value; `None` outside the result.
    pub fn get(&self, row: usize, column: usize) -> Option<CellRef<'_>> {
        if column >= self.width {
            return None;
        }
        self.cells
            .get(row.checked_mul(self.width)?.checked_add(column)?)
    }

    /// The values of one row, empty past the end.
    pub fn row(&self, row: usize) -> impl ExactSizeIterator<Item = CellRef<'_>> {
        self.cells.slice(row.saturating_mul(self.width), self.width)
    }

    pub fn clear(&mut self) {
        self.width = 0;
        self.cells.clear();
    }
}
