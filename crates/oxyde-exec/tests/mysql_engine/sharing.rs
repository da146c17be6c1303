//! Reads that share a busy connection.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use oxyde_exec::{CancelFlag, ErrorKind, Job};

use crate::answers::{query, statement};
use crate::home::{close, one, open, rows};
use crate::polling::LOOP;

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn reads_share_a_busy_connection_and_get_their_own_answers() {
    let (db, _) = open(|config| config.pool.max_connections = 1);
    one(&db, "SELECT 1");
    let statements = [
        statement("SELECT CONCAT(?, '')"),
        statement("SELECT CONCAT(?, '', '')"),
    ];
    let (sender, receiver) = channel();
    let mut expected = Vec::new();
    for number in 0..500_usize {
        let value = number.to_string();
        // The second one is not prepared yet when it comes.
        let sql = &statements[usize::from(number > 100 && number % 3 == 0)];
        let (work, kept) = query(sql, &[&value], true);
        expected.push((value, kept));
        let sender = sender.clone();
        db.run_on(
            LOOP,
            Job::new(work),
            None,
            Box::new(move |result, _| sender.send(result.map(drop)).unwrap()),
        );
    }
    for _ in 0..500 {
        receiver
            .recv_timeout(Duration::from_secs(20))
            .unwrap()
            .unwrap();
    }
    for (value, kept) in expected {
        assert_eq!(kept.texts(), [[Some(value)]]);
    }
    close(&db);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn cancelled_reads_that_share_a_connection_take_no_other_with_them() {
    let (db, _) = open(|config| config.pool.max_connections = 1);
    let slow = statement(
        "SELECT COUNT(*) FROM information_schema.collations a, information_schema.collations b, \
         (SELECT ? AS c) c",
    );
    let quick = statement("SELECT CONCAT(?, '')");
    rows(&db, &slow, &["a"]);
    rows(&db, &quick, &["a"]);
    for round in 0..40_u64 {
        let (sender, receiver) = channel();
        let mut flags = Vec::new();
        let mut expected = Vec::new();
        for number in 0..10 {
            let value = number.to_string();
            let sql = if number % 5 == 1 { &slow } else { &quick };
            let (work, kept) = query(sql, &[&value], true);
            let flag = Arc::new(CancelFlag::new());
            let sender = sender.clone();
            let cancelled = number % 5 == 1;
            if cancelled {
                flags.push(Arc::clone(&flag));
            } else {
                expected.push((value, kept));
            }
            db.run_on(
                LOOP,
                Job::with_cancel(work, flag, None),
                None,
                Box::new(move |result, _| sender.send((cancelled, result.map(drop))).unwrap()),
            );
        }
        thread::sleep(Duration::from_micros(round * 100));
        for flag in flags {
            db.cancel(&flag);
        }
        for _ in 0..10 {
            let (cancelled, result) = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
            match result {
                Ok(()) => {}
                Err(error) => assert!(
                    cancelled && error.kind == ErrorKind::Cancelled,
                    "{cancelled} {error:?}"
                ),
            }
        }
        for (value, kept) in expected {
            assert_eq!(kept.texts(), [[Some(value)]]);
        }
    }
    close(&db);
}
