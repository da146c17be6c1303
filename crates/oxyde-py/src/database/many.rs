//! Many rows at once: one statement for all of them, several parts, or COPY.

use std::sync::Arc;

use oxyde_exec::{CancelFlag, Returning, Work};
use oxyde_sql::BulkForm;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple, PyType};

use super::{Call, Database, table_of};
use crate::bulk::{self, Fill, Uniform};
use crate::cache::Statement;
use crate::config;
use crate::copying::Copy;
use crate::errors;
use crate::finish::Finish;
use crate::lease::Lease;
use crate::lifecycle;
use crate::loader::Loader;
use crate::parts::Parts;
use crate::reader::{self, RowsInto};

/// Class, automatic key, load state, slot of the load state.
pub type FillArguments<'py> = (
    Bound<'py, PyType>,
    Option<Bound<'py, PyString>>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
);

/// What a bulk insert is given.
pub struct Given<'a, 'py> {
    pub shape: &'a Bound<'py, PyTuple>,
    pub rows: &'a Bound<'py, PyList>,
    pub fields: &'a Bound<'py, PyTuple>,
    pub converters: &'a Bound<'py, PyTuple>,
    pub params: Option<&'a Bound<'py, PyTuple>>,
    pub fill: Option<FillArguments<'py>>,
}

impl<'py> Given<'_, 'py> {
    fn rows<'b>(
        &'b self,
        statement: &'b Statement,
        uniform: Option<&'b Uniform<'py>>,
    ) -> bulk::Rows<'b, 'py> {
        bulk::Rows {
            statement,
            rows: self.rows,
            fields: self.fields,
            converters: self.converters,
            params: self.params,
            uniform,
        }
    }

    /// What rows have to have in common, and what they take over, if they are new instances of one model.
    fn filling(
        &self,
        statement: &Statement,
        loader: Option<&Bound<'py, Loader>>,
    ) -> PyResult<(Option<Uniform<'py>>, Option<Fill>)> {
        let Some((cls, automatic, state, state_slot)) = self.fill.as_ref() else {
            return Ok((None, None));
        };
        let fill = Fill {
            instances: self.rows.clone().unbind(),
            loader: loader
                .filter(|_| statement.plan.returns_rows || statement.plan.told_key)
                .map(|loader| loader.clone().unbind()),
            state: state.clone().unbind(),
            state_slot: state_slot.clone().unbind(),
            numbered: statement.plan.numbered,
        };
        Ok((
            Some(Uniform::new(
                cls.clone(),
                automatic.clone(),
                self.rows,
                self.fields,
            )?),
            Some(fill),
        ))
    }
}

impl Database {
    pub(super) fn insert_many<'py>(
        &self,
        given: Given<'_, 'py>,
        call: Call<'_, 'py>,
    ) -> PyResult<Py<PyAny>> {
        let py = call.py;
        let _stay = lifecycle::stay(py);
        let statement = self.plans.get(given.shape, self.server_or_oldest())?;
        let statement = statement.get();
        let (uniform, fill) = given.filling(statement, call.loader)?;
        let rows = given.rows(statement, uniform.as_ref());
        if statement.many.is_some() {
            // They were offered to `prepare_parts` before.
            return Ok(py.None());
        }
        if let Some(wire) = &statement.wire {
            let Some(params) = rows.encode_arrays(wire)? else {
                return Ok(py.None());
            };
            return self.run_wire(statement, wire, params, Call { fill, ..call });
        }
        let Some(BulkForm::PerRow { key_check }) = &statement.plan.bulk else {
            return Err(errors::internal(
                py,
                "a bulk insert was compiled in a form that this engine does not run",
            ));
        };
        let Some(cells) = rows.encode()? else {
            return Ok(py.None());
        };
        let sql = Arc::clone(&statement.sql);
        let loader = call
            .loader
            .filter(|_| statement.plan.returns_rows)
            .map(|loader| loader.clone().unbind());
        let work = Work::Bulk {
            sql: Arc::clone(&sql),
            params: cells,
            width: statement.plan.binds.len(),
            returning: match (&loader, key_check) {
                (None, _) => Returning::Nothing,
                (Some(_), None) => Returning::Rows,
                (Some(_), Some(check)) => Returning::RowNumbers {
                    check: Arc::from(check.as_str()),
                },
            },
        };
        let finish = match (fill, loader) {
            (Some(fill), _) => Finish::Filled(fill, sql),
            (None, Some(loader)) => Finish::Rows(loader, sql),
            (None, None) => Finish::Affected(sql),
        };
        self.start(py, work, finish, call.place, call.timeout)
    }

    pub(super) fn make_parts<'py>(
        &self,
        py: Python<'py>,
        given: Given<'_, 'py>,
        loader: Option<&Bound<'py, Loader>>,
    ) -> PyResult<Option<Parts>> {
        let _stay = lifecycle::stay(py);
        let server = self.server_or_oldest();
        let statement = self.plans.get(given.shape, server)?;
        let statement = statement.get();
        let Some(many) = &statement.many else {
            return Ok(None);
        };
        let wanted = statement.plan.returns_rows || statement.plan.told_key;
        let loader = loader.filter(|_| wanted);
        let (uniform, fill) = given.filling(statement, loader)?;
        let rows = given.rows(statement, uniform.as_ref());
        let step = i64::try_from(server.mysql.key_step).unwrap_or(1);
        let told = statement.plan.told_key.then_some(step);
        let loader = loader.map(|loader| loader.clone().unbind());
        let encoded = rows.encode_parts(&server)?;
        let table = table_of(given.shape)?;
        Ok(encoded.map(|encoded| Parts::new(many, table, encoded, told, loader, fill)))
    }

    pub(super) fn insert_part(
        &self,
        parts: &Bound<'_, Parts>,
        index: usize,
        lease: Option<&Bound<'_, Lease>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = parts.py();
        let _stay = lifecycle::stay(py);
        let timeout = timeout.map(config::seconds).transpose()?;
        let this = parts.get();
        let flag = Arc::new(CancelFlag::new());
        let mut query = this.query(py, index)?;
        if let Some(loader) = this.loader.as_ref().filter(|_| this.returns_rows()) {
            let loader = loader.clone_ref(py);
            let into = if this.fills() {
                RowsInto::Values(loader)
            } else {
                RowsInto::Loader(loader)
            };
            let dialect = self.server_or_oldest().dialect;
            let (reader, collected) = reader::reader(py, dialect, into, &flag);
            query.rows = Some(reader);
            this.read(index, collected);
        }
        let sql = Arc::clone(&query.statement.sql);
        let finish = Finish::Part(parts.clone().unbind(), index, sql);
        let work = Work::Query(Box::new(query));
        self.start_with(py, flag, work, finish, lease, timeout)
    }

    pub(super) fn make_copy<'py>(
        &self,
        py: Python<'py>,
        given: Given<'_, 'py>,
        loader: Option<&Bound<'py, Loader>>,
    ) -> PyResult<Option<Copy>> {
        let _stay = lifecycle::stay(py);
        let statement = self.plans.get(given.shape, self.server_or_oldest())?;
        let statement = statement.get();
        let Some(copy) = statement
            .copy
            .as_ref()
            .filter(|copy| copy.is_for(given.rows.len()))
        else {
            return Ok(None);
        };
        let (uniform, fill) = given.filling(statement, loader)?;
        let lines = given.rows(statement, uniform.as_ref()).encode_lines(copy)?;
        let table = table_of(given.shape)?;
        Ok(lines.map(|lines| Copy::new(copy, table, lines, fill)))
    }
}
