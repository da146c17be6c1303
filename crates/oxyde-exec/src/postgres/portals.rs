//! Portals: results that are fetched in pieces, inside a transaction.

use std::sync::Arc;

use crate::error::{ErrorKind, ExecError};
use crate::postgres::flight::{InFlight, Step};
use crate::postgres::frontend;
use crate::postgres::session::Session;
use crate::postgres::statements::Name;
use crate::query::{Column, Encoded, Statement};
use crate::wire::events::Request;

#[derive(Debug)]
pub(super) struct Portal {
    pub(super) name: Name,
    /// Its statement must not be closed under it.
    statement: Option<Name>,
    /// The server has made it.
    pub(super) bound: bool,
    pub(super) columns: Option<Arc<[Column]>>,
    /// All of its rows have come.
    pub(super) over: bool,
}

impl Portal {
    pub(super) fn new(name: Name, statement: Option<Name>) -> Self {
        Self {
            name,
            statement,
            bound: false,
            columns: None,
            over: false,
        }
    }

    /// Whether one of `portals` comes from the statement `name`.
    #[inline]
    pub(super) fn any_of(portals: &[Self], name: &Name) -> bool {
        portals
            .iter()
            .filter_map(|portal| portal.statement.as_ref())
            .any(|statement| Arc::ptr_eq(statement, name))
    }
}

impl Session {
    /// Runs a statement whose rows come in pieces of `max_rows` (0: all at once); the server keeps the rest as the
    /// portal `name` until it is closed or the transaction ends. Ends with `Suspended` while there may be more rows.
    pub fn portal(
        &mut self,
        statement: &Statement,
        params: &Encoded,
        name: &str,
        max_rows: u32,
    ) -> Result<Request, ExecError> {
        let name = self.new_portal(name)?;
        self.run(
            statement,
            params,
            &statement.results,
            Some((name, max_rows)),
        )
    }

    /// The name of a portal that is to be opened.
    pub(super) fn new_portal(&self, name: &str) -> Result<Name, ExecError> {
        let name = portal_name(name)?;
        if self.portals.iter().any(|portal| portal.name == name) {
            return Err(ExecError::new(
                ErrorKind::Internal,
                "a portal of this name is open",
            ));
        }
        Ok(name)
    }

    /// The next rows of a portal.
    pub fn fetch(&mut self, name: &str, max_rows: u32) -> Result<Request, ExecError> {
        self.admit()?;
        let name = portal_name(name)?;
        let mut portals = self.portals.iter();
        let Some(portal) = portals.find(|portal| portal.name == name && portal.bound) else {
            return Err(ExecError::new(
                ErrorKind::Transaction,
                "the result is no longer open: its transaction has ended",
            ));
        };
        let mut flight = InFlight::new(Step::Execute, 0);
        flight.columns = portal.columns.clone();
        flight.limited = max_rows > 0;
        flight.reads = Some(Arc::clone(&name));
        flight.closes = self.close_forgotten();
        frontend::execute(&mut self.out, &name, max_rows);
        frontend::sync(&mut self.out);
        Ok(self.submit(flight))
    }

    /// Drops what is left of a portal; one that the server no longer has is no error.
    pub fn close_portal(&mut self, name: &str) -> Result<Request, ExecError> {
        self.admit()?;
        let name = portal_name(name)?;
        self.portals.retain(|portal| portal.name != name);
        let closes = self.close_forgotten();
        frontend::close(&mut self.out, b'P', &name);
        frontend::sync(&mut self.out);
        Ok(self.submit(InFlight::new(Step::Ready, closes.saturating_add(1))))
    }
}

fn portal_name(name: &str) -> Result<Name, ExecError> {
    frontend::text(name, "the portal's name")?;
    Ok([name.as_bytes(), &[0]].concat().into())
}
