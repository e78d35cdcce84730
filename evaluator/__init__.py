"""Turns a plan into a measurement. Knows nothing of boards, queues or the Hub's repositories."""
