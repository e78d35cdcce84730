"""The KV cache of a simulated server: blocks, their reuse order, and what a host's memory keeps of evicted ones.

As in vLLM's V1 engine: free blocks form one queue, oldest first; a sequence that gives its blocks back keeps finding
those that nobody has taken since (prefix caching), and its last blocks are taken first.
"""

from __future__ import annotations

from collections import deque


class KvCache:
    """`blocks` blocks of `block_tokens` tokens. Sequences are named by number and hold a count of blocks each."""

    def __init__(self, blocks: int, block_tokens: int, *, prefix_caching: bool) -> None:
        self.blocks, self.block_tokens, self.prefix_caching = blocks, block_tokens, prefix_caching
        self.free = blocks
        self._queue: deque[list[int]] = deque([[-1, blocks]])
        self._kept: dict[int, list[int]] = {}

    def blocks_for(self, tokens: int) -> int:
        """Blocks that so many tokens of one sequence take."""
        return -(-tokens // self.block_tokens)

    def usage(self) -> float:
        """Share of the blocks that running sequences hold, as vLLM reports it."""
        return 1.0 - self.free / self.blocks

    def take(self, count: int) -> None:
        """Use `count` free blocks, those that have been free for longest first."""
        if count > self.free:
            raise ValueError(f"{count} blocks asked for, {self.free} are free")
        self.free -= count
        while count:
            oldest = self._queue[0]
            used = min(count, oldest[1])
            oldest[1] -= used
            count -= used
            if not oldest[1]:
                self._queue.popleft()
                self._kept.pop(oldest[0], None)

    def give_back(self, sequence: int, count: int, *, full: int) -> None:
        """A sequence returns its blocks; the `full` ones may be found again by `reuse`."""
        self.free += count
        keep = full if self.prefix_caching else 0
        if count > keep:
            self._queue.append([-1, count - keep])
        if keep:
            kept = [sequence, keep]
            self._queue.append(kept)
            self._kept[sequence] = kept

    def found(self, sequence: int) -> int:
        """Blocks of this sequence that are still there."""
        kept = self._kept.get(sequence)
        return kept[1] if kept else 0

    def reuse(self, sequence: int, count: int) -> None:
        """Hold `count` of the blocks that `found` reported; the rest of them stays free."""
        kept = self._kept.pop(sequence, None)
        if count and (kept is None or kept[1] < count):
            raise ValueError(f"sequence {sequence} has fewer than {count} blocks left")
        if kept is not None:
            kept[0] = -1
            kept[1] -= count
            self.free -= count
