#!/bin/bash
# What a card gives, without ROS and without a network: tests, speed, roofline and a profile.
#
#   benchmarks/gpu.sh                          writes bench_out/gpu.json and bench_out/gpu.md
#   DEVICE=cpu BUDGET=180 benchmarks/gpu.sh    the same on a CPU, to try the script
#
# It needs Python with torch, torchvision and what requirements/core.txt and pytest bring.
#
# DEVICE=cuda     cuda, cuda:N or cpu
# BUDGET=220      seconds for all of it
# OUT=bench_out   folder to write
# PYTHON=python3  the interpreter
# WHEELS=DIR      wheels of what it lacks, installed below OUT and nowhere else
#
# Each bench is a process with a limit of its own. What fails, takes too long or has not begun when
# the time is over is named in both files, beside all that was measured until then.
set -uo pipefail

device=${DEVICE:-cuda} budget=${BUDGET:-220} out=${OUT:-bench_out} python=${PYTHON:-python3}
[ $# -eq 0 ] || { sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.." || exit
if [ -n "${WHEELS:-}" ] && [ ! -d "$out/site" ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$out/site" "$WHEELS"/*.whl || exit
fi
export PYTHONPATH="$PWD:$out/site:${PYTHONPATH:-}"
rm -f "$out"/{tests.xml,gpu.json,gpu.md}

mapfile -t tests < <(grep -rl --include=test_*.py --exclude-dir=ros 'mark\.gpu' test)
timeout -k 5 $((budget / 3 + 1)) "$python" -m pytest -v -m gpu --continue-on-collection-errors \
    --junitxml="$out/tests.xml" "${tests[@]}"
tested=$?
# What says most comes first. Its own limits end each part; the one here is for run.py itself.
timeout -k 5 $((budget - SECONDS + 10)) "$python" benchmarks/run.py --device "$device" --name gpu \
    --only networks roofline fusion head engines --until $(($(date +%s) + budget - SECONDS)) \
    --tests "$out/tests.xml" --out "$out"
measured=$?
# Where Python or what it needs does not even start, there is no one else to say so.
if [ ! -f "$out/gpu.json" ]; then
    why="run.py ended with exit code $measured before it could begin; the tests with $tested"
    echo "$why" | tee "$out/gpu.md" >&2
    echo "{\"results\": [], \"failures\": {\"run.py\": \"$why\"}}" > "$out/gpu.json"
fi
# 5: no test was chosen.
[ $measured -eq 0 ] && { [ $tested -eq 0 ] || [ $tested -eq 5 ]; }
