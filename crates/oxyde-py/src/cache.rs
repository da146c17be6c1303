//! Shapes → compiled plans, one cache per database.
//!
//! The key is the shape tuple itself, in a `PyDict` that only Rust sees: hashing and comparing a nested tuple in
//! place costs 125–317 ns, while turning it into a Rust key costs several times as much. The cache is bounded:
//! when it is full the older half goes, because programs have few shapes and a flood of them is a bug to survive.
//!
//! Statements with comments of the user's own are kept apart, so that a program whose comments never come twice
//! pushes out nothing but those. One is kept prepared from its second use on, for the same reason.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use oxyde_exec::Cells;
use oxyde_exec::query::{self, Encoded, Formats};
use oxyde_sql::{BindSlot, Dialect, Plan, SqlType, StatementKind};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::bind::parameters::Parameters;
use crate::bind::{self, Target};
use crate::completion::lock;
use crate::contract::{self, ParamNote};
use crate::copying::CopyStatement;
use crate::errors;
use crate::parts::ManyRows;

const CAPACITY: usize = 2_000;

const COMMENTED: usize = 256;

/// A compiled statement with what is needed to encode its parameters.
#[pyclass(frozen, module = "oxyde_core._core")]
#[derive(Debug)]
pub struct Statement {
    pub plan: Plan,
    pub sql: Arc<str>,
    pub notes: Vec<ParamNote>,
    /// Whether it may be tried on the calling thread; cleared when the engine says that it never may.
    pub inline: AtomicBool,
    /// For a server that takes parameters in its own format.
    pub wire: Option<Wire>,
    /// For a bulk insert that COPY can do.
    pub copy: Option<Arc<CopyStatement>>,
    /// For a bulk insert in statements of many rows.
    pub many: Option<ManyRows>,
    /// Nothing of it is kept prepared.
    once: bool,
}

#[derive(Debug)]
pub struct Wire {
    pub statement: Arc<query::Statement>,
    server: Dialect,
    /// Of the parameters, for PostgreSQL.
    formats: Formats,
    pub pure_read: bool,
}

impl Statement {
    fn compile(
        shape: &Bound<'_, PyTuple>,
        server: oxyde_sql::Target,
        once: bool,
    ) -> PyResult<Self> {
        let py = shape.py();
        let (comment, shape) = contract::commented(shape)?;
        let extracted = contract::query(&shape)?;
        let mut plan = oxyde_sql::compile(&extracted.query, server)
            .map_err(|e| errors::from_compile(py, &e))?;
        if let Some(comment) = comment {
            plan = plan.with_comment(&comment);
        }
        let sql: Arc<str> = Arc::from(plan.sql.as_str());
        Ok(Self {
            wire: Wire::new(server.dialect, &sql, &plan, extracted.pure_read, once),
            sql,
            inline: AtomicBool::new(match plan.kind {
                StatementKind::Select => plan.returns_rows,
                StatementKind::Insert | StatementKind::Update | StatementKind::Delete => {
                    plan.bulk.is_none()
                }
            }),
            notes: extracted.notes,
            copy: plan.copy.as_ref().map(CopyStatement::new),
            many: plan.bulk.as_ref().and_then(ManyRows::new),
            plan,
            once,
        })
    }

    /// Encodes one parameter tuple in placeholder order.
    pub fn encode(&self, params: &Bound<'_, PyTuple>, out: &mut Cells) -> PyResult<()> {
        self.check(params)?;
        for slot in &self.plan.binds {
            let value = params.get_borrowed_item(slot.param)?;
            bind::encode(
                &value,
                &slot.ty,
                slot.transform,
                self.target(slot.param),
                out,
            )?;
        }
        Ok(())
    }

    /// The same for a server.
    pub fn encode_wire(&self, wire: &Wire, params: &Bound<'_, PyTuple>) -> PyResult<Encoded> {
        self.check(params)?;
        if wire.server != Dialect::Postgres {
            let mut values = Parameters::new(self.plan.binds.len());
            for slot in &self.plan.binds {
                let value = params.get_borrowed_item(slot.param)?;
                bind::mysql(&value, slot, self.target(slot.param), &mut values)?;
            }
            return values.finish(params.py(), wire.server.name());
        }
        let mut values = Vec::with_capacity(self.plan.binds.len() * 16);
        for slot in &self.plan.binds {
            let value = params.get_borrowed_item(slot.param)?;
            bind::postgres(&value, slot, self.target(slot.param), &mut values)?;
        }
        wire.encoded(params.py(), self.plan.binds.len(), values)
    }

