"""An engine that does not start says why; a given one is checked before anything is asked."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.client import Endpoint, StreamSummary, run_async, stream
from evaluator.engine import Launch, RunningEngine, given_engine, local_engine, prompt_text
from evaluator.engine_plan import EnginePlan
from evaluator.errors import Cancelled, EngineFailed, EngineOverLimit, EngineRefused
from evaluator.process import NO_LIMITS, Limits
from evaluator.types import Completion, Refusal
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.streaming import QUICK, make_requests, refused_port

PLAN = EnginePlan(
    device="cpu", tensor_parallel_size=1, max_model_len=64, max_num_seqs=8, kv_cache_bytes=1 << 30, reasons=()
)


def launch(
    python: Path,
    work: Path,
    said: list[str],
    cancelled: Callable[[], bool] = lambda: False,
    plan: EnginePlan = PLAN,
    limits: Limits = NO_LIMITS,
) -> Launch:
    return Launch(
        plan=plan,
        folder=work,
        served_name="m",
        python=str(python),
        inherited={"PATH": os.environ["PATH"]},
        work=work / "engine",
        home=work / "home",
        on_progress=said.append,
        cancelled=cancelled,
        limits=limits,
    )


def start(
    python: Path,
    work: Path,
    said: list[str],
    cancelled: Callable[[], bool] = lambda: False,
    limits: Limits = NO_LIMITS,
) -> None:
    async def run() -> None:
        async with local_engine(launch(python, work, said, cancelled, limits=limits)):
            raise AssertionError("it cannot have started")

    run_async(run())


def program(folder: Path, text: str) -> Path:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_an_engine_that_dies_while_it_starts_shows_its_last_lines(tmp_path: Path) -> None:
    dying = program(tmp_path, 'echo "loading weights"; sleep 1; echo "ValueError: no such architecture"; exit 1')
    said: list[str] = []
    with pytest.raises(EngineFailed, match="did not start") as failed:
        start(dying, tmp_path, said)
    assert failed.value.log_tail.endswith("ValueError: no such architecture")
    assert any("loading weights" in line for line in said)


def test_cancelling_while_the_engine_starts_ends_the_wait(tmp_path: Path) -> None:
    said: list[str] = []
    slow = program(tmp_path, 'echo "loading weights"; exec sleep 600')
    with pytest.raises(Cancelled, match="while the engine started"):
        start(slow, tmp_path, said, lambda: bool(said))


FOREIGN = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Foreign(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"data": [{"id": "another"}]}' if self.path == "/v1/models" else b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Foreign).serve_forever()
"""


def test_a_foreign_server_on_the_engines_port_does_not_pass_for_ours(tmp_path: Path) -> None:
    (tmp_path / "foreign.py").write_text(FOREIGN)
    foreign = program(tmp_path, f'exec {sys.executable} {tmp_path / "foreign.py"} "$@"')
    with pytest.raises(EngineFailed, match="does not serve 'm'; it lists: another"):
        start(foreign, tmp_path, [])


def test_an_engine_that_is_not_installed_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="did not start") as failed:
        start(tmp_path / "no-python-here", tmp_path, [])
    assert "no-python-here" in failed.value.log_tail


def test_a_given_engine_tells_its_version_and_context() -> None:
    with FakeOpenAI(model="m", version="0.31.0", max_model_len=40_960) as server:
        engine = run_async(given_engine(Endpoint(base_url=server.base_url, model="m")))
    assert (engine.facts.engine, engine.facts.version, engine.facts.max_model_len) == ("vLLM", "0.31.0", 40_960)
    assert engine.facts.tensor_parallel_size is None, "a given server does not tell, so it is not known"


def test_a_given_engine_that_wants_a_token_is_refused_naming_the_variable() -> None:
    with FakeOpenAI(model="m", api_key="secret") as server:
        with pytest.raises(EngineRefused, match="ENDPOINT_API_KEY"):
            run_async(given_engine(Endpoint(base_url=server.base_url, model="m")))
        run_async(given_engine(Endpoint(base_url=server.base_url, model="m", api_key="secret")))


