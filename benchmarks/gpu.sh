#!/bin/bash
# What a card gives, without ROS and without a network: tests, speed, roofline and a profile.
#
#   benchmarks/gpu.sh                         writes bench_out/gpu.json and bench_out/gpu.md
#   DEVICE=cpu BUDGET=60 benchmarks/gpu.sh    the same on a CPU, to try the script
#
# It needs Python with torch, torchvision and what requirements/core.txt and pytest bring.
#
# DEVICE=cuda     cuda, cuda:N or cpu
# BUDGET=220      seconds for all of it; what has not begun by then is left out, and named
# OUT=bench_out   folder to write
# PYTHON=python3  the interpreter
# WHEELS=DIR      wheels of what it lacks, installed below OUT and nowhere else
set -uo pipefail

device=${DEVICE:-cuda} budget=${BUDGET:-220} out=${OUT:-bench_out} python=${PYTHON:-python3}
[ $# -eq 0 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.." || exit
if [ -n "${WHEELS:-}" ] && [ ! -d "$out/site" ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$out/site" "$WHEELS"/*.whl || exit
fi
export PYTHONPATH="$PWD:$out/site:${PYTHONPATH:-}"

# A third of the time at most for the tests; in the second half of the rest no bench begins.
mapfile -t tests < <(grep -rl --include=test_*.py --exclude-dir=ros 'mark\.gpu' test)
rm -f "$out/tests.xml"
timeout -k 5 $((budget / 3)) "$python" -m pytest -q -m gpu --continue-on-collection-errors \
    --junitxml="$out/tests.xml" "${tests[@]}"
tested=$?
timeout -k 5 $((budget - SECONDS)) "$python" benchmarks/run.py --device "$device" --name gpu \
    --only fusion engines networks roofline head --seconds $(((budget - SECONDS) / 2)) \
    --tests "$out/tests.xml" --out "$out"
measured=$?
# 5: no test was chosen.
[ $measured -eq 0 ] && { [ $tested -eq 0 ] || [ $tested -eq 5 ]; }
