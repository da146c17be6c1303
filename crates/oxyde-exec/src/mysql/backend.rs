//! The server's packets: nothing is taken for granted, least of all a length or a count.

use crate::query::{Column, Malformed};

/// A packet of this length has another one behind it.
pub(super) const FULL: usize = 0xff_ffff;

/// A packet's length and number.
pub(super) const HEADER: usize = 4;

/// Type of a prepared statement's id in commands.
pub(super) type StatementId = u32;

const TOO_EARLY: Malformed = Malformed("a packet that ends too early");

/// Takes a packet's payload apart from its front.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self(payload)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (value, rest) = self.0.split_first_chunk::<N>().ok_or(TOO_EARLY)?;
        self.0 = rest;
        Ok(*value)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(TOO_EARLY)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A number that is as long as its first byte says.
    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            small @ 0..=0xfa => Ok(u64::from(small)),
            0xfc => self.u16().map(u64::from),
            0xfd => {
                let [a, b, c] = self.array()?;
                Ok(u64::from(u32::from_le_bytes([a, b, c, 0])))
            }
            0xfe => self.array().map(u64::from_le_bytes),
            _ => Err(Malformed("a number of unknown length")),
        }
    }

    /// Bytes with their length in front.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| TOO_EARLY)?;
        self.bytes(length)
    }

    /// Up to a zero byte, which is consumed.
    pub(super) fn cstr(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self
            .0
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(Malformed("a text without its end"))?;
        let text = self.bytes(end)?;
        self.u8()?;
        Ok(text)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed("a packet longer than its contents"))
        }
    }
}

/// Flags in which the server tells its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub(super) u16);

impl Status {
    const IN_TRANSACTION: u16 = 1;
    const AUTOCOMMIT: u16 = 1 << 1;
    const MORE_RESULTS: u16 = 1 << 3;
    const CURSOR_EXISTS: u16 = 1 << 6;
    const LAST_ROW_SENT: u16 = 1 << 7;

    pub(super) fn in_transaction(self) -> bool {
        self.0 & Self::IN_TRANSACTION != 0
    }

    pub(super) fn autocommit(self) -> bool {
        self.0 & Self::AUTOCOMMIT != 0
    }

    /// The statement's rows wait to be fetched.
    pub(super) fn more_rows(self) -> bool {
        self.0 & (Self::CURSOR_EXISTS | Self::LAST_ROW_SENT) == Self::CURSOR_EXISTS
    }

    pub(super) fn more_results(self) -> bool {
        self.0 & Self::MORE_RESULTS != 0
    }
}

/// How a statement has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) affected: u64,
    pub(super) last_insert_id: u64,
    pub(super) status: Status,
    pub(super) warnings: u16,
}

impl Ending {
    /// An OK packet; what follows the warnings are words for people.
    pub(super) fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if !matches!(reader.u8()?, 0x00 | 0xfe) {
            return Err(Malformed("something else than OK"));
        }
        Ok(Self {
            affected: reader.number()?,
            last_insert_id: reader.number()?,
            status: Status(reader.u16()?),
            warnings: reader.u16()?,
        })
    }

    /// An EOF packet: what comes behind definitions and rows unless both sides have agreed on OK there.
    pub(super) fn read_eof(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != 0xfe {
            return Err(Malformed("something else than the end of a list"));
        }
        let warnings = reader.u16()?;
        let status = Status(reader.u16()?);
        reader.end()?;
        Ok(Self {
            affected: 0,
            last_insert_id: 0,
            status,
            warnings,
        })
    }
}

/// The first packet of an answer to COM_STMT_PREPARE.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) id: StatementId,
    pub(super) columns: u16,
    pub(super) parameters: u16,
}

impl Prepared {
    pub(super) fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != 0 {
            return Err(Malformed("something else than a prepared statement"));
        }
        let id = reader.u32()?;
        let columns = reader.u16()?;
        let parameters = reader.u16()?;
        // A filler and the number of warnings, which old servers leave out.
        Ok(Self {
            id,
            columns,
            parameters,
        })
    }
}

/// The first packet of a result with rows: how many columns, and whether their definitions follow.
pub(super) fn columns(payload: &[u8], cached: bool) -> Result<(u16, bool), Malformed> {
    let mut reader = Reader::new(payload);
    let count = u16::try_from(reader.number()?).map_err(|_| Malformed("too many columns"))?;
    let follow = !cached || reader.u8()? != 0;
    reader.end()?;
    if count == 0 {
        return Err(Malformed("a result without columns"));
    }
    Ok((count, follow))
}

/// A column's definition.
pub(super) fn column(payload: &[u8], binary: bool) -> Result<Column, Malformed> {
    let mut reader = Reader::new(payload);
    // Catalogue, schema, table under its alias, table.
    for _ in 0..4 {
        reader.string()?;
    }
    let name = String::from_utf8_lossy(reader.string()?).into_owned();
    reader.string()?;
    let mut fixed = Reader::new(reader.string()?);
    reader.end()?;
    let charset = fixed.u16()?;
    fixed.u32()?;
    let kind = fixed.u8()?;
    let flags = fixed.u16()?;
    let decimals = fixed.u8()?;
    Ok(Column {
        name,
        type_oid: u32::from(kind),
        modifier: i32::from(decimals),
        binary,
        flags,
        charset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_each_length() {
        for (bytes, number) in [
            (&[0][..], 0),
            (&[250], 250),
            (&[0xfc, 251, 0], 251),
            (&[0xfd, 1, 2, 3], 0x03_02_01),
            (&[0xfe, 1, 0, 0, 0, 0, 0, 0, 0x80], 0x8000_0000_0000_0001),
        ] {
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.number(), Ok(number));
            assert!(reader.is_empty());
        }
        for bytes in [
            &[][..],
            &[0xfb],
            &[0xff],
            &[0xfc, 1],
            &[0xfd, 1, 2],
            &[0xfe],
        ] {
            assert!(Reader::new(bytes).number().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn lengths_beyond_the_packet() {
        for bytes in [
            &[3, b'a', b'b'][..],
            &[0xfe, 255, 255, 255, 255, 255, 255, 255, 255, b'a'],
            &[0xfb],
        ] {
            assert!(Reader::new(bytes).string().is_err());
        }
        assert_eq!(Reader::new(&[2, b'a', b'b', b'c']).string(), Ok(&b"ab"[..]));
        assert!(Reader::new(b"abc").cstr().is_err());
    }
}
