"""Rewards for information extraction: text to one JSON object of entities and relations.

Source: Text2Graph-R1 (Stepanov), with the weights 0.1, 0.1, 1 and 1 left to the recipe. Shape of an answer, after the
thought: `{"entities": [{"id", "text", "type"}], "relations": [{"head", "tail", "type"}]}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from typing_extensions import override

from backend_jobs.rewards.types import Planted, Reward, Rewards, Rollout
from evaluator.answers import answer_region
from evaluator.types import Verdict

FENCED = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
LONGEST_JSON = 100_000
ENTITY, RELATION = ("text", "type"), ("head", "tail", "type")
RIGHT = '<think>so</think>\n{"entities": [{"id": 0, "text": "Ada", "type": "person"}], "relations": []}'


class JsonConsistency(Reward):
    """1 where the answer, after the thought, is one JSON object (a code fence around it is fine); else 0."""

    name: Literal["json_consistency"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [float(json_answer(rollout.text) is not None) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right=RIGHT, wrong=RIGHT[:-1])


class JsonStructure(Reward):
    """1 where `entities` and `relations` are lists whose items have exactly the keys they should; else 0."""

    name: Literal["json_structure"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [float(_well_formed(json_answer(rollout.text))) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right=RIGHT, wrong='<think>so</think>\n{"entities": ["Ada"], "relations": []}')


class EntityF1(Reward):
    """F1 over (text, type) of the entities, case aside; 1 where neither side has any. None without a gold graph."""

    name: Literal["entity_f1"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [_f1(rollout, "entities", ENTITY) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return _planted_graph(gold, "entities", ENTITY)


class RelationF1(Reward):
    """F1 over (head, tail, type) of the relations, as `entity_f1`. A head or tail given by id is that entity's text."""

    name: Literal["relation_f1"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [_f1(rollout, "relations", RELATION) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return _planted_graph(gold, "relations", RELATION)


def json_answer(text: str) -> dict[str, Any] | None:
    """The JSON object that a completion answers with; None where there is none, or more than one."""
    region = answer_region(text).text or ""
    fenced = FENCED.findall(region)
    candidate = (fenced[-1] if fenced else region).strip()
    return _object(candidate)


def _object(text: str) -> dict[str, Any] | None:
    if len(text) > LONGEST_JSON:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _well_formed(graph: dict[str, Any] | None) -> bool:
    if graph is None or set(graph) != {"entities", "relations"}:
        return False
    return _all_have(graph["entities"], {"id", *ENTITY}) and _all_have(graph["relations"], set(RELATION))


def _all_have(items: object, keys: set[str]) -> bool:
    return isinstance(items, list) and all(isinstance(item, dict) and set(item) == keys for item in items)


def _f1(rollout: Rollout, part: str, keys: Sequence[str]) -> float | None:
    wanted_graph, graph = _gold_graph(rollout.gold), json_answer(rollout.text)
    if wanted_graph is None:
        return None
    if graph is None:
        return 0.0
    wanted, found = _facts(wanted_graph, part, keys), _facts(graph, part, keys)
    if not wanted and not found:
        return 1.0
    return 2 * len(wanted & found) / (len(wanted) + len(found))


def _gold_graph(gold: str | None) -> dict[str, Any] | None:
    """The graph in a gold answer, which may have words around it."""
    start, end = (gold or "").find("{"), (gold or "").rfind("}")
    return _object(gold[start : end + 1]) if gold and 0 <= start < end else None


def _facts(graph: Mapping[str, Any], part: str, keys: Sequence[str]) -> set[tuple[str, ...]]:
    texts = {str(item.get("id")): item.get("text") for item in _items(graph, "entities")}
    facts = set()
    for item in _items(graph, part):
        values = (item.get(key) for key in keys)
        named = (
            texts.get(str(value), value) if key in ("head", "tail") else value
            for key, value in zip(keys, values, strict=True)
        )
        facts.add(tuple(str(value).strip().casefold() for value in named))
    return facts


def _items(graph: Mapping[str, Any], part: str) -> Iterator[Mapping[str, Any]]:
    items = graph.get(part)
    yield from (item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()


def _planted_graph(gold: str | None, part: str, keys: Sequence[str]) -> Planted:
    right = _gold_graph(gold) or {}
    strange = dict.fromkeys(keys, "no such thing")
    return Planted(
        right=f"<think>so</think>\n{json.dumps(right)}",
        wrong=f"<think>so</think>\n{json.dumps({**right, part: [strange]})}",
    )
