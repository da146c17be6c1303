//! Writes the page of the documentation on what differs between the databases.
//!
//! ```text
//! cargo run -p oxyde-sql --example differences > docs/guide/differences.md
//! ```

fn main() {
    print!("{}", oxyde_sql::differences_page());
}
