#!/bin/bash
# Renders a town, trains both networks and the head from ImageNet, scores them. No network needed.
#
#   scripts/train_on_gpu.sh --minutes 7 --out DIR [--initialize FILE] [--work DIR]
#
# --minutes     for all of it, about: a quarter to render, half to train both networks side by
#               side, the rest for the head and the scores
# --out         gets semantic, instance and head (.safetensors and .json), town.yaml, results.json
# --initialize  ImageNet weights (docs/training.md); default: imagenet, which is downloaded
# --work        frames, states and logs (default: runs/gpu); the same command again goes on there
# WHEELS=DIR    wheels of what Python lacks, installed into --work and nowhere else
#
# Runs on a CPU, too, with the settings of config/training as they are.
set -euo pipefail

minutes='' out='' work=runs/gpu initialize=imagenet
while [ $# -gt 0 ]; do
    case "$1" in
        --minutes | --out | --work | --initialize) declare "${1#--}=${2:?$1 needs a value}"; shift 2 ;;
        *) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
[ -n "$minutes" ] && [ -n "$out" ] || { echo "--minutes and --out are needed" >&2; exit 2; }

root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out" "$work/done"
if [ -n "${WHEELS:-}" ] && [ ! -d "$work/site" ]; then
    python3 -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$WHEELS"/*.whl
fi
export PYTHONPATH="$root:$work/site:${PYTHONPATH:-}" MUJOCO_GL=egl OMP_WAIT_POLICY=PASSIVE
cores=$(nproc)
share() { awk "BEGIN { print $minutes * $1 }"; }
panoptic() { python3 -m panoptic_ros "$@"; }

# once NAME COMMAND...: what is done is not done again. (Within it `set -e` is off.)
once() {
    local name=$1 began=$SECONDS
    shift
    [ ! -e "$work/done/$name" ] || return 0
    "$@" >> "$work/$name.log" 2>&1 || { tail -n 5 "$work/$name.log" >&2; echo "$name failed" >&2; exit 1; }
    touch "$work/done/$name"
    echo "$name: $((SECONDS - began)) s"
}

# render SHARE SPLIT FIRST_SEED COUNT FRAMES STRIDE: two seeds, and more while the time allows.
render() (
    local part=$1 first=$3 status=0
    local town=(-m panoptic_ros town --out "$work/town" --split "$2" --frames "$5" --stride "$6")
    export OMP_NUM_THREADS=1
    python3 "${town[@]}" --first-seed "$first" --count 2 || exit 1
    timeout -s INT -k 20 "$(share "60 * $part")" python3 "${town[@]}" --workers "$cores" \
        --first-seed $((first + 2)) --count $(($4 - 2)) || status=$?
    # 124: the time was over; 137: and it would not end.
    [ $status -eq 0 ] || [ $status -eq 124 ] || [ $status -eq 137 ]
)

# train SHARE KIND SETTING...
train() {
    local part=$1 kind=$2 settings=()
    shift 2
    for setting in "$@"; do settings+=(--set "$setting"); done
    panoptic train "$kind" --data "$work/town" --run "$work/$kind" --output "$out/$kind" \
        --minutes "$(share "$part")" --set validation_interval=1000000 \
        --set workers=$(((cores + 1) / 2)) "${settings[@]}"
}

networks() {
    local start=("initialize=$initialize" optimizer.backbone_lr=0.25 mixed_precision=bf16)
    local semantic=() instance=()
    if python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
        semantic=(batch_size=16 'augmentation.crop=[384, 768]')
        instance=(batch_size=8)
    fi
    once semantic train 0.42 semantic "${start[@]}" "${semantic[@]}" &
    local other=$!
    once instance train 0.42 instance "${start[@]}" "${instance[@]}"
    wait $other
}

# A detector of a few steps finds nothing: then there is no head.
train_head() {
    train 0.05 head train_split=head "semantic=$out/semantic" "instance=$out/instance" ||
        grep -q 'find no instance' "$work/head.log"
}

# The weights of a model file are seen from its folder.
write_model() {
    local without_head=()
    [ -e "$out/head.json" ] || without_head=(-e '/^head:/,/weights/d' -e 's/conv_head/stack/')
    sed -e 's|weights: town/|weights: ./|' "${without_head[@]}" "$root/config/models/town.yaml" \
        > "$out/town.yaml"
}

evaluate() {
    panoptic evaluate --dataset town --data "$work/town" --split val --weights "$out/town.yaml" \
        --workers "$cores" --limit 200 --out "$work/evaluation" &&
        cp "$work/evaluation/results.json" "$out/results.json"
}

once render_val render 0.04 val 900000 100 2 40
once render_head render 0.04 head 600 100 3 25
once render_train render 0.17 train 0 600 3 25
networks
once head train_head
once model write_model
once evaluate evaluate
grep -A 12 -m 1 'PQ' "$work/evaluate.log" || true
large=$(find "$out" -type f -size +16M)
[ -z "$large" ] || { echo "larger than 16 MB: $large" >&2; exit 1; }
