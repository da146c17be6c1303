//! What goes between the greeting of a MySQL server and the TLS handshake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod mysql_session_wire;

use mysql_session_wire::*;
use oxyde_exec::ErrorKind;
use oxyde_exec::mysql::session::{Line, Session, SessionConfig};

const TLS: u64 = 1 << 11;

fn sessions() -> impl Iterator<Item = (Session, Vec<u8>)> {
    let databases = [None, Some("shop".to_owned())];
    databases.into_iter().flat_map(|database| {
        [MYSQL, MARIADB].into_iter().map(move |capabilities| {
            let session = Session::new(SessionConfig {
                database: database.clone(),
                ..config()
            });
            (
                session,
                greeting(capabilities | TLS, "mysql_native_password"),
            )
        })
    })
}

#[test]
fn the_request_is_the_beginning_of_the_login_that_follows() {
    for (mut session, greeting) in sessions() {
        let request = session.tls_request(&greeting).unwrap().unwrap();
        assert_eq!(request[..4], [32, 0, 0, 1]);
        assert_eq!(request.len(), 36);
        assert_ne!(request[5] & 8, 0, "does not ask for TLS");
        session.start(None, Line::Tls, &greeting).unwrap();
        let login = session.output();
        assert_eq!(login[3], 2);
        assert_eq!(login[4..36], request[4..]);
    }
}

#[test]
fn a_login_without_tls_does_not_ask_for_it() {
    for (mut session, greeting) in sessions() {
        session.start(None, Line::File, &greeting).unwrap();
        let login = session.output();
        assert_eq!(login[3], 1);
        assert_eq!(login[5] & 8, 0);
    }
}

#[test]
fn a_server_without_tls_is_not_asked() {
    for capabilities in [MYSQL, MARIADB] {
        let greeting = greeting(capabilities & !TLS, "mysql_native_password");
        assert_eq!(Session::new(config()).tls_request(&greeting).unwrap(), None);
    }
}

#[test]
fn what_is_no_greeting_is_not_asked() {
    let session = Session::new(config());
    let whole = greeting(MYSQL | TLS, "");
    for length in 0..whole.len() - 2 {
        let error = session.tls_request(&whole[..length]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Connect, "{length}");
    }
    let old = greeting(TLS, "");
    let error = session.tls_request(&old).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotSupported);
}
