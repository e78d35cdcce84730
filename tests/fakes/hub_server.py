"""A local stand-in for the Hugging Face Hub that speaks its HTTP protocol to the real clients.

    with FakeHub() as hub:
        hub.account("alice", token="hf_alice", orgs=("open-r1",))
        commit = hub.add("owner/name", {"config.json": b"{}"})
        HfApi(endpoint=hub.root).model_info("owner/name")

huggingface_hub, datasets, HfFileSystem and the `hf` command line talk to it unpatched where HF_ENDPOINT is its address
and HF_HUB_DISABLE_XET is set. `docs/hub.md` lists its endpoints and who calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.typedefs import Handler

from tests.fakes.hub_faults import Faults
from tests.fakes.hub_state import (
    KINDS,
    Commit,
    Repository,
    blob_oid,
    children,
    file_entry,
    is_lfs,
    listing,
    sha256,
    sibling,
    tree_oid,
)
from tests.fakes.server_thread import ServerThread

if TYPE_CHECKING:
    from tests.fakes.hub_compute import Endpoints
    from tests.fakes.hub_jobs import Jobs

__all__ = ["Account", "FakeHub", "Repository"]
TREE_PAGE, EXPANDED_PAGE, COMMITS_PAGE = 1000, 50, 100
MOST_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who a token stands for. Writes go to the account's own namespace and those of its organizations."""

    name: str
    token: str
    orgs: tuple[str, ...] = ()
    may_write: bool = True


