"""Keeps records and shows them: store, submission checks, table, result pages."""
