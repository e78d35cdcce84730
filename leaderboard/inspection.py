"""A checkpoint as its small files describe it, checked before any weights are downloaded, hashed or loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from evaluator.bounds import check_config, check_weights
from evaluator.checkpoint import ModelShape, is_served, read_config, read_json, read_quantization, read_shape
from evaluator.errors import CheckpointRejected
from evaluator.template import ChatTemplate, read_template
from evaluator.types import Templates
from evaluator.weights import Tensor, local_headers
from leaderboard.hub import (
    WEIGHTS_INDEX,
    HubRevision,
    download_description,
    download_template,
    read_headers,
    resolve_commit,
)
from leaderboard.submissions import model_id_faults


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What was found. `elements` counts numbers by dtype as the headers declare them; packed weights count containers.

    `ignored` names what lies beside and is never downloaded, linked or served; `auto_map` whether a config asked for
    code. `shape.weight_bytes` is the size of all weight files.
    """

    shape: ModelShape
    elements: Mapping[str, int]
    quantization: str | None
    template: ChatTemplate
    ignored: tuple[str, ...]
    auto_map: bool

    @property
    def parameters(self) -> int:
        """Numbers in all weights; of packed 4-bit weights fewer than the model's name says."""
        return sum(self.elements.values())


def inspect_revision(
    revision: HubRevision, into: Path, *, token: str | None = None, endpoint: str | None = None
) -> Inspection:
    """Check a commit on the Hub by its small files and the headers of its weights.

    The small files stay in `into`, where a download of the weights continues.

    Raises:
        CheckpointRejected: it cannot be served, or is not what it says; nothing large was downloaded.
    """
    download_description(revision, into, token=token, endpoint=endpoint)
    check_config(read_config(into), read_shape(into))
    headers = read_headers(revision, token=token, endpoint=endpoint)
    size = sum(file.size for file in revision.allowed if file.name in headers)
    return _inspection(into, headers, ignored=revision.ignored, weight_bytes=size)


def inspect_folder(folder: Path) -> Inspection:
    """Check a local checkpoint the same way. Raises CheckpointRejected."""
    check_config(read_config(folder), read_shape(folder))
    ignored = tuple(sorted(path.name for path in folder.iterdir() if not is_served(path.name)))
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return _inspection(folder, local_headers(folder), ignored=ignored, weight_bytes=size)


def templates_beside(
    text: str, base: str | None, *, token: str | None = None, endpoint: str | None = None
) -> Templates:
    """A chat template beside that of `base`: `owner/name`, or `owner/name@commit`.

    That model may be gone, gated, or no chat model: then what is returned says why, and nothing else is worse for it.
    """
    model, _, commit = (base or "").partition("@")
    try:
        if not model:
            raise CheckpointRejected("neither its card nor its training names a base model")
        if model_id_faults(model, local_mode=False):
            raise CheckpointRejected(f"{model} is not on the Hub")
        found = resolve_commit(model, commit or None, token=token, endpoint=endpoint)
        with TemporaryDirectory() as folder:
            download_template(found, Path(folder), token=token, endpoint=endpoint)
            other = read_template(Path(folder)).text
    except CheckpointRejected as unknown:
        return Templates(text=text, base=model or None, unknown=str(unknown).removesuffix("."))
    return Templates(text=text, base=model, base_commit=found.commit, base_text=other)


def _inspection(
    folder: Path, headers: Mapping[str, tuple[Tensor, ...]], *, ignored: tuple[str, ...], weight_bytes: int
) -> Inspection:
    shape = replace(read_shape(folder), weight_bytes=weight_bytes)
    index = read_json(folder / WEIGHTS_INDEX) if (folder / WEIGHTS_INDEX).is_file() else None
    check_weights(shape, headers, index)
    elements: Counter[str] = Counter()
    for tensor in (tensor for tensors in headers.values() for tensor in tensors):
        elements[tensor.dtype] += tensor.elements
    return Inspection(
        shape=shape,
        elements=dict(elements),
        quantization=read_quantization(folder),
        template=read_template(folder),
        ignored=ignored,
        auto_map="auto_map" in read_config(folder),
    )
