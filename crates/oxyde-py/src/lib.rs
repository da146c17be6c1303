//! The only crate that knows Python.
//!
//! ```text
//! shape + params ── contract ── cache ── bind ──▶ engine ──▶ completion ── decode ── hydrate ──▶ list
//! ```
//! `oxyde_core._core` is this crate's module; everything in it is private to the sibling packages.

mod bind;
mod blame;
mod bulk;
mod cache;
mod calendar;
mod calls;
mod completion;
mod config;
mod contract;
mod copying;
mod cursor;
mod database;
mod deadlines;
mod decode;
mod errors;
mod fairness;
mod finish;
mod hubs;
mod hydrate;
mod inflow;
mod layout;
mod lease;
mod lifecycle;
mod loader;
mod outflow;
mod parts;
mod pending;
mod pin;
mod place;
mod queue;
mod reader;
mod scope;
mod server;
mod show;
mod tables;
mod transport;
mod wake;

/// Doors to the decoders for the crate that feeds them any bytes.
#[cfg(feature = "fuzzing")]
pub mod exercise {
    pub use crate::decode::exercise::sqlite;
    pub use crate::decode::mysql::exercise::exercise as mysql;
    pub use crate::decode::postgres::exercise::exercise as postgres;
}

use pyo3::prelude::*;

/// Tells this core from any other package called `oxyde_core`.
const MARKER: &str = "oxyde: pydantic-native async orm, rust core";

/// Fills the extension module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    layout::init(py)?;
    module.add("IR_VERSION", oxyde_sql::ir::IR_VERSION)?;
    module.add("MARKER", MARKER)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<copying::Copy>()?;
    module.add_class::<cursor::Cursor>()?;
    module.add_class::<database::Database>()?;
    module.add_class::<inflow::Inflow>()?;
    module.add_class::<lease::Lease>()?;
    module.add_class::<loader::Loader>()?;
    module.add_class::<outflow::Outflow>()?;
    module.add_class::<parts::Parts>()?;
    module.add_class::<pending::Pending>()?;
    module.add_class::<pin::Pin>()?;
    module.add_function(wrap_pyfunction!(tables::register_table, module)?)?;
    module.add_function(wrap_pyfunction!(tables::forget_table, module)?)?;
    module.add_function(wrap_pyfunction!(show::compile_sql, module)?)?;
    module.add_function(wrap_pyfunction!(show::create_ddl, module)?)?;
    module.add_function(wrap_pyfunction!(show::drop_ddl, module)?)?;
    lifecycle::register(module)
}
