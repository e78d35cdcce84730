"""The training process: runs in the engine's environment, the only place that imports TRL and torch."""
