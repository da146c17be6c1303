//! The user's own SQL.

use std::sync::Arc;

use oxyde_exec::query::{Params, Query, RowReader};
use oxyde_exec::{CancelFlag, Cells, Work};
use oxyde_exec::{mysql, postgres};
use oxyde_sql::Dialect;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PySequence;

use super::{Call, Database};
use crate::bind::{self, Target};
use crate::errors;
use crate::finish::Finish;
use crate::lifecycle;
use crate::reader::{self, Collected, RowsInto};

/// The user's own SQL with its parameters, ready to run.
pub struct Raw {
    pub work: Work,
    pub sql: Arc<str>,
    pub flag: Arc<CancelFlag>,
    /// What reads the rows of a server, and what becomes of them.
    pub collected: Option<(Box<dyn RowReader>, Collected)>,
}

impl Database {
    /// The result is a list of dicts, or with `counted` the number of rows that were changed.
    pub(super) fn run_raw(
        &self,
        sql: &str,
        params: &Bound<'_, PyAny>,
        counted: bool,
        call: Call<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let py = call.py;
        let _stay = lifecycle::stay(py);
        let mut raw = self.raw_work(py, sql, params)?;
        let sql = raw.sql;
        let finish = match (raw.collected, counted) {
            (None, true) => Finish::Affected(sql),
            (None, false) => Finish::Dicts(sql),
            (Some((reader, collected)), _) => {
                if let Work::Query(query) = &mut raw.work {
                    query.rows = Some(reader);
                }
                match counted {
                    true => Finish::Counted(collected, sql),
                    false => Finish::Collected(collected, sql),
                }
            }
        };
        self.start_with(py, raw.flag, raw.work, finish, call.place, call.timeout)
    }

    /// Makes it ready.
    pub fn raw_work(&self, py: Python<'_>, sql: &str, params: &Bound<'_, PyAny>) -> PyResult<Raw> {
        let Ok(params) = params.cast::<PySequence>() else {
            return Err(PyTypeError::new_err(
                "parameters of raw SQL are a list or a tuple",
            ));
        };
        if self.loop_bound {
            return self.raw_wire(py, sql, params);
        }
        let mut cells = Cells::new();
        for (index, value) in params.try_iter()?.enumerate() {
            let label = format!("parameter {}", index + 1);
            bind::natural::sqlite(
                &value?,
                Target {
                    label: &label,
                    stored: false,
                    declared: None,
                },
                &mut cells,
            )?;
        }
        let sql: Arc<str> = Arc::from(sql);
        let work = Work::Statement {
            sql: Arc::clone(&sql),
            params: cells,
            read_only: reads_only(&sql),
            names: true,
        };
        Ok(Raw {
            work,
            sql,
            flag: Arc::new(CancelFlag::new()),
            collected: None,
        })
    }

    /// The same for a server.
    fn raw_wire(&self, py: Python<'_>, sql: &str, params: &Bound<'_, PySequence>) -> PyResult<Raw> {
        let postgres = self.asked == Dialect::Postgres;
        let is_empty = if postgres {
            postgres::taint::is_empty
        } else {
            mysql::taint::is_empty
        };
        let taints = if postgres {
            postgres::taint::taints
        } else {
            mysql::taint::taints
        };
        if is_empty(sql) {
            return Err(errors::programming(py, "the text contains no statement"));
        }
        let flag = Arc::new(CancelFlag::new());
        let into = RowsInto::Dicts(Vec::new());
        let dialect = self.server_or_oldest().dialect;
        let (reader, collected) = reader::reader(py, dialect, into, &flag);
        let params = params.to_tuple()?;
        let (statement, encoder) = if postgres {
            (self.texts.get(sql, &[]), collected.encoder(params.unbind()))
        } else {
            let params = bind::natural::mysql(&params, dialect)?;
            let types = bind::parameters::types(&params);
            (self.texts.get(sql, types), collected.encoded(params))
        };
        let sql = Arc::clone(&statement.sql);
        let work = Work::Query(Box::new(Query {
            taints: taints(&sql),
            statement,
            params: Params::AfterDescribe(encoder),
            rows: None,
            pure_read: false,
        }));
        Ok(Raw {
            work,
            sql,
            flag,
            collected: Some((reader, collected)),
        })
    }
}

/// Whether raw SQL can run on a read-only connection: it begins with SELECT, VALUES or EXPLAIN. A wrong guess
/// is an error of the database ("attempt to write a readonly database"), never a lost write.
fn reads_only(sql: &str) -> bool {
    let word: String = sql
        .trim_start()
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    ["SELECT", "VALUES", "EXPLAIN"]
        .iter()
        .any(|read| word.eq_ignore_ascii_case(read))
}
