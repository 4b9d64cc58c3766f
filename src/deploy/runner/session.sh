#!/bin/sh
# A measuring session on a board: engines in alternating rounds. Only POSIX shell and coreutils; runs in ~/.edgeforge, whose lock keeps it alone there.
# Words: folder, rounds, then one word of shell text per engine that times it once and writes its queries to FOLDER/times.json.
# Log: lines that begin with byte 30 are ours: run ENGINE ROUND ROUNDS DONE TOTAL before a program's own words, times before one line per query: start, GPU compute and latency in ms.
folder=$1
rounds=$2
shift 2
mark() { printf '\036%s\n' "$*"; }
queries() {
  tr ',{}' '\n\n\n' <"$1" | awk -F: '{ gsub(/[" \t\r]/, "", $1) }
    $1 == "startComputeMs" { start = $2 } $1 == "computeMs" { compute = $2 } $1 == "latencyMs" { printf "%.2f %.4f %.4f\n", start, compute, $2 }'
}

rm -rf "$folder"
mkdir -p "$folder"
round=0
while [ "$round" -lt "$rounds" ]; do
  step=0
  # The order shifts each round, so that heat and drift hit all alike.
  while [ $step -lt $# ]; do
    engine=$(((step + round) % $#))
    eval "words=\${$((engine + 1))}"
    rm -f "$folder/times.json"
    mark run $engine $((round + 1)) "$rounds" $((round * $# + step)) $((rounds * $#))
    eval "$words" </dev/null || exit $?
    mark times
    [ ! -s "$folder/times.json" ] || queries "$folder/times.json"
    step=$((step + 1))
  done
  round=$((round + 1))
done
