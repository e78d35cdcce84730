"""Checks on what people ask for: an untrusted form becomes a Submission, or a refusal that says what to do."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from evaluator.benchmarks import BENCHMARKS
from evaluator.checkpoint import local_checkpoint
from evaluator.errors import CheckpointRejected, OpenR1Error
from leaderboard.types import JobKind, Submission

LONGEST_NAME = 96
LONGEST_REVISION = 200
LONGEST_NOTE = 500
LONGEST_PATH = 4096
MOST_ATTEMPTS = 256
MOST_TOKENS = 131_072
MOST_GPUS = 64
LOCAL_OWNER = "local"
EXPECTED = {
    "model": f"a Hub id such as owner/name, or a folder where folders are allowed, at most {LONGEST_PATH} characters",
    "benchmarks": f"a list of one or more of: {', '.join(BENCHMARKS)}",
    "revision": "a branch, tag or commit as text",
    "attempts": f"a whole number from 1 to {MOST_ATTEMPTS}",
    "max_tokens": f"a whole number from 1 to {MOST_TOKENS}",
    "tensor_parallel_size": f"a whole number from 1 to {MOST_GPUS}",
    "note": f"text of at most {LONGEST_NOTE} characters",
    "trial": "true for one problem of each benchmark, asked once",
}
DIRECTION_MARKS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


class SubmissionRejected(OpenR1Error):
    """The submission cannot become a job: a field is out of bounds, or the same work is already waiting."""

    code = "submission_rejected"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedModel:
    """The weights behind a name. `source` is what to serve (a Hub id or a folder), `model` the name on the board.

    `commit` is a 40-character Hub commit, or `sha256:<64 hex>` over a local folder's files.
    """

    model: str
    source: str
    revision: str | None
    commit: str


Resolve = Callable[[str, str | None], ResolvedModel]


def _none_if_empty(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a truth value is not a number")
    return None if isinstance(value, str) and not value.strip() else value


Count = Annotated[int | None, BeforeValidator(_none_if_empty)]


class SubmissionForm(BaseModel):
    """The fields of a submission as a form or a REST body sends them. Who submits is never among them."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    model: str = Field(min_length=1, max_length=LONGEST_PATH)
    benchmarks: tuple[str, ...] = Field(min_length=1, max_length=len(BENCHMARKS))
    revision: Annotated[str | None, BeforeValidator(_none_if_empty)] = None
    attempts: Count = Field(default=None, ge=1, le=MOST_ATTEMPTS)
    max_tokens: Count = Field(default=None, ge=1, le=MOST_TOKENS)
    tensor_parallel_size: Count = Field(default=None, ge=1, le=MOST_GPUS)
    note: str = Field(default="", max_length=LONGEST_NOTE)
    trial: bool = False


def check_submission(
    form: Mapping[str, Any],
    *,
    local_mode: bool,
    resolve: Resolve,
    submitted_by: str = "local",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Submission:
    """The evaluation that a form asks for, with its weights pinned to a commit.

    Folders are looked at in local mode alone. `resolve` turns (Hub id or folder, revision) into weights; everything
    that can be refused without it is refused first.

    Raises:
        SubmissionRejected: with every fault of the form, or why the weights cannot be had.
    """
    fields = _parsed(form)
    folder = local_folder(fields.model) if local_mode else None
    faults = _faults(fields, folder, local_mode=local_mode)
    if faults:
        raise SubmissionRejected("; ".join(faults))
    try:
        resolved = resolve(str(folder) if folder else fields.model, fields.revision)
    except CheckpointRejected as error:
        raise SubmissionRejected(str(error)) from error
    moment = now()
    return Submission(
        id=new_job_id(moment),
        kind=JobKind.EVALUATE,
        model=resolved.model,
        source=resolved.source,
        revision=resolved.revision,
        commit=resolved.commit,
        benchmarks=fields.benchmarks,
        attempts=fields.attempts,
        max_tokens=fields.max_tokens,
        tensor_parallel_size=fields.tensor_parallel_size,
        note=_one_line(fields.note),
        trial=fields.trial,
        submitted_at=moment.isoformat(timespec="seconds"),
        submitted_by=submitted_by,
    )


def field_faults(form: Mapping[str, Any], *, local_mode: bool) -> list[str]:
    """What speaks against a form before anything is looked up; that benchmarks are still to be chosen does not."""
    try:
        fields = _parsed(dict(form) if form.get("benchmarks") else {**form, "benchmarks": [next(iter(BENCHMARKS))]})
    except SubmissionRejected as refusal:
        return [str(refusal)]
    return _faults(fields, local_folder(fields.model) if local_mode else None, local_mode=local_mode)


def _faults(fields: SubmissionForm, folder: Path | None, *, local_mode: bool) -> list[str]:
    return [
        *(_folder_faults(fields) if folder else model_id_faults(fields.model, local_mode=local_mode)),
        *_revision_faults(fields.revision),
        *_benchmark_faults(fields.benchmarks),
        *_note_faults(fields.note),
    ]


def new_job_id(now: datetime | None = None) -> str:
    """An id that sorts by time: `20260131-120501-042-9f3a0c1d`, in UTC, with milliseconds and 32 random bits."""
    now = now or datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}-{secrets.token_hex(4)}"


