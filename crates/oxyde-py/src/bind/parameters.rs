//! The values of COM_STMT_EXECUTE: a bitmap of NULLs, the flag that types follow, two bytes of type for each value, the
//! values.
//!
//! Place for the head is left in front, so that values are written where they stay. The type of a parameter is the
//! same for each of its values, also for NULL: a server that sees another one prepares the statement again.

use oxyde_exec::query::{Encoded, Formats};
use pyo3::prelude::*;

use crate::decode::mysql::kind;
use crate::layout::Stamp;

/// The second byte of a type whose values are unsigned.
const UNSIGNED: u8 = 0x80;

#[derive(Debug)]
pub struct Parameters {
    /// For so many there is place in the head.
    room: usize,
    count: usize,
    bytes: Vec<u8>,
}

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    count: usize,
    /// How long the values are.
    values: usize,
}

/// The types of the values, two bytes each.
pub fn types(values: &Encoded) -> &[u8] {
    let count = usize::from(values.count);
    let types = values.values.get(nulls(count) + 1..head(count));
    types.unwrap_or_default()
}

/// The kind of a parameter, also of one that is NULL.
pub type Kind = u8;

fn nulls(count: usize) -> usize {
    count.div_ceil(8)
}

fn head(count: usize) -> usize {
    if count == 0 {
        return 0;
    }
    nulls(count) + 1 + count * 2
}

/// The head before anything is known: no NULLs, and types follow.
fn blank(bytes: &mut Vec<u8>, room: usize) {
    bytes.resize(head(room), 0);
    if let Some(flag) = bytes.get_mut(nulls(room)) {
        *flag = 1;
    }
}

impl Parameters {
    /// With place for so many; more of them cost a copy.
    pub fn new(room: usize) -> Self {
        let mut bytes = Vec::with_capacity(head(room) + room * 10);
        blank(&mut bytes, room);
        Self {
            room,
            count: 0,
            bytes,
        }
    }

    /// How many bytes they make.
    pub fn size(&self) -> usize {
        head(self.count) + self.bytes.len() - head(self.room)
    }

    pub fn mark(&self) -> Mark {
        Mark {
            count: self.count,
            values: self.bytes.len() - head(self.room),
        }
    }

    /// Takes back what was added since.
    pub fn rewind(&mut self, mark: Mark) {
        for index in mark.count..self.count {
            if let Some(byte) = self.bytes.get_mut(index / 8) {
                *byte &= !(1 << (index % 8));
            }
        }
        self.count = mark.count;
        self.bytes.truncate(head(self.room) + mark.values);
    }

    /// Begins a value: what is appended to the answer belongs to it.
    fn begin(&mut self, kind: Kind, sign: u8) -> &mut Vec<u8> {
        if self.count == self.room {
            self.resize((self.room * 2).max(8));
        }
        let at = nulls(self.room) + 1 + self.count * 2;
        if let Some(place) = self.bytes.get_mut(at..at + 2) {
            place.copy_from_slice(&[kind, sign]);
        }
        self.count += 1;
        &mut self.bytes
    }

    /// Gives the head another size.
    fn resize(&mut self, room: usize) {
        let kept = nulls(room.min(self.room));
        let mut fresh = Vec::with_capacity(head(room));
        blank(&mut fresh, room);
        for (place, byte) in fresh.iter_mut().zip(&self.bytes).take(kept) {
            *place = *byte;
        }
        let types = self.bytes.iter().skip(nulls(self.room) + 1);
        let places = fresh.iter_mut().skip(nulls(room) + 1);
        for (place, byte) in places.zip(types).take(self.count * 2) {
            *place = *byte;
        }
        self.bytes.splice(..head(self.room), fresh);
        self.room = room;
    }

    pub fn null(&mut self, kind: Kind) {
        let index = self.count;
        self.begin(kind, 0);
        if let Some(byte) = self.bytes.get_mut(index / 8) {
            *byte |= 1 << (index % 8);
        }
    }

    pub fn int(&mut self, number: i64) {
        self.begin(kind::LONGLONG, 0)
            .extend_from_slice(&number.to_le_bytes());
    }

    pub fn unsigned(&mut self, number: u64) {
        self.begin(kind::LONGLONG, UNSIGNED)
            .extend_from_slice(&number.to_le_bytes());
    }

    pub fn double(&mut self, number: f64) {
        self.begin(kind::DOUBLE, 0)
            .extend_from_slice(&number.to_le_bytes());
    }

    pub fn single(&mut self, number: f32) {
        self.begin(kind::FLOAT, 0)
            .extend_from_slice(&number.to_le_bytes());
    }

    pub fn decimal(&mut self, digits: &str) {
        told(self.begin(kind::DECIMAL, 0), digits.as_bytes());
    }

    pub fn text(&mut self, text: &str) {
        told(self.begin(kind::VAR_STRING, 0), text.as_bytes());
    }

    pub fn blob(&mut self, bytes: &[u8]) {
        told(self.begin(kind::BLOB, 0), bytes);
    }

    pub fn date(&mut self, stamp: &Stamp) {
        let out = self.begin(kind::DATE, 0);
        out.push(4);
        day(out, stamp);
    }

    pub fn datetime(&mut self, stamp: &Stamp) {
        let out = self.begin(kind::DATETIME, 0);
        out.push(if stamp.micros == 0 { 7 } else { 11 });
        day(out, stamp);
        clock(out, stamp);
    }

    pub fn time(&mut self, stamp: &Stamp) {
        let out = self.begin(kind::TIME, 0);
        out.push(if stamp.micros == 0 { 8 } else { 12 });
        // Not negative, and no days.
        out.extend_from_slice(&[0; 5]);
        clock(out, stamp);
    }

