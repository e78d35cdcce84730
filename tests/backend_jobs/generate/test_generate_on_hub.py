"""Problems from the Hub, rows to the Hub: the real client against a local server that speaks its protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from settings import ROOT
from tests.backend_jobs.generate.recipes import recipe, teacher, write_problems
from tests.fakes.hub_server import FakeHub
from tests.fakes.openai_server import FakeOpenAI

CARD = b"---\nlicense: odc-by\nconfigs:\n- config_name: default\n  data_files: sums.jsonl\n---\n"
LOAD = """
import sys, datasets
loaded = datasets.load_dataset("alice/sums", split="train", cache_dir=sys.argv[1], token="hf_alice")
print(loaded.num_rows, sorted(set(loaded["license"])))
"""


def test_problems_come_from_the_hub_and_rows_go_there_in_batches(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "sums.jsonl", 60)
    with FakeOpenAI(teacher) as fake, FakeHub() as hub:
        hub.account("alice", token="hf_alice")
        hub.add("datasets/alice/problems", {"sums.jsonl": problems.read_bytes(), "README.md": CARD})
        asked_for = recipe(
            Path("alice/problems"),
            fake.base_url,
            prompts={"license": None},
            output={"rows_per_shard": 20, "hub": "alice/sums", "push_every": 2},
        )
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(asked_for.model_dump(mode="json")), encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | {
            "OPEN_R1_DATA": str(tmp_path / "data"),
            "HF_ENDPOINT": hub.root,
            "HF_TOKEN": "hf_alice",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
        }
        command = [sys.executable, "-m", "backend_jobs", "generate", str(file), "--json"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        loaded = subprocess.run(
            [sys.executable, "-c", LOAD, str(tmp_path / "cache")],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        repository = hub.repositories["datasets/alice/sums"]
    made = json.loads(done.stdout.splitlines()[-1])
    assert json.loads(again.stdout.splitlines()[-1])["rows"] == made["rows"]
    assert loaded.stdout.split(maxsplit=1) == [str(made["rows"]), "['odc-by']\n"]
    assert repository.private
    files = repository.commits[repository.refs["main"]]
    assert {"README.md", "recipe.json", "data/train-00000.parquet", "shards/00005.json"} <= set(files)
    assert not any(name.startswith("work/") for name in files)
    pushed = [log.title for log in repository.log.values() if log.title.startswith(("shards", "the whole"))]
    assert pushed == ["shards up to 1", "shards up to 3", "shards up to 5", "the whole dataset"]
