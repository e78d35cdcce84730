"""A small campaign of SIGKILLs through a fault server; `python -m benchmarks.kill_campaign` is the large one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kill_campaign import FORKS, PRELOADED, Case, Found, judged, run_case

CASES = [
    Case(seed=1, fault="reset", rate=0.1, kills=((0.3, "both"),)),
    Case(seed=2, fault="503", rate=0.2, kills=((0.2, "worker"), (0.6, "engine"))),
    Case(seed=3, fault="half open", rate=0.05, kills=((0.5, "worker"),)),
]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The undisturbed run. Workers are forked from a process that has imported everything: a run takes seconds."""
    FORKS.set_forkserver_preload(PRELOADED)
    found = run_case(Case(seed=0, fault=None, rate=0.0, kills=()), tmp_path_factory.mktemp("calm"))
    assert found.score is not None
    assert found.published == 1
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_run_that_is_killed_and_meets_faults_ends_with_the_undisturbed_result(
    case: Case, calm: Found, tmp_path: Path
) -> None:
    found = run_case(case, tmp_path)
    assert not judged(found, calm)
    assert found.faulted > 0


@pytest.mark.parametrize(("fault", "code"), [("401", "engine_refused"), ("400", "incomplete_measurement")])
def test_a_permanent_fault_ends_the_job_with_its_code_and_publishes_nothing(
    fault: str, code: str, calm: Found, tmp_path: Path
) -> None:
    del calm  # only its preloaded process is needed
    found = run_case(Case(seed=0, fault=fault, rate=0.05, kills=()), tmp_path)
    assert (found.code, found.published, found.damaged) == (code, 0, "")
