"""The dataset's card: what `load_dataset` and the Hub's viewer read, and people too. Written from the columns."""

from __future__ import annotations

from collections.abc import Container

from leaderboard.dataset.columns import TABLES, TABLES_SCHEMA, Table

CARD = "README.md"
FILES = {
    "leaderboard": "leaderboard.parquet",
    "results": "results.parquet",
    "attempts": "attempts/*.parquet",
    "problems": "problems.parquet",
    "requests": "requests.parquet",
    "corrections": "corrections.parquet",
}
"""The files of each config, in the order in which the viewer shows them."""

FRONT = """---
pretty_name: open-r1 leaderboard
license: apache-2.0
language:
- en
tags:
- leaderboard
- evaluation
- reasoning
{configs}
---
"""
TEXT = """# open-r1 leaderboard: results

{results} results of {models} models, each with everything that stands behind it: the plan that decided the score,
counts per problem, and every attempt. Scores, errors and intervals are in points from 0 to 100.
Schema version {schema}.

```python
from datasets import load_dataset

board = load_dataset("<this dataset>", "leaderboard", split="train")
```

```python
import pandas as pd

results = pd.read_parquet("hf://datasets/<this dataset>/results.parquet")
```

```sql
SELECT model, score FROM 'hf://datasets/<this dataset>/leaderboard.parquet'
WHERE benchmark = 'math_500' ORDER BY score DESC;
```

The tables are written by a scheduled job from the files of the board: `results/<owner>/<model>/<plan_key>.json`,
`problems/<plan_key>.parquet`, `attempts/<generation_key>.parquet` and `requests/<owner>/<model>/<id>.json`. Published
results are never changed or deleted; what a newer grader replaced or a maintainer took out of the ranks is listed in
`corrections`, with the reason. Questions, answers and completions of GPQA are not in here: hashes and verdicts only.

{tables}
"""


def card(*, results: int, models: int, filled: Container[str]) -> bytes:
    """The card of a dataset that holds so many results. Configs without a row are left out: nobody could load them."""
    listed = "\n".join(_config(name, files) for name, files in FILES.items() if name in filled)
    configs = f"configs:\n{listed}" if listed else "configs: []"
    tables = "\n".join(_table(table) for table in TABLES)
    counted = f"{results:,}", f"{models:,}"
    text = TEXT.format(results=counted[0], models=counted[1], schema=TABLES_SCHEMA, tables=tables)
    return (FRONT.format(configs=configs) + text).encode()


def _config(name: str, files: str) -> str:
    default = "\n  default: true" if name == "leaderboard" else ""
    return f'- config_name: {name}{default}\n  data_files:\n  - split: train\n    path: "{files}"'


def _table(table: Table) -> str:
    kinds = {field.name: field.type for field in table.schema}
    lines = [f"| `{name}` | {kinds[name]} | {about} |" for name, about in table.about.items()]
    return "\n".join(
        [f"## {table.name}", "", table.title, "", "| column | type | meaning |", "|---|---|---|", *lines, ""]
    )
