//! What servers say, with what was asked and what should come of it.

use std::sync::Arc;

use oxyde_exec::query::Statement;

use super::exercise::Action;
use super::*;

pub struct Scenario {
    pub name: &'static str,
    /// Asked one after the other, each when the one before is done, the first ones (`at_once`) together.
    pub actions: Vec<Action>,
    pub at_once: usize,
    /// What the server sends after it has let us in.
    pub bytes: Vec<u8>,
    /// The events: X described, C columns, R rows, T completed, P suspended, I and O a copy in and out, d its data,
    /// F failed, Z done, A notification, N notice, G setting, ! the end.
    pub events: &'static str,
    /// Types of the messages that are sent.
    pub sent: &'static str,
}

pub fn letter(event: &Seen) -> char {
    match event {
        Seen::Started => 'S',
        Seen::Described(..) => 'X',
        Seen::Columns(..) => 'C',
        Seen::Rows(..) => 'R',
        Seen::Completed(..) => 'T',
        Seen::Suspended(_) => 'P',
        Seen::CopyIn(..) => 'I',
        Seen::CopyOut(..) => 'O',
        Seen::CopyData(..) => 'd',
        Seen::Failed(..) => 'F',
        Seen::Done(..) => 'Z',
        Seen::Notification(..) => 'A',
        Seen::Notice(_) => 'N',
        Seen::Parameter(_) => 'G',
        Seen::Fatal(_) => '!',
    }
}

