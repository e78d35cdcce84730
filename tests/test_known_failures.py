"""Eleven ways in which evaluations of reasoning models went wrong elsewhere, each shown to be closed here.

Each test goes through public functions from end to end: a server on a real socket, the journal, grading processes, the
store and the page, as far as the failure reaches. The figures in the comments are those of the published incidents.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from math import sqrt
from pathlib import Path

import pytest

from evaluator.benchmarks import AIME_2024, GPQA_DIAMOND, MATH_500
from evaluator.differences import differences
from evaluator.engine_plan import plan_engine
from evaluator.errors import IncompleteMeasurement, PlanRejected
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.plan import generation_key, protocol_key
from evaluator.samples import load_samples
from evaluator.server_line import server_command
from evaluator.types import Checkpoint, Sample, Sampling, UngradedReason, Verdict
from leaderboard.board import Board
from leaderboard.chart_data import charts_json
from leaderboard.payload import board_json, details_json
from leaderboard.references import REFERENCE_FILE, published_scores
from leaderboard.results import not_ranked_because, publish_changes, result_row
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import Store, update
from leaderboard.submissions import ResolvedModel, check_submission
from leaderboard.table import read_attempts
from leaderboard.types import ReferenceKind
from leaderboard.views.result import result_head
from tests.evaluator.test_engine_plan import H100X8, shape
from tests.evaluator.test_evaluate import Run, evaluation
from tests.evaluator.test_grading_pool import item
from tests.evaluator.test_samples import gpqa_row, math_row, mirror_of
from tests.fakes.openai_server import ERROR_BODY, FakeOpenAI, Reply, Status, first
from tests.leaderboard.measurements import COMMIT, checkpoint, measurement, publish

AT = "2026-01-02T03:04:05+00:00"
DISTILL_LLAMA_8B = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"


@pytest.fixture(scope="module")
def grader() -> Iterator[GraderPool]:
    with GraderPool(workers=1) as pool:
        yield pool


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(lambda prompt, _: f"\\boxed{{{prompt.split()[-1]}}}", model="m") as fake:
        yield fake


@pytest.fixture
def run(server: FakeOpenAI, tmp_path: Path, grader: GraderPool) -> Run:
    return Run(server, tmp_path / "journal.db", grader)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return SqliteStore(tmp_path / "store.db")


def test_1_pass_at_1_is_never_divided_by_more_attempts_than_there_are(run: Run, server: FakeOpenAI) -> None:
    """Elsewhere 64 were asked for, 8 existed, and 0.44 became 0.05."""
    asked = evaluation(3, 8)
    server.answer = lambda prompt, seed: f"\\boxed{{{prompt.split()[-1] if seed % 2 else 'wrong'}}}"
    server.faults = lambda request: Status(400, "too long") if request.prompt.endswith(" 2") else None
    with pytest.raises(IncompleteMeasurement, match=r"8 of 24 attempts are ungraded \(refused_400 8\)"):
        run(asked)
    whole = replace(asked, samples=asked.samples[:2])
    (measured,) = run(whole)
    assert measured.statistics.score == pytest.approx(100 * measured.verdicts["correct"] / 16)
    # The journal holds 8 attempts at each problem; a plan that asks for 4 divides by 4.
    (fewer,) = run(replace(whole, plan=replace(whole.plan, attempts=4)))
    assert fewer.statistics.score == pytest.approx(100 * fewer.verdicts["correct"] / 8)


def test_2_gpqas_option_order_depends_on_question_and_attempt_alone(tmp_path: Path) -> None:
    """Elsewhere a global generator drew it, so that it changed with the tasks that ran before."""
    gpqa = mirror_of(tmp_path / "gpqa", GPQA_DIAMOND, gpqa_row)
    random.seed(1)
    alone = load_samples(GPQA_DIAMOND, attempts=8, mirror=gpqa)
    random.seed(2)
    load_samples(MATH_500, attempts=4, mirror=mirror_of(tmp_path / "math", MATH_500, math_row))
    after_another_task = load_samples(GPQA_DIAMOND, attempts=8, mirror=gpqa)
    assert alone == after_another_task
    assert len({sample.options for sample in alone if sample.problem_id == "rec000"}) > 1


def test_3_an_answer_that_was_cut_off_is_told_apart_from_a_wrong_one_up_to_the_page(
    run: Run, server: FakeOpenAI, store: Store
) -> None:
    """Elsewhere finish_reason was dropped: 19 to 45 % of long answers were cut, and looked wrong."""
    server.answer = lambda _, seed: Reply(
        text="<think>still thinking" if seed % 2 else "\\boxed{-1}", finish_reason="length" if seed % 2 else "stop"
    )
    (measured,) = run(evaluation(10, 2))
    cut = sum(request.seed % 2 for request in server.requests)
    assert 0 < cut < 20
    assert (measured.truncated, measured.verdicts["no_answer"], measured.verdicts["incorrect"]) == (cut, cut, 20 - cut)
    weights = Checkpoint(model=measured.plan.model, commit=measured.plan.commit)
    (_,), changes = publish_changes([measured], checkpoint=weights, measured_at=AT)
    update(store, lambda _: changes, message="published")
    board = Board(store)
    shown = details_json(board.standings(), version="")["cells"][measured.plan.benchmark]
    assert shown["cut"] == [round(1000 * cut / 20)]
    stored = read_attempts(changes[f"attempts/{generation_key(measured.plan)}.parquet"] or b"")
    assert sum(attempt.finish_reason == "length" for attempt in stored) == cut


def test_4_the_context_is_prompt_plus_budget_and_a_prompt_that_does_not_fit_is_refused() -> None:
    """Elsewhere the context was the budget alone, and prompts were cut to their last tokens in silence."""
    planned = plan_engine(shape(), devices=H100X8, prompt_tokens=5_000, max_tokens=32_768)
    command = server_command(planned, python="python", folder=Path("model"), served_name="m", port=8000)
    assert command[command.index("--max-model-len") + 1] == str(5_000 + 32_768)
    with pytest.raises(PlanRejected, match=r"prompt \(5000\) plus answer budget \(32768\)"):
        plan_engine(shape(context=32_768), devices=H100X8, prompt_tokens=5_000, max_tokens=32_768)


def test_5_a_failed_request_is_neither_an_answer_nor_a_score_and_can_be_asked_again(
    run: Run, server: FakeOpenAI
) -> None:
    """Elsewhere it was stored as an empty answer, scored wrong, and cached."""
    asked = evaluation(4, 2)
    key = generation_key(asked.plan)
    server.faults = lambda request: Status(400, "broken") if request.prompt.endswith(" 3") else None
    with pytest.raises(IncompleteMeasurement, match="2 of 8"):
        run(asked)
    with Journal(run.journal) as journal:
        assert len(journal.completions(key)) == 6
        assert all(completion.text for completion in journal.completions(key))
        assert journal.forget_refusals(key, because="a person") == 2
    # An error in the shape of an answer (HTTP 200 without a choice) is sent again, not kept.
    server.faults = first(len(server.requests) + 1, ERROR_BODY)
    (measured,) = run(asked)
    assert measured.statistics.score == 100
    assert server.ended()["raw"] == 1


def test_6_a_revision_is_resolved_to_the_commit_of_the_weights_that_were_measured(store: Store) -> None:
    """Elsewhere it was kept as `main`: nobody can tell which weights were measured."""

    def resolve(model: str, revision: str | None) -> ResolvedModel:
        return ResolvedModel(model=model, source=model, revision=revision, commit=COMMIT)

    form = {"model": "owner/model", "revision": "main", "benchmarks": ["math_500"]}
    submission = check_submission(form, local_mode=False, resolve=resolve)
    assert (submission.revision, submission.commit) == ("main", COMMIT)
    publish(store, measurement([4, 0], bench="math_500"))
    (row,) = Board(store).rows()
    assert (row.revision, row.commit, row.ranked) == ("main", COMMIT, True)
    moved = measurement([4, 0], bench="math_500", commit="b" * 40)
    assert generation_key(moved.plan) != row.generation_key
    assert "commit of the weights is unknown" in not_ranked_because(replace(moved.plan, commit=None))


def test_7_a_grader_that_fails_gives_no_verdict_and_a_busy_machine_changes_none(run: Run, server: FakeOpenAI) -> None:
    """Elsewhere its crash counted as wrong, and its timeouts depended on the machine's load."""
    server.answer = lambda *_: "\\boxed{\\frac{83}{2}+\\sqrt{3}x}"
    with GraderPool(workers=1, memory_limit_bytes=1 << 16) as starved:
        score = starved.submit(item("\\frac{83}{2}+\\sqrt{3}x")).result(timeout=60)
        assert (score.verdict, score.reason) == (Verdict.UNGRADED, UngradedReason.GRADER_STOPPED)
        with pytest.raises(IncompleteMeasurement, match="grader_stopped 2"):
            Run(server, run.journal, starved)(evaluation(2, 1))
    answers = [f"\\frac{{{n}}}{{2}}" for n in range(60, 90)] + ["\\sqrt{1764}", "6 \\cdot 7 + 0x", "(x+1)^2"]
    quiet = verdicts(answers)
    with ExitStack() as stack:
        for _ in range(4):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(busy.kill)
        assert verdicts(answers) == quiet
    assert Verdict.UNGRADED not in quiet


