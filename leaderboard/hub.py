"""The only door to huggingface_hub: a revision becomes a commit, a commit becomes a folder that holds data only."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from httpx2 import HTTPError
from huggingface_hub import HfApi, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import get_session, hf_raise_for_status

from evaluator.checkpoint import LARGEST_JSON_BYTES, is_served, read_json
from evaluator.errors import CheckpointRejected
from evaluator.weights import LENGTH_BYTES, Tensor, header_bytes, read_header

LOOK_UP_TIMEOUT_S = 15.0
RECORD = "download.json"
COMMIT = re.compile(r"[0-9a-f]{40}")
# Plain names at the root: what lies in folders (other formats, training state) is never served, and no name climbs out.
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
CONFIGS = ("config.json", "tokenizer_config.json")
TEMPLATE_FILES = ("tokenizer_config.json", "chat_template.jinja")
WEIGHTS = ".safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
CONSOLIDATED = re.compile(r"consolidated.*\.safetensors")
"""The same weights once more, in another layout; beside an index they are tens of GB that nothing would load."""
FIRST_BYTES = 128 * 1024  # holds most headers whole
HEADERS_AT_ONCE = 8
LONGEST_STATED = 200

OnProgress = Callable[[int, int], None]
"""Bytes that are here, bytes in all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubFile:
    """A file of a repository. `size` in bytes."""

    name: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HubRevision:
    """What a revision of a model repository stands for: its 40-character commit and every file in it.

    `licence`, `base` (the model it was trained from) and `tags` are what the model card states.
    """

    model: str
    commit: str
    files: tuple[HubFile, ...]
    licence: str | None = None
    base: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def allowed(self) -> tuple[HubFile, ...]:
        """The files that may be downloaded."""
        named = [file for file in self.files if PLAIN_NAME.fullmatch(file.name) and is_served(file.name)]
        twice = any(file.name == WEIGHTS_INDEX for file in named)
        return tuple(file for file in named if not (twice and CONSOLIDATED.fullmatch(file.name)))

    @property
    def ignored(self) -> tuple[str, ...]:
        """The names of all others: never downloaded, whatever they hold."""
        allowed = set(self.allowed)
        return tuple(file.name for file in self.files if file not in allowed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """What a checkpoint folder was made of: `download.json` beside the weights, written when all of them are there.

    `auto_map` holds, by file, the key that was removed from our copy: it names Python code of the repository.
    """

    model: str
    commit: str
    files: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    auto_map: Mapping[str, Any] = field(default_factory=dict)


def resolve_commit(
    model: str, revision: str | None = None, *, token: str | None = None, endpoint: str | None = None
) -> HubRevision:
    """The commit that a branch, tag or commit of a model stands for now (None: its main branch).

    Raises:
        CheckpointRejected: no such model or revision, no access to it, or the Hub cannot be reached.
    """
    with hub_errors(model, revision):
        # False, not None: None would make the client look for a token of its own.
        found = HfApi(endpoint=endpoint, token=token or False).model_info(
            model, revision=revision, files_metadata=True, timeout=LOOK_UP_TIMEOUT_S
        )
    if found.sha is None or not COMMIT.fullmatch(found.sha):
        raise CheckpointRejected(f"the Hub names commit {found.sha!r} for {model}, expected 40 hexadecimal digits")
    files = (HubFile(name=each.rfilename, size=each.size or 0) for each in found.siblings or ())
    card: Any = found.card_data or {}
    return HubRevision(
        model=model,
        commit=found.sha,
        files=tuple(sorted(files, key=lambda file: file.name)),
        licence=_stated(card.get("license")),
        base=_stated(card.get("base_model")),
        tags=tuple(tag for tag in found.tags or () if isinstance(tag, str)),
    )


def _stated(value: object) -> str | None:
    """A card's word for something; cards list several base models of a merge, which then has no one base."""
    only = value[0] if isinstance(value, list) and len(value) == 1 else value
    return only if isinstance(only, str) and 0 < len(only) <= LONGEST_STATED else None


def download_checkpoint(
    model: str,
    commit: str,
    into: Path,
    *,
    token: str | None = None,
    progress: OnProgress = lambda _done, _total: None,
    endpoint: str | None = None,
) -> Path:
    """Download the allow-listed files of a commit into a folder of their own, and return it.

    What is there already is kept, so a broken download goes on where it stopped; a whole one needs no network.
    `read_download` tells what was ignored and what was removed. An exception of `progress` ends the download.

    Raises:
        CheckpointRejected: no safetensors weights, too large, no access, no space, or the Hub cannot be reached.
    """
    here = read_download(into)
    if here is not None and (here.model, here.commit) == (model, commit):
        _remove_auto_map(into)
        return into
    revision = resolve_commit(model, commit, token=token, endpoint=endpoint)
    _check(revision, into)
    total, done = sum(file.size for file in revision.allowed), 0
    for file in revision.allowed:
        progress(done, total)
        _download(revision, file, into, token, endpoint)
        done += file.size
    progress(done, total)
    _write_record(into, revision)
    _remove_auto_map(into)
    return into


def download_description(
    revision: HubRevision, into: Path, *, token: str | None = None, endpoint: str | None = None
) -> None:
    """Download what describes a checkpoint (config, tokenizer, template: everything but weights) into its folder.

    `download_checkpoint` into the same folder then fetches the weights alone.

    Raises:
        CheckpointRejected: as `download_checkpoint`.
    """
    _check(revision, into)
    for file in revision.allowed:
        if not file.name.endswith(WEIGHTS):
            _download(revision, file, into, token, endpoint)


def download_template(
    revision: HubRevision, into: Path, *, token: str | None = None, endpoint: str | None = None
) -> None:
    """Download what holds a model's chat template, and nothing else. Raises CheckpointRejected."""
    for file in revision.allowed:
        if file.name in TEMPLATE_FILES:
            if file.size > LARGEST_JSON_BYTES:
                raise CheckpointRejected(f"{file.name} of {revision.model} has {file.size:,} bytes: too large to read")
            _download(revision, file, into, token, endpoint)


def read_headers(
    revision: HubRevision, *, token: str | None = None, endpoint: str | None = None
) -> dict[str, tuple[Tensor, ...]]:
    """The tensors of every weight file of a commit, by file name, read from their first bytes alone.

    Raises:
        CheckpointRejected: a file is not what its header says, or the Hub cannot be reached.
    """
    files = [file for file in revision.allowed if file.name.endswith(WEIGHTS)]

    def header(file: HubFile) -> tuple[Tensor, ...]:
        with hub_errors(revision.model, revision.commit):
            first = _read_start(revision, file.name, FIRST_BYTES, token, endpoint)
            length = header_bytes(first, file=file.name, size=file.size)
            end = LENGTH_BYTES + length
            raw = first if len(first) >= end else _read_start(revision, file.name, end, token, endpoint)
        return read_header(raw[LENGTH_BYTES:end], file=file.name, data_bytes=file.size - end)

    with ThreadPoolExecutor(HEADERS_AT_ONCE) as pool:
        return dict(zip((file.name for file in files), pool.map(header, files), strict=True))


def download_config(
    model: str, revision: str | None = None, *, token: str | None = None, endpoint: str | None = None
) -> dict[str, Any]:
    """The config.json of a model, read without its weights. Raises CheckpointRejected."""
    with TemporaryDirectory() as folder, hub_errors(model, revision):
        path = hf_hub_download(
            model, "config.json", revision=revision, local_dir=folder, token=token or False, endpoint=endpoint
        )
        return read_json(Path(path))


def read_download(folder: Path) -> Download | None:
    """What a folder was downloaded from; None where it was not, or not to the end."""
    try:
        data = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return Download(
            model=data["model"],
            commit=data["commit"],
            files=tuple(data["files"]),
            ignored=tuple(data["ignored"]),
            auto_map=data["auto_map"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _download(revision: HubRevision, file: HubFile, into: Path, token: str | None, endpoint: str | None) -> None:
    model, commit = revision.model, revision.commit
    with hub_errors(model, commit):
        path = Path(
            hf_hub_download(model, file.name, revision=commit, local_dir=into, token=token or False, endpoint=endpoint)
        )
    if path.stat().st_size != file.size:
        path.unlink()
        raise CheckpointRejected(f"{model}: {file.name} came incomplete, expected {file.size:,} bytes; try again")


def _read_start(revision: HubRevision, name: str, count: int, token: str | None, endpoint: str | None) -> bytes:
    """The first `count` bytes of a file, never more: a server that ignores the range is cut off."""
    url = hf_hub_url(revision.model, name, revision=revision.commit, endpoint=endpoint)
    headers = build_hf_headers(token=token or False) | {"Range": f"bytes=0-{count - 1}", "Accept-Encoding": "identity"}
    got = bytearray()
    with get_session().stream(
        "GET", url, headers=headers, timeout=LOOK_UP_TIMEOUT_S, follow_redirects=True
    ) as response:
        hf_raise_for_status(response)
        for chunk in response.iter_bytes():
            got += chunk
            if len(got) >= count:
                break
    return bytes(got[:count])


def _check(revision: HubRevision, into: Path) -> None:
    """Everything that can be refused before a single file is downloaded."""
    allowed = revision.allowed
    names = {file.name for file in allowed}
    if not any(name.endswith(WEIGHTS) for name in names):
        raise CheckpointRejected(
            f"{revision.model} at {revision.commit[:12]} has no *.safetensors weights at its root; "
            "other weight formats can hold code and are never loaded: convert it and submit the new commit"
        )
    if "config.json" not in names:
        raise CheckpointRejected(f"{revision.model} at {revision.commit[:12]} has no config.json; merge adapters first")
    for file in allowed:
        if not file.name.endswith(WEIGHTS) and file.size > LARGEST_JSON_BYTES:
            raise CheckpointRejected(
                f"{revision.model}: {file.name} has {file.size:,} bytes, at most {LARGEST_JSON_BYTES:,} are read"
            )
    try:
        into.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(into).free
        needed = sum(file.size for file in allowed if not _is_here(into / file.name, file.size))
    except OSError as error:
        raise CheckpointRejected(f"{into} cannot be written ({error.strerror}): set OPEN_R1_DATA elsewhere") from error
    if needed > free:
        raise CheckpointRejected(
            f"{revision.model} needs {needed / 1e9:,.1f} GB more, the disk of {into} has {free / 1e9:,.1f} GB free: "
            "delete what is no longer needed there"
        )


def _is_here(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _write_record(into: Path, revision: HubRevision) -> None:
    """Before anything is removed from a config: what was removed must be on record however this process ends."""
    found = {name: config["auto_map"] for name, config in _configs(into) if "auto_map" in config}
    record = Download(
        model=revision.model,
        commit=revision.commit,
        files=tuple(file.name for file in revision.allowed),
        ignored=revision.ignored,
        auto_map=found,
    )
    _replace(into / RECORD, asdict(record))


def _remove_auto_map(into: Path) -> None:
    for name, config in _configs(into):
        if config.pop("auto_map", None) is not None:
            _replace(into / name, config)


def _configs(into: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in CONFIGS:
        path = into / name
        if not path.is_file():
            continue
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise CheckpointRejected(f"{path} is not valid JSON: {error}") from error
        if not isinstance(config, dict):
            raise CheckpointRejected(f"{path} holds a {type(config).__name__}, expected an object")
        yield name, config


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


@contextmanager
def hub_errors(model: str, revision: str | None) -> Iterator[None]:
    """What the Hub's client raises, as one line that says what to do."""
    at = f"{model} at {revision}" if revision else model
    try:
        yield
    except HFValidationError as error:
        raise CheckpointRejected(f"{model!r} is not a model id, expected owner/name: {error}") from error
    except GatedRepoError as error:
        raise CheckpointRejected(
            f"{model} is gated: accept its terms at https://huggingface.co/{model} and set HF_TOKEN of that account"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointRejected(
            f"{model} is not on the Hub, or is private: check its name, or set HF_TOKEN to a token that may read it"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointRejected(f"{model} has no revision {revision!r}: name a branch, a tag or a commit") from error
    except RemoteEntryNotFoundError as error:
        raise CheckpointRejected(f"{at} lists a file that it does not have: submit another commit") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = "set HF_TOKEN to a token that may read it" if status in (401, 403) else "try again in a few minutes"
        raise CheckpointRejected(f"the Hub answers HTTP {status} for {at}: {advice}") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HTTPError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise CheckpointRejected(
            f"the Hub cannot be reached for {at} ({reason}): check the network, or give a local folder instead"
        ) from error
    except OSError as error:
        raise CheckpointRejected(f"{at} could not be stored ({error}): check the disk of the data folder") from error
