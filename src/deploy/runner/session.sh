#!/bin/sh
# A measuring session on a board, whole and by itself: what was set is given back whatever happens here or to the link. POSIX shell and coreutils only; runs in ~/.edgeforge.
#   session.sh measure KEY=VALUE… -- COMMAND…   folder, rounds, engines, clocks (1: lock them), power (id of a mode to measure in), gpu (MHz to hold a card at), sampler (tegrastats, nvidia-smi or none), warm (1: a warm-up per engine follows the engines), steady (s)
#   session.sh guard PID STARTED                waits until that session is gone, ends what it left and gives the clocks back
# A COMMAND is a word of shell text that times one engine once and writes its queries to FOLDER/times.json.
# Log: lines that begin with byte 30 are ours, the word after it says what follows; times are seconds of /proc/uptime.
held=clocks/held
kept=/root/edgeforge-clocks.conf # the one file that our sudo rule names
mark() { printf '\036%s\n' "$*"; }
up() { cut -d' ' -f1 /proc/uptime; }
boot() { cat /proc/sys/kernel/random/boot_id 2>/dev/null; }
started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
living() { kill -0 "$1" 2>/dev/null && [ "$(started "$1")" = "$2" ]; }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
mode_now() { nvpmodel -q </dev/null 2>/dev/null | sed -n '/^[0-9][0-9]*$/p' | tail -1; }
# HELD says under which boot, the power mode before (- where it stayed), whether clocks were kept (1), whose session that is, and the MHz that a card is held at. May be called by session and guard, and again.
give_back() {
  [ -f $held ] || return 0
  read -r when mode clocks_kept owner since card <$held
  # A guard may wake when the next session is under way already: what that one holds is its own.
  [ -z "$guarding" ] || ! living "$owner" "$since" || return 0
  # A mode outlives a restart of the board; clocks do not.
  if [ "$mode" != - ] && [ "$(mode_now)" != "$mode" ]; then
    root nvpmodel -m "$mode" </dev/null >/dev/null 2>&1
    [ "$(mode_now)" = "$mode" ] || return 1
  fi
  if [ "$clocks_kept" = 1 ] && [ "$when" = "$(boot)" ]; then root jetson_clocks --restore $kept </dev/null >/dev/null 2>&1 || return 1; fi
  # A restart frees a card by itself.
  if [ -n "$card" ] && [ "$when" = "$(boot)" ]; then root nvidia-smi -i 0 -rgc </dev/null >/dev/null 2>&1 || return 1; fi
  rm -f $held
}

guarding=
if [ "$1" = guard ]; then
  guarding=1
  while living "$2" "$3"; do sleep 1; done
  kill -s TERM -- "-$2" 2>/dev/null
  sleep 0.5
  kill -s KILL -- "-$2" 2>/dev/null
  tries=0
  until give_back || [ $tries -ge 10 ]; do
    tries=$((tries + 1))
    sleep 3
  done
  exit
fi

shift
while [ "$1" != -- ]; do
  case $1 in folder=* | power=* | gpu=* | rounds=* | engines=* | clocks=* | sampler=* | warm=* | steady=*) eval "${1%%=*}=\${1#*=}" ;; esac
  shift
done
shift
mkdir -p clocks
if [ -f clocks/session ] && read -r pid since <clocks/session && living "$pid" "$since"; then
  echo "another measuring session runs here (process $pid)"
  exit 75
fi
rm -rf "$folder"
mkdir -p "$folder"
echo "$$ $(started $$)" >clocks/session
give_back || echo "the clocks of an earlier session could not be given back"
setsid sh "$0" guard $$ "$(started $$)" </dev/null >/dev/null 2>&1 &
child=
finish() {
  trap '' TERM INT HUP
  [ -z "$child" ] || kill -s TERM "$child" 2>/dev/null
  give_back
  exit "$1"
}
trap 'finish 143' TERM INT HUP

