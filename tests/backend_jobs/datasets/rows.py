"""Rows of the true schemas of public datasets, written by hand: none is copied from an original."""

from __future__ import annotations

from typing import Any

THOUGHT = "Half of 12 is 6.\n\nWait, check: 6 + 6 = 12."
ANSWER = "The half of 12 is $\\boxed{6}$."
SECTIONS = (
    f"<|begin_of_thought|>\n\n{THOUGHT}\n\n<|end_of_thought|>\n\n"
    f"<|begin_of_solution|>\n\n{ANSWER}\n\n<|end_of_solution|>"
)
THINK = f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"
QUESTION = "What is half of 12?"


def turns(
    text: str, *, author: str = "from", said: str = "value", names: tuple[str, str] = ("user", "assistant")
) -> Any:
    return [{author: names[0], said: QUESTION}, {author: names[1], said: text}]


ROWS: dict[str, list[dict[str, Any]]] = {
    "bespokelabs/Bespoke-Stratos-17k": [
        {"system": "Think first.", "conversations": turns(SECTIONS)},
        {
            "system": "Think first.",
            "conversations": turns(SECTIONS),
            "messages": turns(SECTIONS, author="role", said="content"),
        },
    ],
    "open-thoughts/OpenThoughts-114k": [
        {"system": "Think first.", "conversations": turns(SECTIONS)},
        {
            "problem": QUESTION,
            "deepseek_reasoning": THOUGHT + "\n",
            "deepseek_solution": ANSWER,
            "ground_truth_solution": "6",
            "domain": "math",
            "source": "numina_math",
            "test_cases": None,
            "starter_code": None,
        },
    ],
    "cognitivecomputations/dolphin-r1": [
        {
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
            "reasoning": THOUGHT,
            "answer": ANSWER,
            "model": "deepseek-reasoner",
        }
    ],
    "ServiceNow-AI/R1-Distill-SFT": [
        {
            "id": "id_0",
            "problem": QUESTION,
            "reannotated_assistant_content": THINK,
            "source": "cn_k12",
            "solution": "6",
            "verified": True,
            "quality_metrics": None,
        },
        {
            "id": "id_1",
            "problem": QUESTION,
            "reannotated_assistant_content": THINK,
            "source": "math",
            "solution": "6",
            "verified": None,
            "quality_metrics": {"is_reasoning_complete": [True]},
            "messages": turns("Six.", author="role", said="content"),
            "reannotated_messages": turns(THINK, author="role", said="content"),
            "source_dataset": "AI-MO/NuminaMath-CoT",
        },
    ],
    "NovaSky-AI/Sky-T1_data_17k": [{"system": "Think first.", "conversations": turns(SECTIONS)}],
    "Magpie-Align/Magpie-Reasoning-V2-250K-CoT-Deepseek-R1-Llama-70B": [
        {
            "conversation_id": "c0",
            "instruction": QUESTION,
            "response": THINK,
            "conversations": turns(THINK, names=("human", "gpt")),
            "gen_input_configs": {"temperature": 1.0, "seed": None},
            "intent": "halve a number",
            "difficulty": "easy",
            "quality": "good",
            "task_category": "Math",
        }
    ],
}
