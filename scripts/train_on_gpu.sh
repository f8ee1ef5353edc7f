#!/bin/bash
# Renders towns and highways, trains a model's networks and head from ImageNet, scores them. Works offline.
#
#   scripts/train_on_gpu.sh --minutes 7 --out DIR [--model NAMES] [--initialize FILE] [--weather any]
#       [--work DIR]
#
# --minutes     for all of it, about: a quarter to render, half to train the networks (those of
#               town side by side), the rest for the head and the scores; several models take
#               longer, as each has a head to train and scores to make
# --model       town (default), town_shared or town_fast; a second model finds the frames rendered.
#               Several with commas between train side by side, each into its own folder in --out
# --out         gets the weights (.safetensors and .json), the model file and results.json: one
#               folder a model
# --initialize  ImageNet weights (docs/training.md), or shipped: go on from the model's own weights,
#               with smaller learning rates; default: imagenet, which is downloaded
# --weather     any: learn rain and night, too, which costs real streets by day (docs/training.md);
#               default: day. What is scored is by day
# --work        frames, states and logs (default: runs/gpu); the same command again goes on there
# WHEELS=DIR    wheels of what Python lacks, installed into --work and nowhere else
#
# Runs on a CPU, too, with the settings of config/training as they are.
set -euo pipefail

minutes='' out='' model=town models=() work=runs/gpu initialize=imagenet weather=day
while [ $# -gt 0 ]; do
    case "$1" in
        --minutes | --out | --model | --work | --initialize | --weather) declare "${1#--}=${2:?$1 needs a value}"; shift 2 ;;
        *) sed -n '2,21s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
[ -n "$minutes" ] && [ -n "$out" ] || { echo "--minutes and --out are needed" >&2; exit 2; }
IFS=, read -ra models <<< "$model"
for model in "${models[@]}"; do
    case "$model" in
        town | town_shared | town_fast) ;;
        *) echo "--model has $model; it must be town, town_shared or town_fast" >&2; exit 2 ;;
    esac
done

root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out" "$work"
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
    [ ! -e "$work/$name.done" ] || return 0
    "$@" >> "$work/$name.log" 2>&1 || { tail -n 5 "$work/$name.log" >&2; echo "$name failed" >&2; exit 1; }
    touch "$work/$name.done"
    echo "$name: $((SECONDS - began)) s"
}

# render SHARE SPLIT FIRST_SEED COUNT FRAMES STRIDE: two seeds, and more while the time allows;
# $setting: highway or oldtown for those, else a town; $light: what they are rendered in, else day
render() (
    local part=$1 first=$3 status=0
    local town=(-m panoptic_ros town --setting "${setting:-town}" --out "$work/town" --split "$2")
    town+=(--weather "${light:-day}" --frames "$5" --stride "$6")
    export OMP_NUM_THREADS=1
    python3 "${town[@]}" --first-seed "$first" --count 2 || exit 1
    timeout -s INT -k 20 "$(share "60 * $part")" python3 "${town[@]}" --workers "$cores" \
        --first-seed $((first + 2)) --count $(($4 - 2)) || status=$?
    # 124: the time was over; 137: and it would not end.
    [ $status -eq 0 ] || [ $status -eq 124 ] || [ $status -eq 137 ]
)

# train SHARE KIND NAME SETTING...: NAME of the weights in --out; $config: other settings than KIND's
train() {
    local part=$1 kind=$2 name=$3 settings=()
    shift 3
    for setting in "$@"; do settings+=(--set "$setting"); done
    panoptic train "$kind" --data "$work/town" --run "$work/$model/$name" --output "$out/$name" \
        ${config:+--config "$config"} --minutes "$(share "$part")" --set validation_interval=1000000 \
        --set workers=$(((cores + 1) / 2)) "${settings[@]}"
}

on_cuda() { python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; }

# start NAME BACKBONE_LR LR: settings for NAME of the weights that ship, or for ImageNet's
start() {
    # The scores come afterwards.
    settings=(mixed_precision=bf16 validation_frames=20)
    if [ "$initialize" = shipped ]; then
        settings+=("initialize=$root/weights/$model/$1" "optimizer.backbone_lr=$2" "optimizer.lr=$3")
    else
        settings+=("initialize=$initialize" optimizer.backbone_lr=0.25)
    fi
}

networks() {
    local settings crop=() batch=()
    if on_cuda; then crop=('augmentation.crop=[384, 768]') batch=(batch_size=8); fi
    case "$model" in
        town)
            start semantic 0.25 2e-3
            once town/semantic train 0.42 semantic semantic "${settings[@]}" "${batch[@]/8/16}" "${crop[@]}" &
            local other=$!
            start instance 0.5 1e-3
            once town/instance train 0.42 instance instance "${settings[@]}" "${batch[@]}"
            wait $other
            ;;
        town_shared)
            start network 0.5 1e-3
            once town_shared/network train 0.5 panoptic network "${settings[@]}" "${batch[@]}"
            ;;
        town_fast)
            start network 0.5 2e-3
            config="$root/config/training/town_fast.yaml" \
                once town_fast/network train 0.55 panoptic network "${settings[@]}" "${batch[@]/8/16}"
            ;;
    esac
}

# A detector of a few steps finds nothing: then there is no head.
train_head() {
    local frozen=("semantic=$out/semantic" "instance=$out/instance")
    [ "$model" = town ] || frozen=("network=$out/network")
    [ "$initialize" != shipped ] || frozen+=("initialize=$root/weights/$model/head")
    train 0.05 head head train_split=head "${frozen[@]}" ||
        grep -q 'find no instance' "$work/$model/head.log"
}

# The weights of a model file are seen from its folder.
write_model() {
    local without_head=()
    [ -e "$out/head.json" ] || without_head=(-e '/^head:/,/weights/d' -e 's/conv_head/stack/')
    sed -e "s|weights: $model/|weights: ./|" "${without_head[@]}" \
        "$root"/config/*s/"$model.yaml" > "$out/$model.yaml"
}

evaluate() {
    panoptic evaluate --dataset town --data "$work/town" --split val --weights "$out/$model.yaml" \
        --workers "$cores" --limit 200 --out "$work/$model/evaluation" &&
        cp "$work/$model/evaluation/results.json" "$out/results.json"
}

once render_val render 0.04 val 900000 100 2 40
once render_head render 0.04 head 600 100 3 25
light=$weather once render_train render 0.10 train 0 600 3 25
light=$weather setting=highway once render_highway render 0.03 train 5000 150 2 40
light=$weather setting=oldtown once render_oldtown render 0.04 train 7000 150 2 40

make_model() {
    mkdir -p "$out" "$work/$model"
    networks
    [ "$model" = town_fast ] || once "$model/head" train_head
    once "$model/model" write_model
    once "$model/evaluate" evaluate
    grep -A 12 -m 1 'PQ' "$work/$model/evaluate.log" || true
}

# What runs in the background would not hear Ctrl-C.
trap 'kill 0' INT
jobs=() folder=$out
for model in "${models[@]}"; do
    [ ${#models[@]} -eq 1 ] || out=$folder/$model
    make_model &
    jobs+=($!)
done
failed=0
for job in "${jobs[@]}"; do wait "$job" || failed=1; done
[ $failed -eq 0 ] || exit 1
out=$folder
large=$(find "$out" -type f -size +16M)
[ -z "$large" ] || { echo "larger than 16 MB: $large" >&2; exit 1; }