# Every sample: when, the GPU's clock where the system tells it to everybody, the program's own line.
clock=$(ls -d /sys/class/devfreq/*gpu*/cur_freq /sys/class/devfreq/*.g[apv]1*b/cur_freq 2>/dev/null | head -1)
sample() {
  case $sampler in
    tegrastats) tegrastats --interval 250 ;;
    nvidia-smi) nvidia-smi -i 0 --query-gpu=power.draw,utilization.gpu,temperature.gpu,clocks.sm,clocks_throttle_reasons.active --format=csv,noheader,nounits -lms 250 ;;
  esac | while IFS= read -r line; do echo "$(up) $([ -z "$clock" ] || cat "$clock") | $line"; done
}
heat() {
  case $sampler in
    tegrastats) tail -1 "$folder/samples" | sed -n 's/.* [gG][pP][uU]@\([0-9.]*\)C.*/\1/p' ;;
    nvidia-smi) tail -1 "$folder/samples" | cut -d, -f3 | tr -d ' ' ;;
  esac 2>/dev/null
}
cpu() {
  times >"$folder/cpu"
  mark cpu "$(cat /proc/stat | awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9, $2 + $3 + $4 + $5 + $6 + $7 + $8 + $9; exit }')" "$(tail -1 "$folder/cpu")"
}
neighbours() {
  [ "$sampler" = nvidia-smi ] || return 0
  mark neighbours
  nvidia-smi -i 0 --query-compute-apps=pid,process_name --format=csv,noheader 2>/dev/null
}
# What every Jetson user may read: counts of under-voltage and over-current, counts of thermal trips, and whether a thermal throttle is at work now.
total() { cat /dev/null $(ls $1 2>/dev/null) 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'; }
throttles=$(grep -l 'throttle-alert' /sys/class/thermal/cooling_device*/type 2>/dev/null | sed 's/type$/cur_state/')
alarms() { mark alarms "$(total '/sys/class/hwmon/hwmon*/oc*_event_cnt')" "$(total '/sys/devices/platform/*-throttle-alert/thermal_trip_event')" "$(total "${throttles:-/nowhere}")"; }
queries() {
  tr ',{}' '\n\n\n' <"$1" | awk -F: '{ gsub(/[" \t\r]/, "", $1) }
    $1 == "startComputeMs" { start = $2 } $1 == "computeMs" { compute = $2 } $1 == "latencyMs" { printf "%.2f %.4f %.4f\n", start, compute, $2 }'
}
# Runs a command to its end, its words in FOLDER/log, and keeps when it began to infer.
run() {
  rm -f "$folder/times.json" "$folder/began"
  eval "exec $1" >"$folder/log" 2>&1 </dev/null &
  child=$!
  while kill -0 $child 2>/dev/null && ! grep -q 'Starting inference' "$folder/log"; do sleep 0.1; done &
  watch=$!
  wait $watch
  up >"$folder/began"
  wait $child
  rc=$?
  child=
  [ $rc = 0 ] && return
  cat "$folder/log"
  finish $rc
}

[ "$sampler" = none ] || sample >"$folder/samples" 2>/dev/null &
if [ "$sampler" = nvidia-smi ]; then
  mark card
  card=$(nvidia-smi -i 0 --query-gpu=persistence_mode,clocks.sm,clocks.max.sm,power.limit --format=csv,noheader,nounits)
  echo "$card"
  most=$(echo "$card" | cut -d, -f3 | tr -dc 0-9)
  if [ -n "$gpu" ] && [ "${most:-$gpu}" -lt "$gpu" ]; then
    echo "its GPU clocks at most $most MHz"
    finish 77
  fi
fi
was=- clocks_kept=0
[ -z "$power" ] || [ "$(mode_now)" = "$power" ] || was=$(mode_now)
if [ "$clocks" = 1 ]; then
  mark before
  root jetson_clocks --show </dev/null 2>&1
  # It asks before it writes over a snapshot.
  if echo y | root jetson_clocks --store $kept 2>&1; then clocks_kept=1; fi
fi
[ "$was$clocks_kept$gpu" = -0 ] || echo "$(boot) $was $clocks_kept $$ $(started $$) $gpu" >$held
if [ -n "$gpu" ]; then
  # The sampler runs: without a client the driver would be unloaded, and forget it. A card that cannot says so and ends well.
  said=$(root nvidia-smi -i 0 -lgc "$gpu,$gpu" </dev/null 2>&1)
  rc=$?
  echo "$said" | grep -v '^All done'
  [ $rc = 0 ] && ! echo "$said" | grep -qi 'not supported' || finish 77
  mark holds "$gpu"
fi
if [ "$was" != - ]; then
  # Some modes ask for a restart of the board: without an answer the mode stays.
  root nvpmodel -m "$power" </dev/null 2>&1
  [ "$(mode_now)" = "$power" ] || finish 76
fi
mark mode
nvpmodel -q </dev/null 2>/dev/null
if [ "$clocks" = 1 ]; then
  # Not --fan: since JetPack 5 the fan is nvfancontrol's, which would have to be stopped, and no public source shows that --restore starts it again; a fan left off its governor is worse than one that is only recorded.
  [ $clocks_kept = 0 ] || root jetson_clocks </dev/null 2>&1
  mark during
  root jetson_clocks --show </dev/null 2>&1
fi
waited=0
until [ "$sampler" = none ] || [ -s "$folder/samples" ] || [ $waited -ge 100 ]; do
  sleep 0.1
  waited=$((waited + 1))
done
from=$(up)
[ "$sampler" = none ] || sleep 1
mark idle "$from" "$(up)"
neighbours

if [ "$warm" = 1 ]; then
  from=$(up)
  while :; do
    mark warming
    cold=$(heat)
    engine=0
    while [ $engine -lt "$engines" ]; do
      engine=$((engine + 1))
      eval "words=\${$((engines + engine))}"
      run "$words"
    done
    now=$(up)
    verdict=$(echo "$from $now $steady ${cold:--} $(heat)" | awk '{ d = $5 - $4; if (NF < 5 || $4 == "-") print "unknown"; else if (d <= 1 && d >= -1) print "steady"; else if ($2 - $1 >= $3) print "rising"; else print "on" }')
    [ "$verdict" = on ] || break
  done
  mark warm "$(echo "$from $now" | awk '{ print $2 - $1 }')" "$verdict" "$(heat)"
fi

round=0
while [ "$round" -lt "$rounds" ]; do
  step=0
  # The order shifts each round, so that heat and drift hit all alike.
  while [ $step -lt "$engines" ]; do
    engine=$(((step + round) % engines))
    eval "words=\${$((engine + 1))}"
    cpu
    alarms
    mark run $engine $((round + 1)) "$rounds" $((round * engines + step)) $((rounds * engines))
    run "$words"
    cat "$folder/log"
    mark times "$(cat "$folder/began")" "$(up)"
    [ ! -s "$folder/times.json" ] || queries "$folder/times.json"
    cpu
    alarms
    step=$((step + 1))
  done
  neighbours
  round=$((round + 1))
done

if [ -f $held ]; then
  give_back && mark restored yes || mark restored no
  [ "$clocks" != 1 ] || root jetson_clocks --show </dev/null 2>&1
fi
if [ "$sampler" != none ]; then
  mark samples
  cat "$folder/samples"
fi