    fn check(&self, params: &Bound<'_, PyTuple>) -> PyResult<()> {
        if params.len() != self.notes.len() {
            return Err(errors::internal(
                params.py(),
                &format!(
                    "{} values for {} parameters of {}",
                    params.len(),
                    self.notes.len(),
                    self.sql
                ),
            ));
        }
        Ok(())
    }

    pub fn target(&self, param: usize) -> Target<'_> {
        self.notes.get(param).map_or(
            Target {
                label: "a parameter",
                stored: false,
                declared: None,
            },
            |note| Target {
                label: &note.label,
                stored: note.stored,
                declared: note.declared.as_ref(),
            },
        )
    }
}

impl Wire {
    /// `None` for SQLite, which takes cells.
    fn new(
        server: Dialect,
        sql: &Arc<str>,
        plan: &Plan,
        pure_read: bool,
        once: bool,
    ) -> Option<Self> {
        let statement = if once {
            query::Statement::once
        } else {
            query::Statement::new
        };
        match server {
            Dialect::Postgres => {
                let types: Vec<u32> = plan.binds.iter().map(|slot| declared(slot).0).collect();
                Some(Self {
                    statement: statement(Arc::clone(sql), types, formats_of_results(plan)),
                    server: Dialect::Postgres,
                    formats: formats(plan.binds.iter().map(|slot| declared(slot).1)),
                    pure_read,
                })
            }
            Dialect::Mysql | Dialect::MariaDb => Some(Self {
                // The types go with the values, and rows of prepared statements are always binary.
                statement: statement(Arc::clone(sql), Vec::new(), Formats::Binary),
                server,
                formats: Formats::Binary,
                pure_read,
            }),
            Dialect::Sqlite => None,
        }
    }

    /// Values in PostgreSQL's form.
    pub fn encoded(&self, py: Python<'_>, count: usize, values: Vec<u8>) -> PyResult<Encoded> {
        bind::encoded(py, self.server.name(), count, self.formats.clone(), values)
    }
}

/// The OID that a parameter is declared with, and whether it is sent in binary. 0: the server infers the type.
fn declared(slot: &BindSlot) -> (u32, bool) {
    if slot.texts {
        return (
            SqlType::Array(Box::new(SqlType::Text))
                .pg_oid()
                .unwrap_or(0),
            true,
        );
    }
    match slot.ty.pg_oid().filter(|_| !slot.verbatim) {
        Some(oid) => (oid, true),
        None => (0, false),
    }
}

/// Binary where the server's type is known. Text for text, which is the same, so that a column of another type under
/// a `str` field comes as the text that it has.
fn formats_of_results(plan: &Plan) -> Formats {
    formats(plan.columns.iter().map(|column| {
        let text = matches!(column.ty, SqlType::Text | SqlType::String(_));
        column.ty.pg_oid().is_some() && !column.verbatim && !text
    }))
}

fn formats(binary: impl Iterator<Item = bool> + Clone) -> Formats {
    if binary.clone().all(|binary| binary) {
        Formats::Binary
    } else if binary.clone().all(|binary| !binary) {
        Formats::Text
    } else {
        Formats::Each(binary.collect())
    }
}

#[derive(Debug)]
pub struct PlanCache {
    plans: Py<PyDict>,
    commented: Py<PyDict>,
    compiled: AtomicU64,
}

impl PlanCache {
    pub fn new(py: Python<'_>) -> Self {
        Self {
            plans: PyDict::new(py).unbind(),
            commented: PyDict::new(py).unbind(),
            compiled: AtomicU64::new(0),
        }
    }

