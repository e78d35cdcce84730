"""A vLLM-like server in virtual time: continuous batching, a KV cache in blocks, preemption by recomputation.

What it shares with vLLM's V1 scheduler: running sequences are served in order of admission; one that finds no block
preempts the youngest, which goes back to the head of the queue with nothing computed; nothing is admitted in a step
that preempted; a sequence is admitted when its whole known text fits, with `watermark` of the cache left free; prompts
are computed in chunks beside the decoding ones. Time is the sum of step times, linear in what a step computes.

Between two events (an end, a lack of blocks, the caller's deadline) all sequences only decode: such steps are taken
together, so that a run of 20 million tokens takes seconds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from benchmarks.kv_cache import KvCache


@dataclass(frozen=True, kw_only=True, slots=True)
class HostCache:
    """A copy of every evicted block in the host's memory, read back over a link instead of being recomputed.

    Reading happens beside the other sequences' steps, one sequence at a time, as vLLM's offloading connector does.
    """

    tokens: int
    token_s: float
    """Seconds to read back one token: its bytes of KV cache over the bandwidth of the link."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerShape:
    """Sizes and speeds of one server. A step takes `step_s` plus what it computes."""

    kv_blocks: int
    block_tokens: int = 16
    max_num_seqs: int = 1024
    max_batched_tokens: int = 8192
    chunked_prefill: bool = True
    prefix_caching: bool = True
    watermark: float = 0.0
    step_s: float
    sequence_s: float
    """Per decoding sequence in a step."""
    context_s: float
    """Per token of context that decoding sequences attend to in a step."""
    prefill_s: float
    """Per token computed of a prompt, or of a preempted sequence: one over the prefill speed."""
    attend_s: float = 0.0
    """Per pair of tokens in the attention of a prefill, which makes long ones dearer than their length."""
    host: HostCache | None = None


@dataclass(slots=True, eq=False)
class Sequence:
    """One request as the server sees it. `computed` tokens have their KV cache; `done` have been generated."""

    number: int
    prompt: int
    output: int
    done: int = 0
    computed: int = 0
    blocks: int = 0
    preemptions: int = 0
    ready_at: float = 0.0
    submitted: float = 0.0

    @property
    def known(self) -> int:
        """Tokens whose KV cache must be there before the next one can be generated."""
        return self.prompt + self.done


