"""What every place that runs our command line promises: start, look, follow, cancel, and find again after our crash.

What is launched is always the fixed command line (`python -m backend_jobs worker --once --job ID`, `generate`,
`train`). The same code runs there over the same store, whose leases, journal parts and take-over see to it that
nothing is lost and nothing is done twice. So a launcher need not be clever: it starts a process, says where it stands,
and hands on what it prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from evaluator.devices import Devices
from evaluator.errors import OpenR1Error


class LaunchState(StrEnum):
    """Where a launch stands. WAITING: it has no machine yet, so it costs nothing."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"


ENDED = frozenset({LaunchState.FINISHED, LaunchState.FAILED, LaunchState.TIMED_OUT, LaunchState.CANCELLED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """One kind of machine that a place has. `name` is the place's word for it, such as a flavor.

    `dollars_per_hour` is for the whole machine; None where nobody bills for it.
    """

    name: str
    devices: Devices
    dollars_per_hour: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to launch: `python ARGUMENTS` on a `machine`, ended after `timeout_s`.

    `key` is ours and names the order forever: lower-case letters, digits and `-`, at most 40 characters. `gpus` are
    those that the command needs, of a machine that may have more. `secrets` reach the process as environment variables,
    like `environment`, and are kept, shown and logged nowhere.
    """

    key: str
    arguments: tuple[str, ...]
    machine: str
    timeout_s: float
    gpus: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Launched:
    """What became of an order. `id` is the place's own name for it.

    `running_s` is how long it has had its machine, which is what is paid for. `exit_code` is None where the place does
    not tell; `reason` says in a sentence why it failed.
    """

    key: str
    id: str
    state: LaunchState
    machine: str = ""
    running_s: float = 0.0
    exit_code: int | None = None
    reason: str = ""


class LaunchRefused(OpenR1Error):
    """The place does not take the order: no such machine, no right to start one, no credit."""

    code = "launch_refused"


class LaunchNotFound(OpenR1Error):
    """The place knows nothing of this launch."""

    code = "launch_not_found"


class LauncherUnreachable(OpenR1Error):
    """The place does not answer now. Nothing is known of what runs there; ask again later."""

    code = "launcher_unreachable"


class Launcher(Protocol):
    """A place that runs commands. Every method may raise LauncherUnreachable, and may be called from any thread.

    It keeps nothing that another one, made anew after a crash, would lack.
    """

    @property
    def name(self) -> str:
        """As settings and records call it: `local`, `hf-jobs`, `ray`."""
        ...

    def machines(self) -> tuple[Machine, ...]:
        """The kinds of machines to choose from."""
        ...

    def start(self, order: Order) -> Launched:
        """Start it, or return what runs (or ran) already under its key: an order is never carried out twice.

        Raises:
            LaunchRefused: it cannot be started here, and trying again would not help.
        """
        ...

    def look(self, launch_id: str) -> Launched:
        """Where it stands now. Raises LaunchNotFound."""
        ...

    def follow(self, launch_id: str, *, skip: int = 0) -> Iterator[str]:
        """Its lines, without their ends, as they come, from number `skip` on; ends when the launch has ended.

        A stream that breaks raises LauncherUnreachable: call again with the lines that have been seen as `skip`.
        """
        ...

    def cancel(self, launch_id: str) -> None:
        """End it with all that it started; nothing happens where it has ended. Raises LaunchNotFound."""
        ...

    def find(self) -> tuple[Launched, ...]:
        """Every launch of this board that the place still knows, ended ones too: what we own after a crash."""
        ...
