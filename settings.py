"""The only reader of the environment: one frozen Settings, read once at the entry points."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# What a child process (engine, training) may inherit where it is set: no token is among them.
CHILD_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "NVIDIA_VISIBLE_DEVICES",
    "NCCL_SOCKET_IFNAME",
    "NCCL_DEBUG",
)
ROOT = Path(__file__).resolve().parent
JOBS_A_DAY, JOBS_AT_ONCE, LONGEST_QUEUE = 4, 2, 200
DISK_RESERVE_GB = 2.0
ANCHOR_DAYS = 7.0
BACKUP_HOURS, BACKUPS_KEPT = 24.0, 7
GRADING_LIMIT_S = 5
LAUNCHERS = ("local", "hf-jobs", "ray")
MACHINES_AT_ONCE, MACHINE_HOURS = 4, 24.0
JOBS_FOLDER = "/home/board/app"
ENGINES = ("local", "endpoint")
ENDPOINT_IMAGE = "vllm/vllm-openai:v0.31.0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the surroundings decide. Everything else is in a plan, a recipe or a flag."""

    store: str = "data/store.db"
    """The board's memory: a path of an embedded store, or hf://datasets/<owner>/<name>."""
    data_dir: Path = ROOT / "data"
    """Where checkpoints, journals, logs and live progress lie; safe to delete only when nothing is running."""
    port: int = 7860
    """The page's port."""
    host: str = "127.0.0.1"
    """The page's address: loopback, unless this is a Space."""
    space: str | None = None
    """The Space's id where this runs on Hugging Face; None means local mode without login."""
    oauth_client: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)
    """What Hugging Face gives a Space that lets people sign in; None where nobody can."""
    engine_python: str = sys.executable
    """The interpreter of the engine's environment, which has vLLM and TRL."""
    has_engine: bool = False
    """Whether that environment exists: without it this machine shows and queues, but runs nothing."""
    ray_address: str | None = None
    """The Ray cluster whose nodes run the engines: `auto` on one of them, or host:port. None: this machine does."""
    ray_jobs: str | None = None
    """Where the Jobs API of a Ray cluster answers, http://HEAD:8265: for OPEN_R1_LAUNCHER=ray."""
    own_worker: bool = True
    """Whether the page keeps a worker beside it. Not where workers run elsewhere on the same store."""
    endpoint_api_key: str | None = None
    """Sent as a Bearer token to a given endpoint."""
    benchmark_mirror: Path | None = None
    """A folder that stands in for the Hub's datasets: <dir>/<owner>/<name>[/<config>]/<split>.jsonl or .parquet."""
    hub_token: str | None = None
    """Reads checkpoints and gated datasets; never given to the engine."""
    board_url: str | None = None
    """Where the board's own API answers: a worker sends its beats and progress there, not as commits to the Hub."""
    worker_token: str | None = None
    """What workers and their board know of each other: a Bearer token of your own making."""
    webhook_secret: str | None = None
    """What the Hub sends along with a webhook; without it this board takes none."""
    code_sandbox: str | None = None
    """A server that speaks Piston's protocol: the only place where programs that a model wrote are run."""
    watched_models: tuple[str, ...] = ()
    """Patterns of models whose new revisions submit themselves when the Hub says so, such as open-r1/*."""
    watched_benchmarks: tuple[str, ...] = ("math_500", "aime_2024")
    """What those revisions are measured on."""
    demo: bool = True
    """Queue the demonstration training run when the store is empty."""
    maintainers: frozenset[str] = frozenset()
    """Hugging Face accounts that may cancel, retry, reorder and hide what others submitted."""
    jobs_a_day: int = JOBS_A_DAY
    """On a Space: submissions of one person within 24 hours."""
    jobs_at_once: int = JOBS_AT_ONCE
    """On a Space: jobs of one person that wait or run."""
    longest_queue: int = LONGEST_QUEUE
    """On a Space: jobs that wait or run in all."""
    disk_reserve_gb: float = DISK_RESERVE_GB
    """Kept free on the data folder's disk: below it old downloads are removed, and the board is not ready."""
    grading_limit_s: int = GRADING_LIMIT_S
    """CPU seconds for one answer that sympy must work out; six times as many at the second try. It moves no verdict."""
    hub_storage_gb: float | None = None
    """What the store's dataset may take on the Hub: near it an alert is sent; None is not judged."""
    backup_dir: Path | None = None
    """Where the board is backed up to by itself; None: nowhere. Best on another disk."""
    backup_hours: float = BACKUP_HOURS
    """Hours between two backups."""
    backups_kept: int = BACKUPS_KEPT
    """So many of the newest stay."""
    anchor_model: str | None = None
    """A model that is measured again and again, so that a drift of this board is noticed; None: none is."""
    anchor_benchmarks: tuple[str, ...] = ("aime_2024",)
    """What the anchor is measured on."""
    anchor_days: float = ANCHOR_DAYS
    """Days between two of its runs."""
    alert_webhook: str | None = None
    """Where alerts are sent as JSON; it may hold a secret, so it is never logged."""
    log_as_json: bool = False
    """Whether the log is one JSON object a line, for programs."""
    launcher: str | None = None
    """Where the board's jobs run: None lets a worker beside the page take them; `local`, `hf-jobs` or `ray` give each
    job a machine of its own."""
    machines_at_once: int = MACHINES_AT_ONCE
    """Rented machines that may run at the same time."""
    machine_hours: float = MACHINE_HOURS
    """The longest that a rented machine may run; each gets a time limit of its own below that."""
    rent_namespace: str | None = None
    """The account or organization that pays for Hugging Face Jobs and Inference Endpoints."""
    jobs_image: str | None = None
    """The image of those Jobs, which holds this program: `deploy/Dockerfile.gpu` makes one."""
    jobs_folder: str = JOBS_FOLDER
    """Where the program lies in that image."""
    engine: str = "local"
    """What serves a job's model: `local` starts vLLM where the worker is, `endpoint` rents an Inference Endpoint."""
    endpoint_image: str = ENDPOINT_IMAGE
    """The vLLM image of those Endpoints."""
    endpoint_count: int = 1
    """Endpoints of one job, all behind its one queue."""
    endpoints_api: str | None = None
    """Where Inference Endpoints are managed; None means Hugging Face's own address."""
    monthly_budget: float | None = None
    """Dollars that rented machines may cost in a month; None means no limit."""
    person_budget: float | None = None
    """Dollars that the machines of one person's jobs may cost in a month."""
    machine: str | None = None
    """What this machine is called where it was rented: told by whoever started it, and kept with its results."""
    dollars_per_hour: float | None = None
    """What this machine costs an hour, told in the same way or set by hand; results then say what they cost."""
    child_environment: tuple[tuple[str, str], ...] = ()
    """What engines and training processes inherit of the environment; never a token."""


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment asks for. Empty variables count as not set, and relative paths begin here.

    Raises:
        SystemExit: a variable holds what it cannot; the message names it and says what was expected.
    """
    given = {name: value for name, value in environ.items() if value}
    default_python = ROOT / ".venv-engine" / "bin" / "python"
    space = given.get("SPACE_ID")
    data_dir = Path(given["OPEN_R1_DATA"]).resolve() if "OPEN_R1_DATA" in given else ROOT / "data"
    mirror = given.get("BENCHMARK_MIRROR")
    return Settings(
        store=given.get("OPEN_R1_STORE", str(data_dir / "store.db")),
        data_dir=data_dir,
        port=_port(given.get("PORT", "7860")),
        host=given.get("OPEN_R1_HOST", "0.0.0.0" if space else "127.0.0.1"),
        space=space,
        oauth_client=_oauth_client(given) if space else None,
        engine_python=given.get("ENGINE_PYTHON", str(default_python) if default_python.exists() else sys.executable),
        has_engine="ENGINE_PYTHON" in given or default_python.exists(),
        ray_address=given.get("OPEN_R1_RAY"),
        ray_jobs=_address(given, "OPEN_R1_RAY_JOBS"),
        own_worker=given.get("OPEN_R1_WORKER", "1") != "0",
        endpoint_api_key=given.get("ENDPOINT_API_KEY"),
        benchmark_mirror=Path(mirror).resolve() if mirror else None,
        hub_token=given.get("HF_TOKEN"),
        board_url=given.get("BOARD_URL", "").rstrip("/") or None,
        worker_token=given.get("WORKER_TOKEN"),
        webhook_secret=given.get("WEBHOOK_SECRET"),
        code_sandbox=given.get("CODE_SANDBOX"),
        watched_models=tuple(given.get("WATCHED_MODELS", "").split()),
        watched_benchmarks=tuple(given.get("WATCHED_BENCHMARKS", "math_500 aime_2024").split()),
        demo=given.get("OPEN_R1_DEMO", "1") != "0",
        maintainers=frozenset(name.strip() for name in given.get("OPEN_R1_MAINTAINERS", "").split(",") if name.strip()),
        jobs_a_day=_count(given, "OPEN_R1_JOBS_A_DAY", JOBS_A_DAY),
        jobs_at_once=_count(given, "OPEN_R1_JOBS_AT_ONCE", JOBS_AT_ONCE),
        longest_queue=_count(given, "OPEN_R1_LONGEST_QUEUE", LONGEST_QUEUE),
        disk_reserve_gb=_amount(given, "OPEN_R1_DISK_RESERVE_GB", DISK_RESERVE_GB),
        grading_limit_s=_count(given, "OPEN_R1_GRADING_LIMIT_S", GRADING_LIMIT_S),
        hub_storage_gb=_amount(given, "OPEN_R1_HUB_STORAGE_GB", 0.0) or None,
        backup_dir=Path(given["OPEN_R1_BACKUP_DIR"]).resolve() if "OPEN_R1_BACKUP_DIR" in given else None,
        backup_hours=_amount(given, "OPEN_R1_BACKUP_HOURS", BACKUP_HOURS),
        backups_kept=_count(given, "OPEN_R1_BACKUPS_KEPT", BACKUPS_KEPT),
        anchor_model=given.get("OPEN_R1_ANCHOR"),
        anchor_benchmarks=tuple(given.get("OPEN_R1_ANCHOR_BENCHMARKS", "aime_2024").split(",")),
        anchor_days=_amount(given, "OPEN_R1_ANCHOR_DAYS", ANCHOR_DAYS),
        alert_webhook=_address(given, "OPEN_R1_ALERT_WEBHOOK"),
        log_as_json=given.get("OPEN_R1_LOG") == "json",
        launcher=_choice(given, "OPEN_R1_LAUNCHER", LAUNCHERS),
        machines_at_once=_count(given, "OPEN_R1_MACHINES_AT_ONCE", MACHINES_AT_ONCE),
        machine_hours=_amount(given, "OPEN_R1_MACHINE_HOURS", MACHINE_HOURS),
        rent_namespace=given.get("OPEN_R1_RENT_NAMESPACE"),
        jobs_image=given.get("OPEN_R1_JOBS_IMAGE"),
        jobs_folder=given.get("OPEN_R1_JOBS_FOLDER", JOBS_FOLDER),
        engine=_choice(given, "OPEN_R1_ENGINE", ENGINES) or ENGINES[0],
        endpoint_image=given.get("OPEN_R1_ENDPOINT_IMAGE", ENDPOINT_IMAGE),
        endpoint_count=_count(given, "OPEN_R1_ENDPOINT_COUNT", 1),
        endpoints_api=_address(given, "OPEN_R1_ENDPOINTS_API"),
        monthly_budget=_dollars(given, "OPEN_R1_MONTHLY_BUDGET"),
        person_budget=_dollars(given, "OPEN_R1_PERSON_BUDGET"),
        machine=given.get("OPEN_R1_MACHINE"),
        dollars_per_hour=_dollars(given, "OPEN_R1_DOLLARS_PER_HOUR"),
        child_environment=tuple((name, given[name]) for name in CHILD_VARIABLES if name in given),
    )


def whole_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a process of our own program inherits: everything, as the worker beside the page does."""
    return dict(environ)


