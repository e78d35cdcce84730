"""Servers that speak the real protocols over real sockets: deterministic, scriptable, honest about what they saw."""
