"""A vLLM server: started here for one checkpoint, or given by its URL; either way asked what it really is."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Protocol

from evaluator.client import Endpoint, EngineUnreachable, Served, fetch
from evaluator.engine_plan import EnginePlan
from evaluator.errors import Cancelled, EngineFailed, EngineOverLimit, EngineRefused
from evaluator.process import LOG_TAIL_LINES, NO_LIMITS, Limits, SupervisedProcess, clean_environment
from evaluator.server_line import LOOPBACK, server_command, server_environment
from evaluator.types import EngineFacts

START_TIMEOUT_S = 3600.0
HEALTH_POLL_S = 0.5
KILLED = 128 + 9
CONFIG_LINE = re.compile(r"Initializing a V1 LLM engine \(v(?P<version>[^)]+)\) with config: (?P<config>.*)")


class OwnServer(Protocol):
    """A server that we started, here or elsewhere."""

    def served(self) -> Served:
        """As a stream asks it."""
        ...

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningEngine:
    """An engine that answers: one server or several equal ones.

    `local` are the servers that are ours to watch, to start again and to end; none where they are given: then
    `endpoint` and `others` are all of them.
    """

    endpoint: Endpoint
    facts: EngineFacts
    local: tuple[OwnServer, ...] = ()
    others: tuple[Endpoint, ...] = ()
    alive: Callable[[], None] = lambda: None
    """Of given servers: raises EngineFailed once they may no longer be asked."""

    def servers(self) -> tuple[Served, ...]:
        """What a stream asks."""
        given = (Served(endpoint=each, alive=self.alive) for each in (self.endpoint, *self.others))
        return tuple(server.served() for server in self.local) or tuple(given)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """A failure inside the block that has no log lines yet gets those of our own servers."""
        try:
            yield
        except EngineFailed as failed:
            if self.local and not failed.log_tail:
                failed.log_tail = "\n".join(server.log_tail() for server in self.local)
            raise


class LocalServer:
    """One vLLM process of ours: started, watched, started again, ended."""

    def __init__(self, launch: Launch, replica: int) -> None:
        self._launch, self._replica = launch, replica
        self._process: SupervisedProcess | None = None
        self._changing, self._closed = threading.Lock(), False
        self._began = monotonic()
        self.endpoint = Endpoint(base_url="", model=launch.served_name)
        self.facts = EngineFacts()

    def served(self) -> Served:
        """As a stream asks it."""
        return Served(endpoint=self.endpoint, alive=self.check_alive, restart=self.restart)

    async def start(self) -> Endpoint:
        """Start it and wait until it answers.

        Raises:
            EngineFailed: it ended, did not answer within an hour, or another server has its port.
            Cancelled: somebody said so before it answered.
        """
        launch, port = self._launch, free_port(self._launch.host)
        root = f"http://{launch.host}:{port}"
        name = "engine.log" if launch.plan.replicas == 1 else f"engine-{self._replica}.log"
        process = await asyncio.to_thread(self._begin, launch.command(port), launch.work / name)
        await _wait_until_healthy(process, root, launch.on_progress, launch.cancelled)
        self.endpoint = Endpoint(base_url=f"{root}/v1", model=launch.served_name, api_key=launch.api_key)
        await _check_served(self.endpoint)
        self.facts = read_facts(process.log.read_text(encoding="utf-8", errors="replace"))
        return self.endpoint

    def _begin(self, command: list[str], log: Path) -> SupervisedProcess:
        """Start the process in a thread. Who gave up waiting for it still ends it: `close` waits for the lock."""
        with self._changing:
            if self._closed:
                raise Cancelled("the engine was ended before it was started again")
            self._process = SupervisedProcess(
                command,
                log=log,
                environment=self._launch.environment(self._replica),
                folder=self._launch.work,
                limits=self._limits(),
            )
            return self._process

    def _limits(self) -> Limits:
        """What is left of its time counts from the first start."""
        given = self._launch.limits
        if given.seconds is None:
            return given
        return replace(given, seconds=max(1.0, given.seconds - (monotonic() - self._began)))

    async def restart(self) -> Endpoint:
        """End what is left of it and start it again. Raises as `start`."""
        self._launch.on_progress(f"the engine failed; starting it again: {self.log_tail(1)[:200]}")
        await asyncio.to_thread(self._end, closed=False)
        return await self.start()

    async def close(self) -> None:
        """End it for good, with all its workers."""
        await asyncio.to_thread(self._end, closed=True)

    def _end(self, *, closed: bool) -> None:
        with self._changing:
            self._closed = self._closed or closed
            if self._process is not None:
                self._process.stop()

    def check_alive(self) -> None:
        """Raises EngineFailed with the last log lines where the process has ended."""
        if self._process is not None and self._process.exit_status() is not None:
            _raise_if_over(self._process)
            raise EngineFailed(
                f"the engine ended by itself ({_status(self._process)}); its last lines say why",
                log_tail=self._process.log_tail(),
            )

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines that it wrote."""
        return self._process.log_tail(lines) if self._process is not None else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """What every server of one engine is started with.

    `work` gets the servers' logs; `home` is the HOME of all our engines (it holds their compilation caches, nothing of
    ours). `on_progress` gets a line of text now and then. `limits` are each server's. `host` is
    where they listen: on any other address than loopback they ask for `api_key`. `extra` is added to their environment.
    """

    plan: EnginePlan
    folder: Path
    served_name: str
    python: str
    inherited: Mapping[str, str]
    work: Path
    home: Path
    on_progress: Callable[[str], None]
    cancelled: Callable[[], bool] = lambda: False
    limits: Limits = NO_LIMITS
    host: str = LOOPBACK
    api_key: str | None = field(default=None, repr=False)
    extra: Mapping[str, str] = field(default_factory=dict)

    def command(self, port: int) -> list[str]:
        """The command line of a server at this port."""
        return server_command(
            self.plan,
            python=self.python,
            folder=self.folder,
            served_name=self.served_name,
            port=port,
            host=self.host,
        )

    def environment(self, replica: int) -> dict[str, str]:
        """The whole environment of one of the servers."""
        visible = self.inherited.get("CUDA_VISIBLE_DEVICES")
        key = {"VLLM_API_KEY": self.api_key} if self.api_key else {}
        extra = {**server_environment(self.plan, replica=replica, visible=visible), **key, **self.extra}
        return clean_environment(self.inherited, self.home, extra)


