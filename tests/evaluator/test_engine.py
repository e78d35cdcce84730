"""An engine that does not start says why; a given one is checked before anything is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluator.client import Endpoint, run_async
from evaluator.engine import RunningEngine, given_engine, local_engine, prompt_text
from evaluator.engine_plan import EnginePlan
from evaluator.errors import Cancelled, EngineFailed, EngineRefused
from evaluator.process import SupervisedProcess
from evaluator.types import EngineFacts
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.streaming import refused_port

PLAN = EnginePlan(
    device="cpu", tensor_parallel_size=1, max_model_len=64, max_num_seqs=8, kv_cache_bytes=1 << 30, reasons=()
)


def start(python: Path, work: Path, said: list[str], cancelled: Callable[[], bool] = lambda: False) -> None:
    async def run() -> None:
        async with local_engine(
            PLAN,
            folder=work,
            served_name="m",
            python=str(python),
            inherited={"PATH": os.environ["PATH"]},
            work=work / "engine",
            home=work / "home",
            on_progress=said.append,
            cancelled=cancelled,
        ):
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


def test_a_failure_seen_by_the_client_comes_with_the_engines_own_last_lines(tmp_path: Path) -> None:
    process = SupervisedProcess(["echo", "CUDA out of memory"], log=tmp_path / "engine.log")
    while process.exit_status() is None:
        pass
    endpoint = Endpoint(base_url="http://127.0.0.1:1/v1", model="m")
    engine = RunningEngine(endpoint=endpoint, facts=EngineFacts(), process=process)
    with pytest.raises(EngineFailed) as failed, engine.explained():
        raise EngineFailed("it failed 11 times in a row")
    process.stop()
    assert failed.value.log_tail == "CUDA out of memory"
