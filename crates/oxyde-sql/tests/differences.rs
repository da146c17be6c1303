//! The documentation tells what the compiler knows of the differences between the databases.

use std::fs;
use std::path::Path;

#[test]
fn the_page_of_the_documentation_is_up_to_date() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/differences.md");
    let written = fs::read_to_string(&page)
        .unwrap_or_default()
        .replace("\r\n", "\n");
    assert!(
        written == oxyde_sql::differences_page(),
        "write it anew: cargo run -p oxyde-sql --example differences > docs/guide/differences.md"
    );
}
