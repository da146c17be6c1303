//! Prints the differences between the databases as Markdown: a table for each topic.
//!
//! ```text
//! cargo run -p oxyde-sql --example differences
//! ```

use oxyde_sql::DIFFERENCES;

fn main() {
    let mut topic = "";
    for row in DIFFERENCES {
        if row.topic != topic {
            topic = row.topic;
            println!(
                "\n## {topic}\n\n| | PostgreSQL | MySQL | MariaDB | SQLite |\n|---|---|---|---|---|"
            );
        }
        println!("{}", row.markdown());
    }
}