    /// The plan of a shape, compiled on first sight.
    pub fn get<'py>(
        &self,
        shape: &Bound<'py, PyTuple>,
        server: oxyde_sql::Target,
    ) -> PyResult<Bound<'py, Statement>> {
        let py = shape.py();
        let plans = self.plans.bind(py);
        if let Some(found) = plans.get_item(shape)? {
            // SAFETY: only this function stores values, and it stores statements.
            return Ok(unsafe { found.cast_into_unchecked::<Statement>() });
        }
        if contract::commented(shape)?.0.is_some() {
            return self.with_comment(shape, server);
        }
        let statement = Bound::new(py, Statement::compile(shape, server, false)?)?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        keep(plans, CAPACITY, shape, &statement)?;
        Ok(statement)
    }

    /// The same for a shape with a comment.
    fn with_comment<'py>(
        &self,
        shape: &Bound<'py, PyTuple>,
        server: oxyde_sql::Target,
    ) -> PyResult<Bound<'py, Statement>> {
        let py = shape.py();
        let plans = self.commented.bind(py);
        let found = plans.get_item(shape)?;
        let again = found.is_some();
        if let Some(found) = found {
            // SAFETY: only this function stores values, and it stores statements.
            let found = unsafe { found.cast_into_unchecked::<Statement>() };
            if !found.get().once {
                return Ok(found);
            }
        }
        let statement = Bound::new(py, Statement::compile(shape, server, !again)?)?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        keep(plans, COMMENTED, shape, &statement)?;
        Ok(statement)
    }

    /// How many shapes were compiled so far (for tests that guard the cache).
    pub fn compiled(&self) -> u64 {
        self.compiled.load(Ordering::Relaxed)
    }

    /// Another server version may need another text.
    pub fn clear(&self, py: Python<'_>) {
        self.plans.bind(py).clear();
        self.commented.bind(py).clear();
    }
}

/// Stores a statement; where there are too many, the older half goes.
fn keep(
    plans: &Bound<'_, PyDict>,
    capacity: usize,
    shape: &Bound<'_, PyTuple>,
    statement: &Bound<'_, Statement>,
) -> PyResult<()> {
    if plans.len() >= capacity {
        for key in plans.keys().iter().take(capacity / 2) {
            plans.del_item(key)?;
        }
    }
    plans.set_item(shape, statement)
}

/// Statements of raw SQL by their texts, so that connections keep them prepared. Bounded like the plans.
#[derive(Debug, Default)]
pub struct Texts {
    known: Mutex<HashMap<Arc<str>, Vec<Typed>>>,
}

/// A statement for parameters of these types.
#[derive(Debug)]
struct Typed {
    types: Box<[u8]>,
    statement: Arc<query::Statement>,
}

const TEXTS: usize = 256;

impl Texts {
    /// `types` is what the parameters are sent as. MySQL settles the types of a prepared statement when it first runs,
    /// and a text that comes later in the place of a number it would take for one.
    pub fn get(&self, sql: &str, types: &[u8]) -> Arc<query::Statement> {
        let mut known = lock(&self.known);
        let found = known.get(sql).and_then(|list| {
            let mut list = list.iter();
            list.find(|typed| *typed.types == *types)
        });
        if let Some(typed) = found {
            return Arc::clone(&typed.statement);
        }
        let typed = known.values().flatten();
        let mut ids: Vec<u64> = typed.map(|typed| typed.statement.id).collect();
        if ids.len() >= TEXTS {
            // Their numbers grow: what is below the middle one is the older half.
            ids.sort_unstable();
            let middle = ids.get(TEXTS / 2).copied().unwrap_or(u64::MAX);
            known.retain(|_, list| {
                list.retain(|typed| typed.statement.id >= middle);
                !list.is_empty()
            });
        }
        let text: Arc<str> = Arc::from(sql);
        // Formats and types are known when the server has described it.
        let statement = query::Statement::new(Arc::clone(&text), Vec::new(), Formats::Text);
        known.entry(text).or_default().push(Typed {
            types: types.into(),
            statement: Arc::clone(&statement),
        });
        statement
    }
}

/// A statement outside of any database: what `q.sql()` shows.
pub fn compile_once(shape: &Bound<'_, PyTuple>, server: oxyde_sql::Target) -> PyResult<Statement> {
    Statement::compile(shape, server, true)
}