@asynccontextmanager
async def local_engine(launch: Launch) -> AsyncIterator[RunningEngine]:
    """Start the planned vLLM servers, wait until all answer, and end them afterwards, however we leave.

    Raises:
        EngineFailed: one ended, did not answer within an hour, or another server has its port; carries its last log
            lines.
        Cancelled: `launch.cancelled` said so before they answered.
    """
    launch.work.mkdir(parents=True, exist_ok=True)
    servers = tuple(LocalServer(launch, replica) for replica in range(launch.plan.replicas))
    try:
        starting = [asyncio.create_task(server.start()) for server in servers]
        try:
            await asyncio.gather(*starting)
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
        facts = replace(servers[0].facts, replicas=len(servers))
        yield RunningEngine(endpoint=servers[0].endpoint, facts=facts, local=servers)
    finally:
        await asyncio.gather(*(server.close() for server in servers))


async def given_engine(endpoint: Endpoint, *others: Endpoint) -> RunningEngine:
    """An engine that already runs at one or more OpenAI base URLs, after checking that each serves the model.

    Raises:
        EngineFailed: nothing answers there, or it does not list the model; the message lists what it does.
        EngineRefused: it wants a token that it was not given.
    """
    facts = [await _given_facts(each) for each in (endpoint, *others)]
    shared = {name: value for name, value in asdict(facts[0]).items() if {getattr(f, name) for f in facts} == {value}}
    return RunningEngine(endpoint=endpoint, others=others, facts=EngineFacts(**shared | {"replicas": len(facts)}))


async def _given_facts(endpoint: Endpoint) -> EngineFacts:
    models = await _models(endpoint)
    entry = _listed(models, endpoint) if models else {}
    length = entry.get("max_model_len")
    version = await _version(endpoint)
    return EngineFacts(
        engine="vLLM" if version else None, version=version, max_model_len=length if isinstance(length, int) else None
    )


def read_facts(log: str) -> EngineFacts:
    """What vLLM says of itself when it starts: version, sizes and device as it runs, not as they were asked for."""
    found = CONFIG_LINE.search(log)
    if found is None:
        return EngineFacts(engine="vLLM")
    config = dict(re.findall(r"(\w+)=([^,\s]+)", found["config"]))
    quantization = config.get("quantization")
    return EngineFacts(
        engine="vLLM",
        version=found["version"],
        tensor_parallel_size=_whole(config.get("tensor_parallel_size")),
        device=config.get("device_config"),
        dtype=(config.get("dtype") or "").removeprefix("torch.") or None,
        max_model_len=_whole(config.get("max_seq_len")),
        quantization=None if quantization in (None, "None") else quantization,
    )


