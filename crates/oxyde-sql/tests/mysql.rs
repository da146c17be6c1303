//! Every case prepared by a real MySQL or MariaDB, and run where only its answer
//! tells whether the text means what it should.
//!
//! ```text
//! OXYDE_TEST_MYSQL_URL=mysql://… cargo test -p oxyde-sql --features server-tests --test mysql
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // a failure is a failed test

mod cases;
#[path = "server/mysql.rs"]
mod server;

use cases::{documents, groups, plan_for, schema};
use oxyde_sql::{CompileError, Dialect, SchemaDoc, Target, create_statements, drop_statements};
use server::Client;

/// Databases of its own, so that tests can run beside each other and leave nothing.
struct Place {
    client: Client,
    name: String,
    server: Target,
}

impl Place {
    fn new(name: &str) -> Self {
        let mut client = Client::connect();
        let server = client.target();
        let name = format!("oxyde_sql_{name}_{}", std::process::id());
        for sql in [
            format!("CREATE DATABASE {name} CHARACTER SET latin1"),
            format!("CREATE DATABASE {name}_audit CHARACTER SET latin1"),
            format!("USE {name}"),
        ] {
            client.run(&sql).unwrap();
        }
        let mut place = Self {
            client,
            server,
            name,
        };
        for sql in create_statements(&schema(server.dialect), server).unwrap() {
            place
                .run(&sql)
                .unwrap_or_else(|error| panic!("{error}\n{sql}"));
        }
        place
    }

    fn mariadb(&self) -> bool {
        self.server.dialect == Dialect::MariaDb
    }

    /// The cases' other schema is this place's own.
    fn placed(&self, sql: &str) -> String {
        sql.replace("`audit`.", &format!("`{}_audit`.", self.name))
    }

    fn run(&mut self, sql: &str) -> Result<(), String> {
        let sql = self.placed(sql);
        self.client.run(&sql).map(drop)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let name = &self.name;
        for other in ["", "_audit", "_document"] {
            let sql = format!("DROP DATABASE IF EXISTS {name}{other}");
            self.client.run(&sql).unwrap();
        }
    }
}

#[test]
fn every_case_is_prepared_with_as_many_parameters_as_slots() {
    let mut place = Place::new("prepare");
    let (mut prepared, mut refused) = (0, Vec::new());
    let mut problems = Vec::new();
    for group in groups() {
        for case in &group.cases {
            let name = format!("{} / {}", group.name, case.name);
            let plan = match plan_for(&case.shape, place.server) {
                Ok(plan) => plan,
                Err(CompileError::NotSupported { .. }) => {
                    refused.push(name);
                    continue;
                }
                Err(error) => panic!("{name}: {error}"),
            };
            let sql = place.placed(&plan.sql);
            match place.client.prepare(&sql) {
                Ok(found) => {
                    assert_eq!(found.params, plan.binds.len(), "{name}\n{sql}");
                    assert_eq!(found.columns, plan.columns.len(), "{name}\n{sql}");
                }
                Err(error) => problems.push(format!("{name}: {error}\n{sql}")),
            }
            prepared += 1;
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(prepared > 200, "{prepared}");
    println!("{refused:#?}");
}

#[test]
fn every_document_is_created_and_dropped() {
    let mut place = Place::new("documents");
    let target = place.server;
    let own = format!("{}_document", place.name);
    for (name, doc) in documents() {
        let doc = SchemaDoc::from_json(&doc.to_string()).unwrap();
        let create = match create_statements(&doc, target) {
            Ok(create) => create,
            Err(CompileError::NotSupported { .. }) => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        for sql in [format!("CREATE DATABASE {own}"), format!("USE {own}")] {
            place.run(&sql).unwrap();
        }
        for sql in create
            .into_iter()
            .chain(drop_statements(&doc, target).unwrap())
        {
            place
                .run(&sql)
                .unwrap_or_else(|error| panic!("{name}: {error}\n{sql}"));
        }
        assert!(place.client.rows("SHOW TABLES").is_empty(), "{name}");
        place.run(&format!("DROP DATABASE {own}")).unwrap();
    }
}
