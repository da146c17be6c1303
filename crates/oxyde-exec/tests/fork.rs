//! A fork in the middle of everything: the child goes on afresh or says why not, the parent does not notice.
//!
//! One test only: a forked child of a test process must not run other tests.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use oxyde_exec::{
    Cells, ErrorKind, Inline, Job, LeaseStatus, Outcome, Rows, fork_child, fork_parent,
    fork_prepare, shutdown_all,
};

/// Forks as Python's `os.fork` does; the child's exit code says whether `child` succeeded.
fn fork(child: impl FnOnce() -> Result<(), String>) {
    let start = Instant::now();
    fork_prepare();
    let prepared = start.elapsed();
    // SAFETY: the child runs only the closure, which touches nothing but what `fork_child` made safe, and `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        fork_child();
        // A child that hangs must not hang the test.
        // SAFETY: plain system call.
        unsafe { libc::alarm(20) };
        let code = match child() {
            Ok(()) => 0,
            Err(reason) => {
                eprintln!("in the child: {reason}");
                1
            }
        };
        // SAFETY: leaves without running the parent's exit handlers.
        unsafe { libc::_exit(code) };
    }
    fork_parent();
    assert!(prepared < Duration::from_millis(500), "{prepared:?}");
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(status, 0, "the child's exit status");
}

fn expect(condition: bool, what: &str) -> Result<(), String> {
    if condition {
        Ok(())
    } else {
        Err(what.to_owned())
    }
}

