"""Everything of resources that touches Dagster and its insides: storage, the instance of a home, runs.

Private parts of Dagster 1.13 used: `_engine` of the three storages, the claim of a pool's slot, the origins of runs,
`core_execute_run`. Each use says what it replaces; tests/test_instance.py fails where a new version changes them.
"""