def free_port(host: str = LOOPBACK) -> int:
    """A port of an address of this machine that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


async def prompt_text(endpoint: Endpoint, prompt: str) -> str | None:
    """The prompt as the server's chat template renders it, where the server offers /tokenize and /detokenize."""
    messages = [{"role": "user", "content": prompt}]
    tokenized = await _post(endpoint, "tokenize", {"model": endpoint.model, "messages": messages})
    tokens = tokenized.get("tokens") if tokenized else None
    if not isinstance(tokens, list):
        return None
    text = await _post(endpoint, "detokenize", {"model": endpoint.model, "tokens": tokens})
    prompt_as_sent = text.get("prompt") if text else None
    return prompt_as_sent if isinstance(prompt_as_sent, str) else None


async def _wait_until_healthy(
    process: SupervisedProcess, root: str, on_progress: Callable[[str], None], cancelled: Callable[[], bool]
) -> None:
    clock = asyncio.get_running_loop().time
    started, said = clock(), ""
    while clock() - started < START_TIMEOUT_S:
        if cancelled():
            raise Cancelled("the run was cancelled while the engine started; run it again to continue")
        if process.exit_status() is not None:
            _raise_if_over(process)
            raise EngineFailed("the engine did not start; its last lines say why", log_tail=process.log_tail())
        try:
            status, _ = await fetch(f"{root}/health", timeout_s=5)
            if status == 200:
                return
        except EngineUnreachable:
            pass
        last = process.log_tail(1)
        if last != said:
            said = last
            on_progress(f"starting vLLM, {clock() - started:.0f} s: {last[:200]}")
        await asyncio.sleep(HEALTH_POLL_S)
    raise EngineFailed(f"the engine did not answer within {START_TIMEOUT_S:.0f} s", log_tail=process.log_tail())


def _raise_if_over(process: SupervisedProcess) -> None:
    over = process.over_limit()
    if over is not None:
        raise EngineOverLimit(
            f"the engine was ended: {over}, which is far more than its plan needs; what was answered is kept. Its last "
            "lines may say why; submit with fewer tokens or attempts, or run it on a larger machine",
            log_tail=process.log_tail(),
        )


def _status(process: SupervisedProcess) -> str:
    status = process.exit_status()
    killed = ", killed: mostly by the system where memory ran out" if status == KILLED else ""
    return f"exit status {status}{killed}"


async def _check_served(endpoint: Endpoint) -> None:
    """That the server at our engine's port is ours: another one may have taken it before vLLM did."""
    _listed(await _models(endpoint), endpoint)


def _listed(models: list[dict[str, object]], endpoint: Endpoint) -> dict[str, object]:
    for entry in models:
        if entry.get("id") == endpoint.model:
            return entry
    served = ", ".join(str(entry.get("id")) for entry in models[:20]) or "nothing"
    raise EngineFailed(f"{endpoint.base_url} does not serve {endpoint.model!r}; it lists: {served}")


async def _models(endpoint: Endpoint) -> list[dict[str, object]]:
    status, body = await fetch(f"{endpoint.base_url}/models", api_key=endpoint.api_key)
    if status in (401, 403):
        raise EngineRefused(f"{endpoint.base_url} answers {status}: set ENDPOINT_API_KEY to a token that it accepts")
    if status != 200:
        raise EngineFailed(f"{endpoint.base_url}/models answers {status}; --endpoint wants a base URL that ends in /v1")
    listed = _object(body).get("data")
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


async def _version(endpoint: Endpoint) -> str | None:
    try:
        status, body = await fetch(f"{endpoint.root}/version", api_key=endpoint.api_key)
    except EngineUnreachable:
        return None
    version = _object(body).get("version") if status == 200 else None
    return version if isinstance(version, str) else None


async def _post(endpoint: Endpoint, path: str, body: dict[str, object]) -> dict[str, object]:
    try:
        status, answer = await fetch(f"{endpoint.root}/{path}", method="POST", json=body, api_key=endpoint.api_key)
    except EngineUnreachable:
        return {}
    return _object(answer) if status == 200 else {}


def _object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
