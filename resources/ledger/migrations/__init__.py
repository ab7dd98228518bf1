"""Alembic's folder of the ledger's versions."""
