"""What happens to a server that is suspect: it is paused, probed, started again where it is ours, or left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic

from evaluator.connection import EngineUnreachable
from evaluator.errors import EngineFailed, EngineOverLimit
from evaluator.replica import Replica, Standing
from evaluator.retry import RetryPolicy


class Recovery:
    """The servers of one stream. `start` runs a coroutine beside the stream, which ends where that one raises;
    `on_open` is called when a server may be asked again.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        *,
        policy: RetryPolicy,
        start: Callable[[Coroutine[None, None, None]], None],
        on_open: Callable[[], None],
    ) -> None:
        self._replicas, self._policy, self._start, self._on_open = replicas, policy, start, on_open

    def suspect(self, replica: Replica, failure: EngineFailed | None, what: str = "") -> None:
        """Pause a server until it is well. `failure` is set where it is known to be broken."""
        if replica.standing is Standing.OPEN:
            replica.suspicions += 1
            replica.standing, replica.unwell_since = Standing.PAUSED, monotonic()
            self._start(self._recover(replica, failure, what))

    def join(self, replica: Replica) -> None:
        """Bring a server that is not there yet, while the others work already."""
        replica.standing = Standing.PAUSED
        self._start(self._bring(replica))

    async def _bring(self, replica: Replica) -> None:
        """Until it is there. Raises EngineFailed where it cannot be brought and no other server is left."""
        while not await self._restarted(replica):
            await asyncio.sleep(self._policy.probation_s)
        self._open(replica)

    async def _restarted(self, replica: Replica) -> bool:
        assert replica.served.restart is not None
        replica.standing, replica.renewing = Standing.PAUSED, True
        try:
            endpoint = await replica.served.restart()
        except EngineFailed:
            replica.standing = Standing.LOST
            if not self._others_usable(replica):
                raise
            return False
        finally:
            replica.renewing = False
        await replica.moved(endpoint)
        return True

    async def _recover(self, replica: Replica, failure: EngineFailed | None, what: str) -> None:
        if failure is None:
            try:
                await self._until_well(replica, what)
            except EngineFailed as found:
                failure = found
        if failure is not None:
            await self._renew(replica, failure)
        self._open(replica)

    def _open(self, replica: Replica) -> None:
        replica.standing, replica.unwell_since = Standing.OPEN, None
        self._on_open()

    async def _until_well(self, replica: Replica, what: str) -> None:
        """Returns when /health says so. A server without that route gets a growing pause instead.

        After a single fault it is probed at once: where a few requests in a hundred fail, pauses would add up.
        While others answer it is probed for as long as they do; with none left, or an engine of ours, not for long.
        """
        since, turn = monotonic(), replica.in_a_row
        while True:
            replica.served.alive()
            if turn > 1:
                await asyncio.sleep(self._policy.delay_s(turn - 1))
            unwell = await replica.connection.unwell()
            if unwell is None:
                return
            too_long = monotonic() - since > self._policy.outage_s
            if too_long and (replica.served.restart is not None or not self._others_usable(replica)):
                raise EngineUnreachable(
                    f"{replica.connection.endpoint.root} has been unwell for {self._policy.outage_s:g} s ({unwell}); "
                    f"it began with: {what}. Start it again; a new run continues from the journal"
                )
            turn += 1

    async def _renew(self, replica: Replica, failure: EngineFailed) -> None:
        """Start an engine of ours again, a bounded number of times; else leave its work to others for a while.

        One that passed its limits would pass them again.

        Raises:
            EngineFailed: `failure`, where no other server is left.
        """
        restart = replica.served.restart
        while _may_restart(failure) and restart is not None and replica.restarts < self._policy.restarts:
            replica.restarts, replica.renewing = replica.restarts + 1, True
            try:
                endpoint = await restart()
            except EngineFailed as again:
                failure = again
            else:
                await replica.moved(endpoint)
                replica.in_a_row = 0
                return
            finally:
                replica.renewing = False
        replica.standing = Standing.LOST
        if not self._others_usable(replica):
            raise failure
        await asyncio.sleep(self._policy.probation_s)
        replica.in_a_row = self._policy.faults_in_a_row

    def _others_usable(self, replica: Replica) -> bool:
        return any(other.usable() for other in self._replicas if other is not replica)


def _may_restart(failure: EngineFailed) -> bool:
    return not isinstance(failure, EngineOverLimit)
