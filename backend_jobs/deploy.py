"""`deploy-space`: one small file says what the Space should be; a dry run prints every step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator.errors import OpenR1Error
from leaderboard.hub_space import SpaceWish, steps
from settings import ROOT, Settings, secret_values

REPO = r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$"
PROGRAM = ("evaluator", "leaderboard", "backend_jobs", "recipes")
TOP = ("app.py", "settings.py", "README.md", "LICENSE", "requirements.txt", "pre-requirements.txt")
LEFT_OUT = ("__pycache__",)


class DeployRefused(OpenR1Error):
    """The file does not say what to deploy, or something that it names is missing."""

    code = "deploy_refused"


class SpaceFile(BaseModel):
    """What a deployment file may say. Secrets are named here, and their values come from the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str = Field(pattern=REPO)
    dataset: str = Field(pattern=REPO)
    private: bool = False
    hardware: str | None = None
    variables: dict[str, str] = Field(default_factory=dict)
    secrets: list[str] = Field(default_factory=lambda: ["HF_TOKEN", "WORKER_TOKEN"])
    watch: list[str] = Field(default_factory=list)


def add_parser(of: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`deploy-space FILE [--dry-run]`."""
    deploy = of.add_parser("deploy-space", help="create or update the Space, its settings and its dataset on the Hub")
    deploy.add_argument("file", type=Path, metavar="FILE", help="such as deploy/space.yaml")
    deploy.add_argument("--dry-run", action="store_true", help="print every step and do nothing")
    deploy.set_defaults(run=deploy_verb)


def deploy_verb(options: argparse.Namespace, settings: Settings) -> dict[str, Any] | None:
    """Bring the Space to what the file says."""
    wish = read_wish(options.file)
    planned = steps(wish, token=settings.hub_token)
    for number, step in enumerate(planned, 1):
        sys.stderr.write(f"{number}. {step.says}\n")
        if not options.dry_run:
            step.do()
    return {"space": wish.space, "address": wish.url, "steps": len(planned), "dry run": options.dry_run}


def read_wish(file: Path, root: Path = ROOT, secrets: Mapping[str, str] | None = None) -> SpaceWish:
    """What a deployment file wishes for, with the program's files and the secrets' values (the environment's).

    Raises:
        DeployRefused: the file cannot be read, a field is wrong, or a secret is not in the environment.
    """
    try:
        told = SpaceFile.model_validate(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise DeployRefused(f"{file} cannot be read ({error}); begin with deploy/space.yaml") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DeployRefused(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    secrets = secret_values(tuple(told.secrets)) if secrets is None else secrets
    missing = [name for name in told.secrets if name not in secrets]
    if missing:
        raise DeployRefused(f"{file} names the secrets {', '.join(missing)}, which the environment lacks; set them")
    variables = {"OPEN_R1_STORE": f"hf://datasets/{told.dataset}", **_watching(told), **told.variables}
    return SpaceWish(
        space=told.space,
        dataset=told.dataset,
        private=told.private,
        hardware=told.hardware,
        variables=variables,
        secrets=secrets,
        files=program_files(root),
        watched=tuple(name.removesuffix("/*") for name in told.watch),
    )


def program_files(root: Path) -> Mapping[str, Path]:
    """What a Space needs of this program, by the path that it has there."""
    found = [root / name for name in TOP]
    for package in PROGRAM:
        found += [path for path in (root / package).rglob("*") if path.is_file()]
    found += (root / "docs" / "images").glob("*")
    kept = [path for path in found if path.is_file() and not set(path.relative_to(root).parts) & set(LEFT_OUT)]
    return {path.relative_to(root).as_posix(): path for path in kept}


def _watching(told: SpaceFile) -> dict[str, str]:
    return {"WATCHED_MODELS": " ".join(told.watch)} if told.watch else {}
