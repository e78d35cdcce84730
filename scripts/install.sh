#!/usr/bin/env bash
# Installs one environment: `app` (.venv), `dev` (.venv with what the tests need) or `engine` (.venv-engine).
# A second call with unchanged requirements does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3.11}
TORCH_LOCK=locks/torch-cpu.hashed.txt
TORCH_INDEX=$(sed -n 's/^--extra-index-url //p' pre-requirements.txt)

# ENGINE_DEVICE=gpu or cpu decides where no GPU can be seen yet, as while an image is built.
has_gpu() {
  case "${ENGINE_DEVICE:-}" in
    gpu) return 0 ;;
    cpu) return 1 ;;
    *) command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1 ;;
  esac
}

# Installs nothing when the environment in $1 was made from exactly the files in $3...; stamp name in $2.
up_to_date() {
  local stamp=$1/.installed-$2 now
  shift 2
  now=$(cat "$@" "$0" | sha256sum)
  [[ -f $stamp && $(cat "$stamp") == "$now" ]]
}
stamp() {
  local file=$1/.installed-$2
  shift 2
  cat "$@" "$0" | sha256sum >"$file"
}

make_venv() {
  [[ -x $1/bin/python ]] || "$PYTHON" -m venv "$1" || {
    echo "cannot make $1: CPython 3.11 with venv is needed (set PYTHON=/path/to/python3.11)" >&2
    exit 1
  }
}

# Exactly the files whose hashes a lock names, whatever index pip is configured with; nothing is resolved.
install_lock() {
  local venv=$1 lock=$2
  shift 2
  "$venv/bin/pip" install -q --require-hashes --no-deps -r "$lock" "$@"
}

# torch's CPU build as pip is configured (a machine may hold it locally), else from PyTorch's own index. An extra index
# for every package would cost minutes wherever it cannot be reached.
install_torch() {
  install_lock "$1" "$TORCH_LOCK" 2>/dev/null || install_lock "$1" "$TORCH_LOCK" --index-url "$TORCH_INDEX"
}

install_app() {
  up_to_date .venv app "$TORCH_LOCK" locks/app.hashed.txt && return
  echo "installing the app's environment into .venv (a few minutes, once)"
  make_venv .venv
  install_torch .venv
  install_lock .venv locks/app.hashed.txt
  stamp .venv app "$TORCH_LOCK" locks/app.hashed.txt
}

install_dev() {
  install_app
  up_to_date .venv dev locks/dev.hashed.txt && return
  install_lock .venv locks/dev.hashed.txt
  stamp .venv dev locks/dev.hashed.txt
}

install_engine() {
  local files=("$TORCH_LOCK" locks/engine-cpu.hashed.txt)
  if has_gpu; then files=(locks/engine-gpu.hashed.txt); fi
  up_to_date .venv-engine engine "${files[@]}" && return
  echo "installing the engine's environment into .venv-engine (a few minutes, once)"
  make_venv .venv-engine
  if has_gpu; then
    install_lock .venv-engine locks/engine-gpu.hashed.txt
  else
    install_torch .venv-engine
    install_lock .venv-engine locks/engine-cpu.hashed.txt
  fi
  stamp .venv-engine engine "${files[@]}"
}

case "${1:-}" in
  app) install_app ;;
  dev) install_dev ;;
  engine) install_engine ;;
  *) echo "usage: $0 app|dev|engine" >&2; exit 2 ;;
esac
