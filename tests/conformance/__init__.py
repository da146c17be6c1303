"""The same cases on every database: what api.md promises a user, asserted through what a user sees.

``lanes.py`` is the one table of databases.  A test asks for ``tables`` (and says which models it needs), runs against
the lane's database as the alias "default", and never names a brand: where databases differ, the lane says so by a
capability, written down by hand with its reason.  ``with lane.can("partial_index"):`` means that the block works where
the capability is there and is refused with NotSupportedError where it is not, so that neither a wrong flag in the
core nor a wrong line in the table can hide behind a skipped test.
"""
