"""Reasoning data: one schema, readers of what others made, filters, decontamination, mixtures, statistics, cards."""
