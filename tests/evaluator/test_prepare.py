"""From a checkpoint and what is asked to plans."""

from __future__ import annotations

import json
from pathlib import Path

from evaluator.benchmarks import MATH_500
from evaluator.plan import generation_key
from evaluator.prepare import Options, PromptFacts, make_plans
from evaluator.types import Checkpoint, EvalPlan, Sample

SAMPLES = (Sample(problem_id="p", prompt="1 + 1?", target="2"),)


def plan_of(folder: Path, config: dict[str, object]) -> EvalPlan:
    (folder / "config.json").write_text(json.dumps(config))
    checkpoint = Checkpoint(model="owner/model", commit="a" * 40, path=folder)
    (made,) = make_plans(checkpoint, [(MATH_500, 4, SAMPLES)], options=Options(), facts=PromptFacts())
    return made.plan


def test_a_quantized_checkpoint_is_not_planned_as_bfloat16(tmp_path: Path) -> None:
    plain = plan_of(tmp_path, {})
    quantized = plan_of(tmp_path, {"quantization_config": {"quant_method": "gptq"}})
    assert (plain.quantization, quantized.quantization) == (None, "gptq")
    assert generation_key(plain) != generation_key(quantized)
