"""A small, honest stand-in for the Hugging Face Hub: model info, file trees and files with their ETags and commits.

with FakeHub() as hub:
    commit = hub.add("owner/name", {"config.json": b"{}"})
    HfApi(endpoint=hub.root).model_info("owner/name")
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from tests.fakes.server_thread import ServerThread

LARGE_BYTES = 1 << 20


@dataclass(kw_only=True)
class Repository:
    """Commits, newest last, each a whole tree; names point at commits."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False


class FakeHub(ServerThread):
    """See the module. `token` opens gated and private repositories."""

    def __init__(self, *, token: str = "hf_reader") -> None:
        super().__init__()
        self.token = token
        self.repositories: dict[str, Repository] = {}
        self.downloads: list[tuple[str, str, str]] = []
        """(model, commit, file) of every file whose content was sent."""
        self.short_by: dict[str, int] = {}
        """Files whose content is sent so many bytes too short before the connection breaks."""
        self.status: int | None = None
        """Answer everything with this HTTP status."""

    def add(
        self, model: str, files: Mapping[str, bytes], *, ref: str = "main", gated: bool = False, private: bool = False
    ) -> str:
        """Add a commit with exactly these files and move `ref` to it. Returns the commit."""
        repository = self.repositories.setdefault(model, Repository())
        repository.gated, repository.private = gated, private
        content = b"".join(name.encode() + b"\0" + files[name] for name in sorted(files))
        commit = hashlib.sha1(content + str(len(repository.commits)).encode()).hexdigest()
        repository.commits[commit] = dict(files)
        repository.refs[ref] = commit
        return commit

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{name}", self._info)
        app.router.add_get("/api/models/{owner}/{name}/revision/{revision}", self._info)
        app.router.add_get("/api/models/{owner}/{name}/tree/{revision}", self._tree)
        app.router.add_get("/{owner}/{name}/resolve/{revision}/{file:.+}", self._file)
        return app

    async def _info(self, request: web.Request) -> web.Response:
        model, repository, commit = self._find(request, content=False)
        siblings = [{"rfilename": name} | _blob(data) for name, data in repository.commits[commit].items()]
        if request.query.get("blobs") != "true":
            siblings = [{"rfilename": each["rfilename"]} for each in siblings]
        return web.json_response(
            {"id": model, "sha": commit, "private": repository.private, "gated": repository.gated, "siblings": siblings}
        )

    async def _tree(self, request: web.Request) -> web.Response:
        _, repository, commit = self._find(request, content=False)
        files = repository.commits[commit].items()
        return web.json_response(
            [{"type": "file", "path": name, "oid": _oid(data), "size": len(data)} for name, data in files]
        )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        model, repository, commit = self._find(request, content=True)
        name = request.match_info["file"]
        data = repository.commits[commit].get(name)
        if data is None:
            raise _refusal(404, "EntryNotFound", "Entry not found")
        large = len(data) >= LARGE_BYTES
        etag = hashlib.sha256(data).hexdigest() if large else _oid(data)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if request.method == "HEAD":
            return web.Response(headers=headers | {"Content-Length": str(len(data))})
        self.downloads.append((model, commit, name))
        start = request.http_range.start or 0
        body = data[start : len(data) - self.short_by.pop(name, 0)]
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        response.content_length = len(data) - start
        await response.prepare(request)
        await response.write(body)
        if len(body) < len(data) - start and request.transport is not None:
            request.transport.close()
        return response

    def _find(self, request: web.Request, *, content: bool) -> tuple[str, Repository, str]:
        if self.status is not None:
            raise _refusal(self.status, None, "scripted")
        model = f"{request.match_info['owner']}/{request.match_info['name']}"
        known = request.headers.get("Authorization") == f"Bearer {self.token}"
        repository = self.repositories.get(model)
        if repository is None or (repository.private and not known):
            raise _refusal(404 if known else 401, "RepoNotFound", "Repository not found")
        if repository.gated and content and not known:
            raise _refusal(403 if "Authorization" in request.headers else 401, "GatedRepo", "Access is restricted")
        revision = request.match_info.get("revision", "main")
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            raise _refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return model, repository, commit


def _refusal(status: int, code: str | None, message: str) -> web.HTTPException:
    refusal = web.HTTPException(headers={"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}))
    refusal.set_status(status)
    return refusal


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _blob(data: bytes) -> dict[str, object]:
    blob: dict[str, object] = {"size": len(data), "blobId": _oid(data)}
    if len(data) >= LARGE_BYTES:
        blob["lfs"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 134}
    return blob