def verdicts(answers: list[str]) -> list[Verdict]:
    with GraderPool(workers=1, cpu_limit_s=1.0) as pool:
        futures = [pool.submit(item(answer)) for answer in answers]
        return [future.result(timeout=120).verdict for future in futures]


def test_8_votes_are_counted_on_equal_answers_and_repeats_are_not_new_problems(run: Run, server: FakeOpenAI) -> None:
    """Elsewhere maj@n compared whole texts, and error bars took repeats for problems: two to four times too small."""
    wordings = iter(
        ["So \\boxed{\\frac{1}{2}}.", "\\boxed{0.5}", "It is \\boxed{\\dfrac12}", "\\boxed{7}", "\\boxed{7}"]
    )
    server.answer = lambda *_: next(wordings)
    one = replace(evaluation(1, 5), samples=(Sample(problem_id="half", prompt="one half", target="1/2"),))
    (measured,) = run(one)
    assert measured.verdicts["correct"] == 3
    assert measured.statistics.maj_at_n == 100
    clustered = measurement([64] * 15 + [0] * 15, bench="aime_2024", attempts=64).statistics
    as_if_independent = 100 * sqrt(0.5 * 0.5 / (30 * 64))
    assert clustered.stderr_questions > 4 * as_if_independent


def test_9_one_output_copied_ten_times_is_neither_asked_for_nor_believed(run: Run, server: FakeOpenAI) -> None:
    """Elsewhere one greedy output was shown as ten runs. Greedy is not reproducible either."""
    (measured,) = run(evaluation(2, 10))
    assert len({request.seed for request in server.requests}) == len(server.requests) == 20
    assert {(r.body["temperature"], r.body["n"]) for r in server.requests} == {(0.6, 1)}
    greedy = replace(measured.plan, sampling=Sampling(temperature=0.0))
    assert "sampling parameters" in not_ranked_because(greedy)
    # Even where a server ignores its seeds, copies make no interval narrower.
    once = measurement([1] * 12 + [0] * 18, bench="aime_2024", attempts=1).statistics
    copied = measurement([10] * 12 + [0] * 18, bench="aime_2024", attempts=10).statistics
    assert copied.ci95 == pytest.approx(once.ci95)
    assert copied.stderr_questions == pytest.approx(once.stderr_questions)


