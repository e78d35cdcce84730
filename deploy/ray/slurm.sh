#!/usr/bin/env bash
# A Ray cluster on the nodes of a Slurm allocation, and one of our commands in it. Copy it, change the four lines, then
#   sbatch deploy/ray/slurm.sh evaluate --model deepseek-ai/DeepSeek-R1 --benchmark aime_2024 --store /shared/board.db
#SBATCH --job-name=open-r1
#SBATCH --nodes=2
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --output=open-r1-%j.log
set -euo pipefail

# The program with both environments, and the data folder: on a file system that all nodes share.
PROGRAM=${PROGRAM:-$SLURM_SUBMIT_DIR}
export OPEN_R1_DATA=${OPEN_R1_DATA:-$PROGRAM/data}
export RAY_USAGE_STATS_ENABLED=0
cd "$PROGRAM"

PORT=$((20000 + SLURM_JOB_ID % 20000))
mapfile -t NODES < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
HEAD=$(srun --nodes=1 --ntasks=1 -w "${NODES[0]}" hostname --ip-address | awk '{print $1}')
RAY=$PROGRAM/.venv/bin/ray
# Ray's sockets need a short path, on a disk of the node.
TEMP=/tmp/ray-$SLURM_JOB_ID

srun --nodes=1 --ntasks=1 -w "${NODES[0]}" --export=ALL \
  "$RAY" start --head --node-ip-address "$HEAD" --port "$PORT" --num-gpus "$SLURM_GPUS_ON_NODE" \
  --temp-dir "$TEMP" --dashboard-host 127.0.0.1 --block &
# The others try again until the head answers.
if ((${#NODES[@]} > 1)); then
  srun --nodes=$((${#NODES[@]} - 1)) --ntasks=$((${#NODES[@]} - 1)) --exclude "${NODES[0]}" --export=ALL \
    bash -c "until '$RAY' start --address '$HEAD:$PORT' --num-gpus '$SLURM_GPUS_ON_NODE' --block; do sleep 5; done" &
fi

# On the first node, beside its Ray: wait for all nodes, then run. What is left ends with the allocation.
export OPEN_R1_RAY=$HEAD:$PORT
srun --nodes=1 --ntasks=1 -w "${NODES[0]}" --overlap --export=ALL bash -c "
  until .venv/bin/python -c 'import ray, sys
ray.init(address=sys.argv[1], logging_level=\"ERROR\")
sys.exit(sum(node[\"Alive\"] for node in ray.nodes()) < int(sys.argv[2]))' '$OPEN_R1_RAY' ${#NODES[@]}; do sleep 5; done
  exec .venv/bin/python -m backend_jobs $(printf '%q ' "$@")"
