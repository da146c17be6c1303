//! The extension module `oxyde_core._core`; everything is in `oxyde-py`.

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    oxyde_py::register(module)
}
