"""Every verb and flag of the command line. A default is written in `Settings` or in a protocol, never here."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from backend_jobs import (
    data_verbs,
    deploy,
    export_verbs,
    history_verbs,
    lighteval_verbs,
    machine_verbs,
    store_verbs,
    verbs,
)
from evaluator.benchmarks import BENCHMARKS
from settings import Settings


def parser(settings: Settings) -> argparse.ArgumentParser:
    """The parser of all verbs; each sets `run` to what carries it out."""
    top = argparse.ArgumentParser(prog="python -m backend_jobs", description="Jobs of the open-r1 leaderboard.")
    top.set_defaults(store=None)
    of = top.add_subparsers(required=True, metavar="VERB")
    _queue(of, settings)
    machine_verbs.add_parser(of, settings)
    _measure(of)
    _grade(of)
    _lighteval(of, settings)
    store_verbs.add_parser(of)
    deploy.add_parser(of)
    export_verbs.add_parser(of, settings)
    _history(of, settings)
    _anchor(of)
    _train(of)
    _reasoning_data(of)
    return top


def _queue(of: argparse._SubParsersAction[argparse.ArgumentParser], settings: Settings) -> None:
    """The verbs that work on the queue."""
    worker = of.add_parser("worker", help="take jobs from the queue and run them")
    worker.add_argument("--once", action="store_true", help="run one job if there is one, then stop")
    worker.add_argument("--job", metavar="ID", help="take no other job than this one")
    worker.add_argument("--name", metavar="N", help="what people see as the job's worker (host and process)")
    _store(worker, settings)
    worker.set_defaults(run=verbs.worker)

    submit = of.add_parser("submit", help="add an evaluation to the queue, or the job of a recipe")
    submit.add_argument("recipe", nargs="?", type=Path, help="a recipe, instead of --model and --benchmark")
    _what_to_measure(submit, required=False)
    _store(submit, settings)
    submit.set_defaults(run=verbs.submit)


def _measure(of: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What would be measured, and measuring it."""
    plan = of.add_parser("plan", help="print plans, GPU fit and the exact server line; run nothing")
    plan.add_argument(
        "recipe", nargs="?", type=Path, help="a training or generation recipe, instead of --model and --benchmark"
    )
    _what_to_measure(plan, required=False)
    _how_to_measure(plan)
    plan.add_argument(
        "--gpus", metavar="G", help="plan for h200x8, '2x8 H100', l40sx4, rtx4090, cpu ... (what is here)"
    )
    plan.add_argument("--gpu-price", type=float, metavar="P", help="dollars per GPU and hour (a list price)")
    plan.add_argument("--json", action="store_true", help="make the last line one JSON object")
    plan.set_defaults(run=verbs.plan)

    evaluate = of.add_parser("evaluate", help="measure a checkpoint on benchmarks, here and now")
    _what_to_measure(evaluate, required=True)
    _how_to_measure(evaluate)
    evaluate.add_argument("--journal", type=Path, metavar="F", help="keep (and take) completions in this file")
    evaluate.add_argument("--events", type=Path, metavar="F", help="append what happens there, one JSON object a line")
    evaluate.add_argument("--answer-timeout", type=_positive, metavar="S", help="seconds an answer may take (3 h)")
    evaluate.add_argument("--retry-refused", action="store_true", help="ask again for what an engine refused before")
    evaluate.add_argument("--store", metavar="S", help="publish the rows there; without it nothing is published")
    evaluate.add_argument("--json", action="store_true", help="make the last line one JSON object")
    evaluate.set_defaults(run=verbs.evaluate)


