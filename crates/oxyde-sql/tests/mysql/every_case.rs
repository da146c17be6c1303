//! Every case is prepared, every document created and dropped.

use oxyde_sql::{CompileError, SchemaDoc, StatementKind, create_statements, drop_statements};

use crate::cases::{documents, groups};
use crate::place::Place;

#[test]
fn every_case_is_prepared_with_as_many_parameters_as_slots() {
    let mut place = Place::new("prepare");
    let (mut prepared, mut refused) = (0, Vec::new());
    for group in groups() {
        for case in &group.cases {
            let name = format!("{} / {}", group.name, case.name);
            let plan = match place.try_plan(&case.shape) {
                Ok(plan) => plan,
                Err(CompileError::NotSupported { .. }) => {
                    refused.push(name);
                    continue;
                }
                Err(error) => panic!("{name}: {error}"),
            };
            let sql = place.placed(&plan.sql);
            let found = place.client.prepare(&sql);
            let found = found.unwrap_or_else(|error| panic!("{name}: {error}\n{sql}"));
            assert_eq!(found.params, plan.binds.len(), "{name}\n{sql}");
            // MariaDB tells the columns of RETURNING only when the statement runs.
            if plan.kind == StatementKind::Select {
                assert_eq!(found.columns, plan.columns.len(), "{name}\n{sql}");
            }
            prepared += 1;
        }
    }
    assert!(prepared > 200, "{prepared}");
    let mut expected = vec![
        "select / lock for no key update",
        "update / returning",
        "compare / json less",
        "arithmetic / decimal pow",
        "verbatim / update",
        "array / overlap of networks",
        "conflict / by the key, which is given",
        "conflict / by another key than the given one",
        "conflict / ignored, the new rows returned",
    ];
    if !place.mariadb() {
        expected.extend([
            "insert / returning",
            "upsert / returning",
            "delete / rows of a list, returning",
            "delete / returning",
            "verbatim / insert",
        ]);
    }
    expected.sort_unstable();
    refused.sort_unstable();
    assert_eq!(refused, expected);
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