def test_nothing_at_the_address_is_said_with_the_address() -> None:
    with refused_port() as port, pytest.raises(EngineFailed, match=f"127.0.0.1:{port}"):
        run_async(given_engine(Endpoint(base_url=f"http://127.0.0.1:{port}/v1", model="m")))


def test_the_prompt_that_a_servers_template_makes_can_be_read_back() -> None:
    with FakeOpenAI(model="m", template="<|user|>{prompt}<|assistant|><think>\n") as server:
        text = run_async(prompt_text(Endpoint(base_url=server.base_url, model="m"), "1 + 1?"))
    assert text == "<|user|>1 + 1?<|assistant|><think>\n"


STEADY = """
import os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
LETTERS = "abcdef"
class Steady(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(b'{"data": [{"id": "m"}]}' if self.path == "/v1/models" else b"")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        Steady.count += 1
        if HOARDS_AFTER and Steady.count > HOARDS_AFTER:
            print("hoarding", flush=True)
            Steady.hoard = bytearray(os.urandom(1 << 20)) * 1024
            time.sleep(600)
        if DIES_AFTER and Steady.count > DIES_AFTER:
            print("CUDA error: an illegal memory access was encountered", flush=True)
            os._exit(1)
        self.answer(b'{"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}')
Steady.count = 0
DIES_AFTER = int(os.environ.get("DIES_AFTER", "0"))
HOARDS_AFTER = int(os.environ.get("HOARDS_AFTER", "0"))
print("visible", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Steady).serve_forever()
"""


def steady(folder: Path, *, dies_after: int = 0, hoards_after: int = 0) -> Path:
    """A program that serves as vLLM does, and ends itself (or takes a gigabyte) after so many answers, every time."""
    (folder / "steady.py").write_text(STEADY)
    return program(
        folder, f'DIES_AFTER={dies_after} HOARDS_AFTER={hoards_after} exec {sys.executable} {folder / "steady.py"} "$@"'
    )


def asked(
    python: Path,
    work: Path,
    plan: EnginePlan,
    count: int,
    limits: Limits = NO_LIMITS,
    answers: list[Completion | Refusal] | None = None,
) -> tuple[StreamSummary, RunningEngine]:
    """Ask the engine's servers `count` questions; the engine is ended afterwards."""
    answers = [] if answers is None else answers

    async def run() -> tuple[StreamSummary, RunningEngine]:
        async with local_engine(launch(python, work, [], plan=plan, limits=limits)) as engine:
            with engine.explained():
                summary = await stream(
                    make_requests(count),
                    engine.servers(),
                    on_answer=lambda _, answer: answers.append(answer),
                    cancel=asyncio.Event(),
                    concurrency=2,
                    policy=QUICK,
                )
        return summary, engine

    summary, engine = run_async(run())
    assert sorted(answer.problem_id for answer in answers) == sorted(f"p{number}" for number in range(count))
    return summary, engine


def test_replicas_are_started_on_gpus_of_their_own_and_share_the_work(tmp_path: Path) -> None:
    plan = replace(PLAN, device="cuda", tensor_parallel_size=2, replicas=2)
    summary, engine = asked(steady(tmp_path), tmp_path, plan, 40)
    assert [each.answered > 0 for each in summary.replicas] == [True, True]
    assert engine.facts.replicas == 2
    logs = sorted((tmp_path / "engine").glob("engine-*.log"))
    assert [log.read_text().splitlines()[0] for log in logs] == ["visible 0,1", "visible 2,3"]


def test_an_engine_of_ours_that_dies_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    summary, _ = asked(steady(tmp_path, dies_after=15), tmp_path, PLAN, 40)
    assert summary.answered == 40
    assert summary.replicas[0].restarts == 2


