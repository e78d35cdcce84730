#!/usr/bin/env bash
# Makes the environment in which lighteval's own command line and Pipeline run (README, "Run the same tasks with
# lighteval"): .cache/venv-lighteval, or the folder given. A second call with unchanged requirements does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3.11}
VENV=${1:-.cache/venv-lighteval}
TORCH=$(grep '^torch==' pre-requirements.txt)
TORCH_INDEX=$(sed -n 's/^--extra-index-url //p' pre-requirements.txt)
# The last one that has HfApi.list_models(model_name=), which lighteval 0.13.0 calls while it loads its own tasks.
HUB=huggingface-hub==1.33.0
# The last major version that hashes text: lighteval 0.13.0 hands it str, which 4.x refuses.
XXHASH=xxhash==3.8.2
# What the evaluator needs; the board's packages (gradio and the like) are left out.
PACKAGES="lighteval|datasets|math-verify|aiohttp|uvloop|orjson|transformers|tokenizers|scipy|pydantic|PyYAML"

now=$(cat requirements.txt locks/app.txt "$0" | sha256sum)
[[ -f $VENV/.installed && $(cat "$VENV/.installed") == "$now" ]] && exit 0

echo "installing lighteval's environment into $VENV (a few minutes, once)"
[[ -x $VENV/bin/python ]] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/pip" install -q "$TORCH" 2>/dev/null || "$VENV/bin/pip" install -q --index-url "$TORCH_INDEX" "$TORCH"
"$VENV/bin/pip" install -q "$HUB" "$XXHASH" -c <(grep -viE '^(huggingface|xxhash)' locks/app.txt) \
  -r <(grep -E "^($PACKAGES)==" requirements.txt)

# One of lighteval's own tasks downloads this file when it is imported, and later reads it from another place: whatever
# stands here is never read. An empty file keeps the import off the network.
site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
pickle=$site/lighteval/tasks/tasks/tinyBenchmarks.pkl
[[ -e $pickle ]] || touch "$pickle"
echo "$now" >"$VENV/.installed"