#[test]
fn forks() {
    let dir = tempfile::tempdir().unwrap();
    let file = file_db(&dir.path().join("a.db"));
    let memory = memory_db();
    for db in [&file, &memory] {
        exec(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").unwrap();
        exec(db, "INSERT INTO t VALUES (1, 0)").unwrap();
    }
    let increment = "UPDATE t SET n = n + 1";
    let sql: std::sync::Arc<str> = "SELECT n FROM t WHERE id = ?".into();
    let look_up = || {
        let mut rows = Rows::new();
        let inline = file
            .inline_lock()
            .map(|mut guard| guard.run(&sql, &ints(&[1]), &mut rows));
        matches!(inline, Some(Inline::Done)).then(|| rows.get(0, 0).is_some())
    };
    assert_eq!(look_up(), Some(true));
    let by_id: std::sync::Arc<str> = "UPDATE t SET n = n + 1 WHERE id = ?".into();
    // On this thread if possible; true if it was.
    let inline_write = || {
        let mut out = Outcome::default();
        let inline = file
            .inline_write_lock()
            .map(|mut guard| guard.run(&by_id, &ints(&[1]), &mut out));
        match inline {
            Some(Inline::Done) => Ok(true),
            Some(Inline::Failed(error)) => Err(error),
            _ => run(&file, write_work(&by_id, ints(&[1]))).map(|_| false),
        }
    };

    // Quiet: the file goes on in the child, the memory database cannot; both lock each other out as they should.
    fork(|| {
        exec(&file, increment).map_err(|error| error.to_string())?;
        expect(look_up() == Some(true), "inline look-up")?;
        for _ in 0..100 {
            // The first write of a log is not.
            if inline_write().map_err(|error| error.to_string())? {
                break;
            }
        }
        expect(
            inline_write().map_err(|error| error.to_string())?,
            "inline write",
        )?;
        let undo = write_work("UPDATE t SET n = 1", Cells::new());
        run(&file, undo).map_err(|error| error.to_string())?;
        let error = exec(&memory, increment).map_err(|error| (error.kind, error.message.clone()));
        expect(
            matches!(&error, Err((ErrorKind::Closed, message)) if message.contains("memory of the parent")),
            &format!("memory: {error:?}"),
        )?;
        // A grandchild.
        fork(|| {
            exec(&file, increment)
                .map(|_| ())
                .map_err(|error| error.to_string())
        });
        expect(
            shutdown_all(Duration::from_secs(5)),
            "shutdown in the child",
        )
    });
    assert_eq!(int(&file, "SELECT n FROM t"), 2);
    assert_eq!(look_up(), Some(true));
    assert_eq!(int(&memory, "SELECT n FROM t"), 0);
    fork(|| {
        let lease = begun(&file);
        in_lease(&lease, write_work(increment, Cells::new()))
            .0
            .map_err(|error| error.to_string())?;
        // The child holds the lock for real: another process has to wait for it.
        let output = std::process::Command::new("python3")
            .args(["-c", "import sqlite3, sys\ntry: sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')\nexcept sqlite3.OperationalError as e: print(e)"])
            .arg(dir.path().join("a.db"))
            .output()
            .map_err(|error| error.to_string())?;
        expect(
            String::from_utf8_lossy(&output.stdout).contains("locked"),
            "the lock is not real",
        )?;
        commit(&lease)
            .map(|_| ())
            .map_err(|error| error.to_string())
    });
    assert_eq!(int(&file, "SELECT n FROM t"), 3);

    // With a transaction open: the child is refused, the transaction goes on in the parent.
    let lease = begun(&file);
    in_lease(&lease, write_work(increment, Cells::new()))
        .0
        .unwrap();
    fork(|| {
        let error = exec(&file, increment).map_err(|error| error.message.clone());
        expect(
            matches!(&error, Err(message) if message.contains("a transaction was open")),
            &format!("{error:?}"),
        )?;
        expect(lease.status() == LeaseStatus::Closed, "the parent's lease")?;
        expect(
            commit(&lease).is_err_and(|error| error.kind == ErrorKind::TransactionClosed),
            "commit",
        )
    });
    commit(&lease).unwrap();
    assert_eq!(int(&file, "SELECT n FROM t"), 4);

    // Under load: fork while other threads read and write.
    let stop = AtomicBool::new(false);
    let written_inline = AtomicU32::new(0);
    let count = thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        match count % 3 {
                            0 => exec(&file, increment).map(drop).unwrap(),
                            _ => {
                                let inline = inline_write().unwrap();
                                written_inline.fetch_add(u32::from(inline), Ordering::Relaxed);
                            }
                        }
                        assert!(int(&file, "SELECT n FROM t") > 0);
                        look_up();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(5));
            fork(|| match exec(&file, "SELECT 1") {
                Ok(_) => Ok(()),
                Err(error) if error.kind == ErrorKind::Closed => Ok(()),
                Err(error) => Err(error.to_string()),
            });
        }
        stop.store(true, Ordering::Relaxed);
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum::<i64>()
    });
    assert_eq!(int(&file, "SELECT n FROM t"), 4 + count);
    assert!(written_inline.load(Ordering::Relaxed) > 0);

    // A write on the calling thread that has not ended: like any other statement.
    while !inline_write().unwrap() {}
    let before = int(&file, "SELECT n FROM t");
    let mut guard = file.inline_write_lock().unwrap();
    fork(|| {
        let error = exec(&file, increment).map_err(|error| error.message.clone());
        expect(
            matches!(&error, Err(message) if message.contains("statement was running")),
            &format!("{error:?}"),
        )
    });
    let mut out = Outcome::default();
    let inline = guard.run(&by_id, &ints(&[1]), &mut out);
    assert!(matches!(inline, Inline::Done));
    drop(guard);
    assert_eq!(int(&file, "SELECT n FROM t"), before + 1);

    // A statement that does not stop in time: refused in the child, undisturbed in the parent.
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let job = Job::new(read_work(&slow_sql(3_000_000), Cells::new()));
    file.run(
        job,
        None,
        Box::new(move |result, _| sender.send(result.is_ok()).unwrap()),
    );
    thread::sleep(Duration::from_millis(20));
    fork(|| {
        let error = exec(&file, increment).map_err(|error| error.message.clone());
        expect(
            matches!(&error, Err(message) if message.contains("statement was running")),
            &format!("{error:?}"),
        )
    });
    assert!(receiver.recv().unwrap());
    drop(lease);
    assert!(shutdown_all(Duration::from_secs(5)));
    assert_eq!(exec(&file, increment).unwrap_err().kind, ErrorKind::Closed);
}
