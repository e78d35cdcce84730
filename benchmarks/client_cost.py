"""What one request costs the client: ours beside httpx and the openai SDK, at 64, 500 and 5,000 in flight.

    python -m benchmarks.client_cost [--in-flight 64 500 5000]

Whole answers of 20 kB from a deterministic server on loopback that holds every request for the same time. Each client
is a process of its own; CPU is that of the client alone between its first request and its last answer, memory what its
process grew by. Ours is everything that a run does per request but grading: order, controller, retry policy, journal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.streams import answering_server
from settings import ROOT

CHARACTERS = 20_000
HOLD_S = 2.0
ROUNDS = 3
PATIENCE_S = 240.0
CLIENTS = {"ours": "", "ours, no journal": "", "httpx": "clients", "openai": "clients"}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in-flight", nargs="+", type=int, default=[64, 500, 5000])
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    given = parser.parse_args()
    subprocess.run([ROOT / "scripts" / "peer_env.sh", "clients"], check=True, stdout=subprocess.DEVNULL)
    print(
        f"{'in flight':<11}{'client':<18}{'requests':>9}{'CPU ms / request':>18}{'kB / open request':>19}{'wall s':>8}"
    )
    for in_flight in given.in_flight:
        for client in given.clients:
            show(client, in_flight, measure(client, in_flight))


def show(client: str, in_flight: int, found: dict[str, float] | None) -> None:
    """One line."""
    if found is None:
        print(f"{in_flight:<11,}{client:<18}  not within {PATIENCE_S:g} s", flush=True)
        return
    print(
        f"{in_flight:<11,}{client:<18}{found['requests']:>9,.0f}{1000 * found['cpu_s'] / found['requests']:>18.3f}"
        f"{found['grown_kb'] / in_flight:>19.0f}{found['wall_s']:>8.1f}",
        flush=True,
    )


def measure(client: str, in_flight: int) -> dict[str, float] | None:
    """One client process against a server of its own; None where it did not finish."""
    python = ROOT / ".cache" / "peers" / CLIENTS[client] / "bin" / "python" if CLIENTS[client] else Path(sys.executable)
    # Every answer takes the cap, for the shortest median is far above it: all are held for the same time.
    flags = ["--token-s", str(HOLD_S / 16), "--median", "1e9", "--cap", "16", "--characters", str(CHARACTERS)]
    with tempfile.TemporaryDirectory() as folder, answering_server(flags) as port:
        command = [str(python), "-m", "benchmarks.peers.clients", client, f"http://127.0.0.1:{port}/v1"]
        command += [str(in_flight), str(in_flight * ROUNDS), folder]
        try:
            done = subprocess.run(
                command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=PATIENCE_S, env={"PYTHONPATH": str(ROOT)}
            )
        except subprocess.TimeoutExpired:
            return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
