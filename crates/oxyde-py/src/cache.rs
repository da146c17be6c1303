//! Shapes → compiled plans, one cache per database.
//!
//! The key is the shape tuple itself, in a `PyDict` that only Rust sees: hashing and comparing a nested tuple in
//! place costs 125–317 ns, while turning it into a Rust key costs several times as much. The cache is bounded:
//! when it is full the older half goes, because programs have few shapes and a flood of them is a bug to survive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use oxyde_exec::Cells;
use oxyde_sql::{Dialect, Plan, StatementKind, Version};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::bind::{self, Target};
use crate::contract::{self, ParamNote};
use crate::errors;

const CAPACITY: usize = 2_000;

/// A compiled statement with what is needed to encode its parameters.
#[pyclass(frozen, module = "oxyde_core._core")]
#[derive(Debug)]
pub struct Statement {
    pub plan: Plan,
    pub sql: Arc<str>,
    pub notes: Vec<ParamNote>,
    /// Whether it may be tried on the calling thread; cleared when the engine says that it never may.
    pub inline: AtomicBool,
}

impl Statement {
    fn compile(shape: &Bound<'_, PyTuple>, dialect: Dialect, version: Version) -> PyResult<Self> {
        let py = shape.py();
        let extracted = contract::query(shape)?;
        let plan = oxyde_sql::compile(&extracted.query, dialect, version)
            .map_err(|e| errors::from_compile(py, &e))?;
        Ok(Self {
            sql: Arc::from(plan.sql.as_str()),
            inline: AtomicBool::new(match plan.kind {
                StatementKind::Select => plan.returns_rows,
                StatementKind::Insert | StatementKind::Update | StatementKind::Delete => {
                    plan.bulk.is_none()
                }
            }),
            notes: extracted.notes,
            plan,
        })
    }

    /// Encodes one parameter tuple in placeholder order.
    pub fn encode(&self, params: &Bound<'_, PyTuple>, out: &mut Cells) -> PyResult<()> {
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

    pub fn target(&self, param: usize) -> Target<'_> {
        self.notes.get(param).map_or(
            Target {
                label: "a parameter",
                stored: false,
            },
            |note| Target {
                label: &note.label,
                stored: note.stored,
            },
        )
    }
}

#[derive(Debug)]
pub struct PlanCache {
    plans: Py<PyDict>,
    compiled: AtomicU64,
}

impl PlanCache {
    pub fn new(py: Python<'_>) -> Self {
        Self {
            plans: PyDict::new(py).unbind(),
            compiled: AtomicU64::new(0),
        }
    }

    /// The plan of a shape, compiled on first sight.
    pub fn get<'py>(
        &self,
        shape: &Bound<'py, PyTuple>,
        dialect: Dialect,
        version: Version,
    ) -> PyResult<Bound<'py, Statement>> {
        let py = shape.py();
        let plans = self.plans.bind(py);
        if let Some(found) = plans.get_item(shape)? {
            // SAFETY: only this function stores values, and it stores statements.
            return Ok(unsafe { found.cast_into_unchecked::<Statement>() });
        }
        let statement = Bound::new(py, Statement::compile(shape, dialect, version)?)?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        if plans.len() >= CAPACITY {
            for key in plans.keys().iter().take(CAPACITY / 2) {
                plans.del_item(key)?;
            }
        }
        plans.set_item(shape, &statement)?;
        Ok(statement)
    }

    /// How many shapes were compiled so far (for tests that guard the cache).
    pub fn compiled(&self) -> u64 {
        self.compiled.load(Ordering::Relaxed)
    }

    /// Another server version may need another text.
    pub fn clear(&self, py: Python<'_>) {
        self.plans.bind(py).clear();
    }
}

/// A statement outside of any database: what `q.sql()` shows.
pub fn compile_once(
    shape: &Bound<'_, PyTuple>,
    dialect: Dialect,
    version: Version,
) -> PyResult<Statement> {
    Statement::compile(shape, dialect, version)
}
