"""Parts of a journal that travel: what one machine answered, in files from which another one continues.

A part is gzipped JSON lines: a header, then rows that each say what they are. Its name is the hash of its content, so
that the same part written twice is one file. Parts only add: an answer that is there already stays as it is.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import logging
import zlib
from collections.abc import Sequence
from typing import Any, Protocol

from evaluator.errors import JournalUnusable, OpenR1Error
from evaluator.journal import Journal
from evaluator.types import Completion, EngineFacts, Refusal, to_json

LOG = logging.getLogger(__name__)
FORMAT, VERSION = "open-r1 journal part", 1
ROWS = 500
"""Answers of one part at most: tens of megabytes of text before compression."""
EVERY_S = 600.0
SUFFIX = ".jsonl.gz"


class Parts(Protocol):
    """Where parts are kept, by generation key. Every method may be slow, and is called from any thread."""

    def names(self, generation_key: str) -> Sequence[str]:
        """The parts that are there."""

    def read(self, generation_key: str, name: str) -> bytes:
        """The content of one."""

    def add(self, generation_key: str, name: str, content: bytes) -> None:
        """Keep one; one of this name that is there already is the same."""


async def fetch_parts(journal: Journal, parts: Parts, generation_key: str) -> int:
    """Take over what other machines answered of a plan. Returns the answers that were new.

    Raises:
        JournalUnusable: a part is torn, of another plan, or of a newer version.
    """
    known = journal.parts(generation_key)
    new = 0
    for name in await asyncio.to_thread(parts.names, generation_key):
        if name not in known:
            content = await asyncio.to_thread(parts.read, generation_key, name)
            new += take_part(journal, generation_key, name, content)
    return new


async def send_parts(journal: Journal, parts: Parts, generation_key: str) -> int:
    """Hand on what is in the journal and in no part yet. Returns the answers that were sent."""
    sent = 0
    while True:
        answers, refusals = journal.not_in_parts(generation_key, ROWS)
        if not answers and not refusals:
            return sent
        content = await asyncio.to_thread(
            write_part,
            generation_key,
            answers,
            refusals,
            journal.engine_notes(generation_key),
            journal.occasions(generation_key),
        )
        name = part_name(content)
        await asyncio.to_thread(parts.add, generation_key, name, content)
        journal.note_part(generation_key, name, answers, refusals)
        sent += len(answers)


async def keep_sending(journal: Journal, parts: Parts, keys: Sequence[str], *, every_s: float = EVERY_S) -> None:
    """Send parts now and then until cancelled; what is lost with this machine is what came since the last time.

    A store that cannot be reached is tried again the next time: answering goes on.
    """
    while True:
        await asyncio.sleep(every_s)
        await send_all(journal, parts, keys)


async def send_all(journal: Journal, parts: Parts, keys: Sequence[str]) -> None:
    """Send what is in no part yet; where that fails it is logged, and the journal here still has everything."""
    for key in keys:
        try:
            await send_parts(journal, parts, key)
        except OpenR1Error as error:
            LOG.warning("a part of the journal of %s was not sent: %s", key, error)


def part_name(content: bytes) -> str:
    """The name of a part: 32 hex digits of its hash."""
    return hashlib.sha256(content).hexdigest()[:32] + SUFFIX


def write_part(
    generation_key: str,
    answers: Sequence[Completion],
    refusals: Sequence[Refusal],
    engines: Sequence[EngineFacts] = (),
    occasions: Sequence[str] = (),
) -> bytes:
    """A part as bytes. `occasions` are those on which a person said that refusals may be forgotten."""
    rows: list[dict[str, Any]] = [{"format": FORMAT, "version": VERSION, "generation_key": generation_key}]
    rows += [{"forgotten": because} for because in occasions]
    rows += [{"engine": to_json(facts)} for facts in engines]
    rows += [{"answer": to_json(answer)} for answer in answers]
    rows += [{"refusal": to_json(refusal)} for refusal in refusals]
    text = "".join(json.dumps(row, ensure_ascii=True, sort_keys=True) + "\n" for row in rows)
    return gzip.compress(text.encode(), compresslevel=6, mtime=0)


def take_part(journal: Journal, generation_key: str, name: str, content: bytes) -> int:
    """Add what a part holds to a journal, all of it or nothing. Returns the answers that were new.

    Raises:
        JournalUnusable: the part is torn, of another plan, or of a newer version.
    """
    rows = _rows(generation_key, name, content)
    try:
        answers = [Completion(**row["answer"]) for row in rows if "answer" in row]
        refusals = [Refusal(**row["refusal"]) for row in rows if "refusal" in row]
        engines = [EngineFacts(**row["engine"]) for row in rows if "engine" in row]
        occasions = [str(row["forgotten"]) for row in rows if "forgotten" in row]
    except TypeError as error:
        raise JournalUnusable(f"part {name} holds a row of another shape ({error}); remove it and run again") from error
    return journal.take(generation_key, name, answers, refusals, engines, occasions)


def _rows(generation_key: str, name: str, content: bytes) -> list[dict[str, Any]]:
    if part_name(content) != name:
        raise JournalUnusable(f"part {name} is not what it was when it was written; remove it and run again")
    try:
        lines = gzip.decompress(content).decode().splitlines()
        header, *rows = [json.loads(line) for line in lines]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise JournalUnusable(f"part {name} cannot be read ({error}); remove it and run again") from error
    if header.get("format") != FORMAT or header.get("generation_key") != generation_key:
        raise JournalUnusable(f"part {name} belongs to another plan than {generation_key}; remove it and run again")
    if header.get("version") != VERSION:
        raise JournalUnusable(
            f"part {name} has version {header.get('version')}, this program reads version {VERSION}: update the program"
        )
    return rows
