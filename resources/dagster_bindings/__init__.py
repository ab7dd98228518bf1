"""Everything of resources that touches Dagster and its insides: storage, the instance of a home, runs.

Private parts of Dagster 1.13 used: `_engine` of the three storages and their looks for tables, `_instance_weakref`, the
claim of a pool's slot and the wait for it, the origins of runs, `core_execute_run`, the modules a run imports. Each use
says what it replaces; tests/test_instance.py and tests/test_launcher.py fail where a new version changes them.
"""