def local_folder(model: str) -> Path | None:
    """The folder that a model names, or None where there is none of that name."""
    try:
        path = Path(model).expanduser()
        return path.resolve() if path.is_dir() else None
    except (OSError, RuntimeError, ValueError):
        # Too long for a name, not ours to read, no such user behind the ~, a NUL: none of them is a folder.
        return None


def resolve_folder(folder: Path) -> ResolvedModel:
    """The checkpoint in a local folder: `local/<run>` at `step-<step>` if it was trained here, else `local/<folder>`.

    Raises:
        CheckpointRejected: the folder holds no checkpoint that can be served.
    """
    checkpoint = local_checkpoint(folder)
    assert checkpoint.commit is not None
    return ResolvedModel(
        model=checkpoint.model, source=str(checkpoint.path), revision=checkpoint.revision, commit=checkpoint.commit
    )


def model_id_faults(model: str, *, local_mode: bool) -> list[str]:
    """What keeps a text from being a Hub id; empty where it is one. The Hub's own rules for `owner/name`."""
    shown = repr(model[:120])
    if model.startswith(("/", ".", "~")) or model.count("/") > 1:
        where = "there is no such folder" if local_mode else "this board takes models from the Hub only"
        return [f"model {shown}: {where}; give a Hub id such as owner/name"]
    parts = model.split("/")
    if len(parts) != 2:
        return [f"model {shown} has no owner; expected a Hub id such as owner/name"]
    faults = [f"model {shown}: {part[:40]!r} {fault}" for part in parts if (fault := _part_fault(part))]
    if not faults and parts[0] == LOCAL_OWNER:
        return [f"model {shown}: the owner {LOCAL_OWNER!r} is kept for checkpoints from this machine's folders"]
    return faults


def _part_fault(part: str) -> str:
    if not 1 <= len(part) <= LONGEST_NAME:
        return f"has {len(part)} characters, expected 1 to {LONGEST_NAME}"
    if not re.fullmatch(r"[A-Za-z0-9._-]+", part):
        return "may hold only the letters A to Z, digits, '-', '_' and '.'"
    if part[0] in "-." or part[-1] in "-." or "--" in part or ".." in part:
        return "must not begin or end with '-' or '.', nor hold '--' or '..'"
    if part.endswith(".git"):
        return "must not end with '.git'"
    return ""


def _folder_faults(fields: SubmissionForm) -> list[str]:
    if fields.revision is None:
        return []
    return [f"revision {fields.revision[:40]!r}: a folder has none; leave it empty, the files themselves are hashed"]


def _revision_faults(revision: str | None) -> list[str]:
    if revision is None:
        return []
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*", revision)
    if plain and ".." not in revision and "//" not in revision and len(revision) <= LONGEST_REVISION:
        return []
    return [
        f"revision {revision[:40]!r} is not a branch, tag or commit: expected at most {LONGEST_REVISION} letters, "
        "digits and '-', '_', '.', '/', '+'"
    ]


def _benchmark_faults(names: tuple[str, ...]) -> list[str]:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        return [
            f"there is no benchmark {', '.join(repr(n[:60]) for n in unknown)}; choose from: {', '.join(BENCHMARKS)}"
        ]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [f"benchmark {', '.join(twice)} is named twice; name each once"] if twice else []


def _note_faults(note: str) -> list[str]:
    bad = [c for c in _one_line(note) if unicodedata.category(c) in ("Cc", "Cs") or _turns_text(c)]
    if not bad:
        return []
    return [f"the note holds the control character U+{ord(bad[0]):04X}; write it as plain text"]


def _turns_text(character: str) -> bool:
    """Whether a character reorders the text around it, and with it the page."""
    return unicodedata.bidirectional(character) in DIRECTION_MARKS


def _one_line(note: str) -> str:
    return " ".join(note.split())


def _parsed(form: Mapping[str, Any]) -> SubmissionForm:
    try:
        return SubmissionForm.model_validate(dict(form))
    except ValidationError as error:
        faults = dict.fromkeys(_fault(fault["loc"], fault["type"], fault["input"]) for fault in error.errors())
        raise SubmissionRejected("; ".join(faults)) from error


def _fault(place: tuple[int | str, ...], kind: str, given: object) -> str:
    # A key that is no text (half a character) has no place: the form itself is at fault.
    name = str(place[0]) if place else "?"
    if not place or kind == "invalid_key":
        return f"the form has a field that is not named in text; there are {', '.join(EXPECTED)}"
    if kind == "extra_forbidden":
        return f"there is no field {name[:40]!r}; there are {', '.join(EXPECTED)}"
    if kind == "missing":
        return f"{name} is missing, expected {EXPECTED[name]}"
    return f"{name} is {repr(given)[:60]}, expected {EXPECTED[name]}"
