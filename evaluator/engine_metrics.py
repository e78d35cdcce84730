"""A server's `/metrics` page (Prometheus text) as one reading of its load."""

from __future__ import annotations

import math
import re
from collections import defaultdict

from evaluator.concurrency import Load

PREFIX = "vllm:"
RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
KV_USAGE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")  # the second is its name before vLLM 0.10
PREEMPTIONS, TOKENS = "vllm:num_preemptions_total", "vllm:generation_tokens_total"
CACHE = "vllm:cache_config_info"
CACHE_SIZES = re.compile(r'\b(num_gpu_blocks|block_size)="(\d+)"')
NAMES = frozenset({RUNNING, WAITING, *KV_USAGE, PREEMPTIONS, TOKENS})


def read_load(page: str) -> Load | None:
    """The load that a page tells; None where it does not count requests as vLLM does.

    A server of several engines (data parallel) has a line for each: counts add up, and it is as full as its fullest.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for line in page.splitlines():
        if line.startswith(PREFIX):
            name = line.partition("{")[0].partition(" ")[0]
            if name in NAMES:
                found[name].append(_value(line))
    if RUNNING not in found:
        return None
    sizes = [_cache_tokens(line) for line in page.splitlines() if line.startswith(CACHE)]
    return Load(
        running=int(sum(found[RUNNING])),
        waiting=int(sum(found[WAITING])),
        kv_usage=next((max(found[name]) for name in KV_USAGE if name in found), None),
        preemptions=int(sum(found[PREEMPTIONS])) if PREEMPTIONS in found else None,
        generation_tokens=int(sum(found[TOKENS])) if TOKENS in found else None,
        kv_tokens=sum(sizes) or None,
    )


def _cache_tokens(line: str) -> int:
    """Tokens that an engine's cache holds, from the labels of its line; 0 where they do not say."""
    sizes = {name: int(value) for name, value in CACHE_SIZES.findall(line)}
    return sizes.get("num_gpu_blocks", 0) * sizes.get("block_size", 0)


def _value(line: str) -> float:
    """The number of a sample line: `name{labels} value`, perhaps with a timestamp after it."""
    after_labels = line.rpartition("}")[2] or line
    words = after_labels.split()
    try:
        value = float(words[0 if "}" in line else 1])
    except (IndexError, ValueError):
        return 0.0
    return value if math.isfinite(value) else 0.0  # NaN: not measured yet
