"""Rewards: what a completion earns in GRPO. Correctness is the word of the evaluator's grader."""
