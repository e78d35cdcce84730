"""Writing to the local Hub: repositories, branches and tags, commits with their parent check, large files."""

from __future__ import annotations

import base64
import json
from typing import Any

from aiohttp import web

from tests.fakes.hub_server import FakeHub, refusal
from tests.fakes.hub_state import KINDS, LARGE_BYTES, LFS_ENDINGS, Commit, Discussion, Repository, blob_oid, sha256

FIRST_FILES = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}
API = "/api/{kind:models|datasets|spaces}/{owner}/{name}"


def add_routes(router: web.UrlDispatcher, hub: FakeHub) -> None:
    writes = _Writes(hub)
    router.add_post("/api/repos/create", writes.create)
    router.add_delete("/api/repos/delete", writes.delete)
    router.add_post("/api/repos/move", writes.move)
    router.add_put(API + "/settings", writes.settings)
    router.add_post(API + "/branch/{branch}", writes.create_branch)
    router.add_delete(API + "/branch/{branch}", writes.delete_branch)
    router.add_post(API + "/tag/{revision}", writes.create_tag)
    router.add_post(API + "/preupload/{revision}", writes.preupload)
    router.add_post(API + "/commit/{revision}", writes.commit)
    router.add_post(API + "/super-squash/{revision}", writes.squash)
    router.add_get(API + "/auth-check/write", writes.auth_check)
    router.add_post("/api/validate-yaml", writes.validate_yaml)
    for prefix in ("", "/{kind:datasets|spaces}"):
        router.add_post(prefix + "/{owner}/{name}.git/info/lfs/objects/batch", writes.lfs_batch)
    router.add_put("/lfs/{key}/{oid}", writes.lfs_put)
    router.add_post("/lfs/{key}/{oid}/verify", writes.lfs_verify)


