//! COPY: bulk data in either direction, started by the simple protocol.

use crate::error::ExecError;
use crate::postgres::flight::Step;
use crate::postgres::frontend;
use crate::postgres::session::Session;
use crate::wire::events::Request;

/// Longest CopyData message that we send; how the data are cut into messages has no meaning.
const PIECE: usize = 1 << 24;

/// Which direction of a COPY a request has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyUse {
    None,
    In,
    Out,
}

impl Session {
    /// `COPY … FROM STDIN`: after `CopyIn` come `copy_data` and one `copy_done` or `copy_fail`.
    pub fn copy_in(&mut self, sql: &str) -> Result<Request, ExecError> {
        self.copy(sql, CopyUse::In)
    }

    /// `COPY … TO STDOUT`: `CopyOut`, then the data as `CopyData`.
    pub fn copy_out(&mut self, sql: &str) -> Result<Request, ExecError> {
        self.copy(sql, CopyUse::Out)
    }

    fn copy(&mut self, sql: &str, copy: CopyUse) -> Result<Request, ExecError> {
        let request = self.simple(sql)?;
        if let Some(flight) = self.requests.back_mut() {
            flight.copy = copy;
        }
        Ok(request)
    }

    /// Whether the server still takes data: not before `CopyIn`, not after an error.
    pub fn copy_data(&mut self, data: &[u8]) -> bool {
        let open = self.is_copying();
        if open {
            for piece in data.chunks(PIECE) {
                frontend::copy_data(&mut self.out, piece);
            }
        }
        open
    }

    /// All data have been given. Nothing happens when the copy has failed before.
    pub fn copy_done(&mut self) {
        if self.is_copying() {
            frontend::copy_done(&mut self.out);
            self.end_copy();
        }
    }

    /// Gives up: the server stores nothing and answers with an error that names `why`.
    pub fn copy_fail(&mut self, why: &str) {
        if self.is_copying() {
            frontend::copy_fail(&mut self.out, why);
            self.end_copy();
        }
    }

    fn is_copying(&self) -> bool {
        self.dead.is_none()
            && self
                .requests
                .front()
                .is_some_and(|flight| flight.step == Step::CopyIn)
    }

    fn end_copy(&mut self) {
        if let Some(flight) = self.requests.front_mut() {
            flight.step = Step::Simple;
            flight.copy = CopyUse::None;
        }
    }
}
