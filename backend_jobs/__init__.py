"""Decides what runs next, where, and runs it: evaluate and train."""
