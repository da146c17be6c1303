//! Every case prepared by a real PostgreSQL, and run where only its answer
//! tells whether the text means what it should.
//!
//! ```text
//! OXYDE_TEST_POSTGRES_URL=postgres://… cargo test -p oxyde-sql --features server-tests --test postgres
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // a failure is a failed test

mod cases;
mod server;

use cases::{documents, groups, plan_for, schema};
use oxyde_sql::{
    BindSlot, BulkForm, CompileError, Dialect, Plan, SchemaDoc, Target, Version, create_statements,
    drop_statements,
};
use server::Client;

/// Schemas of its own, so that tests can run beside each other and leave nothing.
struct Place {
    client: Client,
    name: String,
    server: Target,
}

impl Place {
    fn new(name: &str) -> Self {
        let mut client = Client::connect();
        let (version, facts) = facts(&mut client);
        let target = Target::refined(Dialect::Postgres, version, &facts);
        let name = format!("oxyde_sql_{name}_{}", std::process::id());
        client
            .script(&format!(
                "CREATE SCHEMA {name}; CREATE SCHEMA {name}_audit; SET search_path = {name}"
            ))
            .unwrap();
        let mut place = Self {
            client,
            server: target,
            name,
        };
        for sql in create_statements(&schema(Dialect::Postgres), target).unwrap() {
            let sql = place.placed(&sql);
            place.client.script(&sql).unwrap();
        }
        place
    }

    /// The cases' other schema is this place's own.
    fn placed(&self, sql: &str) -> String {
        sql.replace("\"audit\".", &format!("{}_audit.", self.name))
    }

    fn plan(&self, group: &str, case: &str) -> Plan {
        let group = groups().into_iter().find(|g| g.name == group).unwrap();
        let case = group.cases.into_iter().find(|c| c.name == case).unwrap();
        plan_for(&case.shape, self.server).unwrap()
    }

    /// Runs a case with texts for its placeholders.
    fn run(&mut self, group: &str, case: &str, values: &[&str]) -> Vec<Vec<Option<String>>> {
        let plan = self.plan(group, case);
        let types: Vec<_> = plan.binds.iter().map(oid).collect();
        self.client.prepare(&plan.sql, &types).unwrap();
        let values: Vec<_> = values.iter().map(|v| Some(*v)).collect();
        self.client.execute(&values).unwrap()
    }

    fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        let text = |value: Option<String>| value.unwrap_or("NULL".into());
        let rows = self.client.script(sql).unwrap();
        rows.into_iter()
            .map(|row| row.into_iter().map(text).collect())
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let name = &self.name;
        let sql = format!("DROP SCHEMA IF EXISTS {name}, {name}_audit, {name}_document CASCADE");
        self.client.script(&sql).unwrap();
    }
}

/// What is declared for a parameter.
fn oid(bind: &BindSlot) -> u32 {
    match bind {
        BindSlot { texts: true, .. } => 1009,
        BindSlot { verbatim: true, .. } => 0,
        BindSlot { ty, .. } => ty.pg_oid().unwrap_or(0),
    }
}

fn facts(client: &mut Client) -> (Version, Vec<String>) {
    let query = Target::facts_query(Dialect::Postgres).unwrap();
    let rows = client.script(query).unwrap();
    let [row] = rows.as_slice() else {
        panic!("{} rows", rows.len());
    };
    let number: u32 = row[0].as_ref().unwrap().parse().unwrap();
    let words = row[1].as_ref().unwrap().split_whitespace();
    let version = Version(number / 10_000, 0, number % 10_000);
    (version, words.map(str::to_owned).collect())
}