@dataclass(slots=True)
class Server:
    """One simulated server. `submit` requests, then `advance` the clock; both return or take plain numbers."""

    shape: ServerShape
    now: float = 0.0
    running: list[Sequence] = field(default_factory=list)
    waiting: deque[Sequence] = field(default_factory=deque)
    preemptions: int = 0
    generated: int = 0
    recomputed: int = 0
    restored: int = 0
    steps: int = 0
    cache: KvCache = field(init=False)
    _link_free_at: float = 0.0
    _on_host: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.shape
        self.cache = KvCache(shape.kv_blocks, shape.block_tokens, prefix_caching=shape.prefix_caching)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.running and not self.waiting

    def submit(self, number: int, *, prompt: int, output: int) -> None:
        """Queue a request that will generate exactly `output` tokens."""
        if self.cache.blocks_for(prompt + output) > self.shape.kv_blocks:
            raise ValueError(f"{prompt + output} tokens never fit {self.shape.kv_blocks} blocks of the KV cache")
        self.waiting.append(Sequence(number, prompt, max(1, output), submitted=self.now))

    def abort(self, number: int) -> None:
        """The client went away: the request's blocks are free at once."""
        for sequence in self.running:
            if sequence.number == number:
                self.running.remove(sequence)
                self._release(sequence)
                return
        self.waiting = deque(sequence for sequence in self.waiting if sequence.number != number)

    def advance(self, until: float) -> list[Sequence]:
        """Run to `until`, or to the first step that ends a request; returns what ended there."""
        while self.now < until:
            if not self.running and not self._may_admit_now():
                self.now = min(until, self.waiting[0].ready_at) if self.waiting else until
                continue
            ended = self._step(until)
            if ended:
                return ended
        return []

    def _step(self, until: float) -> list[Sequence]:
        """One step, or as many pure decoding steps as nothing can disturb."""
        shape = self.shape
        budget, prefill, attended, decoding = shape.max_batched_tokens, 0, 0.0, 0
        scheduled: list[tuple[Sequence, int]] = []
        preempted = False
        position = 0
        while position < len(self.running) and budget:
            sequence = self.running[position]
            wanted = min(sequence.known - sequence.computed, budget)
            served, took_one = self._grow(sequence, wanted)
            preempted |= took_one
            if not served:
                break
            scheduled.append((sequence, wanted))
            budget -= wanted
            position += 1
        if not preempted:
            budget = self._admit(budget, scheduled)
        for sequence, tokens in scheduled:
            if tokens == 1 and sequence.done:
                decoding += 1
                attended_here = 0.0
            else:
                prefill += tokens
                attended_here = tokens * (sequence.computed + tokens / 2)
            attended += attended_here
        context = sum(s.computed for s, tokens in scheduled if tokens == 1 and s.done)
        self.now += (
            shape.step_s
            + shape.sequence_s * decoding
            + shape.context_s * context
            + shape.prefill_s * prefill
            + shape.attend_s * attended
        )
        self.steps += 1
        ended = self._produce(scheduled)
        if not ended and prefill == 0 and not preempted:
            self._decode_on(until)
        return ended

    def _grow(self, sequence: Sequence, tokens: int) -> tuple[bool, bool]:
        """Blocks for `tokens` more of a running sequence, taken from the youngest where none is free.

        Returns whether it has them, and whether anything was preempted for it.
        """
        needed = self.cache.blocks_for(sequence.computed + tokens) - sequence.blocks
        preempted = False
        while needed > self.cache.free:
            youngest = self.running.pop()
            self._preempt(youngest)
            preempted = True
            if youngest is sequence:
                return False, True
        if needed > 0:
            self.cache.take(needed)
            sequence.blocks += needed
        return True, preempted

    def _admit(self, budget: int, scheduled: list[tuple[Sequence, int]]) -> int:
        """Admit from the head of the queue while tokens, blocks and slots allow. Returns the budget left."""
        shape, cache = self.shape, self.cache
        while self.waiting and budget and len(self.running) < shape.max_num_seqs:
            sequence = self.waiting[0]
            if sequence.ready_at > self.now:
                break
            found = min(cache.found(sequence.number), (sequence.known - 1) // shape.block_tokens)
            whole = cache.blocks_for(sequence.known)
            spare = int(shape.watermark * shape.kv_blocks) if scheduled or self.running else 0
            if whole + spare > cache.free:
                break
            computed = found * shape.block_tokens
            if (restore := self._on_host.get(sequence.number, 0)) > computed:
                if self._start_reading(sequence, restore - computed):
                    break
                computed = restore
            tokens = sequence.known - computed
            if tokens > budget and not shape.chunked_prefill:
                break
            self.waiting.popleft()
            tokens = min(tokens, budget)
            self._hold(sequence, found, computed, tokens)
            self.running.append(sequence)
            scheduled.append((sequence, tokens))
            budget -= tokens
        return budget

    def _hold(self, sequence: Sequence, found: int, computed: int, tokens: int) -> None:
        """Give an admitted sequence its blocks: those found again, and new ones for what it computes now."""
        self.cache.reuse(sequence.number, found)
        new = self.cache.blocks_for(computed + tokens) - found
        self.cache.take(new)
        sequence.blocks, sequence.computed = found + new, computed
        if sequence.preemptions:
            self.recomputed += sequence.known - computed
        self._on_host.pop(sequence.number, None)

    def _start_reading(self, sequence: Sequence, tokens: int) -> bool:
        """Begin to read a sequence back from the host's memory; False where it has been read already."""
        host = self.shape.host
        assert host is not None
        if sequence.ready_at:
            return False
        begin = max(self.now, self._link_free_at)
        sequence.ready_at = self._link_free_at = begin + tokens * host.token_s
        self.restored += tokens
        return True

    def _preempt(self, sequence: Sequence) -> None:
        host = self.shape.host
        if host is not None:
            room = host.tokens - sum(self._on_host.values())
            keep = sequence.computed // self.shape.block_tokens * self.shape.block_tokens
            if keep <= room:
                self._on_host[sequence.number] = keep
        self._release(sequence)
        sequence.computed = sequence.blocks = 0
        sequence.ready_at = 0.0
        sequence.preemptions += 1
        self.preemptions += 1
        self.waiting.appendleft(sequence)

    def _release(self, sequence: Sequence) -> None:
        full = min(sequence.blocks, sequence.computed // self.shape.block_tokens)
        self.cache.give_back(sequence.number, sequence.blocks, full=full)

    def _produce(self, scheduled: list[tuple[Sequence, int]]) -> list[Sequence]:
        """Every sequence that has all it knows computed generates one token; returns those that are through."""
        ended = []
        for sequence, tokens in scheduled:
            sequence.computed += tokens
            if sequence.computed >= sequence.known:
                sequence.done += 1
                self.generated += 1
                if sequence.done >= sequence.output:
                    ended.append(sequence)
        for sequence in ended:
            self.running.remove(sequence)
            self._release(sequence)
        return ended

    def _decode_on(self, until: float) -> None:
        """Take all steps at once in which the same sequences decode and nothing else can happen."""
        if not self.running or self.now >= until or self._may_admit_now():
            return
        if any(s.known - s.computed != 1 or not s.done for s in self.running):
            return
        shape = self.shape
        tokens = np.fromiter((s.computed for s in self.running), dtype=np.int64, count=len(self.running))
        held = sum(s.blocks for s in self.running)
        steps = min(s.output - s.done for s in self.running) - 1
        deadline = min(until, self.waiting[0].ready_at) if self._reading() else until
        steps = min(steps, self._steps_until(deadline, len(tokens), int(tokens.sum())))
        steps = self._steps_that_fit(steps, tokens, held)
        if steps < 1:
            return
        self.now += self._decoding_s(steps, len(tokens), int(tokens.sum()))
        blocks = -(-(tokens + steps) // shape.block_tokens)
        self.cache.take(int(blocks.sum()) - held)
        for sequence, count in zip(self.running, blocks.tolist(), strict=True):
            sequence.computed += steps
            sequence.done += steps
            sequence.blocks = count
        self.generated += steps * len(tokens)
        self.steps += steps

    def _may_admit_now(self) -> bool:
        """Whether the head of the queue could be admitted at this moment."""
        if not self.waiting or len(self.running) >= self.shape.max_num_seqs:
            return False
        sequence = self.waiting[0]
        spare = int(self.shape.watermark * self.shape.kv_blocks) if self.running else 0
        return sequence.ready_at <= self.now and self.cache.blocks_for(sequence.known) + spare <= self.cache.free

    def _reading(self) -> bool:
        """Whether the head of the queue is being read back from the host's memory."""
        return bool(self.waiting) and self.waiting[0].ready_at > self.now

    def _decoding_s(self, steps: int, sequences: int, context: int) -> float:
        shape = self.shape
        first = shape.step_s + shape.sequence_s * sequences + shape.context_s * context
        return steps * first + shape.context_s * sequences * steps * (steps - 1) / 2

    def _steps_until(self, deadline: float, sequences: int, context: int) -> int:
        """Decoding steps that begin before `deadline`."""
        shape, left = self.shape, deadline - self.now
        first = shape.step_s + shape.sequence_s * sequences + shape.context_s * context
        growth = shape.context_s * sequences / 2
        if math.isinf(left):
            return 1 << 40
        if growth == 0.0:
            return math.ceil(left / first)
        linear = first - growth
        return math.ceil((math.sqrt(linear * linear + 4 * growth * left) - linear) / (2 * growth))

    def _steps_that_fit(self, most: int, tokens: np.ndarray, held: int) -> int:
        """The largest number of steps, at most `most`, whose blocks are all free."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            if int((-(-(tokens + middle) // self.shape.block_tokens)).sum()) - held <= self.cache.free:
                low = middle
            else:
                high = middle - 1
        return low
