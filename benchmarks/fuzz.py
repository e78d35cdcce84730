"""Feeds every parser of foreign bytes what nobody would send on purpose: random bytes, random JSON, and sound inputs
with bytes changed, cut, doubled and joined. A parser may answer or refuse by its own error; anything else is a finding.

    python -m benchmarks.fuzz --runs 20000

Prints one row a parser: executions, how many were accepted and refused, executions/s, findings. Exit status 1 for any.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend_jobs.recipes import load_recipe
from backend_jobs.records import read_record
from benchmarks import fuzz_seeds as seeds
from evaluator.answers import answer_region, letter_answer, math_answer
from evaluator.chat import read_answer
from evaluator.checkpoint import read_json, read_shape
from evaluator.engine_metrics import read_load
from evaluator.errors import OpenR1Error
from evaluator.grade_file import completion_rows
from evaluator.journal import Journal
from evaluator.types import Request, Sampling
from evaluator.weights import LENGTH_BYTES, header_bytes, read_header
from leaderboard.audit import AUDIT, read_trail
from leaderboard.formulas import formula
from leaderboard.lighteval_results import read_results
from leaderboard.moderation import HIDDEN, read_hidden
from leaderboard.results import read_row
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import check_submission
from leaderboard.table import read_attempts, read_problems
from leaderboard.transfer import restore

RECORD_NAME = "requests/org/model/job-1.json"
Parse = Callable[[bytes, Path], object]
REQUEST = Request(
    generation_key="k", problem_id="p", attempt=0, prompt="q", system_prompt=None, seed=1, max_tokens=9,
    sampling=Sampling(),
)  # fmt: skip
TOKENS = (
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"-1", b"1e999", b"NaN", b"\0", b"\xff", b"\\ud800",
    b"9" * 400, b"\\boxed{", b"</think>", b"..", b"/", b"\n", "\u202e".encode(), b"{{", b"<script>",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One parser, the inputs that it is made for, and how slow one execution is (1: the usual number of runs)."""

    name: str
    parse: Parse
    seeds: tuple[bytes, ...]
    cost: int = 1


@dataclass(slots=True)
class Found:
    """What became of a parser's runs."""

    counts: Counter[str]
    findings: dict[str, bytes]
    seconds: float


