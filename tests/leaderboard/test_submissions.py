"""What becomes a submission, and what every refusal says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import CheckpointRejected
from leaderboard.submissions import (
    ResolvedModel,
    SubmissionRejected,
    check_submission,
    local_folder,
    model_id_faults,
    resolve_folder,
)
from leaderboard.types import JobKind, Submission

COMMIT = "c" * 40
GOOD: dict[str, Any] = {"model": "owner/name", "benchmarks": ["math_500", "aime_2024"]}


def found_on_hub(model: str, revision: str | None) -> ResolvedModel:
    return ResolvedModel(model=model, source=model, revision=revision, commit=COMMIT)


def never_asked(model: str, revision: str | None) -> ResolvedModel:
    raise AssertionError(f"{model} at {revision} was looked up although the form is wrong")


def check(form: dict[str, Any], *, local_mode: bool = False) -> Submission:
    return check_submission(
        form, local_mode=local_mode, resolve=found_on_hub, now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    )


def refusal(form: dict[str, Any], *, local_mode: bool = False) -> str:
    with pytest.raises(SubmissionRejected) as caught:
        check_submission(form, local_mode=local_mode, resolve=never_asked)
    return str(caught.value)


def make_checkpoint(folder: Path, lineage: dict[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    if lineage:
        (folder / "lineage.json").write_text(json.dumps(lineage))
    return folder


def test_a_good_form_becomes_an_evaluation_pinned_to_a_commit() -> None:
    made = check({**GOOD, "revision": "main", "note": " our best\nso far ", "attempts": 8, "max_tokens": 4096})
    assert (made.kind, made.model, made.source) == (JobKind.EVALUATE, "owner/name", "owner/name")
    assert (made.revision, made.commit, made.benchmarks) == ("main", COMMIT, ("math_500", "aime_2024"))
    assert (made.attempts, made.max_tokens, made.tensor_parallel_size) == (8, 4096, None)
    assert made.note == "our best so far"
    assert (made.submitted_at, made.submitted_by) == ("2026-01-02T03:04:05+00:00", "local")
    assert made.id.startswith("20260102-030405-")


def test_ids_differ_for_equal_forms() -> None:
    assert check(GOOD).id != check(GOOD).id


def test_empty_fields_of_a_form_mean_the_protocol() -> None:
    made = check({**GOOD, "revision": " ", "attempts": "", "max_tokens": None, "tensor_parallel_size": "", "note": ""})
    assert (made.revision, made.attempts, made.max_tokens, made.tensor_parallel_size) == (None, None, None, None)


def test_numbers_may_arrive_as_a_form_sends_them() -> None:
    assert check({**GOOD, "attempts": 8.0}).attempts == 8
    assert check({**GOOD, "attempts": "8"}).attempts == 8


def test_who_submits_is_never_read_from_the_form() -> None:
    assert "there is no field 'submitted_by'" in refusal({**GOOD, "submitted_by": "somebody else"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": ""}, "model is '', expected a Hub id"),
        ({"model": 7}, "model is 7, expected a Hub id"),
        ({"model": "x" * 5000}, "expected a Hub id"),
        ({"benchmarks": []}, "benchmarks is [], expected a list of one or more of: math_500"),
        ({"benchmarks": "math_500"}, "benchmarks is 'math_500', expected a list"),
        ({"benchmarks": ["gsm8k"]}, "there is no benchmark 'gsm8k'; choose from: math_500"),
        ({"benchmarks": ["math_500", "math_500"]}, "math_500 is named twice"),
        ({"attempts": 0}, "attempts is 0, expected a whole number from 1 to 256"),
        ({"attempts": 2.5}, "attempts is 2.5"),
        ({"attempts": True}, "attempts is True"),
        ({"attempts": 10**30}, "attempts is 1000"),
        ({"max_tokens": 131_073}, "max_tokens is 131073, expected a whole number from 1 to 131072"),
        ({"max_tokens": "many"}, "max_tokens is 'many'"),
        ({"tensor_parallel_size": 65}, "tensor_parallel_size is 65, expected a whole number from 1 to 64"),
        ({"revision": 7}, "revision is 7"),
        ({"revision": "../main"}, "is not a branch, tag or commit"),
        ({"revision": "--upload-pack=x"}, "is not a branch, tag or commit"),
        ({"revision": "a b"}, "is not a branch, tag or commit"),
        ({"revision": "x" * 201}, "at most 200"),
        ({"note": "x" * 501}, "note is 'xxx"),
        ({"note": "a\x00b"}, "U+0000"),
        ({"note": "abc\u202edef"}, "U+202E"),
        ({"note": "\x1b[31mred"}, "U+001B"),
    ],
)
def test_a_wrong_field_is_refused_with_what_was_expected(change: dict[str, Any], message: str) -> None:
    assert message in refusal({**GOOD, **change})


def test_every_fault_is_told_at_once() -> None:
    assert refusal({"attempts": 0, "colour": 1}).count(";") >= 3
    told = refusal({"model": "nowhere", "benchmarks": ["x"], "revision": "..", "note": "\x07"})
    assert all(word in told for word in ("nowhere", "'x'", "revision", "U+0007"))


@pytest.mark.parametrize(
    "model",
    [
        "name",
        "a/b/c",
        "/etc",
        "../x/y",
        "~/models",
        "owner/",
        "/name",
        "owner/na me",
        "owner/näme",
        "owner/-name",
        "owner/name.",
        "owner/na--me",
        "owner/na..me",
        "owner/name.git",
        "owner/" + "x" * 97,
        "owner/<script>",
        "javascript:alert(1)",
        "owner/name\n",
        "local/run",
        "hf://owner/name",
    ],
)
def test_what_is_no_hub_id_is_refused(model: str) -> None:
    assert model_id_faults(model, local_mode=False)


@pytest.mark.parametrize(
    "model", ["deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "a/b", "0x_/y.z_1", "owner/" + "x" * 96]
)
def test_hub_ids_are_taken(model: str) -> None:
    assert model_id_faults(model, local_mode=False) == []
    assert check({**GOOD, "model": model}).model == model


@given(st.text(max_size=300))
def test_no_text_breaks_the_checks(text: str) -> None:
    try:
        made = check({**GOOD, "model": text, "note": text, "revision": text}, local_mode=False)
    except SubmissionRejected:
        return
    assert made.model.count("/") == 1


@given(st.dictionaries(st.text(max_size=10), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_no_body_breaks_the_checks(form: dict[str, Any]) -> None:
    with pytest.raises(SubmissionRejected):
        check_submission(form, local_mode=False, resolve=never_asked)


def test_what_the_hub_says_becomes_the_refusal() -> None:
    def gated(model: str, revision: str | None) -> ResolvedModel:
        raise CheckpointRejected(f"{model} is gated; accept its terms")

    with pytest.raises(SubmissionRejected, match="owner/name is gated"):
        check_submission(GOOD, local_mode=False, resolve=gated)


# Folders


def resolved_folder(model: str, revision: str | None) -> ResolvedModel:
    assert revision is None
    return resolve_folder(Path(model))


def test_a_folder_is_taken_in_local_mode_and_named_by_its_content(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "my model")
    made = check_submission({**GOOD, "model": str(folder)}, local_mode=True, resolve=resolved_folder)
    assert (made.model, made.revision, made.source) == ("local/my-model", None, str(folder))
    assert (made.commit or "").startswith("sha256:")
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert resolve_folder(folder).commit != made.commit


def test_a_checkpoint_that_was_trained_here_is_named_by_its_run_and_step(tmp_path: Path) -> None:
    lineage = {"run": "demo", "step": 300, "recipe_hash": "abc", "parent": None, "tokens": 1}
    folder = make_checkpoint(tmp_path / "step-000000300", lineage)
    resolved = resolve_folder(folder)
    assert (resolved.model, resolved.revision) == ("local/demo", "demo-step-000000300")


def test_folders_are_never_looked_at_outside_local_mode(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model")
    assert "from the Hub only" in refusal({**GOOD, "model": str(folder)})


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "there is no such folder" in refusal({**GOOD, "model": str(tmp_path / "nowhere")}, local_mode=True)


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model")
    assert "a folder has none" in refusal({**GOOD, "model": str(folder), "revision": "main"}, local_mode=True)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SubmissionRejected, match=r"config\.json"):
        check_submission({**GOOD, "model": str(tmp_path / "empty")}, local_mode=True, resolve=resolved_folder)


@pytest.mark.parametrize("text", ["~nosuchuser/x", "x" * 10_000, "a\0b", "owner/name"])
def test_odd_texts_are_no_folders(text: str) -> None:
    assert local_folder(text) is None