    /// Everything that was added, for the server that is called `database`.
    pub fn finish(mut self, py: Python<'_>, database: &str) -> PyResult<Encoded> {
        if self.count < self.room {
            self.resize(self.count);
        }
        super::encoded(py, database, self.count, Formats::Binary, self.bytes)
    }
}

fn day(out: &mut Vec<u8>, stamp: &Stamp) {
    out.extend_from_slice(&stamp.year.to_le_bytes());
    out.extend_from_slice(&[stamp.month, stamp.day]);
}

/// Microseconds are only there if there are any.
fn clock(out: &mut Vec<u8>, stamp: &Stamp) {
    out.extend_from_slice(&[stamp.hour, stamp.minute, stamp.second]);
    if stamp.micros != 0 {
        out.extend_from_slice(&stamp.micros.to_le_bytes());
    }
}

/// The length as an integer of as many bytes as it needs, then the bytes.
fn told(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=250), _) => out.push(short),
        (_, Ok(length)) => {
            out.push(252);
            out.extend_from_slice(&length.to_le_bytes());
        }
        _ => {
            out.push(254);
            out.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn hex(parameters: &Parameters) -> String {
        parameters
            .bytes
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect()
    }

    /// What `finish` hands over.
    fn finished(mut parameters: Parameters) -> String {
        if parameters.count < parameters.room {
            parameters.resize(parameters.count);
        }
        assert_eq!(parameters.size(), parameters.bytes.len());
        hex(&parameters)
    }

    #[test]
    fn the_types_of_what_was_encoded() {
        for count in [0, 1, 9] {
            let mut parameters = filled(count, count);
            parameters.resize(count);
            let encoded = Encoded {
                count: u16::try_from(count).unwrap(),
                formats: Formats::Binary,
                values: parameters.bytes,
            };
            let expected: Vec<u8> = (0..count)
                .flat_map(|index| match index % 3 {
                    2 => [kind::LONGLONG, 0],
                    _ => [kind::VAR_STRING, 0],
                })
                .collect();
            assert_eq!(types(&encoded), expected);
        }
    }

    fn moment(micros: u32) -> Stamp {
        Stamp {
            year: 2024,
            month: 2,
            day: 29,
            hour: 23,
            minute: 59,
            second: 58,
            micros,
        }
    }

    /// Each with the bytes that MySQL 9.7 and MariaDB 10.11 took and gave back as the same value.
    #[test]
    fn values_as_the_servers_take_them() {
        type Write = fn(&mut Parameters);
        let cases: [(Write, &str); 16] = [
            (|p| p.int(-2), "00010800feffffffffffffff"),
            (|p| p.unsigned(u64::MAX), "00010880ffffffffffffffff"),
            (|p| p.double(1.5), "00010500000000000000f83f"),
            (|p| p.single(1.5), "000104000000c03f"),
            (|p| p.text("x"), "0001fd000178"),
            (|p| p.text(""), "0001fd0000"),
            (|p| p.blob(b"\xff"), "0001fc0001ff"),
            (|p| p.decimal("-1.50"), "0001f600052d312e3530"),
            (|p| p.date(&moment(0)), "00010a0004e807021d"),
            (|p| p.datetime(&moment(0)), "00010c0007e807021d173b3a"),
            (
                |p| p.datetime(&moment(1)),
                "00010c000be807021d173b3a01000000",
            ),
            (|p| p.time(&moment(0)), "00010b00080000000000173b3a"),
            (|p| p.time(&moment(1)), "00010b000c0000000000173b3a01000000"),
            (|p| p.null(kind::NULL), "01010600"),
            (|p| p.null(kind::LONGLONG), "01010800"),
            (|_| (), ""),
        ];
        for (write, expected) in cases {
            let mut parameters = Parameters::new(1);
            write(&mut parameters);
            assert_eq!(finished(parameters), expected);
        }
    }

    #[test]
    fn lengths() {
        for (length, head) in [
            (250, "fa"),
            (251, "fcfb00"),
            (65_535, "fcffff"),
            (65_536, "fe0000010000000000"),
        ] {
            let mut parameters = Parameters::new(1);
            parameters.text(&"x".repeat(length));
            let expected = format!("0001fd00{head}{}", "78".repeat(length));
            assert_eq!(finished(parameters), expected);
        }
    }

    fn filled(room: usize, count: usize) -> Parameters {
        let mut parameters = Parameters::new(room);
        for index in 0..count {
            if index % 3 == 2 {
                parameters.null(kind::LONGLONG);
            } else {
                parameters.text(&index.to_string());
            }
        }
        parameters
    }

    #[test]
    fn the_place_in_front_may_be_too_small_or_too_large() {
        for count in [0, 1, 7, 8, 9, 17, 300] {
            let exact = finished(filled(count, count));
            for room in [0, 1, 8, 10, 299, 500] {
                assert_eq!(finished(filled(room, count)), exact, "{room} for {count}");
            }
        }
    }

    #[test]
    fn the_last_row_can_be_taken_back() {
        let mut parameters = filled(4, 5);
        let mark = parameters.mark();
        for _ in 0..20 {
            parameters.null(kind::BLOB);
            parameters.int(1);
        }
        parameters.rewind(mark);
        assert_eq!(parameters.count, 5);
        parameters.text("5");
        assert_eq!(
            finished(parameters),
            finished({
                let mut parameters = filled(5, 5);
                parameters.text("5");
                parameters
            })
        );
    }
}