#[test]
fn every_case_is_prepared_with_as_many_parameters_as_slots() {
    let mut place = Place::new("prepare");
    let mut prepared = 0;
    for group in groups() {
        for case in &group.cases {
            let name = format!("{} / {}", group.name, case.name);
            let Ok(plan) = plan_for(&case.shape, place.server) else {
                // The one refusal that is PostgreSQL's own.
                assert_eq!(name, "compare / json less");
                continue;
            };
            let types: Vec<_> = plan.binds.iter().map(oid).collect();
            let sql = place.placed(&plan.sql);
            let found = place.client.prepare(&sql, &types);
            let found = found.unwrap_or_else(|error| panic!("{name}: {error}\n{sql}"));
            assert_eq!(found.params.len(), plan.binds.len(), "{name}");
            assert_eq!(found.columns.len(), plan.columns.len(), "{name}");
            for (bind, oid) in plan.binds.iter().zip(&found.params) {
                // 705 is `unknown`: nothing could be inferred.
                assert_ne!(*oid, 705, "{name}: parameter {}", bind.param);
            }
            for (column, (_, oid)) in plan.columns.iter().zip(&found.columns) {
                // An OID that only this server has, or a type that the model does not know, comes as text.
                let known = column.ty.pg_oid();
                assert!(
                    *oid != 705 && (*oid < 16_384 || column.verbatim || known.is_none()),
                    "{name}: column {} has the type {oid}",
                    column.name
                );
            }
            prepared += 1;
        }
    }
    assert!(prepared > 200, "{prepared}");
}

