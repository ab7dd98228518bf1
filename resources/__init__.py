"""Remembers and rations: settings, store, ledger, database, compute."""
