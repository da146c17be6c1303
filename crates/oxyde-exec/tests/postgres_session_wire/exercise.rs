//! Feeds any bytes to a session whose caller goes along with everything the server says. Used by the tests with
//! hostile servers and by the fuzz target.

use std::sync::Arc;

use oxyde_exec::postgres::session::{Event, Fatal, Limits, Password, Session, SessionConfig};
use oxyde_exec::query::{Encoded, Formats, Statement};

/// What the caller asks for: one after the other, or all at once.
#[derive(Clone, Debug)]
pub enum Action {
    Query(Arc<Statement>),
    Describe(Arc<Statement>),
    /// The same, but nothing is run afterwards.
    DescribeOnly(Arc<Statement>),
    Simple,
    Sync,
    CopyIn,
    CopyOut,
    Portal(Arc<Statement>),
    Fetch,
    ClosePortal,
    Forget(Arc<Statement>),
}

pub fn act(session: &mut Session, action: &Action) {
    let params = no_params();
    // A session that has ended refuses; that is all there is to see.
    let _ = match action {
        Action::Query(statement) => session.query(statement, &params),
        Action::Describe(statement) | Action::DescribeOnly(statement) => {
            session.describe(statement)
        }
        Action::Simple => session.simple("SELECT 1"),
        Action::Sync => session.sync(),
        Action::CopyIn => session.copy_in("COPY t FROM STDIN"),
        Action::CopyOut => session.copy_out("COPY t TO STDOUT"),
        Action::Portal(statement) => session.portal(statement, &params, "portal", 2),
        Action::Fetch => session.fetch("portal", 2),
        Action::ClosePortal => session.close_portal("portal"),
        Action::Forget(statement) => {
            session.forget(statement);
            session.sync()
        }
    };
}

/// Answers an event that waits for an answer. `run`: a described statement is run.
pub fn react(session: &mut Session, event: &Event<'_>, run: bool) {
    match event {
        Event::Described(..) if run => {
            let _ = session.execute_described(&no_params(), &Formats::Binary, None);
        }
        Event::Described(..) => session.end_described(),
        Event::CopyIn(..) => {
            session.copy_data(b"1\n");
            session.copy_done();
        }
        _ => {}
    }
}

pub fn no_params() -> Encoded {
    Encoded {
        count: 0,
        formats: Formats::Text,
        values: Vec::new(),
    }
}

/// Feeds `bytes` in pieces of the lengths that `cut` names. Answers how many events came; `None` when the session
/// found that it cannot go on.
pub fn feed_all(
    session: &mut Session,
    bytes: &[u8],
    actions: &[Action],
    mut cut: impl FnMut() -> usize,
) -> Option<usize> {
    let mut actions = actions.iter();
    let mut rest = bytes;
    let mut events = 0_usize;
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(cut().clamp(1, rest.len()));
        rest = behind;
        loop {
            match session.next(&mut piece) {
                Ok(Some(event)) => {
                    events += 1;
                    let run =
                        !matches!(&event, Event::Described(_, _, columns) if columns.is_empty());
                    react(session, &event, run);
                    if let Event::Rows(_, rows) = &event {
                        let rows = rows.raw();
                        // Wrong lengths inside of a row are for its reader to find; the rows themselves are whole.
                        assert_eq!(rows.iter().count(), rows.count);
                        for row in rows {
                            let held: usize = row
                                .into_iter()
                                .flat_map(|row| row.fields())
                                .map(|field| field.ok().flatten().map_or(0, <[u8]>::len))
                                .sum();
                            assert!(held <= rows.bytes.len());
                        }
                    }
                    if matches!(event, Event::Started | Event::Done(..))
                        && let Some(action) = actions.next()
                    {
                        act(session, action);
                    }
                    session.output().clear();
                }
                Ok(None) => {
                    assert!(piece.is_empty(), "bytes were left lying");
                    break;
                }
                Err(Fatal(error)) => {
                    assert!(!error.message.is_empty());
                    assert!(
                        matches!(session.next(&mut piece), Err(Fatal(again)) if again == error)
                    );
                    assert!(session.simple("SELECT 1").is_err());
                    return None;
                }
            }
        }
        // Each message takes five bytes at the least, and makes one event at the most.
        assert!(events <= bytes.len() / 5, "events out of nothing");
    }
    assert!(!session.end_of_file().0.message.is_empty());
    Some(events)
}

/// Small ones, so that they matter in short inputs.
pub fn limits() -> Limits {
    Limits {
        max_message: 1 << 20,
        max_report: 1 << 16,
        max_backend_small: 1 << 14,
        scram_iterations: 10,
    }
}

/// Two bytes say how, the others are what the server sends.
pub fn exercise(input: &[u8]) {
    let Some(([how, size], bytes)) = input.split_first_chunk::<2>() else {
        return;
    };
    let mut session = Session::new(SessionConfig {
        user: "user".into(),
        database: "database".into(),
        application_name: None,
        statement_cache: 2,
        unnamed: how & 1 != 0,
        limits: limits(),
    });
    let started = session.start(Some(Password::new("secret")), how & 2 != 0);
    assert!(started.is_ok());
    if how & 4 != 0 {
        let mut greeting: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
        assert!(matches!(
            session.next(&mut greeting),
            Ok(Some(Event::Started))
        ));
    }
    let statement = Statement::new("SELECT 1".into(), Vec::new(), Formats::Text);
    let all = [
        Action::Query(Arc::clone(&statement)),
        Action::Simple,
        Action::Describe(Arc::clone(&statement)),
        Action::CopyIn,
        Action::CopyOut,
        Action::Portal(Arc::clone(&statement)),
        Action::Fetch,
        Action::ClosePortal,
        Action::Forget(statement),
        Action::Sync,
    ];
    let first = usize::from(how >> 4) % all.len();
    let (behind, front) = all.split_at(first);
    let actions = [front, behind].concat();
    if how & 4 != 0 {
        for action in actions.iter().take(1 + usize::from(how & 8)) {
            act(&mut session, action);
        }
    }
    feed_all(&mut session, bytes, &actions, || usize::from(*size));
}