#[test]
fn every_document_is_created_and_dropped() {
    let mut place = Place::new("documents");
    let target = place.server;
    let own = format!("{}_document", place.name);
    let tables = "SELECT relname FROM pg_class WHERE relnamespace = current_schema::regnamespace AND relkind = 'r'";
    for (name, doc) in documents() {
        let doc = SchemaDoc::from_json(&doc.to_string()).unwrap();
        let create = match create_statements(&doc, target) {
            Ok(create) => create,
            Err(CompileError::NotSupported { .. }) => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        place
            .client
            .script(&format!("CREATE SCHEMA {own}; SET search_path = {own}"))
            .unwrap();
        for sql in create
            .into_iter()
            .chain(drop_statements(&doc, target).unwrap())
        {
            let sql = place.placed(&sql);
            place
                .client
                .script(&sql)
                .unwrap_or_else(|error| panic!("{name}: {error}\n{sql}"));
        }
        assert!(place.rows(tables).is_empty(), "{name}");
        place.client.script(&format!("DROP SCHEMA {own}")).unwrap();
    }
}

#[test]
fn values_of_a_declared_type_come_back_as_they_went() {
    let mut place = Place::new("verbatim");
    let values = [
        "10.0.0.1",
        "{10.0.0.0/8,::1}",
        "abc",
        "0.1",
        "1 day 02:03:00",
    ];
    let rows = place.run("verbatim", "insert", &values);
    assert_eq!(rows[0][1].as_deref(), Some("10.0.0.1"));
    for (case, values) in [
        ("equal", &["10.0.0.1"][..]),
        ("equal to a real", &["0.1"]),
        ("in", &["{10.0.0.1,10.0.0.2}"]),
        ("lists in a list", &[r#"{"{10.0.0.0/8,::1}"}"#]),
        ("iexact", &["ABC"]),
        ("between", &["1 day", "2 days"]),
        ("sum", &["1 hour", "1 day 03:00:00"]),
    ] {
        assert_eq!(place.run("verbatim", case, values).len(), 1, "{case}");
    }
    for (case, values) in [("equal", &["10.0.0.2"][..]), ("not in", &["{abc}"])] {
        assert_eq!(place.run("verbatim", case, values).len(), 0, "{case}");
    }
}

#[test]
fn bulk_inserts_of_texts_are_neither_cut_off_nor_flattened() {
    let mut place = Place::new("bulk");
    let list = r#"{"{10.0.0.1,10.0.0.2}",NULL}"#;
    let columns = [
        "{10.0.0.1,NULL}",
        list,
        "{abc,de}",
        "{0.1,1e10}",
        "{1 day,NULL}",
    ];
    place.run("verbatim", "bulk", &columns);
    let stored =
        place.rows("SELECT address, addresses, code, measure, pause FROM host ORDER BY serial");
    assert_eq!(
        stored,
        [
            ["10.0.0.1", "{10.0.0.1,10.0.0.2}", "abc", "0.1", "1 day"],
            ["NULL", "NULL", "de ", "1e+10", "NULL"]
        ]
    );
    let plan = place.plan("verbatim", "bulk");
    let types: Vec<_> = plan.binds.iter().map(oid).collect();
    place.client.prepare(&plan.sql, &types).unwrap();
    let long = ["{NULL}", "{NULL}", "{abcd}", "{NULL}", "{NULL}"].map(Some);
    let error = place.client.execute(&long).unwrap_err();
    assert!(error.starts_with("22001"), "{error}");

    let nested = [
        r#"{"{glad,\"it's ok\"}","{}"}"#,
        r#"{"{{1,2},{3,4}}","{{5,NULL}}"}"#,
        r#"{NULL,"{}"}"#,
    ];
    place.run("array", "bulk", &nested);
    let stored =
        place.rows("SELECT moods, matrix, keys FROM host WHERE moods IS NOT NULL ORDER BY serial");
    assert_eq!(
        stored,
        [
            [r#"{glad,"it's ok"}"#, "{{1,2},{3,4}}", "NULL"],
            ["{}", "{{5,NULL}}", "{}"]
        ]
    );
}

#[test]
fn members_of_arrays_are_found() {
    let mut place = Place::new("members");
    let one = "0b5f3a3e-0000-4000-8000-000000000001";
    let keys = format!("{{{one},0b5f3a3e-0000-4000-8000-000000000002}}");
    place.run("array", "insert", &["{glad,\"it's ok\"}", "{{1,2}}", &keys]);
    let found =
        |place: &mut Place, case: &str, values: &[&str]| place.run("array", case, values).len();
    assert_eq!(found(&mut place, "contains", &["{glad}"]), 1);
    assert_eq!(found(&mut place, "contains", &["{glad,sad}"]), 0);
    assert_eq!(found(&mut place, "contains", &["{}"]), 1);
    assert_eq!(found(&mut place, "contained_by", &[&keys]), 1);
    assert_eq!(found(&mut place, "contained_by", &["{}"]), 0);
    assert_eq!(found(&mut place, "item", &["0", one]), 1);
    assert_eq!(found(&mut place, "item", &["1", one]), 0);
    assert_eq!(found(&mut place, "item of enums", &["1", "it's ok"]), 1);
    assert_eq!(found(&mut place, "length", &["1"]), 1);
    assert_eq!(found(&mut place, "length", &["2"]), 0);
    assert_eq!(found(&mut place, "enums equal", &["{glad,\"it's ok\"}"]), 1);
    assert_eq!(
        found(
            &mut place,
            "enums in a list",
            &[r#"{"{sad}","{glad,\"it's ok\"}"}"#]
        ),
        1
    );
    assert_eq!(
        found(&mut place, "matrices in a list", &[r#"{"{{1,2}}"}"#]),
        1
    );
}

#[test]
fn rows_of_defaults_are_one_statement() {
    let mut place = Place::new("defaults");
    for column in [
        "name",
        "age",
        "rank",
        "active",
        "created",
        "key",
        "user_kind",
    ] {
        let sql = format!("ALTER TABLE \"user\" ALTER {column} DROP NOT NULL");
        place.client.script(&sql).unwrap();
    }
    assert_eq!(
        place.plan("bulk", "defaults only").bulk,
        Some(BulkForm::Count)
    );
    place.run("bulk", "defaults only", &["3"]);
    assert_eq!(
        place.rows("SELECT id FROM \"user\" ORDER BY id"),
        [["1"], ["2"], ["3"]]
    );
}

#[test]
fn numbered_keys_come_back_in_the_order_of_the_rows() {
    let mut place = Place::new("order");
    for column in ["age", "rank", "active", "created", "key", "user_kind"] {
        let sql = format!("ALTER TABLE \"user\" ALTER {column} DROP NOT NULL");
        place.client.script(&sql).unwrap();
    }
    let names: Vec<String> = (0..3000).map(|n| format!("n{n}")).collect();
    let list = format!("{{{}}}", names.join(","));
    let plan = place.plan("bulk", "returning");
    assert_eq!(plan.numbered, Some(0));
    let rows = place.run("bulk", "returning", &[&list]);
    let ids: Vec<i64> = rows
        .iter()
        .map(|r| r[0].as_ref().unwrap().parse().unwrap())
        .collect();
    assert!(ids.is_sorted());
    let stored = place.rows("SELECT name FROM \"user\" ORDER BY id");
    assert_eq!(stored.concat(), names);
}

#[test]
fn times_without_a_zone_are_utc_in_every_session() {
    let mut place = Place::new("zone");
    place
        .client
        .script(
            "INSERT INTO \"user\" (name, age, rank, active, created, seen, born, key, user_kind) VALUES \
             ('a', 1, 1, true, '2020-01-01 23:30:00', '2020-01-01 23:30:00+00', '2020-01-01', \
              gen_random_uuid(), 'sad')",
        )
        .unwrap();
    for zone in ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"] {
        place
            .client
            .script(&format!("SET TimeZone = '{zone}'"))
            .unwrap();
        let later = ["2020-01-01 23:30:00.000001"];
        let found = place.run("compare", "with zone against a parameter without", &later);
        assert_eq!(found.len(), 1, "{zone}");
        let found = place.run(
            "compare",
            "with zone against a parameter without",
            &["2020-01-01 23:30:00"],
        );
        assert_eq!(found.len(), 0, "{zone}");
        assert_eq!(
            place.run("compare", "with and without zone", &[]).len(),
            0,
            "{zone}"
        );
        place.run("update", "times with and without zone", &[]);
        let stored = place.rows(
            "SELECT created = '2020-01-01 23:30:00', seen = '2020-01-01 23:30:00+00', born = '2020-01-01' FROM \"user\"",
        );
        assert_eq!(stored, [["t", "t", "t"]], "{zone}");
        // The clock: the same moment whatever the zone.
        place.run("update", "now", &["1"]);
        let near = place.rows(
            "SELECT abs(extract(epoch FROM created - (seen AT TIME ZONE 'UTC'))) < 1 FROM \"user\"",
        );
        assert_eq!(near, [["t"]], "{zone}");
        place
            .client
            .script("UPDATE \"user\" SET created = '2020-01-01 23:30:00', seen = '2020-01-01 23:30:00+00'")
            .unwrap();
    }
}

#[test]
fn division_rounds_down_as_in_python() {
    let mut place = Place::new("division");
    let mut answer = |case: &str, column: &str, a: &str, b: &str| {
        let sql = place.plan("arithmetic", case).sql;
        let slots = place.plan("arithmetic", case).binds.len();
        let ty = if column == "age" {
            "BIGINT"
        } else {
            "DOUBLE PRECISION"
        };
        let sql = sql
            .replace(&format!("\"{column}\""), &format!("CAST('{a}' AS {ty})"))
            .replace(" FROM \"user\"", "");
        let oid = if column == "age" { 20 } else { 701 };
        place.client.prepare(&sql, &vec![oid; slots]).unwrap();
        let rows = place.client.execute(&vec![Some(b); slots]);
        rows.map(|rows| rows[0][0].clone().unwrap())
    };
    // Python 3.11's answers.
    for (a, b, quotient, remainder) in [
        ("7", "2", "3", "1"),
        ("-7", "2", "-4", "1"),
        ("7", "-2", "-4", "-1"),
        ("-7", "-2", "3", "-1"),
        ("6", "-3", "-2", "0"),
        ("-9223372036854775808", "3", "-3074457345618258603", "1"),
    ] {
        assert_eq!(
            answer("integer floordiv", "age", a, b).unwrap(),
            quotient,
            "{a} // {b}"
        );
        assert_eq!(
            answer("integer mod", "age", a, b).unwrap(),
            remainder,
            "{a} % {b}"
        );
    }
    for (a, b, quotient, remainder) in [
        ("1.0", "0.1", "9", "0.09999999999999995"),
        ("-1.0", "0.1", "-10", "5.551115123125783e-17"),
        ("1.0", "-0.1", "-10", "-5.551115123125783e-17"),
        ("5.5", "2", "2", "1.5"),
        ("-5.5", "2", "-3", "0.5"),
        ("1e+300", "3", "3.3333333333333335e+299", "0"),
        ("5e-324", "3", "0", "5e-324"),
        ("-1", "Infinity", "-1", "Infinity"),
        ("Infinity", "2", "NaN", "NaN"),
    ] {
        assert_eq!(
            answer("float floordiv", "score", a, b).unwrap(),
            quotient,
            "{a} // {b}"
        );
        assert_eq!(
            answer("float mod", "score", a, b).unwrap(),
            remainder,
            "{a} % {b}"
        );
    }
    for (case, column) in [("integer mod", "age"), ("float floordiv", "score")] {
        let error = answer(case, column, "1", "0").unwrap_err();
        assert!(error.starts_with("22012"), "{case}: {error}");
    }
}
