"""What an engine may take at most: main memory and time, from the plan that it serves. More than that ends it."""

from __future__ import annotations

from evaluator.checkpoint import ModelShape
from evaluator.devices import GIB
from evaluator.engine_plan import EnginePlan
from evaluator.forecast import Forecast, Work
from evaluator.process import Limits

RANK_BYTES = {"cpu": 6 * GIB, "cuda": 16 * GIB}
"""What one rank takes beside weights and cache: the libraries, pinned buffers, graphs."""
MACHINE_SHARE = 0.9
"""Of the machine's memory, whatever the plan says: the page, the journal and the graders must go on living."""
PATIENCE = 10.0
"""How many times the longest expected run an engine may take before it counts as hung."""
SLOWEST_TOKENS_PER_S = 20.0
"""Of a whole server where nothing is known of the hardware."""
SHORTEST_S = 2 * 3600.0


def memory_limit(plan: EnginePlan, shape: ModelShape, machine_bytes: int) -> int:
    """Weights as read and as converted, the cache where it is in main memory, and every rank's own needs.

    At most its share of the machine, which the replicas divide among them.
    """
    ranks = plan.gpus_each * RANK_BYTES[plan.device]
    cache = plan.kv_cache_bytes if plan.device == "cpu" else 0
    return min(2 * shape.weight_bytes + cache + ranks, int(MACHINE_SHARE * machine_bytes) // plan.replicas)


def time_limit_s(work: Work, expected: Forecast) -> float:
    """Far more than the run can need: ten times the longest that is expected, or the full budget at a crawl."""
    if expected.hours is not None:
        return max(SHORTEST_S, PATIENCE * 3600 * max(expected.hours))
    return max(SHORTEST_S, work.attempts * work.max_tokens / SLOWEST_TOKENS_PER_S)


def engine_limits(
    plan: EnginePlan, shape: ModelShape, machine_bytes: int, work: Work | None = None, expected: Forecast | None = None
) -> Limits:
    """Both limits of one server; of time only where the work is known."""
    seconds = time_limit_s(work, expected) if work is not None and expected is not None else None
    return Limits(memory_bytes=memory_limit(plan, shape, machine_bytes), seconds=seconds)
