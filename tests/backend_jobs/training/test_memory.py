"""The memory estimate: closed forms, what each option saves, and what `plan` says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend_jobs.known_models import KNOWN, LLAMA_1B, QWEN_05B, QWEN_7B, ModelConfig, config_of
from backend_jobs.memory import GIB, changes, estimate, trained_matrices, trained_parameters
from backend_jobs.plan_recipe import describe_recipe
from backend_jobs.recipe_types import Lora, Recipe
from backend_jobs.recipes import RecipeRejected, load_recipe
from settings import ROOT, Settings

DISTILL = ROOT / "recipes" / "sft" / "open-r1-distill.yaml"
MATH = ROOT / "recipes" / "grpo" / "open-r1-math.yaml"


def model_of(recipe: Recipe) -> ModelConfig:
    return KNOWN[recipe.model.repo]  # type: ignore[union-attr]


def changed(recipe: Recipe, **values: object) -> Recipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=values)})


@pytest.mark.parametrize(
    ("model", "parameters"), [(QWEN_05B, 494_032_768), (QWEN_7B, 7_615_616_512), (LLAMA_1B, 1_235_814_400)]
)
def test_parameters_are_counted_exactly(model: ModelConfig, parameters: int) -> None:
    assert model.parameters == parameters


def test_sharding_divides_what_it_says_it_divides() -> None:
    recipe, parameters = load_recipe(DISTILL), QWEN_7B.parameters
    by_config = {
        name: estimate(
            recipe.model_copy(update={"launch": recipe.launch.model_copy(update={"config": name})}), QWEN_7B, gpu=True
        )  # type: ignore[union-attr]
        for name in ("ddp", "zero2", "zero3")
    }
    assert by_config["ddp"].weights == by_config["zero2"].weights == 2 * parameters
    assert by_config["zero3"].weights < by_config["ddp"].weights / 4
    assert by_config["zero2"].gradients == 2 * parameters // 8
    assert by_config["zero2"].optimizer == 12 * parameters // 8
    assert by_config["zero3"].peak < by_config["zero2"].peak < by_config["ddp"].peak


def test_checkpointing_half_the_batch_and_adapters_each_lower_the_peak() -> None:
    recipe = load_recipe(DISTILL)
    now = estimate(recipe, QWEN_7B, gpu=True).peak
    assert estimate(changed(recipe, gradient_checkpointing=False), QWEN_7B, gpu=True).peak > now
    assert estimate(changed(recipe, batch_size=1, accumulate=16), QWEN_7B, gpu=True).peak < now
    lora = Lora(rank=16, alpha=32, dropout=0.0, targets=("q_proj", "v_proj"))
    assert estimate(recipe.model_copy(update={"lora": lora}), QWEN_7B, gpu=True).peak < now


def test_adapters_are_counted_by_their_layers() -> None:
    lora = Lora(rank=8, alpha=16, dropout=0.0, targets=("q_proj", "down_proj"))
    one_layer = 8 * ((3584 + 3584) + (18_944 + 3584))
    assert trained_parameters(QWEN_7B, lora) == 28 * one_layer


def test_grpo_counts_the_answers_being_drawn_and_the_reference_model() -> None:
    recipe = load_recipe(MATH)
    model = model_of(recipe)
    found = estimate(recipe, model, gpu=True)
    per_token = 2 * 28 * 2 * 128 * 2
    assert found.rollouts == 2 * model.parameters + 64 * (512 + 2048) * per_token
    assert found.reference == 0
    rollouts = recipe.rollouts.model_copy(update={"beta": 0.04})  # type: ignore[union-attr]
    assert estimate(recipe.model_copy(update={"rollouts": rollouts}), model, gpu=True).reference == 2 * model.parameters


def test_on_a_processor_what_the_c_library_keeps_is_counted_and_on_a_gpu_it_is_not() -> None:
    recipe = changed(load_recipe(DISTILL), gradient_checkpointing=False, accumulate=1, batch_size=1)
    shape = ModelConfig(
        layers=4, hidden=512, intermediate=1024, heads=8, kv_heads=8, vocab=50_000, context=32_768, tied=True
    )
    plain = estimate(recipe, shape, gpu=False)
    small = 4 * 4 * (4 * 512 * 512 + 3 * 512 * 1024)
    assert plain.freed_gradients == small, "the embeddings' gradient, 102 MB, is handed back"
    assert plain.step == 2 * 4 * 50_000 * 512
    again = estimate(changed(recipe, gradient_checkpointing=True), shape, gpu=False)
    always = again.weights + again.optimizer + again.fixed
    assert again.peak == always + again.activations + small + max(again.logits, again.gradients + again.freed_tiles)
    on_gpu = estimate(recipe, shape, gpu=True)
    assert (on_gpu.freed_gradients, on_gpu.freed_tiles, on_gpu.fragmented, on_gpu.step) == (0, 0, False, 0)


def test_the_matrices_that_change_are_all_parameters_but_norms_and_biases() -> None:
    biases, norms = 28 * (3584 + 2 * 512), (2 * 28 + 1) * 3584
    assert sum(trained_matrices(QWEN_7B, None)) == QWEN_7B.parameters - biases - norms


def test_what_helps_is_listed_by_how_much_and_each_saving_is_real() -> None:
    recipe = load_recipe(DISTILL)
    recipe = changed(recipe, gradient_checkpointing=False)
    now = estimate(recipe, QWEN_7B, gpu=True).peak
    found = changes(recipe, QWEN_7B)
    assert found[0].what == "gradient_checkpointing: true"
    assert [change.saves for change in found] == sorted((change.saves for change in found), reverse=True)
    assert all(change.peak == now - change.saves for change in found)


def test_plan_says_what_does_not_fit_and_what_would(tmp_path: Path) -> None:
    recipe, settings = load_recipe(DISTILL), Settings(data_dir=tmp_path)
    assert describe_recipe(recipe, settings, gpu_bytes=80 * GIB)["fits"].startswith("yes: ")
    told = describe_recipe(recipe, settings, gpu_bytes=32 * GIB)
    assert told["fits"].startswith("no: ")
    assert any(line.endswith("which fits") for line in told["what helps"])
    assert "zero3.yaml" in told["starts with"][0]


def test_a_shape_comes_from_a_config_json_and_a_fault_in_it_is_named() -> None:
    config: dict[str, object] = {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": True,
    }
    assert config_of(config, "x").parameters == QWEN_05B.parameters
    with pytest.raises(RecipeRejected, match="num_hidden_layers 'x', expected a positive whole number"):
        config_of({**config, "num_hidden_layers": "x"}, "x")
