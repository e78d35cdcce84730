"""A Space on the Hub, brought to a wanted state: repository, hardware, variables, secrets, files, dataset, webhook.

A door to huggingface_hub. Each step says what it will do before it does anything, and doing it twice changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, WebhookWatchedItem
from huggingface_hub.errors import RepositoryNotFoundError

from leaderboard.hub import hub_errors

HOOK_ADDRESS = "/api/v1/webhooks/hub"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpaceWish:
    """What a Space should be. `secrets` hold values, and only their names are ever shown."""

    space: str
    dataset: str
    private: bool
    hardware: str | None
    variables: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    files: Mapping[str, Path]
    """By their paths in the Space."""
    watched: tuple[str, ...] = ()
    """Owners and models whose pushes the Hub tells the Space of."""

    @property
    def url(self) -> str:
        """Where the Space answers."""
        return f"https://{re.sub(r'[^a-z0-9]+', '-', self.space.lower()).strip('-')}.hf.space"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing to do: the sentence that a dry run prints, and the doing."""

    says: str
    do: Callable[[], object]


def steps(wish: SpaceWish, *, token: str | None, endpoint: str | None = None) -> list[Step]:
    """Everything that brings the Space to what is wished, in order. Reads from the Hub, changes nothing.

    Raises:
        CheckpointRejected: the Hub refuses to be read, or cannot be reached.
    """
    api = HfApi(endpoint=endpoint, token=token or False)
    with hub_errors(wish.space, None):
        found = [*_dataset(api, wish), *_space(api, wish), *_values(api, wish), *_files(api, wish), *_hook(api, wish)]
    return [Step(says=step.says, do=_reported(step.do, wish.space)) for step in found]


def _dataset(api: HfApi, wish: SpaceWish) -> list[Step]:
    if _exists(api, wish.dataset, "dataset"):
        return []
    kind = "private" if wish.private else "public"

    def create() -> None:
        api.create_repo(wish.dataset, repo_type="dataset", private=wish.private, exist_ok=True)

    return [Step(says=f"create the {kind} dataset {wish.dataset}: the board's memory", do=create)]


def _space(api: HfApi, wish: SpaceWish) -> list[Step]:
    if not _exists(api, wish.space, "space"):
        on = f" on {wish.hardware}" if wish.hardware else ""

        def create() -> None:
            api.create_repo(
                wish.space,
                repo_type="space",
                space_sdk="gradio",
                space_hardware=wish.hardware,  # type: ignore[arg-type]  # its name does
                private=wish.private,
                exist_ok=True,
            )

        return [Step(says=f"create the {'private' if wish.private else 'public'} Space {wish.space}{on}", do=create)]
    now = api.get_space_runtime(wish.space).requested_hardware
    if wish.hardware is None or wish.hardware == now:
        return []
    hardware = wish.hardware
    return [
        Step(
            says=f"ask for the hardware {hardware} instead of {now}",
            do=lambda: api.request_space_hardware(wish.space, hardware),  # type: ignore[arg-type]
        )
    ]


def _values(api: HfApi, wish: SpaceWish) -> list[Step]:
    there = _exists(api, wish.space, "space")
    known = {name: each.value for name, each in api.get_space_variables(wish.space).items()} if there else {}
    variables = [
        Step(
            says=f"set the variable {name} to {value}",
            do=lambda name=name, value=value: api.add_space_variable(wish.space, name, value),  # type: ignore[misc]
        )
        for name, value in wish.variables.items()
        if known.get(name) != value
    ]
    # A secret's value cannot be read back, so it is set each time.
    secrets = [
        Step(
            says=f"set the secret {name} ({len(value)} characters)",
            do=lambda name=name, value=value: api.add_space_secret(wish.space, name, value),  # type: ignore[misc]
        )
        for name, value in wish.secrets.items()
    ]
    return variables + secrets


def _files(api: HfApi, wish: SpaceWish) -> list[Step]:
    there = set(api.list_repo_files(wish.space, repo_type="space")) if _exists(api, wish.space, "space") else set()
    gone = sorted(there - wish.files.keys() - {".gitattributes"})
    size = sum(path.stat().st_size for path in wish.files.values())
    remove = f", remove {len(gone)} that are no longer part of it" if gone else ""
    operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
        *(CommitOperationAdd(name, str(path)) for name, path in sorted(wish.files.items())),
        *(CommitOperationDelete(name, is_folder=False) for name in gone),
    ]

    def commit() -> None:
        api.create_commit(wish.space, operations, commit_message="Deploy the board", repo_type="space")

    says = f"send {len(wish.files)} files, {size / 1e6:.1f} MB{remove}; unchanged ones are skipped"
    return [Step(says=says, do=commit)]


def _hook(api: HfApi, wish: SpaceWish) -> list[Step]:
    secret = wish.secrets.get("WEBHOOK_SECRET")
    address = wish.url + HOOK_ADDRESS
    if not wish.watched or secret is None or any(hook.url == address for hook in api.list_webhooks()):
        return []
    items: list[dict[str, str] | WebhookWatchedItem] = [
        WebhookWatchedItem(type="model" if "/" in name else "org", name=name) for name in wish.watched
    ]

    def create() -> None:
        api.create_webhook(url=address, watched=items, domains=["repo"], secret=secret)

    return [Step(says=f"have the Hub tell {address} of pushes to {', '.join(wish.watched)}", do=create)]


def _exists(api: HfApi, repo: str, kind: str) -> bool:
    try:
        api.repo_info(repo, repo_type=kind)
    except RepositoryNotFoundError:
        return False
    return True


def _reported(do: Callable[[], object], space: str) -> Callable[[], object]:
    def reported() -> object:
        with hub_errors(space, None):
            return do()

    return reported
