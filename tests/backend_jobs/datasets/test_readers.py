from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend_jobs.datasets.parquet import RowsWriter, read_columns, row_of
from backend_jobs.datasets.readers import DATASETS
from backend_jobs.datasets.source import Source
from backend_jobs.datasets.sources import find_source
from backend_jobs.datasets.training_rows import training_examples
from backend_jobs.datasets.types import DatasetRejected, RowRejected
from settings import Settings
from tests.backend_jobs.datasets.rows import ANSWER, QUESTION, ROWS, SECTIONS, THINK, THOUGHT

CASES = [pytest.param(name, row, id=f"{name}-{n}") for name, rows in ROWS.items() for n, row in enumerate(rows)]


@pytest.mark.parametrize(("name", "row"), CASES)
def test_a_row_comes_back_exactly_as_it_was(name: str, row: dict[str, Any], tmp_path: Path) -> None:
    read = DATASETS[name].read(copy.deepcopy(row), number=7)
    with RowsWriter(tmp_path / "rows.parquet") as writer:
        writer.add(read)
    [stored] = [row_of(columns) for columns in read_columns(tmp_path / "rows.parquet")]
    assert stored == read
    assert DATASETS[name].write(stored) == row


@pytest.mark.parametrize(("name", "row"), CASES)
def test_every_dataset_reads_to_one_schema(name: str, row: dict[str, Any]) -> None:
    read = DATASETS[name].read(row, number=0)
    assert read.problem == QUESTION
    assert (read.reasoning.strip(), read.answer) == (THOUGHT, ANSWER)
    assert read.messages[-1].content.startswith("<think>\n")
    assert "begin_of" not in read.messages[-1].content
    assert read.license == DATASETS[name].license


def test_a_truncated_word_of_whitespace_is_not_lost() -> None:
    odd = "<think>\n\n  a thought\n</think>answer  \n"
    row = {"id": "x", "problem": QUESTION, "reannotated_assistant_content": odd}
    reader = DATASETS["ServiceNow-AI/R1-Distill-SFT"]
    assert reader.write(reader.read(row, number=0)) == row


def test_what_a_dataset_verified_stays_verified() -> None:
    first, second = ROWS["ServiceNow-AI/R1-Distill-SFT"]
    reader = DATASETS["ServiceNow-AI/R1-Distill-SFT"]
    assert reader.read(first, number=0).verified is True
    assert reader.read(second, number=0).verified is None
    assert reader.read(second, number=0).source == "AI-MO/NuminaMath-CoT"
    assert reader.read(first, number=0).generation.target == "6"


def _without(column: str) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.pop(column)


