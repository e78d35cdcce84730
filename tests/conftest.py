"""Shared by all tests: the heavy ones run one after another, beside the fast ones."""

import pytest

HEAVY = {"engine", "training", "browser"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One xdist group for whatever starts an engine, a training or a browser: together they would starve each other."""
    for item in items:
        if HEAVY & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.xdist_group("heavy"))