class FakeHub(ServerThread):
    """See the module. `token` opens gated and private repositories, for reading."""

    def __init__(self, *, token: str = "hf_reader") -> None:
        super().__init__()
        self.token = token
        self.accounts: dict[str, Account] = {token: Account(name="reader", token=token, may_write=False)}
        self.repositories: dict[str, Repository] = {}
        """Models by `owner/name`, others by `datasets/owner/name` and `spaces/owner/name`."""
        self.downloads: list[tuple[str, str, str]] = []
        """(repository, commit, file) of every file whose content was sent."""
        self.short_by: dict[str, int] = {}
        """Files whose content is sent so many bytes too short before the connection breaks."""
        self.status: int | None = None
        """Answer everything with this HTTP status."""
        self.faults = Faults()
        self.requests: list[str] = []
        """`METHOD /path` of every request, in order."""
        self.jobs: Jobs
        self.endpoints: Endpoints
        self.on_commit: list[Callable[[str, str, str], None]] = []
        """Called with (repository, ref, commit) after every commit through the API."""

    def account(self, name: str, *, token: str, orgs: tuple[str, ...] = (), may_write: bool = True) -> Account:
        """Add an account. Returns it."""
        self.accounts[token] = Account(name=name, token=token, orgs=orgs, may_write=may_write)
        return self.accounts[token]

    def add(
        self,
        model: str,
        files: Mapping[str, bytes],
        *,
        ref: str = "main",
        gated: bool = False,
        private: bool = False,
        title: str = "added",
    ) -> str:
        """Add a commit with exactly these files and move `ref` to it. Returns the commit."""
        repository = self.repositories.setdefault(model, Repository())
        repository.gated, repository.private = gated, private
        return repository.commit(ref, files, Commit(parent=repository.refs.get(ref), title=title))

    def application(self) -> web.Application:
        # Late: these modules need the class above.
        from tests.fakes import hub_accounts, hub_compute, hub_discussions, hub_writes

        app = web.Application(middlewares=[self._seen, self.faults.middleware], client_max_size=MOST_BYTES)
        app.router.add_route("*", "/__control__/{action}", self._control)
        for module in (hub_accounts, hub_writes, hub_discussions, hub_compute):
            module.add_routes(app.router, self)
        api = "/api/{kind:models|datasets|spaces}/{owner}/{name}"
        app.router.add_get(api, self._info)
        app.router.add_get(api + "/revision/{revision}", self._info)
        app.router.add_get(api + "/tree/{revision}", self._tree)
        app.router.add_get(api + "/tree/{revision}/{folder:.+}", self._tree)
        app.router.add_post(api + "/paths-info/{revision}", self._paths_info)
        app.router.add_get(api + "/refs", self._refs)
        app.router.add_get(api + "/commits/{revision}", self._commits)
        app.router.add_get(api + "/auth-check", self._auth_check)
        app.router.add_get("/api/{kind:models|datasets|spaces}", self._list)
        for prefix in ("", "/{kind:datasets|spaces}"):
            app.router.add_get(prefix + "/{owner}/{name}/resolve/{revision}/{file:.+}", self._file)
        app.router.add_get("/cdn/{key}/{file:.+}", self._large_file)
        return app

    async def _control(self, request: web.Request) -> web.Response:
        """For a test in another process: GET happened or requests."""
        if request.match_info["action"] == "happened":
            return web.json_response(dict(self.faults.happened))
        return web.json_response(self.requests)

    @property
    def _seen(self) -> Callable[[web.Request, Handler], Any]:
        @web.middleware
        async def seen(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not request.path.startswith("/__control__"):
                self.requests.append(f"{request.method} {request.path}")
            if self.status is not None:
                raise refusal(self.status, None, "scripted")
            return await handler(request)

        return seen

    async def _info(self, request: web.Request) -> web.Response:
        key, repository, commit = self.find(request)
        files = repository.commits[commit]
        described: dict[str, Any] = {
            "id": key.removeprefix("datasets/").removeprefix("spaces/"),
            "author": request.match_info["owner"],
            "sha": commit,
            "private": repository.private,
            "gated": "manual" if repository.gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "lastModified": _time(repository.log[commit]),
            "createdAt": _time(repository.log[commit]),
        }
        expand = request.query.getall("expand", [])
        if expand:
            return web.json_response({k: v for k, v in described.items() if k in (*expand, "id")})
        blobs = request.query.get("blobs", "").lower() == "true"
        described["siblings"] = [sibling(name, data, blobs=blobs) for name, data in sorted(files.items())]
        if repository.sdk:
            described |= {"sdk": repository.sdk, "runtime": repository.runtime}
        return web.json_response(described)

    async def _list(self, request: web.Request) -> web.Response:
        prefix = "" if request.match_info["kind"] == "models" else request.match_info["kind"] + "/"
        author = request.query.get("author", "")
        found = [key.removeprefix(prefix) for key in self.repositories if key.startswith(prefix)]
        return web.json_response(
            [{"id": key} for key in found if key.count("/") == 1 and key.startswith(f"{author}/" if author else "")]
        )

    async def _tree(self, request: web.Request) -> web.Response:
        _, repository, commit = self.find(request)
        folder = request.match_info.get("folder", "").strip("/")
        recursive = request.query.get("recursive", "").lower() in ("true", "1")
        expand = request.query.get("expand", "").lower() in ("true", "1")
        entries = listing(repository.commits[commit], folder, recursive=recursive)
        if folder and not entries:
            raise refusal(404, "EntryNotFound", f"{folder} does not exist on {commit}")
        if expand:
            last = {"id": commit, "title": repository.log[commit].title, "date": _time(repository.log[commit])}
            entries = [entry | {"lastCommit": last} for entry in entries]
        return self.page(request, entries, EXPANDED_PAGE if expand else TREE_PAGE)

    async def _paths_info(self, request: web.Request) -> web.Response:
        _, repository, commit = self.find(request)
        if request.content_type == "application/json":
            paths = (await request.json())["paths"]
        else:
            paths = (await request.post()).getall("paths", [])
        files = repository.commits[commit]
        found = []
        for path in map(str, paths):
            if path in files:
                found.append(file_entry(path, files[path]))
            elif below := children(files, path):
                inside = {k: v for k, v in files.items() if k.startswith(f"{path}/")}
                assert below
                stripped = {k.removeprefix(f"{path}/"): v for k, v in inside.items()}
                found.append({"type": "directory", "path": path, "oid": tree_oid(stripped), "size": 0})
        return web.json_response(found)

    async def _refs(self, request: web.Request) -> web.Response:
        _, repository, _ = self.find(request)

        def named(refs: Mapping[str, str], kind: str) -> list[dict[str, str]]:
            return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid} for name, oid in refs.items()]

        branches = {name: oid for name, oid in repository.refs.items() if not name.startswith("refs/")}
        pulls = [
            {"name": name, "ref": name, "targetCommit": oid}
            for name, oid in repository.refs.items()
            if name.startswith("refs/pr/")
        ]
        answer = {"branches": named(branches, "heads"), "tags": named(repository.tags, "tags"), "converts": []}
        return web.json_response(answer | ({"pullRequests": pulls} if "include_prs" in request.query else {}))

    async def _commits(self, request: web.Request) -> web.Response:
        _, repository, commit = self.find(request)
        entries = [
            {
                "id": oid,
                "title": made.title,
                "message": made.message,
                "date": _time(made),
                "authors": [{"user": made.author, "avatar": ""}],
            }
            for oid, made in repository.history(commit)
        ]
        return self.page(request, entries, COMMITS_PAGE)

    async def _auth_check(self, request: web.Request) -> web.Response:
        self.find(request, content=True)
        return web.Response()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        key, repository, commit = self.find(request, content=True)
        name = request.match_info["file"]
        data = repository.commits[commit].get(name)
        if data is None:
            raise refusal(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        if is_lfs(name, data):
            # Another host, as the Hub's CDN is one: the client then takes what it must know from this very answer.
            headers = {
                "X-Repo-Commit": commit,
                "X-Linked-Size": str(len(data)),
                "X-Linked-ETag": f'"{sha256(data)}"',
                "Location": f"http://localhost:{self.port}/cdn/{key.replace('/', '--')}@{commit}/{name}",
            }
            return web.Response(status=302, headers=headers)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob_oid(name, data)}"', "Accept-Ranges": "bytes"}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return await self._content(request, (key, commit, name), data, headers)

    async def _large_file(self, request: web.Request) -> web.StreamResponse:
        key, _, commit = request.match_info["key"].replace("--", "/").partition("@")
        name = request.match_info["file"]
        data = self.repositories[key].commits[commit][name]
        headers = {"ETag": f'"{sha256(data)}"', "Accept-Ranges": "bytes"}
        return await self._content(request, (key, commit, name), data, headers)

    async def _content(
        self, request: web.Request, asked: tuple[str, str, str], data: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        """A file or a range of it, cut short where a test wants that."""
        if request.method == "HEAD":
            return web.Response(headers=headers | {"Content-Length": str(len(data))})
        self.downloads.append(asked)
        start, stop = request.http_range.start or 0, request.http_range.stop or len(data)
        start, stop = (max(0, len(data) + start), len(data)) if start < 0 else (start, min(stop, len(data)))
        partial = "Range" in request.headers
        if partial and start >= len(data):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
        if partial:
            headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
        body = data[start : stop - self.short_by.pop(asked[2], 0)]
        response = web.StreamResponse(status=206 if partial else 200, headers=headers)
        response.content_length = stop - start
        await response.prepare(request)
        await response.write(body)
        if len(body) < stop - start and request.transport is not None:
            request.transport.close()
        return response

    def page(self, request: web.Request, entries: list[dict[str, Any]], length: int) -> web.Response:
        """One page of a list, with the link to the next one as the Hub gives it."""
        start = int(request.query.get("cursor", "0"))
        headers = {}
        if start + length < len(entries):
            following = request.url.update_query(cursor=str(start + length))
            headers["Link"] = f'<{self.root}{following.raw_path_qs}>; rel="next"'
        return web.json_response(entries[start : start + length], headers=headers)

    def who(self, request: web.Request) -> Account | None:
        """Whose token the request carries."""
        return self.accounts.get(request.headers.get("Authorization", "").removeprefix("Bearer "))

    def key(self, request: web.Request) -> str:
        """The repository that a path names, as `repositories` knows it."""
        kind = request.match_info.get("kind", "models")
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        assert kind in KINDS
        return name if kind == "models" else f"{kind}/{name}"

    def find(self, request: web.Request, *, content: bool = False) -> tuple[str, Repository, str]:
        """Repository and commit of a path. Raises the Hub's own refusals."""
        key, repository = self.repository(request, content=content)
        revision = request.match_info.get("revision", "main")
        commit = repository.resolve(revision)
        if commit is None:
            raise refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return key, repository, commit

    def repository(self, request: web.Request, *, content: bool = False) -> tuple[str, Repository]:
        """The repository of a path, where the token may see it."""
        known = self.who(request) is not None
        repository = self.repositories.get(self.key(request))
        if repository is None or (repository.private and not known):
            raise refusal(404 if known else 401, "RepoNotFound", "Repository not found")
        if repository.gated and content and not known:
            raise refusal(403 if "Authorization" in request.headers else 401, "GatedRepo", "Access is restricted")
        return self.key(request), repository

    def writer(self, request: web.Request, namespace: str) -> Account:
        """Whose write this is. Raises 401 without a token and 403 where the token may not write there."""
        account = self.who(request)
        if account is None:
            raise refusal(401, None, "Invalid username or password.")
        if not account.may_write or namespace not in (account.name, *account.orgs):
            raise refusal(403, None, f"You don't have the rights to write in the namespace {namespace}")
        return account


def refusal(status: int, code: str | None, message: str, headers: Mapping[str, str] | None = None) -> web.HTTPException:
    """An error as the Hub words it: in its headers and as JSON."""
    extra = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | dict(headers or {})
    error = web.HTTPException(headers=extra, text=f'{{"error": "{message}"}}', content_type="application/json")
    error.set_status(status)
    return error


def _time(commit: Commit) -> str:
    return commit.date.strftime("%Y-%m-%dT%H:%M:%S.000Z")
