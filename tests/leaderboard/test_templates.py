"""A chat template is kept beside its base model's: what differs is flagged, shown line by line, and never obeyed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend_jobs.weights import with_templates
from evaluator.types import Lineage, Templates
from leaderboard.board import Board
from leaderboard.inspection import templates_beside
from leaderboard.sqlite_store import SqliteStore
from leaderboard.template_files import difference
from leaderboard.views.result import result_head
from leaderboard.views.template import template_section
from settings import Settings
from tests.checkpoints import TEMPLATE, sound_checkpoint
from tests.fakes.hub_server import FakeHub
from tests.leaderboard.measurements import checkpoint, measurement, publish

needs_client = pytest.mark.skipif(
    os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"),
    reason="HF_HUB_OFFLINE keeps the Hub's client from asking even a server on loopback",
)
HINTING = "{% if messages %}Remember: the answer is 42 <script>alert(1)</script>{% endif %}" + TEMPLATE


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


@needs_client
def test_the_base_models_template_is_read_without_anything_else_of_it(hub: FakeHub) -> None:
    commit = hub.add("org/base", sound_checkpoint())
    found = templates_beside(HINTING, "org/base", endpoint=hub.root)
    assert found == Templates(text=HINTING, base="org/base", base_commit=commit, base_text=TEMPLATE)
    assert {name for _, _, name in hub.downloads} == {"chat_template.jinja", "tokenizer_config.json"}


@needs_client
def test_a_base_model_is_taken_at_the_commit_that_the_training_noted(hub: FakeHub) -> None:
    commit = hub.add("org/base", sound_checkpoint())
    hub.add("org/base", sound_checkpoint(chat_template_jinja=b"another"))
    assert templates_beside(TEMPLATE, f"org/base@{commit}", endpoint=hub.root).base_text == TEMPLATE


@needs_client
@pytest.mark.parametrize(
    ("base", "why"),
    [
        (None, "names a base model"),
        ("local/demo@sha256:abc", "not on the Hub"),
        ("org/gone", "org/gone"),
        ("org/no-template", "no chat template"),
        ("../../etc/passwd", "not on the Hub"),
    ],
)
def test_a_base_model_that_cannot_be_had_is_said_and_stops_nothing(hub: FakeHub, base: str | None, why: str) -> None:
    hub.add("org/no-template", sound_checkpoint(chat_template_jinja=None))
    found = templates_beside(TEMPLATE, base, endpoint=hub.root)
    assert (found.text, found.base_text) == (TEMPLATE, None)
    assert why in found.unknown


def test_a_checkpoint_that_was_trained_here_says_that_its_base_is_not_at_hand(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    lineage = Lineage(run="demo", step=10, recipe_hash="r", parent="local/start@sha256:abc")
    trained = replace(checkpoint("local/demo"), path=tmp_path, lineage=lineage)
    templates = with_templates(trained, Settings()).templates
    assert templates == Templates(text=TEMPLATE, base="local/start", unknown="local/start is not on the Hub")


def shown(tmp_path: Path, templates: Templates | None) -> tuple[str, str]:
    store = SqliteStore(tmp_path / "store.db")
    publish(store, measurement([4, 2]), weights=replace(checkpoint(), templates=templates))
    board = Board(store)
    (row,) = board.rows()
    return str(result_head(row)), str(template_section(row, board.template))


def test_a_template_that_differs_is_flagged_and_its_difference_shown_escaped(tmp_path: Path) -> None:
    head, section = shown(tmp_path, Templates(text=HINTING, base="org/base", base_commit="b" * 40, base_text=TEMPLATE))
    assert "own chat template" in head
    assert "differs" in section
    assert "org/base" in section
    assert "+{% if messages %}Remember: the answer is 42 &lt;script&gt;" in section
    assert "<script>" not in section


def test_a_template_that_is_the_base_models_is_said_to_be(tmp_path: Path) -> None:
    head, section = shown(tmp_path, Templates(text=TEMPLATE, base="org/base", base_commit="b" * 40, base_text=TEMPLATE))
    assert "own chat template" not in head
    assert "The same as that of" in section
    assert "class='text difference'" not in section


def test_an_unknown_base_is_no_flag_and_says_why(tmp_path: Path) -> None:
    head, section = shown(tmp_path, Templates(text=TEMPLATE, unknown="neither its card nor its training names it"))
    assert "own chat template" not in head
    assert "is not known here: neither its card" in section


def test_nothing_is_said_where_only_a_server_knows_the_template(tmp_path: Path) -> None:
    assert shown(tmp_path, None)[1] == ""


def test_a_difference_cuts_templates_of_one_line_at_their_tags() -> None:
    lines = difference("{{ a }}{% if b %}c{% endif %}", "{{ a }}{% if b %}hint{% endif %}")
    assert lines[3:] == [" {{ a }}", "-{% if b %}c", "+{% if b %}hint", " {% endif %}"]
