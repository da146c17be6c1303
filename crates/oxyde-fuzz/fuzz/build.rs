//! Decoders make Python's objects: the programs here find the libpython that they were linked with.

fn main() {
    pyo3_build_config::add_libpython_rpath_link_args();
}