def _grade(of: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    grade = of.add_parser("grade", help="grade recorded completions")
    grade.add_argument("--benchmark", required=True, choices=BENCHMARKS, metavar="B")
    grade.add_argument("--completions", required=True, type=Path, metavar="F", help=".jsonl or .jsonl.gz")
    grade.add_argument("--scores", type=Path, metavar="OUT", help="write one row per input row there")
    grade.add_argument(
        "--audit",
        action="store_true",
        help="ask lighteval's metric too and count where it differs; with --scores, list that in OUT.audit.jsonl",
    )
    grade.add_argument("--json", action="store_true", help="make the last line one JSON object")
    grade.set_defaults(run=verbs.grade)


def _anchor(of: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    anchor = of.add_parser(
        "anchor", help="replay recorded completions through the whole evaluation, beside their verdicts"
    )
    anchor.add_argument("--completions", required=True, nargs="+", type=Path, metavar="F", help=".jsonl or .jsonl.gz")
    anchor.add_argument("--opened", action="store_true", help="also grade as if the prompt had opened a thought")
    anchor.add_argument("--concurrency", type=_positive, metavar="N", help="requests in flight")
    anchor.add_argument("--json", action="store_true", help="make the last line one JSON object")
    anchor.set_defaults(run=verbs.anchor)


def _train(of: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = of.add_parser("train", help="run a training recipe, here and now")
    train.add_argument("recipe", type=Path)
    train.add_argument("--store", metavar="S", help="submit each checkpoint to this board's queue")
    train.add_argument(
        "--smoke", action="store_true", help="two steps with a tiny model and a few rows, everything else as it is"
    )
    train.add_argument("--machines", type=_positive, default=1, metavar="N", help="machines that train together")
    train.add_argument("--machine-rank", type=int, default=0, metavar="K", help="this one's number, from 0")
    train.add_argument("--main-address", metavar="HOST:PORT", help="the first machine's, where they meet")
    train.set_defaults(run=verbs.train)


def _reasoning_data(of: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    generate = of.add_parser("generate", help="run a generation recipe: prompts in, a dataset of checked traces out")
    generate.add_argument("recipe", type=Path)
    generate.add_argument("--teacher", metavar="M", help="a Hub id, a local folder, or what --endpoint serves")
    generate.add_argument("--endpoint", metavar="URL", help="an OpenAI base URL ending in /v1, instead of an engine")
    generate.add_argument(
        "--limit", type=_positive, metavar="K", help="only the first K problems, as the run <run>-first-K"
    )
    generate.add_argument("--concurrency", type=_positive, metavar="N", help="requests in flight (by its metrics)")
    generate.add_argument("--store", metavar="S", help="show the dataset's statistics on this board")
    generate.add_argument("--json", action="store_true", help="make the last line one JSON object")
    generate.set_defaults(run=data_verbs.generate_verb)

    data = of.add_parser("data", help="look at, convert and mix reasoning data").add_subparsers(
        required=True, metavar="WHAT"
    )
    stats = data.add_parser("stats", help="lengths, pass rates, licences and reasons for drops of a dataset")
    convert = data.add_parser("convert", help="write a dataset that a reader knows in our schema")
    for verb in (stats, convert):
        verb.add_argument("dataset", help="a folder, a file, or a Hub id")
        verb.add_argument("--config", metavar="C")
        verb.add_argument("--split", metavar="S", default="train")
        verb.add_argument("--revision", metavar="R", help="branch, tag or commit")
    stats.set_defaults(run=data_verbs.stats)
    convert.add_argument("out", type=Path, help="a new folder")
    convert.set_defaults(run=data_verbs.convert)
    mix = data.add_parser("mix", help="write one training set from several datasets, as a mixture recipe says")
    mix.add_argument("recipe", type=Path)
    mix.add_argument("out", type=Path, help="a new folder")
    mix.set_defaults(run=data_verbs.mix_verb)
    for verb in (stats, mix):
        verb.add_argument("--store", metavar="S", help="show the statistics on this board")
    for verb in (stats, convert, mix):
        verb.add_argument("--json", action="store_true", help="make the last line one JSON object")


def _lighteval(of: argparse._SubParsersAction[argparse.ArgumentParser], settings: Settings) -> None:
    reading = of.add_parser("import-lighteval", help="read lighteval's result files as measured elsewhere")
    reading.add_argument("path", type=Path, help="one results_<time>.json, or a folder of them")
    reading.add_argument("--source", default="lighteval", metavar="TEXT", help="whose results they are (%(default)s)")
    reading.add_argument("--url", default="", metavar="URL", help="https address of the source")
    _store(reading, settings)
    reading.add_argument("--json", action="store_true", help="make the last line one JSON object")
    reading.set_defaults(run=lighteval_verbs.import_lighteval)

    writing = of.add_parser("export-lighteval", help="write every published row as a lighteval result file")
    writing.add_argument("folder", type=Path, help="gets <org>/<model>/<revision>/<task>/results_<time>.json")
    _store(writing, settings)
    writing.add_argument("--json", action="store_true", help="make the last line one JSON object")
    writing.set_defaults(run=lighteval_verbs.export_lighteval)


def _history(of: argparse._SubParsersAction[argparse.ArgumentParser], settings: Settings) -> None:
    """The verbs that go back to a published result."""
    compare = of.add_parser("compare", help="compare two published results, problem by problem")
    compare.add_argument("results", nargs=2, metavar="RESULT_ID", help="a result's id, as its page and --json name it")
    _store(compare, settings)
    compare.add_argument("--json", action="store_true", help="make the last line one JSON object")
    compare.set_defaults(run=verbs.compare)

    regrade = of.add_parser("regrade", help="grade stored attempts again, without an engine; keeps the older result")
    which = regrade.add_mutually_exclusive_group(required=True)
    which.add_argument("result", nargs="?", metavar="RESULT_ID", help="the plan key of a published result")
    which.add_argument("--all", action="store_true", help="every result that an older grader judged")
    _journal_of_result(regrade)
    regrade.set_defaults(run=history_verbs.regrade)

    reproduce = of.add_parser("reproduce", help="run a stored plan again with other seeds and compare the two scores")
    reproduce.add_argument("result", metavar="RESULT_ID", help="the plan key of a published result")
    reproduce.add_argument("--print", action="store_true", help="print exactly how; run nothing")
    reproduce.add_argument("--publish", action="store_true", help="publish the second run beside the first")
    reproduce.add_argument(
        "--model", type=Path, metavar="PATH", help="the folder that holds a local checkpoint's weights"
    )
    reproduce.add_argument(
        "--endpoint", type=_base_url, metavar="URL", help="where the model is served now, instead of where it was"
    )
    reproduce.add_argument("--concurrency", type=_positive, metavar="N", help="requests in flight")
    reproduce.set_defaults(run=history_verbs.reproduce)

    budget = of.add_parser("budget", help="the exact score of a result at smaller answer budgets, without an engine")
    budget.add_argument("result", metavar="RESULT_ID", help="the plan key of a published result")
    budget.add_argument("--at", required=True, nargs="+", type=_positive, metavar="B", help="budgets in tokens")
    budget.add_argument("--model", type=Path, metavar="PATH", help="a folder that holds the model's tokenizer.json")
    budget.add_argument("--publish", action="store_true", help="show the points on the page of the result")
    _journal_of_result(budget)
    budget.set_defaults(run=history_verbs.budget)

    for verb in (regrade, reproduce, budget):
        _store(verb, settings)
        verb.add_argument("--json", action="store_true", help="make the last line one JSON object")


def _journal_of_result(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--journal", type=Path, metavar="F", help="where a private benchmark's answers are (the model's)")


def _store(verb: argparse.ArgumentParser, settings: Settings) -> None:
    verb.add_argument("--store", metavar="S", default=settings.store, help="path of the board's store (%(default)s)")


def _what_to_measure(verb: argparse.ArgumentParser, *, required: bool) -> None:
    verb.add_argument("--model", required=required, metavar="M", help="a Hub id, or a local folder")
    verb.add_argument("--revision", metavar="R", help="branch, tag or commit")
    verb.add_argument("--benchmark", required=required, nargs="+", choices=BENCHMARKS, metavar="B")


def _how_to_measure(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--endpoint",
        nargs="+",
        type=_base_url,
        metavar="URL",
        help="OpenAI base URLs ending in /v1, instead of an engine of ours",
    )
    verb.add_argument("--attempts", type=_positive, metavar="N", help="attempts per problem (the protocol's)")
    verb.add_argument("--max-tokens", type=_positive, metavar="N", help="answer budget in tokens (the protocol's)")
    verb.add_argument("--tensor-parallel-size", type=_positive, metavar="N", help="GPUs per engine (planned)")
    verb.add_argument("--limit", type=_positive, metavar="K", help="only K problems; such a run is never published")
    verb.add_argument("--replicas", type=_positive, metavar="N", help="engines behind one queue (planned)")
    verb.add_argument(
        "--concurrency", type=_positive, metavar="N", help="requests in flight (what the engines can take)"
    )


def _base_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?/v1/?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an OpenAI base URL: give one such as http://host:8000/v1")
    return text


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)
