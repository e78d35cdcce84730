"""A program that is started as an engine is, and serves the fake OpenAI protocol: jobs run whole without vLLM."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from aiohttp import web

from settings import ROOT
from tests.fakes.openai_server import FakeOpenAI


def engine_program(folder: Path) -> Path:
    """An executable for `Settings.engine_python` that takes vLLM's arguments."""
    path = folder / "engine-python"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.fakes.engine_program "$@"\n')
    path.chmod(0o755)
    return path


def main() -> None:
    """Serve under the name and on the port that vLLM would be given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-m", dest="module")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--served-model-name", required=True)
    given, _ = parser.parse_known_args()
    fake = FakeOpenAI(model=given.served_model_name)
    web.run_app(fake.application(), host="127.0.0.1", port=given.port, print=None)


if __name__ == "__main__":
    main()
