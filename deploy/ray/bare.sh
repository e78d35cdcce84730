#!/usr/bin/env bash
# A Ray cluster on bare machines: this program at the same path on each, OPEN_R1_DATA on a file system that all share.
#   deploy/ray/bare.sh head                 on the first
#   deploy/ray/bare.sh join HEAD_ADDRESS    on every other one
#   deploy/ray/bare.sh stop                 on each, in the end
# Ray asks nobody for a password: the network between the nodes must be private. The dashboard (and with it the Jobs
# API) listens on the head's loopback; reach it with: ssh -L 8265:127.0.0.1:8265 HEAD
set -euo pipefail
cd "$(dirname "$0")/../.."
export RAY_USAGE_STATS_ENABLED=0
RAY=$PWD/.venv/bin/ray PORT=${PORT:-6379}
GPUS=$({ command -v nvidia-smi >/dev/null && nvidia-smi -L; } | grep -c '^GPU' || true)

case "${1:-}" in
  head) exec "$RAY" start --head --port "$PORT" --num-gpus "$GPUS" --dashboard-host 127.0.0.1 ;;
  join) exec "$RAY" start --address "${2:?the address of the head}:$PORT" --num-gpus "$GPUS" ;;
  stop) exec "$RAY" stop ;;
  *) echo "usage: $0 head | join HEAD_ADDRESS | stop" >&2; exit 2 ;;
esac