def test_10_a_published_score_is_shown_with_its_own_source_and_never_overwritten_by_a_later_table(
    tmp_path: Path,
) -> None:
    """DeepSeek reports 50.4 for Distill-Llama-8B on AIME 2024; a later table shows 41.7 in its place."""
    later = {"model": DISTILL_LLAMA_8B, "benchmark": AIME_2024.name, "score": 41.7, "kind": "measured"}
    later |= {
        "source": "A later table",
        "url": "https://example.org/table",
        "date": "2025-05-09",
        "settings": "unknown",
    }
    path = tmp_path / "scores.jsonl"
    path.write_text(f"{REFERENCE_FILE.read_text(encoding='utf-8').rstrip()}\n{json.dumps(later)}\n", encoding="utf-8")
    found = [s for s in published_scores(path) if (s.model, s.benchmark) == (DISTILL_LLAMA_8B, AIME_2024.name)]
    assert [(s.score, s.source) for s in found if s.kind is ReferenceKind.REPORTED] == [(50.4, "DeepSeek-R1 paper")]
    shown = {row["score"]: row for row in charts_json((), {}, found, version="")["published"]}
    assert (shown[50.4]["source"], shown[50.4]["kind"]) == ("DeepSeek-R1 paper", "reported")
    assert (shown[41.7]["source"], shown[41.7]["kind"]) == ("A later table", "measured elsewhere")
    assert not any(s.score == 41.7 for s in published_scores() if s.model == DISTILL_LLAMA_8B)


def test_11_rows_of_different_settings_never_share_a_rank_and_the_page_says_how_they_differ(store: Store) -> None:
    """One team measured the same checkpoints five times in four months: up to 10.3 points apart as settings changed."""
    ours = measurement([4] * 8 + [0] * 2, bench="math_500", model="a/one")
    rival = measurement([4] * 7 + [0] * 3, bench="math_500", model="b/two")
    greedy = measurement([4] * 10, bench="math_500", model="c/three", sampling=Sampling(temperature=0.0))
    for measured in (ours, rival, greedy):
        publish(store, measured, weights=checkpoint(measured.plan.model))
    shown = {entry.model: entry.scores["math_500"] for entry in Board(store).leaderboard()}
    assert (shown["a/one"].compared, shown["b/two"].compared) == (2, 2)
    assert (shown["c/three"].rank, shown["c/three"].ranked) == (None, False)
    assert list(shown) == ["a/one", "b/two", "c/three"]
    assert protocol_key(ours.plan) == protocol_key(rival.plan) != protocol_key(greedy.plan)
    assert differences(ours.plan, greedy.plan) == ["temperature 0.6 vs 0.0"]
    row = result_row(greedy, checkpoint=checkpoint("c/three"), measured_at=AT)
    assert "sampling parameters other than the protocol" in result_head(row)
    assert "temperature 0.6 vs 0.0" in result_head(row)
    page = board_json(Board(store).standings(), (), version="")
    rows = dict(zip(page["rows"]["model"], page["rows"]["protocol"], strict=True))
    assert rows["a/one"] == rows["b/two"] != rows["c/three"]
    assert "temperature 0.6 vs 0.0" in page["protocols"][rows["c/three"]]["words"]
    assert "temperature 0.6 vs 0.0" not in page["protocols"][rows["a/one"]]["words"]
    assert page["cells"]["math_500"]["best"][0] == 0
