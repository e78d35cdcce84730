"""The Hub's webhooks: a new revision of a watched model submits itself. Training checkpoints are measured this way."""

from __future__ import annotations

import fnmatch
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leaderboard.api.errors import NotAllowed, NotSignedIn
from leaderboard.submissions import SubmissionRejected
from leaderboard.types import JobRecord

LOG = logging.getLogger(__name__)
SUBMITTED_BY = "webhook"
BRANCH = "refs/heads/"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Event(_Part):
    action: str
    scope: str


class _Repo(_Part):
    type: str
    name: str = Field(max_length=200)


class _Ref(_Part):
    ref: str = Field(max_length=300)
    new_sha: str | None = Field(default=None, alias="newSha", max_length=64)


class _Payload(_Part):
    event: _Event
    repo: _Repo
    updated_refs: list[_Ref] = Field(default_factory=list, alias="updatedRefs", max_length=100)


class Hooks:
    """See `leaderboard.contracts.HookDesk`.

    `watched` are patterns of model names (`open-r1/*`), `benchmarks` what each new revision is measured on. `submit`
    checks a form and queues it in somebody's name.
    """

    def __init__(
        self,
        submit: Callable[[Mapping[str, Any], str], JobRecord],
        *,
        secret: str,
        watched: Sequence[str],
        benchmarks: Sequence[str],
    ) -> None:
        self._submit, self._secret = submit, secret
        self._watched, self._benchmarks = tuple(watched), tuple(benchmarks)

    def take(self, payload: dict[str, Any], secret: str | None) -> list[JobRecord]:
        """Submit every branch or tag that moved, at its new commit. A revision that is being measured already is left.

        Raises:
            NotSignedIn, NotAllowed: the secret is missing or wrong.
            SubmissionRejected: the payload is none of the Hub's.
        """
        if secret is None:
            raise NotSignedIn("the Hub's webhooks send X-Webhook-Secret; set it in the webhook's settings")
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            raise NotAllowed("this is not the board's webhook secret; set WEBHOOK_SECRET to the webhook's")
        told = _read(payload)
        if told.repo.type != "model" or not told.event.scope.startswith("repo.content"):
            return []
        if not any(fnmatch.fnmatchcase(told.repo.name, pattern) for pattern in self._watched):
            return []
        moved = [ref for ref in told.updated_refs if ref.new_sha and not ref.ref.startswith("refs/pr/")]
        return [job for ref in moved if (job := self._take_one(told.repo.name, ref)) is not None]

    def _take_one(self, model: str, ref: _Ref) -> JobRecord | None:
        name = ref.ref.removeprefix(BRANCH).removeprefix("refs/tags/")
        form = {
            "model": model,
            "revision": ref.new_sha,
            "benchmarks": list(self._benchmarks),
            "note": f"pushed to {name[:100]}",
        }
        try:
            return self._submit(form, SUBMITTED_BY)
        except SubmissionRejected as refused:
            # A push of a README alone, or a revision that waits already: nothing that the Hub should send again.
            LOG.info("%s at %s was not submitted: %s", model, ref.new_sha, refused)
            return None


def _read(payload: Mapping[str, Any]) -> _Payload:
    try:
        return _Payload.model_validate(dict(payload))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise SubmissionRejected(f"the payload is none of the Hub's webhooks: {place}: {first['msg']}") from error
