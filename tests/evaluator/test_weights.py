"""Safetensors headers: what is sound is read, every lie is refused, no bytes at all crash the reader."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import CheckpointRejected
from evaluator.weights import LENGTH_BYTES, header_bytes, local_headers, read_header
from tests.checkpoints import TENSORS, raw_safetensors, safetensors

ENTRY = {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}


def test_names_types_shapes_and_sizes_are_read(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors(TENSORS))
    (tensors,) = local_headers(tmp_path).values()
    assert {tensor.name: tensor.shape for tensor in tensors} == TENSORS
    assert [tensor.bytes for tensor in tensors] == [256, 512, 512]
    assert sum(tensor.elements for tensor in tensors) == 640


@pytest.mark.parametrize(
    ("header", "data", "says"),
    [
        ({"w": {**ENTRY, "dtype": "PICKLE"}}, 12, "does not have"),
        ({"w": {**ENTRY, "shape": [2, 4]}}, 12, "its shape needs 16"),
        ({"w": {**ENTRY, "shape": [2, -3]}}, 12, "whole numbers"),
        ({"w": {**ENTRY, "shape": [1 << 60, 1 << 60]}}, 12, "whole numbers"),
        ({"w": {**ENTRY, "shape": [True, 6]}}, 12, "whole numbers"),
        ({"w": {**ENTRY, "shape": [1] * 9}}, 12, "whole numbers"),
        ({"w": {**ENTRY, "shape": "2x3"}}, 12, "whole numbers"),
        ({"w": {**ENTRY, "data_offsets": [0]}}, 12, "whole numbers"),
        ({"w": {**ENTRY, "data_offsets": [12, 0]}}, 12, "its shape needs 12"),
        ({"w": ENTRY, "v": ENTRY}, 24, "the tensor before ends at 12"),
        ({"w": {**ENTRY, "data_offsets": [4, 16]}}, 16, "the tensor before ends at 0"),
        ({"w": ENTRY}, 11, "declares 12 bytes of tensors and holds 11"),
        ({"w": ENTRY}, 13, "declares 12 bytes of tensors and holds 13"),
        ({"w": 7}, 12, "does not have"),
        ({}, 0, "declares 0 tensors"),
        ({"__metadata__": {"format": 1}, "w": ENTRY}, 12, "metadata"),
        ([1, 2], 0, "not a JSON object"),
        (b'{"w": 1, "w": 2}', 0, "stands twice"),
        (b"{" * 50_000, 0, "not JSON"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 0, "not JSON"),
        (b"\xff\xfe{}", 0, "not JSON"),
    ],
)
def test_a_header_that_lies_is_refused_and_the_lie_is_named(
    tmp_path: Path, header: object, data: int, says: str
) -> None:
    (tmp_path / "model.safetensors").write_bytes(raw_safetensors(header, b"\0" * data))
    with pytest.raises(CheckpointRejected, match=says):
        local_headers(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"1234567", pickle.dumps({"weights": [1.0]}), b"PK\3\4" + b"\0" * 100, b"\xff" * 64, b"GGUF" + b"\1" * 60],
    ids=["empty", "short", "pickle", "zip", "huge length", "gguf"],
)
def test_a_file_that_is_no_safetensors_file_is_refused_by_its_first_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointRejected, match="does not begin with the length of a header"):
        local_headers(tmp_path)


def test_a_long_header_is_not_read_beyond_the_formats_limit() -> None:
    with pytest.raises(CheckpointRejected):
        header_bytes((100_000_001).to_bytes(8, "little"), file="f", size=1 << 40)


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_reader(content: bytes) -> None:
    try:
        length = header_bytes(content, file="f", size=len(content))
        tensors = read_header(
            content[LENGTH_BYTES : LENGTH_BYTES + length], file="f", data_bytes=len(content) - LENGTH_BYTES - length
        )
    except CheckpointRejected:
        return
    assert tensors


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELD = ANY_JSON | st.lists(st.integers(-2, 20), max_size=3) | st.sampled_from(["BF16", "F4", "U8"])


@given(
    st.dictionaries(
        st.text(max_size=6), st.fixed_dictionaries({"dtype": FIELD, "shape": FIELD, "data_offsets": FIELD}), max_size=3
    ),
    st.integers(0, 40),
)
def test_whatever_a_header_holds_it_is_read_or_refused(header: dict[str, object], data_bytes: int) -> None:
    try:
        tensors = read_header(json.dumps(header).encode(), file="f", data_bytes=data_bytes)
    except CheckpointRejected:
        return
    assert sum(tensor.bytes for tensor in tensors) == data_bytes
