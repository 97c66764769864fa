#!/usr/bin/env bash
# Checks and times the GPU backend on this machine, in under ten minutes: docs/gpu.md says what it does and writes.
# run.sh [--out DIR] [--report DIR] [--only PARTS] [--tiny] [--library FILE] [--build]
#   --out DIR       for rows.jsonl and log.txt, written as the run goes on; default ./gpu-results
#   --report DIR    for DATE-DEVICE.json and .md, written after every step where there is node; default as --out
#   --only PARTS    of build,facts,engine,suite,bench,rivals, with commas; default all, in this order. Facts always come.
#   --library FILE  this library in place of the one that lies beside, or is built
#   --tiny          the smallest shapes: shows that every program works, the numbers mean nothing
#   --build         builds from the sources even where built programs lie beside
# Ends with 0 where all that ran is right, or nothing can run here ("not run"); with 1 where something is wrong.
# A pipe's failure counts: so nothing in one may end before it has read all (grep -q, head) where its status is asked for.
set -u -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
started=$(date +%s)
budget=${KVASIR_GPU_CHECK_SECONDS:-580}
# That a program gets beyond the time which it keeps to by itself.
grace=${KVASIR_GPU_GRACE_SECONDS:-15}
out=gpu-results report='' library='' tiny='' build='' only=build,facts,engine,suite,bench,rivals
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=$2; shift ;;
    --report) report=$2; shift ;;
    --only) only=$2; shift ;;
    --library) library=$2; shift ;;
    --tiny) tiny=--tiny ;;
    --build) build=yes ;;
    *) sed -n '2,10s/^# //p' "${BASH_SOURCE[0]}"; exit 2 ;;
  esac
  shift
done
for part in ${only//,/ }; do
  case $part in build | facts | suite | bench | rivals | engine) ;; *) echo "--only: there is no part $part"; exit 2 ;; esac
done
takes() { case ",$only," in *",$1,"*) ;; *) return 1 ;; esac; }

not_run() {
  echo "gpu-check: not run ($1)"
  exit 0
}

# Signs of a driver, before minutes go into a build that nothing could run.
has_driver() {
  [ -e /dev/nvidiactl ] || [ -e /dev/dxg ] || command -v nvidia-smi >/dev/null || ldconfig -p 2>/dev/null | grep 'libcuda\.so\.1' >/dev/null
}

if [ -z "$library" ] && ! has_driver; then not_run 'there is no NVIDIA driver'; fi
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
report=${report:-$out}
rows=$out/rows.jsonl log=$out/log.txt
: >"$rows"
: >"$log"

say() { echo "$*" | tee -a "$log"; }

# A bundle may carry one, packed.
node=$(command -v node)
if [ -z "$node" ] && [ -f "$here/engine/node.xz" ]; then
  node=$(mktemp -d)/node
  { xz -dc "$here/engine/node.xz" >"$node" || python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' "$here/engine/node.xz" "$node"; } 2>>"$log"
  chmod +x "$node"
  # An empty file would run, and be right.
  case $("$node" --version 2>>"$log") in v*) ;; *) node='' ;; esac
fi

# The two files as far as the rows go: a run that is stopped leaves what it had found.
write_report() {
  [ -n "$node" ] && [ -f "$here/report.mjs" ] && grep -q '"name":"device"' "$rows" && "$node" "$here/report.mjs" "$rows" "$report"
}

# step NAME SECONDS COMMAND...: runs it under its own limit and writes down how it ended. Gives its exit code.
step() {
  local name=$1 limit=$2 code from last
  shift 2
  limit=$(bounded "$limit")
  if [ "$limit" -lt 3 ]; then
    skip "$name" 'the time of the whole run was used up'
    return 3
  fi
  say "== $name"
  from=$(date +%s.%N)
  timeout -k 5 "$limit" "$@" 2>&1 | tee -a "$log"
  code=$?
  last=$(tail -n 1 "$log" | tr -d '"\\\000-\037' | cut -c 1-200)
  case $code in
    124 | 137) last="stopped after $limit s" ;;
    12[89] | 1[3-9]?) last="ended by signal $((code - 128))" ;;
  esac
  printf '{"step":"%s","kind":"step","code":%d,"seconds":%.1f,"last":"%s"}\n' \
    "$name" "$code" "$(echo "$(date +%s.%N) $from" | awk '{print $1 - $2}')" "$last" >>"$rows"
  write_report >/dev/null
  return "$code"
}

skip() {
  say "== $1: not run ($2)"
  printf '{"step":"%s","kind":"step","code":3,"seconds":0,"last":"not run (%s)"}\n' "$1" "$2" >>"$rows"
}

# No more seconds than the whole run has left.
bounded() {
  local left=$((budget - $(date +%s) + started))
  echo $(($1 < left ? $1 : left))
}

failed=0
smallest=3
[ -z "$tiny" ] || smallest=1
# A step that may be absent (3), but not wrong.
counts() { case $1 in 0 | 3) ;; *) failed=1 ;; esac; }
# A step that may be slow as well: that is a number that is missing. What hangs is found by the smallest cases.
stopped=0
counts_slow() { case $1 in 124 | 137) stopped=$((stopped + 1)) ;; *) counts "$1" ;; esac; }

