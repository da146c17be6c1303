//! What each database is given, at a glance: one snapshot per subject.
//!
//! Accept changes with `cargo insta review` or `INSTA_UPDATE=always cargo test`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failure is a failed test

mod cases;

use std::fmt::Write as _;

use cases::{Server, documents, groups, newer_servers, plan, servers};
use oxyde_sql::{
    BulkForm, CompileError, Plan, SchemaDoc, Transform, create_statements, drop_statements,
};

/// Lines under server names; servers that are given the same share them.
fn shared(servers: &[Server], mut lines: impl FnMut(&Server) -> String) -> String {
    let mut blocks: Vec<(Vec<&str>, String)> = Vec::new();
    for server in servers {
        let text = lines(server);
        match blocks.iter_mut().find(|(_, other)| *other == text) {
            Some((names, _)) => names.push(server.name),
            None => blocks.push((vec![server.name], text)),
        }
    }
    let mut out = String::new();
    for (names, text) in blocks {
        writeln!(out, "{}:", names.join(", ")).unwrap();
        for line in text.lines() {
            writeln!(out, "  {line}").unwrap();
        }
    }
    out
}

fn show(plan: &Plan) -> String {
    let mut out = plan.sql.clone();
    let binds: Vec<String> = plan
        .binds
        .iter()
        .map(|bind| {
            let mut text = format!("{}:{}", bind.param, bind.ty.to_json());
            if bind.verbatim {
                text += " verbatim";
            }
            if bind.texts {
                text += " as texts";
            }
            if bind.transform != Transform::None {
                write!(text, " {:?}", bind.transform).unwrap();
            }
            text
        })
        .collect();
    if !binds.is_empty() {
        write!(out, "\n  <- {}", binds.join(", ").replace('"', "")).unwrap();
    }
    let verbatim: Vec<&str> = plan
        .columns
        .iter()
        .filter(|c| c.verbatim)
        .map(|c| c.name.as_str())
        .collect();
    if !verbatim.is_empty() {
        write!(out, "\n  -> {} verbatim", verbatim.join(", ")).unwrap();
    }
    match &plan.bulk {
        None => {}
        Some(BulkForm::MultiRow { head, row, tail }) => {
            write!(out, "\n  = {head:?} + {row:?} + {tail:?}").unwrap();
        }
        Some(form) => write!(out, "\n  = {form:?}").unwrap(),
    }
    out
}

fn refused(error: &CompileError) -> String {
    format!("! {error}")
}

#[test]
fn statements() {
    for group in groups() {
        let mut out = String::new();
        for case in &group.cases {
            writeln!(out, "# {}", case.name).unwrap();
            out += &shared(&servers(), |server| {
                plan(&case.shape, server).map_or_else(|e| refused(&e), |p| show(&p))
            });
            out.push('\n');
        }
        insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(group.name, out);
        });
    }
}

#[test]
fn schema_documents() {
    for (name, doc) in documents() {
        let doc = SchemaDoc::from_json(&doc.to_string()).unwrap();
        let out = shared(&newer_servers(), |server| {
            let create = create_statements(&doc, (server.dialect, server.version));
            let drop = drop_statements(&doc, (server.dialect, server.version));
            match create {
                Ok(create) => [create, drop.unwrap()].concat().join(";\n") + ";",
                Err(error) => refused(&error),
            }
        });
        insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(format!("ddl_{}", name.replace(' ', "_")), out);
        });
    }
}
