"""What must hold under cancellation, fork, exit, threads and many event loops.

Tests that need a process of their own (exits, forks, signals, an empty stderr) run a script of ``programs/``; the rest
run here. What a database file holds is always read by another process, because two SQLite libraries in one process
cancel each other's locks.

``OXYDE_FAULTS_SEED`` repeats a run (the seed is printed by a test that fails); ``OXYDE_FAULTS_SCALE`` multiplies the
sizes, 1 by default.
"""
