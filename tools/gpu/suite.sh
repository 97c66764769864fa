#!/usr/bin/env bash
# suite.sh SUITE LIBRARY SECONDS OPTION...: the suite with a process for each op, so that one which breaks the device's context, or
# hangs, leaves the others. Ops that SECONDS leave no time for are named, and are no failure; one that takes longer than
# KVASIR_GPU_OP_SECONDS, where they are given, hangs. KVASIR_GPU_UNDER is a command to run each under, such as compute-sanitizer. Last line: the sums.
# Ends with 1 where something failed, with 3 where nothing ran.
set -u -o pipefail
suite=$1 library=$2 ends=$(($(date +%s) + $3))
shift 3
lanes=$(nproc) && [ "$lanes" -gt 8 ] && lanes=8
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

one() { # OP
  local left=$((ENDS - $(date +%s))) hangs='' code
  if [ "$left" -lt 2 ]; then
    echo "left out: $1" >"$LOGS/$1.late"
    return 0
  fi
  [ -n "$KVASIR_GPU_OP_SECONDS" ] && [ "$KVASIR_GPU_OP_SECONDS" -le "$left" ] && hangs=yes left=$KVASIR_GPU_OP_SECONDS
  # In the group that a limit on all of this would end.
  timeout --foreground -k 3 "$left" $KVASIR_GPU_UNDER "$SUITE" "$LIBRARY" --op "$1" "${OPTIONS[@]}" >"$LOGS/$1.log" 2>&1
  code=$?
  if [ -z "$hangs" ] && { [ "$code" = 124 ] || [ "$code" = 137 ]; }; then
    echo "stopped: $1, after $left s" | tee "$LOGS/$1.late"
    return 0
  fi
  [ "$code" = 0 ] || grep -v ': [0-9]* passed, 0 failed$' "$LOGS/$1.log" | head -n 12
  echo "$1: $(tail -n 1 "$LOGS/$1.log")$([ "$code" = 0 ] || echo ", ended with $code")"
  echo "$code" >"$LOGS/$1.code"
}
run_one() { # OP OPTION...: as xargs calls it
  OPTIONS=("${@:2}")
  one "$1"
}
export -f one run_one
export SUITE=$suite LIBRARY=$library ENDS=$ends LOGS=$logs KVASIR_GPU_UNDER=${KVASIR_GPU_UNDER:-} KVASIR_GPU_OP_SECONDS=${KVASIR_GPU_OP_SECONDS:-}
"$suite" --list | xargs -P "$lanes" -I {} bash -c 'run_one "$@"' bash {} "$@"

sum() { cat "$logs"/*.log 2>/dev/null | sed -nE "s/^[0-9]+ passed, [0-9]+ failed\$/&/p" | awk -v column="$1" '{ sum += $column } END { print sum + 0 }'; }
if grep -qsiE 'device not supported|no attachable process' "$logs"/*.log; then
  echo "not run (${KVASIR_GPU_UNDER%% *} does not take this device)"
  exit 3
fi
broken=$(cat "$logs"/*.code 2>/dev/null | grep -cvE '^[03]$')
late=$(ls "$logs" | grep -c '\.late$')
if ! grep -qsx 0 "$logs"/*.code && [ "$broken" = 0 ] && [ "$late" = 0 ]; then
  awk '/^not run/ { why = $0; exit } END { print why != "" ? why : "not run (no op)" }' "$logs"/*.log
  exit 3
fi
[ "$late" = 0 ] || cat "$logs"/*.late
echo "$(sum 1) passed, $(sum 3) failed$([ "$broken" = 0 ] || echo "; $broken ops broke off or failed")$([ "$late" = 0 ] || echo "; no time for $late ops")"
[ "$broken" = 0 ]