def fuzz(target: Target, *, runs: int, seed: int, folder: Path) -> Found:
    """Run one parser. Findings are told apart by the line that raised."""
    rng, counts, findings = random.Random(f"{target.name} {seed}"), Counter[str](), dict[str, bytes]()
    started = time.monotonic()
    for content in _inputs(target, max(1, runs // target.cost), rng):
        try:
            target.parse(content, folder)
        except OpenR1Error:
            counts["refused"] += 1
        # Whatever else a parser raises is what this script is here to find.
        except Exception as error:  # noqa: BLE001
            where = traceback.extract_tb(error.__traceback__)[-1]
            findings.setdefault(f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}", content)
            counts["findings"] += 1
        else:
            counts["accepted"] += 1
    return Found(counts=counts, findings=findings, seconds=time.monotonic() - started)


def _inputs(target: Target, runs: int, rng: random.Random) -> Iterator[bytes]:
    yield from target.seeds
    for _ in range(runs):
        kind = rng.random()
        if kind < 0.1:
            yield rng.randbytes(rng.randrange(200))
        elif kind < 0.3:
            yield json.dumps(_any_json(rng, 4)).encode()
        elif kind < 0.5:
            yield _with_other_values(rng.choice(target.seeds), rng)
        else:
            yield _mutated(rng.choice(target.seeds), rng)


def _any_json(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(8 if depth else 6)
    if kind == 6:
        return [_any_json(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {_word(rng): _any_json(rng, depth - 1) for _ in range(rng.randrange(4))}
    return (None, True, rng.randrange(-(1 << 70), 1 << 70), rng.uniform(-1e300, 1e300), _word(rng), 0)[kind]


def _word(rng: random.Random) -> str:
    return rng.choice(("", "model", "commit", "id", "results", "w", "choices", "\u202e", "x" * 300, "../..", "\ud800"))


def _with_other_values(seed: bytes, rng: random.Random) -> bytes:
    """The same JSON object with one value of another kind; other inputs are mutated."""
    try:
        value = json.loads(seed)
    except ValueError:
        return _mutated(seed, rng)
    place = value
    while isinstance(place, dict | list) and place:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], dict | list) or rng.random() < 0.3:
            place[key] = _any_json(rng, 2)
            break
        place = place[key]
    return json.dumps(value).encode()


def _mutated(seed: bytes, rng: random.Random) -> bytes:
    content = bytearray(seed)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(content) + 1)
        end = min(len(content), at + rng.randrange(1, 30))
        match rng.randrange(4):
            case 0 if content:
                content[at % len(content)] = rng.randrange(256)
            case 1:
                del content[at:end]
            case 2:
                content[at:at] = content[at:end] * rng.randrange(1, 4)
            case _:
                content[at:at] = rng.choice(TOKENS)
    return bytes(content)


def _file(name: str, read: Callable[[Path], object]) -> Parse:
    """A parser of files: the bytes become one in a folder of its own."""

    def parse(content: bytes, folder: Path) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(path)

    return parse


def _weights(content: bytes, _: Path) -> object:
    length = header_bytes(content, file="f", size=len(content))
    end = LENGTH_BYTES + length
    return read_header(content[LENGTH_BYTES:end], file="f", data_bytes=len(content) - end)


def _form(content: bytes, _: Path) -> object:
    try:
        form = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(form, dict):
        return None
    return check_submission(form, local_mode=False, resolve=_unresolved)


class Unresolved(OpenR1Error):
    """The form is sound: what would follow is asking the Hub."""


def _unresolved(model: str, revision: str | None) -> Any:
    raise Unresolved(f"{model} at {revision}")


def _stored(name: str, read: Callable[[SqliteStore], object]) -> Parse:
    """A parser of files in a store."""

    def parse(content: bytes, folder: Path) -> object:
        store = SqliteStore(folder / "store.db")
        store.commit({name: content}, parent=store.version(), message="fuzz")
        try:
            return read(store)
        finally:
            store.close()

    return parse


def _answer(content: bytes, _: Path) -> object:
    text = content.decode(errors="replace")
    for opened in (True, False):
        for reason in ("stop", "length", None):
            region = answer_region(text, finish_reason=reason, prompt_opens_thought=opened)
            math_answer(region)
            letter_answer(region)
    return None


def _journal(path: Path) -> object:
    with Journal(path) as journal:
        return journal.completions("k")


def _restore(path: Path) -> object:
    target = path.parent / "restored.db"
    target.unlink(missing_ok=True)
    return restore(path, SqliteStore(target))


def _reply(status: int) -> Parse:
    return lambda content, _: read_answer(REQUEST, status, content, retry_after=None, latency_s=0.1, retries=0)


def targets() -> tuple[Target, ...]:
    """Every parser of bytes that come from elsewhere: checkpoints, engines, people, files, stores."""
    return (
        Target(name="safetensors header", parse=_weights, seeds=(seeds.weights(),)),
        Target(
            name="config.json", parse=_file("config.json", lambda path: read_shape(path.parent)), seeds=(seeds.CONFIG,)
        ),
        Target(name="tokenizer_config.json", parse=_file("tokenizer_config.json", read_json), seeds=(b'{"a": {}}',)),
        Target(name="submission form", parse=_form, seeds=(seeds.FORM,)),
        Target(name="engine's answer", parse=_reply(200), seeds=seeds.ANSWER),
        Target(name="engine's refusal", parse=_reply(400), seeds=seeds.ANSWER),
        Target(name="engine's metrics", parse=lambda c, _: read_load(c.decode(errors="replace")), seeds=seeds.METRICS),
        Target(name="completion text", parse=_answer, seeds=seeds.TEXTS),
        Target(name="formula", parse=lambda c, _: formula(c.decode(errors="replace"), display=True), seeds=seeds.TEXTS),
        Target(
            name="completions file",
            parse=_file("rows.jsonl", lambda path: list(completion_rows(path))),
            seeds=seeds.COMPLETIONS,
        ),
        Target(name="lighteval results", parse=_file("results_1.json", read_results), seeds=seeds.LIGHTEVAL),
        Target(name="recipe", parse=_file("recipe.yaml", load_recipe), seeds=seeds.RECIPE, cost=4),
        Target(name="job record", parse=lambda c, _: read_record(RECORD_NAME, c), seeds=(seeds.RECORD,)),
        Target(name="result row", parse=lambda c, _: read_row(c), seeds=(seeds.result_row(),)),
        Target(name="attempts file", parse=lambda c, _: read_attempts(c), seeds=(seeds.attempts(),), cost=2),
        Target(name="problems file", parse=lambda c, _: read_problems(c), seeds=(seeds.problems(),), cost=2),
        Target(name="audit entry", parse=_stored(f"{AUDIT}x.json", read_trail), seeds=(seeds.AUDIT_ENTRY,), cost=10),
        Target(
            name="hiding",
            parse=_stored(f"{HIDDEN}abcdef01.json", lambda store: read_hidden(store.snapshot(HIDDEN))),
            seeds=(seeds.HIDING,),
            cost=10,
        ),
        Target(name="journal", parse=_file("journal.db", _journal), seeds=(seeds.journal(),), cost=20),
        Target(name="backup", parse=_file("backup.tar.gz", _restore), seeds=seeds.backups(), cost=40),
    )


def main() -> int:
    """Run all parsers and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="executions of a parser of cost 1 (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a parser's name")
    given = parser.parse_args()
    failed = 0
    print(f"{'parser':24}{'executions':>12}{'accepted':>10}{'refused':>10}{'a second':>10}  findings")
    for target in targets():
        if given.only not in target.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = fuzz(target, runs=given.runs, seed=given.seed, folder=Path(folder))
        total = found.counts.total()
        print(
            f"{target.name:24}{total:>12,}{found.counts['accepted']:>10,}{found.counts['refused']:>10,}"
            f"{total / found.seconds:>10,.0f}  {len(found.findings)}"
        )
        for where, content in found.findings.items():
            print(f"    {where}: {content[:160]!r}")
        failed += len(found.findings)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