def _with(column: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.__setitem__(column, value)


MISFITS = [
    ("bespokelabs/Bespoke-Stratos-17k", _without("system"), "column 'system': is missing"),
    (
        "bespokelabs/Bespoke-Stratos-17k",
        _with("conversations", "text"),
        "column 'conversations': is 'text', expected a list",
    ),
    (
        "bespokelabs/Bespoke-Stratos-17k",
        _with("conversations", [{"role": "user", "content": "x"}]),
        "turn 0 is {'role': 'user', 'content': 'x'}, expected the keys 'from' and 'value'",
    ),
    (
        "NovaSky-AI/Sky-T1_data_17k",
        _with("conversations", [{"from": "user", "value": "x"}, {"from": "assistant", "value": THINK}]),
        "expected a thought marked as sections",
    ),
    (
        "NovaSky-AI/Sky-T1_data_17k",
        _with("conversations", [{"from": "user", "value": "x"}]),
        "ends with the turns ['user'], expected a user's and an assistant's",
    ),
    (
        "NovaSky-AI/Sky-T1_data_17k",
        _with("conversations", [{"from": "tool", "value": "x"}]),
        "turn 0 is by 'tool', expected one of system, user",
    ),
    (
        "NovaSky-AI/Sky-T1_data_17k",
        _with(
            "conversations",
            [
                {"from": "user", "value": "x"},
                {"from": "assistant", "value": SECTIONS},
                {"from": "user", "value": "y"},
                {"from": "assistant", "value": SECTIONS},
            ],
        ),
        "holds a thought in an earlier turn",
    ),
    ("cognitivecomputations/dolphin-r1", _with("reasoning", None), "column 'reasoning': is nothing, expected text"),
    ("cognitivecomputations/dolphin-r1", _without("answer"), "column 'answer': is missing"),
    ("open-thoughts/OpenThoughts-114k", _with("system", 5), "column 'system': is 5, expected text"),
    ("ServiceNow-AI/R1-Distill-SFT", _with("verified", "yes"), "column 'verified': is 'yes', expected true, false"),
    (
        "Magpie-Align/Magpie-Reasoning-V2-250K-CoT-Deepseek-R1-Llama-70B",
        _with("conversations", [{"from": "human", "value": "x"}, {"from": "gpt", "value": "Six."}]),
        "ends with 'Six.', expected a thought marked as think",
    ),
]


@pytest.mark.parametrize(("name", "spoil", "message"), MISFITS)
def test_a_row_that_does_not_fit_is_refused_by_dataset_row_and_column(
    name: str, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    row = copy.deepcopy(ROWS[name][0])
    spoil(row)
    with pytest.raises(RowRejected) as refused:
        DATASETS[name].read(row, number=41)
    assert f"{name}, row 41" in str(refused.value)
    assert message in str(refused.value)


def mirrored(tmp_path: Path, name: str, lines: list[str], file: str = "train.jsonl") -> Settings:
    folder = tmp_path / "mirror" / name
    folder.mkdir(parents=True)
    (folder / file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return Settings(benchmark_mirror=tmp_path / "mirror", data_dir=tmp_path)


@pytest.mark.parametrize("name", list(ROWS))
def test_a_whole_file_is_read_as_a_stream(name: str, tmp_path: Path) -> None:
    settings = mirrored(tmp_path, name, [json.dumps(row) for row in ROWS[name] * 300])
    source = find_source(name, settings)
    rows = list(source.reasoning_rows())
    assert len(rows) == 300 * len(ROWS[name])
    assert {row.problem for row in rows} == {QUESTION}


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    name = "cognitivecomputations/dolphin-r1"
    good = json.dumps(ROWS[name][0])
    settings = mirrored(tmp_path, name, [good, good, good[:50]])
    with pytest.raises(RowRejected, match=r"dolphin-r1, row 2 \(train.jsonl\): not valid JSON"):
        list(find_source(name, settings).reasoning_rows())


def test_a_config_is_found_where_the_card_says(tmp_path: Path) -> None:
    name = "cognitivecomputations/dolphin-r1"
    settings = mirrored(tmp_path, name, [json.dumps(ROWS[name][0])], file="dolphin-r1-reasoning-deepseek.jsonl")
    (tmp_path / "mirror" / name / "README.md").write_text(
        "---\nlicense: apache-2.0\nconfigs:\n- config_name: reasoning-deepseek\n  data_files:\n  - split: train\n"
        "    path: dolphin-r1-reasoning-deepseek.jsonl\n---\n# card\n"
    )
    source = find_source(name, settings, config="reasoning-deepseek")
    assert len(list(source.rows())) == 1
    assert source.license == "apache-2.0"
    with pytest.raises(DatasetRejected, match="has no config 'chat'; it has: reasoning-deepseek"):
        find_source(name, settings, config="chat")


def test_gzipped_lines_and_single_files_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"problem": "x"}\n\n{"problem": "y"}\n'))
    source = find_source(str(path), Settings(data_dir=tmp_path))
    assert list(source.rows()) == [(0, {"problem": "x"}), (1, {"problem": "y"})]
    assert source.commit.startswith("sha256:")


def test_a_split_that_is_not_there_is_refused_with_what_is(tmp_path: Path) -> None:
    settings = mirrored(tmp_path, "owner/name", ["{}"], file="validation.jsonl")
    with pytest.raises(DatasetRejected, match=r"no file for split 'train'.*validation\.jsonl"):
        find_source("owner/name", settings)


def test_data_of_an_unknown_form_is_refused(tmp_path: Path) -> None:
    settings = mirrored(tmp_path, "owner/name", ['{"text": "x"}'])
    with pytest.raises(DatasetRejected, match="is not reasoning data that is known here"):
        list(find_source("owner/name", settings).reasoning_rows())


def test_rows_become_training_examples(tmp_path: Path) -> None:
    name = "bespokelabs/Bespoke-Stratos-17k"
    source: Source = find_source(name, mirrored(tmp_path, name, [json.dumps(ROWS[name][0])] * 3))
    examples = list(training_examples(source.reasoning_rows(), limit=2))
    assert len(examples) == 2
    assert [turn["role"] for turn in examples[0]["prompt"]] == ["system", "user"]
    assert examples[0]["completion"] == [{"role": "assistant", "content": THINK}]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    name = "bespokelabs/Bespoke-Stratos-17k"
    row = DATASETS[name].read(ROWS[name][0], number=0)
    with pytest.raises(KeyboardInterrupt), RowsWriter(tmp_path / "rows.parquet") as writer:  # noqa: PT012
        writer.add(row)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
