"""Answers that are prepared once and sent many times: compressed for every kind of client, with an ETag and 304."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import brotli
from starlette.requests import Request
from starlette.responses import Response

SMALLEST_COMPRESSED_BYTES = 1024
BROTLI_QUALITY, GZIP_LEVEL = 9, 9
PREPARED_KEPT = 64
ALREADY_COMPRESSED = ("application/vnd.apache.parquet",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A whole answer: its plain bytes, and those of each content encoding that makes them smaller."""

    body: bytes
    media_type: str
    etag: str
    encoded: Mapping[str, bytes] = field(default_factory=dict)


def prepare(body: bytes, media_type: str) -> Prepared:
    """Compress an answer and name it by its content."""
    encoded: dict[str, bytes] = {}
    if len(body) >= SMALLEST_COMPRESSED_BYTES and media_type not in ALREADY_COMPRESSED:
        encoded["br"] = brotli.compress(body, quality=BROTLI_QUALITY)
        encoded["gzip"] = gzip.compress(body, GZIP_LEVEL, mtime=0)
    return Prepared(body=body, media_type=media_type, etag=hashlib.sha256(body).hexdigest()[:24], encoded=encoded)


def answer(request: Request, prepared: Prepared, *, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to one client: 304 where it has it already, else the smallest encoding that it accepts."""
    encoding = _encoding(request.headers.get("accept-encoding", ""), prepared)
    tag = f'"{prepared.etag}{f"-{encoding}" if encoding else ""}"'
    sent = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding", **(headers or {})}
    if _known(request.headers.get("if-none-match", ""), prepared.etag):
        return Response(status_code=304, headers=sent)
    if encoding:
        sent["Content-Encoding"] = encoding
    body = prepared.encoded[encoding] if encoding else prepared.body
    return Response(body, media_type=prepared.media_type, headers=sent)


class PreparedAnswers:
    """Prepared answers by name, each valid for as long as what it was made from stays the very same object."""

    def __init__(self, kept: int = PREPARED_KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._making: dict[object, threading.Lock] = {}
        self._made: OrderedDict[object, tuple[object, Prepared]] = OrderedDict()

    def ready(self, name: object, basis: object) -> Prepared | None:
        """The answer, where it was already made from this basis."""
        with self._lock:
            made = self._made.get(name)
            if made is None or made[0] is not basis:
                return None
            self._made.move_to_end(name)
            return made[1]

    def get(self, name: object, basis: object, make: Callable[[], tuple[bytes, str]]) -> Prepared:
        """The answer, made where there is none yet: by one thread, while others that want it wait."""
        with self._lock:
            making = self._making.setdefault(name, threading.Lock())
        with making:
            ready = self.ready(name, basis)
            if ready is None:
                ready = prepare(*make())
                self._keep(name, basis, ready)
        return ready

    def _keep(self, name: object, basis: object, prepared: Prepared) -> None:
        with self._lock:
            self._made[name] = (basis, prepared)
            while len(self._made) > self._kept:
                gone, _ = self._made.popitem(last=False)
                self._making.pop(gone, None)


def _encoding(accepted: str, prepared: Prepared) -> str | None:
    """The smallest encoding among those that a client accepts. One with q=0 is refused."""
    wanted = set()
    for part in accepted.lower().split(","):
        name, _, parameters = part.strip().partition(";")
        if parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            wanted.add(name.strip())
    usable = [name for name in prepared.encoded if name in wanted or "*" in wanted]
    return min(usable, key=lambda name: len(prepared.encoded[name]), default=None)


def _known(sent: str, etag: str) -> bool:
    """Whether one of the tags a client has is this content's, in whatever encoding it got it."""
    tags = (part.strip().removeprefix("W/").strip('"').partition("-")[0] for part in sent.split(","))
    return sent.strip() == "*" or etag in tags
