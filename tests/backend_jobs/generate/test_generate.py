"""A whole generation against a teacher that speaks the real protocol: nothing is lost, nothing comes twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import yaml

from backend_jobs.datasets.convert import measure_dataset
from backend_jobs.datasets.parquet import read_columns, rejected_of, row_of
from backend_jobs.datasets.types import ReasoningRow, RejectedRow
from backend_jobs.generate.job import generate
from backend_jobs.generate.recipe import load_generate_recipe, overridden
from backend_jobs.recipe_files import RecipeRejected
from backend_jobs.recipes import load_recipe
from backend_jobs.training_data import find_data, write_rows
from evaluator.arithmetic import benchmark_chains, written_in
from evaluator.errors import Cancelled, CheckpointRejected
from leaderboard.datasets import GenerationProgress
from settings import ROOT, Settings
from tests.backend_jobs.generate.recipes import recipe, run, teacher, write_problems
from tests.fakes.openai_server import FakeOpenAI, Hang, Reply, Status, first
from tests.waiting import until

PROBLEMS = 60


def kept(folder: Path) -> list[ReasoningRow]:
    return [row_of(columns) for path in sorted(folder.glob("data/*.parquet")) for columns in read_columns(path)]


def rejected(folder: Path) -> list[RejectedRow]:
    return [
        rejected_of(columns) for path in sorted(folder.glob("rejected/*.parquet")) for columns in read_columns(path)
    ]


def samples(folder: Path) -> Counter[tuple[str | None, int | None]]:
    """How often each (problem, attempt) stands in a dataset, kept or rejected."""
    rows = [*kept(folder), *(each.row for each in rejected(folder))]
    return Counter((row.generation.problem_id, row.generation.attempt) for row in rows)


ALL = Counter({(str(problem), attempt): 1 for problem in range(PROBLEMS) for attempt in range(2)})


def test_every_sample_is_kept_or_rejected_with_a_reason(tmp_path: Path) -> None:
    with FakeOpenAI(teacher) as fake:
        seen: list[GenerationProgress] = []
        made = run(recipe(write_problems(tmp_path / "sums.jsonl", PROBLEMS), fake.base_url), tmp_path, seen=seen)
    assert samples(made.folder) == ALL
    assert all(row.verified for row in kept(made.folder))
    assert {each.dropped.reason for each in rejected(made.folder)} == {"wrong"}
    row = kept(made.folder)[0]
    assert row.messages[-1].content == f"<think>\n{row.reasoning}\n</think>\n\n{row.answer}"
    assert row.reasoning.startswith("I add the two numbers.")
    assert (row.license, row.source, row.generation.model, row.n_tokens) == ("mit", "set 0", "fake", 13)
    assert row.generation.sampling is not None
    assert row.generation.sampling.temperature == 0.6
    assert made.report.rows + sum(made.report.dropped.values()) == 2 * PROBLEMS
    assert (seen[-1].samples, seen[-1].total, seen[-1].shards) == (2 * PROBLEMS, 2 * PROBLEMS, 3)


def test_the_dataset_loads_with_the_datasets_library(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    with FakeOpenAI(teacher) as fake:
        made = run(recipe(write_problems(tmp_path / "sums.jsonl", PROBLEMS), fake.base_url), tmp_path)
    loaded = datasets.load_dataset(str(made.folder), split="train", cache_dir=str(tmp_path / "cache"))
    dropped = datasets.load_dataset(str(made.folder), "rejected", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == made.report.rows
    assert loaded.column_names == [
        *("messages", "reasoning", "answer", "source", "license", "verified", "n_tokens", "generation")
    ]
    assert loaded[0]["messages"][-1]["role"] == "assistant"
    assert dropped.num_rows == sum(made.report.dropped.values())
    assert set(dropped["reason"]) == {"wrong"}


def test_one_refused_sample_costs_the_others_of_its_problem_nothing(tmp_path: Path) -> None:
    with FakeOpenAI(teacher) as fake:
        fake.faults = lambda asked: Status(400, "too long") if asked.seed % 5 == 0 else None
        made = run(recipe(write_problems(tmp_path / "sums.jsonl", PROBLEMS), fake.base_url), tmp_path)
    refused = [each for each in rejected(made.folder) if each.dropped.reason == "refused"]
    assert refused
    assert samples(made.folder) == ALL
    assert refused[0].dropped.detail == "refused_400: too long"
    assert [message.role for message in refused[0].row.messages] == ["user"]
    partners = {each.row.generation.problem_id for each in refused} & {
        r.generation.problem_id for r in kept(made.folder)
    }
    assert partners


def test_a_server_that_stumbles_costs_no_row(tmp_path: Path) -> None:
    with FakeOpenAI(teacher, faults=first(3, Status(500))) as fake:
        made = run(recipe(write_problems(tmp_path / "sums.jsonl", PROBLEMS), fake.base_url), tmp_path)
    assert samples(made.folder) == ALL
    assert "refused" not in made.report.dropped


def test_a_finished_run_asks_for_nothing_again(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "sums.jsonl", PROBLEMS)
    with FakeOpenAI(teacher) as fake:
        first_made = run(recipe(problems, fake.base_url), tmp_path)
        asked = len(fake.requests)
        second = run(recipe(problems, fake.base_url), tmp_path)
        assert len(fake.requests) == asked == 2 * PROBLEMS
    assert second.report.rows == first_made.report.rows
    assert second.report.sources == first_made.report.sources


def test_another_recipe_under_the_same_name_is_refused(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "sums.jsonl", PROBLEMS)
    with FakeOpenAI(teacher) as fake:
        run(recipe(problems, fake.base_url), tmp_path)
        with pytest.raises(RecipeRejected, match="holds rows of another plan"):
            run(recipe(problems, fake.base_url, decoding={"temperature": 1.0}), tmp_path)


def test_a_cancelled_run_continues_where_it_stopped(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "sums.jsonl", PROBLEMS)
    cancelled = threading.Event()
    with FakeOpenAI(teacher) as fake:
        fake.faults = lambda asked: Hang() if asked.number > 50 else None

        def stop_when_stuck(progress: GenerationProgress) -> None:
            if progress.samples >= 50:
                cancelled.set()

        asked_for = recipe(problems, fake.base_url)
        with pytest.raises(Cancelled):
            generate(
                asked_for,
                Settings(data_dir=tmp_path),
                on_progress=stop_when_stuck,
                cancelled=cancelled,
                concurrency=8,
            )
        before = sum(asked.ended == "answered" for asked in fake.requests)
        fake.faults = lambda _: None
        made = run(asked_for, tmp_path)
        answered = sum(asked.ended == "answered" for asked in fake.requests)
    assert samples(made.folder) == ALL
    assert (before, answered) == (50, 2 * PROBLEMS)


@pytest.mark.parametrize("kill_after", [37, 103])
def test_a_kill_at_any_moment_leaves_the_same_dataset(kill_after: int, tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "sums.jsonl", PROBLEMS)
    with FakeOpenAI(teacher, latency_s=0.01) as fake:
        undisturbed = run(recipe(problems, fake.base_url, run="whole"), tmp_path)
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(recipe(problems, fake.base_url).model_dump(mode="json")), encoding="utf-8")
        fake.requests.clear()
        command = [sys.executable, "-m", "backend_jobs", "generate", str(file), "--concurrency", "4"]
        environment = {**os.environ, "OPEN_R1_DATA": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
            until(lambda: sum(asked.ended == "answered" for asked in fake.requests) >= kill_after)
            process.send_signal(signal.SIGKILL)
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
        paid = len(fake.requests)
    folder = tmp_path / "datasets" / "sums"
    assert samples(folder) == ALL
    assert sorted(kept(folder), key=str) == sorted(kept(undisturbed.folder), key=str)
    assert not list(folder.glob("*/.*.partial"))
    # Lost are what was in flight and what the last commit of the journal did not have yet.
    assert paid <= 2 * PROBLEMS + 4 + 64


def test_duplicates_and_contaminated_problems_are_never_paid_for(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror" / "yentinglin" / "aime_2025"
    mirror.mkdir(parents=True)
    texts = [
        f"On the {n}th island live knights of rank {n} who count their {n} golden shells by moonlight."
        for n in range(30)
    ]
    (mirror / "train.jsonl").write_text("".join(json.dumps({"problem": text}) + "\n" for text in texts))
    rows = [
        {"problem": "What is 1 + 2?", "answer": "3", "from": "a"},
        {"problem": "what  is 1 + 2?", "answer": "3", "from": "a"},
        {"problem": texts[4].replace("4", "7"), "answer": "3", "from": "a"},
        {"problem": "", "answer": "3", "from": "a"},
    ]
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with FakeOpenAI(teacher) as fake:
        asked_for = recipe(problems, fake.base_url, filters={"duplicates": True, "decontaminate": ["aime_2025"]})
        made = run(asked_for, tmp_path, benchmark_mirror=tmp_path / "mirror")
        assert len(fake.requests) == 2
    reasons = {each.row.generation.problem_id: each.dropped.reason for each in rejected(made.folder)}
    assert {"1": "duplicate_problem", "2": "contaminated", "3": "unusable"}.items() <= reasons.items()


def test_a_benchmark_that_cannot_be_read_stops_the_run_before_anything_is_paid(tmp_path: Path) -> None:
    (tmp_path / "mirror" / "yentinglin" / "aime_2025").mkdir(parents=True)
    (tmp_path / "mirror" / "yentinglin" / "aime_2025" / "train.jsonl").write_text('{"problem": "one"}\n')
    with FakeOpenAI(teacher) as fake:
        asked_for = recipe(
            write_problems(tmp_path / "sums.jsonl", 3), fake.base_url, filters={"decontaminate": ["aime_2025"]}
        )
        with pytest.raises(Exception, match="gives 1 problems in its column 'problem', expected 30"):
            run(asked_for, tmp_path, benchmark_mirror=tmp_path / "mirror")
        assert not fake.requests


def test_a_cut_off_thought_is_truncated_and_not_wrong(tmp_path: Path) -> None:
    with FakeOpenAI(lambda _, __: Reply(text="<think>\n" + "so " * 200)) as fake:
        made = run(recipe(write_problems(tmp_path / "sums.jsonl", 2), fake.base_url), tmp_path)
    assert made.report.dropped == {"truncated": 4}
    assert made.report.rows == 0


def test_thoughts_of_a_reasoning_parser_are_put_together(tmp_path: Path) -> None:
    with FakeOpenAI(lambda _, __: Reply(text="It is \\boxed{0}.", reasoning="Nothing and nothing.")) as fake:
        made = run(recipe(write_problems(tmp_path / "sums.jsonl", 1), fake.base_url), tmp_path)
    assert [row.reasoning for row in kept(made.folder)] == ["Nothing and nothing."] * 2
    assert kept(made.folder)[0].messages[-1].content == "<think>\nNothing and nothing.\n</think>\n\nIt is \\boxed{0}."


def test_cost_grows_with_time_and_tokens(tmp_path: Path) -> None:
    with FakeOpenAI(teacher) as fake:
        priced = recipe(
            write_problems(tmp_path / "sums.jsonl", 10),
            fake.base_url,
            price={"per_hour": 3600.0, "per_million_tokens": 1e6, "currency": "EUR"},
        )
        made = run(priced, tmp_path)
    cost = made.report.cost
    assert cost.tokens == 20 * 13
    assert cost.amount == pytest.approx(cost.seconds + cost.tokens)
    assert cost.currency == "EUR"


def test_generated_sums_never_hold_a_benchmark_expression(tmp_path: Path) -> None:
    """A teacher that writes benchmark expressions on purpose: none of what it writes is kept."""
    leaking = benchmark_chains()[0].expression

    def leak(prompt: str, seed: int) -> str:
        found = re.search(r"What is (.*)\?", prompt)
        assert found is not None
        answer = sum(int(term) for term in re.findall(r"[-+]?\d", found[1].replace(" ", "")))
        said = f"like {leaking}, so" if seed % 2 else "so"
        return f"<think>\n{said}\n</think>\n\n\\boxed{{{answer}}}"

    file = ROOT / "recipes" / "generate" / "arithmetic.yaml"
    with FakeOpenAI(leak) as fake:
        asked_for = overridden(
            load_generate_recipe(file), teacher__name="fake", teacher__endpoint=fake.base_url, prompts__limit=500
        )
        made = run(asked_for, tmp_path)
        assert not any(written_in(asked.prompt) for asked in fake.requests)
    rows = kept(made.folder)
    assert rows
    assert not any(written_in(message.content) for row in rows for message in row.messages)
    assert made.report.dropped["contaminated"] > 100


def test_a_training_recipe_reads_what_was_generated_here(tmp_path: Path) -> None:
    with FakeOpenAI(teacher) as fake:
        made = run(recipe(write_problems(tmp_path / "sums.jsonl", 20), fake.base_url), tmp_path)
    settings = Settings(data_dir=tmp_path)
    text = yaml.safe_load((ROOT / "recipes" / "sft" / "arithmetic.yaml").read_text(encoding="utf-8"))
    text["data"] = {"dataset": "local/sums", "revision": "main", "split": "train"}
    file = tmp_path / "student.yaml"
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    student = load_recipe(file)
    written = write_rows(student, find_data(student, settings), tmp_path)
    assert written is not None
    examples = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
    assert len(examples) == made.report.rows
    assert examples[0]["completion"][0]["content"].startswith("<think>\n")
    counted = measure_dataset("local/sums", settings)
    assert (counted.name, counted.rows, counted.dropped) == ("sums", made.report.rows, made.report.dropped)


def test_a_teacher_that_was_not_trained_yet_is_said_with_what_to_do(tmp_path: Path) -> None:
    asked_for = load_generate_recipe(ROOT / "recipes" / "generate" / "arithmetic.yaml")
    with pytest.raises(CheckpointRejected, match=r"local/arithmetic-demo has no checkpoint of step 600.*train RECIPE"):
        run(asked_for, tmp_path)
