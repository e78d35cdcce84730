"""What the Hub's client raises, as what those who rent machines there act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from httpx2 import HTTPError
from huggingface_hub.errors import HfHubHTTPError

from backend_jobs.launchers.types import LauncherUnreachable, LaunchNotFound, LaunchRefused

LATER = (408, 409, 412, 425, 429)
"""Answers below 500 that the same request may not get again."""
EXISTS = 409


class NameTaken(Exception):
    """What was to be made is there already."""


@contextmanager
def told(what: str, *, place: str, may: str, making: bool = False, named: bool = False) -> Iterator[None]:
    """`place` is who answers, `may` what HF_TOKEN must be allowed to do there. `making`: the request starts something,
    under a name that may be taken where `named`.

    Raises:
        LaunchNotFound: there is no such thing.
        LaunchRefused: trying again would not help.
        LauncherUnreachable: nothing is known; asked again later.
        NameTaken: see `named`.
    """
    try:
        yield
    except HfHubHTTPError as error:
        status, said = error.response.status_code, error.server_message or ""
        if named and status == EXISTS:
            raise NameTaken from error
        if status == 404 and not making:
            raise LaunchNotFound(f"{place} know nothing of {what}") from error
        if 400 <= status < 500 and status not in LATER:
            raise LaunchRefused(
                f"{place} refuse {what} (HTTP {status}: {said[:300]}): check OPEN_R1_RENT_NAMESPACE, its credit and "
                f"quota, and that HF_TOKEN may {may} there"
            ) from error
        raise LauncherUnreachable(f"{place} answer HTTP {status} for {what}; asked again later") from error
    except (HTTPError, TimeoutError) as error:
        raise LauncherUnreachable(f"{place} cannot be reached for {what} ({error}); asked again later") from error
