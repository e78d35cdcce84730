"""Checkpoints of a run go to its model repository on the Hub, from a thread beside the training, which never waits."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from backend_jobs.checkpoint_card import checkpoint_card, repository_card
from backend_jobs.generate.shards import write_whole
from backend_jobs.recipe_types import Recipe
from backend_jobs.recipes import RecipeRejected, recipe_hash
from backend_jobs.train import RECIPE_FILE, RunFolders
from backend_jobs.training.checkpoints import handed_on
from evaluator.checkpoint import LINEAGE_FILE, checkpoint_revision, read_lineage, served_files
from evaluator.errors import OpenR1Error
from evaluator.types import Lineage
from leaderboard.hub_models import ModelRepository, PushLater, PushRefused
from leaderboard.hub_store import Waits, growing
from settings import Settings

PUSHED = "pushed.json"
"""In the run's work folder: revision -> commit of what is on the Hub."""
WAITS = Waits(first_s=1.0, longest_s=60.0, patience_s=1800.0)
STOP_S = 5.0


class NotPushed(OpenR1Error):
    """A run is trained, and some of its checkpoints could not be brought to the Hub. They are all on this machine."""

    code = "not_pushed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """A checkpoint that is on the Hub: `repo` at `checkpoint_revision(lineage)`, which stands for `commit`."""

    repo: str
    lineage: Lineage
    commit: str


class Pusher:
    """Sends checkpoints in the order in which they are given, each until the Hub has it.

    `arrived` is called, in the pusher's thread, for each that is there, whether it was sent now or by an earlier
    process. One that the Hub does not take within `waits.patience_s` is tried again when the next one comes, and at the
    end; those behind it wait, so the newest on the Hub is never older than one before it.
    """

    def __init__(
        self,
        recipe: Recipe,
        repository: ModelRepository,
        folders: RunFolders,
        *,
        arrived: Callable[[Pushed], None],
        say: Callable[[str], None],
        waits: Waits = WAITS,
    ) -> None:
        """Checks that the repository can be written to. Raises RecipeRejected, PushRefused, PushLater."""
        self._recipe, self._repository, self._folders = recipe, repository, folders
        self._arrived, self._say, self._waits = arrived, say, waits
        self._noted = self._folders.work / PUSHED
        self._pushed: dict[str, str] = json.loads(self._noted.read_bytes()) if self._noted.is_file() else {}
        self._check()
        self._waiting: deque[Path] = deque()
        self._changed = threading.Condition()
        self._given, self._ends, self._error = 0, False, "the log says why"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"push-{recipe.run}", daemon=True)
        self._thread.start()

    def send(self, folder: Path) -> None:
        """Add a checkpoint; returns at once."""
        with self._changed:
            self._waiting.append(folder)
            self._given += 1
            self._changed.notify()

    def finish(self) -> None:
        """Wait until everything is on the Hub. Raises NotPushed where the Hub does not take it."""
        with self._changed:
            self._ends = True
            left = len(self._waiting)
            self._changed.notify()
        if left:
            self._say(f"{left} checkpoint{'s' if left > 1 else ''} still on the way to {self._repository.repo}")
        self._thread.join()
        if self._waiting:
            raise NotPushed(
                f"{self._recipe.run} is trained; not on the Hub are {', '.join(path.name for path in self._waiting)}: "
                f"{self._error}. They are in {self._folders.models}; started again, the run pushes only them"
            )

    def stop(self) -> None:
        """End without waiting for the Hub: what is not there yet is sent by the next start."""
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(STOP_S)

    def _check(self) -> None:
        """What can be refused before the training costs anything."""
        hub = self._recipe.hub
        assert hub is not None
        try:
            self._repository.prepare(private=hub.private, card=repository_card(hub.repo))
            named = self._repository.branches()
            mine = {checkpoint_revision(lineage): folder for lineage, folder in handed_on(self._folders.models)}
            for revision in sorted(named):
                if revision.startswith(f"{self._recipe.run}-step-") and self._pushed.get(revision) != named[revision]:
                    self._check_own(revision, named[revision], mine.get(revision))
        except PushLater as later:
            if not (self._folders.work / RECIPE_FILE).exists():
                raise
            self._say(f"{later}; the training goes on, and what it makes is pushed later")

    def _check_own(self, revision: str, commit: str, folder: Path | None) -> None:
        if folder is None or self._repository.lineage(commit) != (folder / LINEAGE_FILE).read_bytes():
            raise RecipeRejected(
                f"{self._repository.repo} has a checkpoint {revision} of another training; give this one another "
                "`run`, or delete that branch"
            )

    def _run(self) -> None:
        seen = 0
        while (folder := self._next(seen)) is not None:
            seen = self._given
            try:
                pushed = self._push(folder)
            except (OpenR1Error, OSError) as error:
                self._error = str(error)
                if self._ends or self._stopping.is_set():
                    return
                self._say(f"{folder.name} is not on the Hub: {error}; it is tried again with the next checkpoint")
                continue
            with self._changed:
                self._waiting.popleft()
            # What waits behind it is due now, whenever it was given.
            seen = -1
            self._arrived(pushed)

    def _next(self, seen: int) -> Path | None:
        """The first that waits, once something was given since `seen`; None at the end."""
        with self._changed:
            while not self._stopping.is_set():
                if self._waiting and (self._given != seen or self._ends):
                    return self._waiting[0]
                if self._ends:
                    return None
                self._changed.wait()
        return None

    def _push(self, folder: Path) -> Pushed:
        """Until the Hub has it. Raises PushRefused, PushLater (after all patience), CheckpointRejected, OSError."""
        lineage = read_lineage(folder)
        assert lineage is not None
        revision = checkpoint_revision(lineage)
        commit = self._pushed.get(revision) or self._patiently(folder, lineage)
        self._pushed[revision] = commit
        write_whole(self._noted, json.dumps(self._pushed, indent=2).encode())
        return Pushed(repo=self._repository.repo, lineage=lineage, commit=commit)

    def _patiently(self, folder: Path, lineage: Lineage) -> str:
        files, revision = self._files(folder, lineage), checkpoint_revision(lineage)
        ends = monotonic() + self._waits.patience_s
        for wait_s in growing(self._waits):
            try:
                return self._repository.push(files, revision=revision, moving=f"{lineage.run}-newest")
            except PushLater as later:
                wait_s = max(wait_s, later.wait_s)
                if monotonic() + wait_s > ends:
                    raise
                self._say(f"{later}; trying again in {wait_s:.0f} s")
                if self._stopping.wait(wait_s):
                    raise
        raise AssertionError("waits never end")

    def _files(self, folder: Path, lineage: Lineage) -> dict[str, Path | bytes]:
        recipe = {"recipe_hash": recipe_hash(self._recipe), "recipe": self._recipe.model_dump(mode="json")}
        return {
            **{path.name: path for path in served_files(folder)},
            LINEAGE_FILE: folder / LINEAGE_FILE,
            "recipe.json": json.dumps(recipe, indent=2).encode(),
            "README.md": checkpoint_card(self._recipe, lineage),
        }


def model_repository(recipe: Recipe, settings: Settings, endpoint: str | None = None) -> ModelRepository:
    """The repository that a recipe names. Raises PushRefused where there is no token to write to it."""
    assert recipe.hub is not None
    if settings.hub_token is None:
        raise PushRefused(
            f"hub.repo {recipe.hub.repo} cannot be written without a token; set HF_TOKEN to one that may write there, "
            "or leave `hub` out"
        )
    return ModelRepository(recipe.hub.repo, token=settings.hub_token, endpoint=endpoint)
