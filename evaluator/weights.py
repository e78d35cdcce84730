"""The headers of safetensors files: what a stranger's weights claim to be, checked before any of them is loaded.

The format (https://huggingface.co/docs/safetensors): eight bytes with the header's length, the header as a JSON object
of tensors with dtype, shape and place, then the data. A header that lies (places that overlap, leave gaps, reach beyond
the file, or do not hold what the shape says) is refused; so is a file that is none, such as a pickle by that name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.errors import CheckpointRejected

LENGTH_BYTES = 8
LARGEST_HEADER_BYTES = 100_000_000  # the format's own limit
MOST_TENSORS = 1_000_000  # DeepSeek-R1 has 91,991
MOST_DIMENSIONS = 8
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """One tensor as a header declares it. `bytes` is what it takes in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def elements(self) -> int:
        """Numbers in the tensor; a packed 4-bit weight counts its containers."""
        return math.prod(self.shape)


def header_bytes(first: bytes, *, file: str, size: int) -> int:
    """The header's length in bytes, from the first eight bytes of a file of `size` bytes.

    Raises:
        CheckpointRejected: the file is too short, or the length is beyond the file or the format's limit.
    """
    length = int.from_bytes(first[:LENGTH_BYTES], "little") if len(first) >= LENGTH_BYTES else -1
    if not 2 <= length <= min(LARGEST_HEADER_BYTES, size - LENGTH_BYTES):
        raise _refused(file, "does not begin with the length of a header")
    return length


def read_header(raw: bytes, *, file: str, data_bytes: int) -> tuple[Tensor, ...]:
    """The tensors of a header, in the order of their places. `data_bytes` is what follows the header in the file.

    Raises:
        CheckpointRejected: not a header, or one that does not describe exactly `data_bytes` of data.
    """
    tensors = sorted((_tensor(file, name, entry) for name, entry in _entries(raw, file)), key=lambda pair: pair[0])
    reached = 0
    for begin, tensor in tensors:
        if begin != reached:
            raise _refused(file, f"places {tensor.name!r} at byte {begin:,}, the tensor before ends at {reached:,}")
        reached += tensor.bytes
    if reached != data_bytes:
        raise _refused(file, f"declares {reached:,} bytes of tensors and holds {data_bytes:,}")
    return tuple(tensor for _, tensor in tensors)


def local_headers(folder: Path) -> dict[str, tuple[Tensor, ...]]:
    """The tensors of every safetensors file at the root of a folder, by file name. Reads the headers alone.

    Raises:
        CheckpointRejected: one of them is not what its header says.
    """
    return {path.name: _local_header(path) for path in sorted(folder.glob("*.safetensors"))}


def _local_header(path: Path) -> tuple[Tensor, ...]:
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            length = header_bytes(stream.read(LENGTH_BYTES), file=path.name, size=size)
            return read_header(stream.read(length), file=path.name, data_bytes=size - LENGTH_BYTES - length)
    except OSError as error:
        raise CheckpointRejected(f"{path} cannot be read ({error.strerror}); check its rights") from error


def _entries(raw: bytes, file: str) -> list[tuple[str, Any]]:
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _refused(file, f"has a header that is not JSON ({str(error)[:100]})") from error
    if not isinstance(header, dict):
        raise _refused(file, "has a header that is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _refused(file, "has metadata that is not text")
    if not 1 <= len(header) <= MOST_TENSORS:
        raise _refused(file, f"declares {len(header):,} tensors, expected 1 to {MOST_TENSORS:,}")
    return list(header.items())


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a name stand twice; which of the two an engine would load is anyone's guess."""
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a name stands twice")
    return unique


def _tensor(file: str, name: str, entry: object) -> tuple[int, Tensor]:
    """(first byte, tensor) of one entry of a header."""
    given = entry if isinstance(entry, Mapping) else {}
    dtype, shape, place = given.get("dtype"), given.get("shape"), given.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _refused(file, f"gives {name[:80]!r} the dtype {str(dtype)[:40]!r}, which the format does not have")
    sizes, ends = _counts(shape, most=MOST_DIMENSIONS), _counts(place, most=2)
    if sizes is None or ends is None or len(ends) != 2:
        raise _refused(file, f"gives {name[:80]!r} no shape and place in whole numbers")
    held, (begin, end) = math.prod(sizes) * BITS[dtype], ends
    if held % 8 or end - begin != held // 8:
        raise _refused(file, f"gives {name[:80]!r} {end - begin:,} bytes, but its shape needs {held / 8:,.0f}")
    return begin, Tensor(name=name, dtype=dtype, shape=sizes, bytes=end - begin)


def _counts(value: object, *, most: int) -> tuple[int, ...] | None:
    """A list of at most so many whole numbers, none of them negative or beyond any file; None for anything else."""
    if not isinstance(value, list) or len(value) > most:
        return None
    whole = (isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 1 << 48 for each in value)
    return tuple(value) if all(whole) else None


def _refused(file: str, fault: str) -> CheckpointRejected:
    return CheckpointRejected(
        f"{file} is not a sound safetensors file: it {fault}; save the weights again with safe_serialization"
    )
