#!/usr/bin/env bash
# Installs one environment: `app` (.venv), `dev` (.venv with what the tests need) or `engine` (.venv-engine).
# A second call with unchanged requirements does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3.11}
TORCH=$(grep '^torch==' pre-requirements.txt)
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

# The CPU build as pip is configured (a machine may hold it locally), else from PyTorch's own index. An extra index
# for every package would cost minutes wherever it cannot be reached.
install_torch() {
  "$1/bin/pip" install -q "$TORCH" 2>/dev/null || "$1/bin/pip" install -q --index-url "$TORCH_INDEX" "$TORCH"
}

install_app() {
  up_to_date .venv app pre-requirements.txt requirements.txt locks/app.txt && return
  echo "installing the app's environment into .venv (a few minutes, once)"
  make_venv .venv
  install_torch .venv
  .venv/bin/pip install -q -r requirements.txt -c locks/app.txt
  stamp .venv app pre-requirements.txt requirements.txt locks/app.txt
}

install_dev() {
  install_app
  up_to_date .venv dev requirements-dev.txt locks/app.txt && return
  .venv/bin/pip install -q -r requirements-dev.txt -c locks/app.txt
  stamp .venv dev requirements-dev.txt locks/app.txt
}

install_engine() {
  local files=(pre-requirements.txt requirements-cpu.txt locks/engine-cpu.txt)
  if has_gpu; then files=(requirements-gpu.txt); fi
  up_to_date .venv-engine engine "${files[@]}" && return
  echo "installing the engine's environment into .venv-engine (a few minutes, once)"
  make_venv .venv-engine
  if has_gpu; then
    .venv-engine/bin/pip install -q -r requirements-gpu.txt
  else
    install_torch .venv-engine
    .venv-engine/bin/pip install -q --no-deps -r locks/engine-cpu.txt
  fi
  stamp .venv-engine engine "${files[@]}"
}

case "${1:-}" in
  app) install_app ;;
  dev) install_dev ;;
  engine) install_engine ;;
  *) echo "usage: $0 app|dev|engine" >&2; exit 2 ;;
esac
