"""Typed data in, safe HTML out: pure functions that know nothing of Gradio, stores or the network."""
