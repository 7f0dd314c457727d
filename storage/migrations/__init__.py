"""Alembic migrations of the main store, one revision a module."""
