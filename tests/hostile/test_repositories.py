"""Well-known repositories are accepted, and of each exactly the files that hold data are fetched."""

from __future__ import annotations

import pytest

from leaderboard.hub import HubFile, HubRevision
from tests.hostile.repositories import REPOSITORIES


@pytest.mark.parametrize("name", REPOSITORIES)
def test_of_a_well_known_repository_the_data_is_fetched_and_the_rest_is_listed_as_ignored(name: str) -> None:
    data, beside = REPOSITORIES[name]
    files = tuple(HubFile(name=file, size=1) for file in (*data, *beside))
    revision = HubRevision(model=name, commit="c" * 40, files=files)
    assert sorted(file.name for file in revision.allowed) == sorted(data)
    assert sorted(revision.ignored) == sorted(beside)


def test_at_least_ten_repositories_are_held_against_the_list() -> None:
    assert len(REPOSITORIES) >= 10