def test_an_engine_that_takes_more_memory_than_its_plan_allows_is_ended_for_good_and_its_answers_stay(
    tmp_path: Path,
) -> None:
    answers: list[Completion | Refusal] = []
    limits = Limits(memory_bytes=400 << 20)
    with pytest.raises(EngineOverLimit, match=r"more than the 0\.4 GiB of memory.*what was answered is kept") as failed:
        asked(steady(tmp_path, hoards_after=15), tmp_path, PLAN, 40, limits, answers)
    assert failed.value.code == "engine_over_limit"
    assert len(answers) >= 15
    lines = (tmp_path / "engine" / "engine.log").read_text().splitlines()
    assert lines.count("visible None") == 1, "it is not started again"
    assert "hoarding" in failed.value.log_tail


def test_an_engine_that_runs_for_longer_than_it_may_is_ended_while_it_starts_too(tmp_path: Path) -> None:
    slow = program(tmp_path, 'echo "loading weights"; exec sleep 600')
    with pytest.raises(EngineOverLimit, match=r"longer than the 0\.0 hours"):
        start(slow, tmp_path, [], limits=Limits(seconds=0.5))


ISOLATION = """
import os, sys
print(sorted(os.environ), os.environ["HOME"], os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid(), flush=True)
print(sys.argv[sys.argv.index("--host") + 1], open("/proc/self/oom_score_adj").read().strip(), flush=True)
print(os.readlink("/proc/self/fd/0"), flush=True)
sys.exit(1)
"""


def test_an_engine_gets_no_token_loopback_alone_a_home_and_a_group_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "WORKER_TOKEN", "ENDPOINT_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a secret")
    (tmp_path / "isolation.py").write_text(ISOLATION)
    looks = program(tmp_path, f'exec {sys.executable} {tmp_path / "isolation.py"} "$@"')
    with pytest.raises(EngineFailed) as failed:
        start(looks, tmp_path, [], limits=Limits(memory_bytes=1 << 40))
    seen, place, standard_input = failed.value.log_tail.splitlines()
    names = set(seen.partition("[")[2].partition("]")[0].replace("'", "").split(", "))
    known = {"PATH", "HOME", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE"} == known | {"VLLM_CPU_KVCACHE_SPACE"}
    assert seen.endswith(f"{tmp_path / 'home'} True True")
    assert place.split()[0] == "127.0.0.1"
    assert place.split()[1] in ("500", "0"), "0 where a container forbids it"
    assert standard_input == "/dev/null"


def test_an_engine_that_keeps_dying_ends_the_run_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="ended by itself") as failed:
        asked(steady(tmp_path, dies_after=2), tmp_path, PLAN, 40)
    assert "illegal memory access" in failed.value.log_tail


def test_a_failure_seen_by_the_client_comes_with_the_engines_own_last_lines(tmp_path: Path) -> None:
    async def run() -> None:
        async with local_engine(launch(steady(tmp_path), tmp_path, [])) as engine:
            with engine.explained():
                raise EngineFailed("it failed 11 times in a row")

    with pytest.raises(EngineFailed) as failed:
        run_async(run())
    assert failed.value.log_tail == "visible None"


def test_cancelling_while_an_engine_is_started_again_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "steady.py").write_text(STEADY)
    serves_once = f'DIES_AFTER=2 exec {sys.executable} {tmp_path / "steady.py"} "$@"'
    marks = tmp_path / "started"
    twice = program(tmp_path, f"echo $$ >> {marks}; [ $(wc -l < {marks}) -gt 1 ] && exec sleep 600; {serves_once}")

    async def run() -> None:
        cancel = asyncio.Event()

        async def when_started_again() -> None:
            while not marks.exists() or len(marks.read_text().split()) < 2:
                await asyncio.sleep(0.02)
            cancel.set()

        async with local_engine(launch(twice, tmp_path, [])) as engine:
            watching = asyncio.create_task(when_started_again())
            await stream(
                make_requests(20),
                engine.servers(),
                on_answer=lambda *_: None,
                cancel=cancel,
                concurrency=2,
                policy=QUICK,
            )
            await watching

    with pytest.raises(Cancelled):
        run_async(run())
    assert not any(Path(f"/proc/{pid}").exists() for pid in marks.read_text().split())
