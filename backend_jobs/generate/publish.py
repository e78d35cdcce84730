"""A dataset's folder as others see it: its card and report, and its copy on the Hub, pushed in batches."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from backend_jobs.datasets.cards import dataset_card
from backend_jobs.datasets.files import CARD
from backend_jobs.datasets.statistics import dataset_report
from backend_jobs.generate.meter import Meter
from backend_jobs.generate.plan import GenerationPlan
from backend_jobs.generate.shards import DoneShard, ShardFolder, write_whole
from evaluator.errors import DatasetUnavailable
from evaluator.types import to_json
from leaderboard import hub_datasets
from leaderboard.datasets import DatasetReport
from settings import Settings

LOG = logging.getLogger(__name__)
REPORT = "report.json"
RECIPE = "recipe.json"
PUSHED = "pushed.json"


class Publisher:
    """Keeps card and report of one run up to date, and the Hub's copy where the recipe names one.

    What was pushed is remembered in `pushed.json`: a run that goes on after a kill sends only the rest.
    """

    def __init__(self, plan: GenerationPlan, folder: ShardFolder, meter: Meter, settings: Settings) -> None:
        self._plan, self._folder, self._meter = plan, folder, meter
        self._token = settings.hub_token
        known = folder.folder / PUSHED
        self._pushed = set(json.loads(known.read_bytes())) if known.is_file() else set()

    def shard(self, done: DoneShard) -> None:
        """A shard was written. A Hub that does not answer now gets it with the next batch."""
        self.describe(complete=False)
        output = self._plan.recipe.output
        if output.hub is None or self._meter.shards % output.push_every:
            return
        try:
            self._push(f"shards up to {done.number}")
        except DatasetUnavailable as error:
            LOG.warning("%s; the next batch tries again", error)

    def finish(self) -> DatasetReport:
        """The run is over. Raises DatasetUnavailable where the Hub does not take the rest; all files stay here."""
        report = self.describe(complete=True)
        if self._plan.recipe.output.hub is not None:
            self._push("the whole dataset")
        return report

    def describe(self, *, complete: bool) -> DatasetReport:
        """Write card and report as they are now."""
        recipe, checkpoint = self._plan.recipe, self._plan.checkpoint
        report = dataset_report(
            self._meter.tally,
            name=recipe.run,
            cost=self._meter.cost(),
            complete=complete,
            model=checkpoint.model,
            commit=checkpoint.commit,
            recipe=self._plan.key,
            hub=recipe.output.hub,
        )
        write_whole(self._folder.folder / REPORT, json.dumps(to_json(report), ensure_ascii=False).encode())
        write_whole(self._folder.folder / CARD, self._card(report).encode(errors="replace"))
        return report

    def _card(self, report: DatasetReport) -> str:
        recipe, checkpoint = self._plan.recipe, self._plan.checkpoint
        decoding, folder = recipe.decoding, self._folder.folder
        named = recipe.prompts.dataset
        origin = Path(named).name if named and Path(named).exists() else named
        origin = origin or f"the generator `{recipe.prompts.generator}`"
        made = [
            f"Problems from {origin} (`{self._plan.source_commit or 'no commit'}`), {decoding.samples} samples each by "
            f"{checkpoint.model} (`{checkpoint.commit or 'commit unknown'}`) at temperature {decoding.temperature}, "
            f"top_p {decoding.top_p}, at most {decoding.max_tokens:,} tokens. Answers were checked by "
            f"`{recipe.verify.kind}`; the recipe is `{RECIPE}`."
        ]
        return dataset_card(
            report,
            made=made,
            has_rows=any((folder / "data").glob("*.parquet")) or not report.dropped,
            has_rejected=any((folder / "rejected").glob("*.parquet")),
        )

    def _push(self, message: str) -> None:
        """Everything that is done and was not sent yet, and the card, in one commit."""
        hub_name, folder = self._plan.recipe.output.hub, self._folder.folder
        assert hub_name is not None
        numbers = [int(path.stem) for path in sorted((folder / "shards").glob("[0-9]*.json"))]
        new = {
            name: path
            for number in numbers
            for name, path in self._folder.files(number).items()
            if name not in self._pushed
        }
        files: dict[str, Path | bytes] = {**new, CARD: folder / CARD, RECIPE: folder / RECIPE}
        hub_datasets.push_files(
            hub_name, files, message=message, token=self._token, private=not self._plan.recipe.output.public
        )
        self._pushed |= set(new)
        write_whole(folder / PUSHED, json.dumps(sorted(self._pushed)).encode())