pub fn scenarios() -> Vec<Scenario> {
    let select = statement("SELECT id, word FROM t");
    let insert = statement("INSERT INTO t DEFAULT VALUES");
    let query = |statement: &Arc<Statement>| Action::Query(Arc::clone(statement));

    let table = row_description(&[("id", 23, 0), ("word", 25, 0)]);
    let rows = [
        row(&[Some(b"1"), Some("zwölf".as_bytes())]),
        row(&[Some(b"2"), None]),
        row(&[Some(b""), Some(&[7; 300])]),
    ]
    .concat();
    let parsed = [message(b'1', &[]), parameter_description(&[23])].concat();
    let bound = message(b'2', &[]);
    let closed = message(b'3', &[]);
    let no_data = message(b'n', &[]);
    let no_query = message(b'I', &[]);
    let suspended = message(b's', &[]);
    let copied = message(b'c', &[]);
    let done = ready(b'I');
    let first = [
        &parsed[..],
        &table,
        &bound,
        &rows,
        &complete("SELECT 3"),
        &done,
    ]
    .concat();
    let again = [&bound[..], &rows, &complete("SELECT 3"), &done].concat();
    let inserted = [
        &parsed[..],
        &no_data,
        &bound,
        &complete("INSERT 0 1"),
        &done,
    ]
    .concat();
    let refused = [failure("42601", "syntax error"), done.clone()].concat();
    let answer = [&table[..], &rows, &complete("SELECT 3")].concat();
    let noise = [
        report(b'N', &[(b'S', "NOTICE"), (b'M', "by the way")]),
        notification(9, "channel", "payload"),
        setting("TimeZone", "Asia/Tokyo"),
    ]
    .concat();

    let mut all = Vec::new();
    let mut add = |name, at_once, actions, parts: &[&[u8]], events, sent| {
        all.push(Scenario {
            name,
            actions,
            at_once,
            bytes: parts.concat(),
            events,
            sent,
        });
    };
    add(
        "a statement is parsed once",
        1,
        vec![query(&select), query(&select), query(&insert)],
        &[&first, &again, &inserted],
        "CRTZCRTZTZ",
        "PDBESBESPDBES",
    );
    add(
        "at once: what is being prepared is not relied upon",
        3,
        vec![query(&select), query(&select), Action::Simple],
        &[&first, &first, &answer, &done],
        "CRTZCRTZCRTZ",
        "PDBESPDBESQ",
    );
    add(
        "the first of several fails",
        2,
        vec![query(&select), query(&select), query(&select)],
        &[&refused, &first, &first],
        "FZCRTZCRTZ",
        "PDBESPDBESPDBES",
    );
    add(
        "an error while executing keeps what is prepared",
        1,
        vec![query(&select), query(&select)],
        &[&parsed, &table, &bound, &rows, &refused, &again],
        "CRFZCRTZ",
        "PDBESBES",
    );
    add(
        "an error behind the parsing closes what cannot be used",
        1,
        vec![query(&select), query(&select)],
        &[&parsed, &refused, &closed, &first],
        "FZCRTZ",
        "PDBESCPDBES",
    );
    add(
        "an error at the end of the transaction",
        1,
        vec![query(&insert), Action::Sync],
        &[
            &parsed,
            &no_data,
            &bound,
            &complete("INSERT 0 1"),
            &refused,
            &done,
        ],
        "TFZZ",
        "PDBESS",
    );
    add(
        "no rows",
        1,
        vec![query(&select)],
        &[&parsed, &table, &bound, &complete("SELECT 0"), &ready(b'T')],
        "CTZ",
        "PDBES",
    );
    add(
        "an empty statement",
        1,
        vec![query(&insert), Action::Simple],
        &[
            &parsed, &no_data, &bound, &no_query, &done, &no_query, &done,
        ],
        "TZTZ",
        "PDBESQ",
    );
    add(
        "rows without columns",
        1,
        vec![query(&select)],
        &[
            &parsed,
            &row_description(&[]),
            &bound,
            &row(&[]),
            &row(&[]),
            &complete("SELECT 2"),
            &done,
        ],
        "CRTZ",
        "PDBES",
    );
    add(
        "described, run, run again",
        1,
        vec![Action::Describe(Arc::clone(&select)), query(&select)],
        &[&parsed, &table, &again, &again],
        "XCRTZCRTZ",
        "PDHBESBES",
    );
    add(
        "described and not run",
        1,
        vec![Action::DescribeOnly(Arc::clone(&insert)), query(&insert)],
        &[
            &parsed,
            &no_data,
            &done,
            &bound,
            &complete("INSERT 0 1"),
            &done,
        ],
        "XZTZ",
        "PDHSBES",
    );
    add(
        "describing fails",
        1,
        vec![Action::Describe(Arc::clone(&select)), Action::Sync],
        &[&refused, &done],
        "FZZ",
        "PDHSS",
    );
    add(
        "several statements in one text",
        1,
        vec![Action::Simple],
        &[
            &complete("BEGIN"),
            &answer,
            &answer,
            &complete("COMMIT"),
            &done,
        ],
        "TCRTCRTTZ",
        "Q",
    );
    add(
        "several statements of which one fails",
        1,
        vec![Action::Simple, Action::Sync],
        &[&answer, &refused, &done],
        "CRTFZZ",
        "QS",
    );
    add(
        "what comes in between",
        1,
        vec![query(&select), Action::Simple],
        &[
            &noise,
            &parsed,
            &noise,
            &table,
            &noise,
            &bound,
            &rows,
            &noise,
            &rows,
            &complete("SELECT 6"),
            &noise,
            &done,
            &noise,
            &answer,
            &noise,
            &done,
            &noise,
        ],
        "NAGNAGNAGCRNAGRTNAGZNAGCRTNAGZNAG",
        "PDBESQ",
    );
    add(
        "a portal",
        1,
        vec![
            Action::Simple,
            Action::Portal(Arc::clone(&select)),
            Action::Fetch,
            Action::ClosePortal,
        ],
        &[
            &complete("BEGIN"),
            &ready(b'T'),
            &parsed,
            &table,
            &bound,
            &rows,
            &suspended,
            &ready(b'T'),
            &rows,
            &complete("SELECT 3"),
            &ready(b'T'),
            &closed,
            &ready(b'T'),
        ],
        "TZCRPZRTZZ",
        "QPDBESESCS",
    );
    add(
        "data for the server",
        1,
        vec![Action::CopyIn, Action::Simple],
        &[
            &copy_response(b'G', true, 2),
            &complete("COPY 1"),
            &done,
            &answer,
            &done,
        ],
        "ITZCRTZ",
        "QdcQ",
    );
    add(
        "data that the server refuses",
        1,
        vec![Action::CopyIn, Action::Sync],
        &[&copy_response(b'G', false, 2), &refused, &done],
        "IFZZ",
        "QdcS",
    );
    add(
        "data from the server",
        1,
        vec![Action::CopyOut, Action::Sync],
        &[
            &copy_response(b'H', false, 2),
            &message(b'd', b"1\tx\n"),
            &message(b'd', &[9; 400]),
            &message(b'd', b""),
            &copied,
            &complete("COPY 2"),
            &done,
            &done,
        ],
        "OdddTZZ",
        "QS",
    );
    add(
        "a copy that nobody asked for",
        1,
        vec![
            query(&insert),
            Action::Simple,
            query(&insert),
            Action::Simple,
        ],
        &[
            &parsed,
            &no_data,
            &bound,
            &copy_response(b'G', false, 1),
            &refused,
            &copy_response(b'G', false, 1),
            &refused,
            &bound,
            &copy_response(b'H', false, 1),
            &message(b'd', b"1\n"),
            &copied,
            &complete("COPY 1"),
            &done,
            &copy_response(b'H', false, 1),
            &message(b'd', b"1\n"),
            &copied,
            &complete("COPY 1"),
            &answer,
            &done,
        ],
        "FZFZFZFZ",
        "PDBESfSQfBESQ",
    );
    add(
        "a statement is forgotten",
        1,
        vec![
            query(&select),
            Action::Forget(Arc::clone(&select)),
            query(&select),
        ],
        &[&first, &closed, &done, &first],
        "CRTZZCRTZ",
        "PDBESCSPDBES",
    );
    add(
        "the server forgets its statements",
        1,
        vec![query(&select), Action::Simple, query(&select)],
        &[&first, &complete("DISCARD ALL"), &done, &first],
        "CRTZTZCRTZ",
        "PDBESQPDBES",
    );
    add(
        "the server says goodbye",
        1,
        vec![query(&select)],
        &[
            &parsed,
            &report(
                b'E',
                &[(b'S', "FATAL"), (b'C', "57P01"), (b'M', "shutting down")],
            ),
        ],
        "!",
        "PDBES",
    );
    all
}
