"""Follows what a machine prints into a file of ours, once each line, however often we or the stream break off."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from backend_jobs.launchers.types import Launcher, LauncherUnreachable, LaunchNotFound
from backend_jobs.logs import job_log

LOG = logging.getLogger(__name__)
AGAIN_S = 5.0
TAIL_LINES = 40


class MachineLog:
    """One machine's lines, followed in a thread of its own until they end or `stop` is called.

    The file's own number of lines tells where to go on after a crash. `on_line` is called after each line.
    """

    def __init__(
        self,
        launcher: Launcher,
        launch_id: str,
        file: Path,
        *,
        job_id: str,
        on_line: Callable[[], None] = lambda: None,
        again_s: float = AGAIN_S,
    ) -> None:
        self._launcher, self._launch_id, self._file, self._job_id = launcher, launch_id, file, job_id
        self._on_line, self._again_s = on_line, again_s
        self._stopping = threading.Event()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._thread = threading.Thread(target=self._run, name=f"log-{launch_id}", daemon=True)
        self._thread.start()

    def tail(self) -> str:
        """The last lines."""
        return "\n".join(self._tail)

    def join(self, timeout_s: float) -> None:
        """Wait until all lines of a machine that has ended are here."""
        self._thread.join(timeout_s)

    def stop(self) -> None:
        """Follow no longer."""
        self._stopping.set()

    def _run(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with job_log(self._job_id):
            while not self._stopping.is_set():
                try:
                    self._follow()
                except LauncherUnreachable as broken:
                    LOG.warning("the log of %s broke off, it is taken up again: %s", self._launch_id, broken)
                    self._stopping.wait(self._again_s)
                except LaunchNotFound as gone:
                    LOG.warning("%s", gone)
                    return
                else:
                    return

    def _follow(self) -> None:
        seen = _whole_lines(self._file)
        self._tail.extend(seen[-TAIL_LINES:] if not self._tail else ())
        with self._file.open("a", encoding="utf-8", errors="replace") as file:
            for raw in self._launcher.follow(self._launch_id, skip=len(seen)):
                line = raw.rpartition("\r")[2]  # of a bar that redraws itself, what a terminal shows in the end
                file.write(line + "\n")
                file.flush()
                self._tail.append(line)
                LOG.info("%s| %s", self._launch_id, line)
                self._on_line()
                if self._stopping.is_set():
                    return


def _whole_lines(file: Path) -> list[str]:
    """The lines that were written whole; a torn last one is cut off, to be written again."""
    if not file.exists():
        return []
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        file.write_bytes(whole)
    return whole.decode("utf-8", errors="replace").split("\n")[:-1]