def secret_values(names: tuple[str, ...], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The values of some secrets, for whoever deploys a Space; those that the environment lacks are left out."""
    return {name: environ[name] for name in names if environ.get(name)}


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise SystemExit(f"error: PORT is {text!r}, expected a number from 1 to 65535")
    return int(text)


def _oauth_client(given: Mapping[str, str]) -> tuple[tuple[str, str], ...] | None:
    """The fields of `LoginSettings` that the environment gives; None without a client of our own."""
    names = {
        "client_id": "OAUTH_CLIENT_ID",
        "client_secret": "OAUTH_CLIENT_SECRET",
        "provider_url": "OPENID_PROVIDER_URL",
        "scopes": "OAUTH_SCOPES",
    }
    found = tuple((field, given[name]) for field, name in names.items() if name in given)
    return found if {"client_id", "client_secret"} <= {field for field, _ in found} else None


def _count(given: Mapping[str, str], name: str, usual: int) -> int:
    text = given.get(name, str(usual))
    if not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise SystemExit(f"error: {name} is {text!r}, expected a whole number from 1 to 1,000,000")
    return int(text)


def _amount(given: Mapping[str, str], name: str, usual: float) -> float:
    text = given.get(name, str(usual))
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < 1_000_000:
        raise SystemExit(f"error: {name} is {text!r}, expected a number from 0 to 1,000,000")
    return amount


def _dollars(given: Mapping[str, str], name: str) -> float | None:
    return _amount(given, name, 0.0) if name in given else None


def _choice(given: Mapping[str, str], name: str, among: tuple[str, ...]) -> str | None:
    chosen = given.get(name)
    if chosen is not None and chosen not in among:
        raise SystemExit(f"error: {name} is {chosen!r}, expected one of {', '.join(among)}")
    return chosen


def _address(given: Mapping[str, str], name: str) -> str | None:
    text = given.get(name)
    if text is not None and not text.startswith(("http://", "https://")):
        raise SystemExit(f"error: {name} is no web address: it begins with http:// or https://")
    return text
