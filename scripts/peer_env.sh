#!/usr/bin/env bash
# Makes the environment in which one peer of the speed comparison runs: .cache/peers/NAME. A second call does nothing.
#   scripts/peer_env.sh lighteval|inspect_ai|lm_eval|datatrove|clients
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3.11}
VENV=.cache/peers/${1:?which peer: lighteval, inspect_ai, lm_eval, datatrove or clients}
TORCH=$(grep '^torch==' pre-requirements.txt)
TORCH_INDEX=$(sed -n 's/^--extra-index-url //p' pre-requirements.txt)

case $1 in
  # The hub and xxhash versions are the last that lighteval 0.13.0 can be imported with.
  lighteval) packages=(lighteval[litellm]==0.13.0 huggingface-hub==1.33.0 xxhash==3.8.2) torch=yes ;;
  inspect_ai) packages=(inspect-ai==0.3.285 openai) torch=no ;;
  lm_eval) packages=(lm-eval[api]==0.4.13) torch=yes ;;
  datatrove) packages=(datatrove[io]==0.10.1 httpx==0.28.1 aiosqlite aiofiles xxhash) torch=no ;;
  clients) packages=(httpx==0.28.1 openai==3.51.0) torch=no ;;
  *) echo "unknown peer $1" >&2; exit 2 ;;
esac

now="${packages[*]} $torch"
[[ -f $VENV/.installed && $(cat "$VENV/.installed") == "$now" ]] && exit 0
echo "installing $1's environment into $VENV (minutes, once)" >&2
[[ -x $VENV/bin/python ]] || "$PYTHON" -m venv "$VENV"
if [[ $torch == yes ]]; then
  "$VENV/bin/pip" install -q "$TORCH" 2>/dev/null || "$VENV/bin/pip" install -q --index-url "$TORCH_INDEX" "$TORCH"
fi
"$VENV/bin/pip" install -q "${packages[@]}"
# Later ones have no disk cache, which lighteval's endpoint engine opens when imported; this one names an older hub.
[[ $1 == lighteval ]] && "$VENV/bin/pip" install -q --no-deps litellm==1.83.7
echo "$now" >"$VENV/.installed"