# Where the programs are, or are built: here too, if those that lie beside want other system libraries.
if [ -z "$build" ] && "$here/kvasir_gpu_bench" --list >/dev/null 2>&1 &&
  { [ -n "$library" ] || ! ldd "$here/libkvasir_cuda.so" 2>&1 | grep 'not found' >/dev/null; }; then
  programs=$here
else
  programs=$here/programs
  [ -d "$here/native/gpu" ] || programs=$here/../../native/build/gpu-check
  if takes build || [ ! -x "$programs/kvasir_gpu_bench" ]; then
    step build 240 bash "$here/build.sh" "$programs" ${library:+host-only} || { say 'gpu-check: the build failed'; exit 1; }
  fi
fi
library=${library:-$programs/libkvasir_cuda.so}
suite=$programs/kvasir_gpu_suite
bench() {
  local name=$1 seconds
  seconds=$(bounded "$2")
  step "$name" $((seconds + grace)) "$programs/kvasir_gpu_bench" "$library" "$name" --rows "$rows" --seconds "$seconds" $tiny
  counts_slow $?
}
# All ops, each a process: NAME SECONDS COMMAND-TO-RUN-UNDER OPTION...
ops() {
  local name=$1 seconds under=$3
  seconds=$(bounded "$2")
  shift 3
  KVASIR_GPU_UNDER=$under step "$name" $((seconds + grace)) bash "$here/suite.sh" "$suite" "$library" "$seconds" "$@"
  counts_slow $?
}

printf '{"step":"run","kind":"fact","name":"date","value":"%s"}\n' "$(date -u +%F)" >>"$rows"
step facts 35 "$programs/kvasir_gpu_bench" "$library" facts --rows "$rows" --seconds 20 $tiny
case $? in
  0) ;;
  3) not_run "$(tail -n 1 "$log" | sed 's/^not run (\(.*\))$/\1/')" ;;
  *) say 'gpu-check: the library does not answer'; exit 1 ;;
esac
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)
[ -n "$driver" ] && printf '{"step":"run","kind":"fact","name":"driver","value":"%s"}\n' "$driver" >>"$rows"
printf '{"step":"run","kind":"fact","name":"processors","value":%d}\n' "$(nproc)" >>"$rows"

# What emulation shows least: the addon, arenas, transfers and graphs on a driver.
if takes engine; then
  engine=$here/engine/engine.mjs
  [ -f "$engine" ] || engine=$here/engine.mjs
  if [ -n "$node" ] && [ -f "$engine" ]; then
    step engine 90 "$node" "$engine" "$library" --rows "$rows" ${tiny:+--tokens 2 --prompt 12}
    counts $?
  else
    skip engine 'there is no node'
  fi
fi
if takes suite; then
  step machine 30 "$suite" "$library" --op machine
  counts $?
  KVASIR_GPU_OP_SECONDS=20 ops smoke 45 '' --quick --cases "$smallest"
  # Each of two streams takes every case with seeds of its own, new ones every second.
  ops suite 100 '' --seed "$((started % 1000000))" --streams 2 ${tiny:+--quick --cases 1}
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
  for tool in memcheck racecheck; do
    if [ -z "$sanitizer" ]; then skip "$tool" 'compute-sanitizer is not there'; continue; fi
    # Calls that are refused are part of the suite.
    ops "$tool" 50 "$sanitizer --tool $tool --report-api-errors no --error-exitcode 9" --quick --cases 2
  done
fi
if takes bench; then
  cublas=$(python3 -c 'import glob, nvidia; print(next(f for p in nvidia.__path__ for f in glob.glob(p + "/**/libcublas.so.1*", recursive=True)))' 2>/dev/null)
  [ -n "$cublas" ] && [ -z "${KVASIR_CUBLAS:-}" ] && export KVASIR_CUBLAS=$cublas
  bench ceilings 30
  for one in $("$programs/kvasir_gpu_bench" --list); do bench "${one%:*}" "${one#*:}"; done
fi
if takes rivals; then
  if command -v python3 >/dev/null; then
    step rivals 75 python3 -B "$here/rivals.py" --rows "$rows" --seconds "$(bounded 60)" $tiny
    code=$?
    # What others do wrong is not this library's fault.
    [ "$code" = 0 ] || [ "$code" = 3 ] || say "gpu-check: the rivals ended with $code"
  else
    skip rivals 'there is no python3'
  fi
fi

echo
echo '== table'
grep -E '^(ceiling|fact) ' "$log"
grep -E '  gate .* goal ' "$log"
grep -E ' WRONG: ' "$log"
sed -nE 's/^\{"step":"([^"]*)","kind":"step","code":([0-9]+),"seconds":([0-9.]+),"last":"(.*)"\}$/step         \1: \2 after \3 s, \4/p' "$rows"
write_report || echo "no report here: node tools/gpu/report.mjs rows.jsonl DIR writes it from $rows"
[ "$stopped" = 0 ] || echo "gpu-check: steps that were stopped, as the time did not suffice: $stopped"
[ "$failed" = 0 ] && echo 'gpu-check: all that ran is right' || echo 'gpu-check: something is wrong'
exit "$failed"