class _Writes:
    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub

    async def create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        who = self._hub.who(request)
        namespace = asked.get("organization") or (who.name if who else "")
        who = self._hub.writer(request, namespace)
        kind = asked.get("type", "model") + "s"
        name = f"{namespace}/{asked['name']}"
        key = name if kind == "models" else f"{kind}/{name}"
        url = f"{self._hub.root}/{key}"
        if key in self._hub.repositories:
            return web.json_response(
                {"error": "You already created this repo", "url": url},
                status=409,
                headers={"X-Error-Message": "exists"},
            )
        repository = self._hub.repositories[key] = Repository(
            private=asked.get("visibility") == "private" or bool(asked.get("private")), sdk=asked.get("sdk")
        )
        for each in asked.get("secrets", []):
            repository.secrets[each["key"]] = each["value"]
        for each in asked.get("variables", []):
            repository.variables[each["key"]] = each["value"]
        if repository.sdk:
            hardware = asked.get("hardware") or "cpu-basic"
            repository.runtime = {"stage": "NO_APP_FILE", "hardware": {"current": hardware, "requested": hardware}}
        repository.commit("main", FIRST_FILES, Commit(parent=None, title="initial commit", author=who.name))
        return web.json_response({"url": url, "name": name, "id": f"id-{key}"})

    async def delete(self, request: web.Request) -> web.Response:
        asked = await request.json()
        who = self._hub.who(request)
        namespace = asked.get("organization") or (who.name if who else "")
        self._hub.writer(request, namespace)
        kind = (asked.get("type") or "model") + "s"
        key = f"{'' if kind == 'models' else kind + '/'}{namespace}/{asked['name']}"
        if self._hub.repositories.pop(key, None) is None:
            raise refusal(404, "RepoNotFound", "Repository not found")
        return web.Response()

    async def move(self, request: web.Request) -> web.Response:
        asked = await request.json()
        prefix = "" if asked["type"] == "model" else asked["type"] + "s/"
        for repo in (asked["fromRepo"], asked["toRepo"]):
            self._hub.writer(request, repo.split("/")[0])
        self._hub.repositories[prefix + asked["toRepo"]] = self._hub.repositories.pop(prefix + asked["fromRepo"])
        return web.Response()

    async def settings(self, request: web.Request) -> web.Response:
        _, repository = self._own(request)
        asked = await request.json()
        if "gated" in asked:
            repository.gated = bool(asked["gated"])
        if "private" in asked or "visibility" in asked:
            repository.private = asked.get("private") is True or asked.get("visibility") == "private"
        return web.json_response({})

    async def create_branch(self, request: web.Request) -> web.Response:
        _, repository = self._own(request)
        branch = request.match_info["branch"]
        if branch in repository.refs:
            raise refusal(409, None, f"Reference already exists: {branch}")
        asked = await request.json() if request.can_read_body else {}
        start = repository.resolve(asked.get("startingPoint", "main"))
        if start is None:
            raise refusal(404, "RevisionNotFound", "Invalid rev id")
        repository.refs[branch] = start
        return web.Response()

    async def delete_branch(self, request: web.Request) -> web.Response:
        _, repository = self._own(request)
        branch = request.match_info["branch"]
        if branch == "main":
            raise refusal(403, None, "main cannot be deleted")
        if repository.refs.pop(branch, None) is None:
            raise refusal(404, "RevisionNotFound", f"Reference does not exist: {branch}")
        return web.Response()

    async def create_tag(self, request: web.Request) -> web.Response:
        _, repository = self._own(request)
        tag = (await request.json())["tag"]
        if tag in repository.tags:
            raise refusal(409, None, f"Tag reference exists already: {tag}")
        commit = repository.resolve(request.match_info["revision"])
        if commit is None:
            raise refusal(404, "RevisionNotFound", "Invalid rev id")
        repository.tags[tag] = commit
        return web.Response()

    async def squash(self, request: web.Request) -> web.Response:
        _, repository = self._own(request)
        branch = request.match_info["revision"]
        asked = await request.json()
        files = repository.commits[repository.refs[branch]]
        repository.commit(branch, files, Commit(parent=None, title=asked["message"]))
        return web.Response()

    async def auth_check(self, request: web.Request) -> web.Response:
        self._own(request)
        return web.Response()

    async def validate_yaml(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["repoType"] in KINDS.values()
        return web.json_response({"errors": [], "warnings": []})

    async def preupload(self, request: web.Request) -> web.Response:
        _, repository = self._own(request, pull_request=True)
        commit = repository.resolve(request.match_info["revision"])
        if commit is None:
            raise refusal(404, "RevisionNotFound", "Invalid rev id")
        files = repository.commits[commit]
        answers = []
        for asked in (await request.json())["files"]:
            path, sample = asked["path"], base64.b64decode(asked["sample"])
            large = path.endswith(LFS_ENDINGS) or asked["size"] >= LARGE_BYTES or b"\0" in sample
            answer: dict[str, Any] = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            if path in files:
                answer["oid"] = sha256(files[path]) if large else blob_oid(path, files[path])
            answers.append(answer)
        return web.json_response({"files": answers})

    async def lfs_batch(self, request: web.Request) -> web.Response:
        key, repository = self._own(request, pull_request=True)
        at = f"{self._hub.root}/lfs/{key.replace('/', '--')}"
        objects = []
        for asked in (await request.json())["objects"]:
            answer: dict[str, Any] = {"oid": asked["oid"], "size": asked["size"], "authenticated": True}
            if asked["oid"] not in repository.lfs:
                answer["actions"] = {
                    "upload": {"href": f"{at}/{asked['oid']}", "header": {}},
                    "verify": {"href": f"{at}/{asked['oid']}/verify", "header": {}},
                }
            objects.append(answer)
        return web.json_response({"transfer": "basic", "objects": objects})

    async def lfs_put(self, request: web.Request) -> web.Response:
        data = await request.read()
        if sha256(data) != request.match_info["oid"]:
            raise refusal(400, None, "the content does not have this SHA-256")
        self._hub.repositories[request.match_info["key"].replace("--", "/")].lfs[sha256(data)] = data
        return web.Response(headers={"ETag": f'"{sha256(data)}"'})

    async def lfs_verify(self, request: web.Request) -> web.Response:
        asked = await request.json()
        data = self._hub.repositories[request.match_info["key"].replace("--", "/")].lfs.get(asked["oid"])
        if data is None or len(data) != asked["size"]:
            raise refusal(404, None, "the object was not uploaded")
        return web.json_response({})

    async def commit(self, request: web.Request) -> web.Response:
        pull = request.query.get("create_pr") == "1"
        ref = request.match_info["revision"]
        key, repository = self._own(request, pull_request=pull or ref.startswith("refs/pr/"))
        who = self._hub.who(request)
        assert who is not None
        lines = [json.loads(line) for line in (await request.text()).splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        parent = repository.resolve(ref)
        if parent is None or (ref not in repository.refs and not pull):
            raise refusal(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        if header.get("parentCommit") not in (None, parent):
            raise refusal(412, None, "A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[parent])
        for line in lines:
            _apply(line["key"], line["value"], files, repository)
        answer: dict[str, Any] = {"success": True}
        if pull:
            discussion = Discussion(
                num=len(repository.discussions) + 1,
                title=header["summary"],
                description=header.get("description", ""),
                author=who.name,
                pull_request=True,
            )
            repository.discussions.append(discussion)
            ref = discussion.ref
            answer["pullRequestUrl"] = f"{self._hub.root}/{key}/discussions/{discussion.num}"
        made = Commit(parent=parent, title=header["summary"], message=header.get("description", ""), author=who.name)
        oid = repository.commit(ref, files, made)
        for told in self._hub.on_commit:
            told(key, ref, oid)
        return web.json_response(
            answer | {"commitOid": oid, "commitUrl": f"{self._hub.root}/{key}/commit/{oid}", "hookOutput": ""}
        )

    def _own(self, request: web.Request, *, pull_request: bool = False) -> tuple[str, Repository]:
        """The repository of a path, where the token may write; anybody known may open a pull request."""
        key, repository = self._hub.repository(request)
        who = self._hub.who(request)
        if not (pull_request and who is not None and who.may_write):
            self._hub.writer(request, request.match_info["owner"])
        return key, repository


def _apply(operation: str, value: dict[str, Any], files: dict[str, bytes], repository: Repository) -> None:
    """One line of a commit on the tree that it changes."""
    path = value.get("path", "")
    match operation:
        case "file":
            files[path] = base64.b64decode(value["content"])
        case "lfsFile":
            known = {sha256(data): data for data in files.values()} if value["oid"] not in repository.lfs else {}
            data = repository.lfs.get(value["oid"], known.get(value["oid"]))
            if data is None:
                raise refusal(400, None, f"{path}: the large file was not uploaded")
            files[path] = data
        case "deletedFile":
            if files.pop(path, None) is None:
                raise refusal(404, "EntryNotFound", "A file with this name doesn't exist")
        case "deletedFolder":
            for name in [name for name in files if name.startswith(path.rstrip("/") + "/")]:
                del files[name]
