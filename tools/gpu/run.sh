#!/usr/bin/env bash
# Checks and times the GPU backend on this machine, in under ten minutes: docs/gpu.md says what it does and writes.
# run.sh [--out DIR] [--report DIR] [--tiny] [--library FILE] [--build]
#   --out DIR       for rows.jsonl and log.txt, written as the run goes on; default ./gpu-results
#   --report DIR    for DATE-DEVICE.json and .md, written at the end where there is node; default as --out
#   --library FILE  this library in place of the one that lies beside, or is built
#   --tiny          the smallest shapes: shows that every program works, the numbers mean nothing
#   --build         builds from the sources even where built programs lie beside
# Ends with 0 where all that ran is right, or nothing can run here ("not run"); with 1 where something is wrong.
set -u -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
started=$(date +%s)
budget=${KVASIR_GPU_CHECK_SECONDS:-580}
out=gpu-results report='' library='' tiny='' build=''
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=$2; shift ;;
    --report) report=$2; shift ;;
    --library) library=$2; shift ;;
    --tiny) tiny=--tiny ;;
    --build) build=yes ;;
    *) sed -n '2,9s/^# //p' "${BASH_SOURCE[0]}"; exit 2 ;;
  esac
  shift
done

not_run() {
  echo "gpu-check: not run ($1)"
  exit 0
}

# Signs of a driver, before minutes go into a build that nothing could run.
has_driver() {
  [ -e /dev/nvidiactl ] || [ -e /dev/dxg ] || ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'
}

if [ -z "$library" ] && ! has_driver; then not_run 'there is no NVIDIA driver'; fi
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
report=${report:-$out}
rows=$out/rows.jsonl log=$out/log.txt
: >"$rows"
: >"$log"

say() { echo "$*" | tee -a "$log"; }

# step NAME SECONDS COMMAND...: runs it under its own limit and writes down how it ended. Gives its exit code.
step() {
  local name=$1 limit=$2 left code from last
  shift 2
  left=$((budget - $(date +%s) + started))
  [ "$left" -lt "$limit" ] && limit=$left
  if [ "$limit" -lt 3 ]; then
    skip "$name" 'the time of the whole run was used up'
    return 0
  fi
  say "== $name"
  from=$(date +%s.%N)
  timeout -k 5 "$limit" "$@" 2>&1 | tee -a "$log"
  code=$?
  last=$(tail -n 1 "$log" | tr -d '"\\\000-\037' | cut -c 1-200)
  [ "$code" -ge 124 ] && last="stopped after $limit s"
  printf '{"step":"%s","kind":"step","code":%d,"seconds":%.1f,"last":"%s"}\n' \
    "$name" "$code" "$(echo "$(date +%s.%N) $from" | awk '{print $1 - $2}')" "$last" >>"$rows"
  return "$code"
}

skip() {
  say "== $1: not run ($2)"
  printf '{"step":"%s","kind":"step","code":3,"seconds":0,"last":"not run (%s)"}\n' "$1" "$2" >>"$rows"
}

# Where the programs are, or are built: here too, if those that lie beside want other system libraries.
if [ -z "$build" ] && "$here/kvasir_gpu_bench" --list >/dev/null 2>&1; then
  programs=$here
else
  programs=$here/programs
  [ -d "$here/native/gpu" ] || programs=$here/../../native/build/gpu-check
  step build 240 bash "$here/build.sh" "$programs" ${library:+host-only} || { say 'gpu-check: the build failed'; exit 1; }
fi
library=${library:-$programs/libkvasir_cuda.so}
suite=$programs/kvasir_gpu_suite
bench() {
  local name=$1 seconds=$2
  step "$name" $((seconds + 15)) "$programs/kvasir_gpu_bench" "$library" "$name" --rows "$rows" --seconds "$seconds" $tiny
}

printf '{"step":"run","kind":"fact","name":"date","value":"%s"}\n' "$(date -u +%F)" >>"$rows"
bench facts 20
case $? in
  0) ;;
  3) not_run "$(tail -n 1 "$log" | sed 's/^not run (\(.*\))$/\1/')" ;;
  *) say 'gpu-check: the library does not answer'; exit 1 ;;
esac
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)
[ -n "$driver" ] && printf '{"step":"run","kind":"fact","name":"driver","value":"%s"}\n' "$driver" >>"$rows"

failed=0
step smoke 45 "$suite" "$library" --quick --cases 3 || { say 'gpu-check: an op does not run, the rest is left out'; failed=1; }
if [ "$failed" = 0 ]; then
  cublas=$(python3 -c 'import glob, nvidia; print(next(f for p in nvidia.__path__ for f in glob.glob(p + "/**/libcublas.so.1*", recursive=True)))' 2>/dev/null)
  [ -n "$cublas" ] && [ -z "${KVASIR_CUBLAS:-}" ] && export KVASIR_CUBLAS=$cublas
  bench ceilings 30 || failed=1
  # Each of two streams takes every case with three seeds, new ones every second.
  step suite 100 "$suite" "$library" --seed "$((started % 1000000))" --streams 2 ${tiny:+--quick --cases 1} || failed=1
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
  for tool in memcheck racecheck; do
    if [ -n "$sanitizer" ] && [ -z "$tiny" ]; then
      step "$tool" 45 "$sanitizer" --tool "$tool" --error-exitcode 9 "$suite" "$library" --quick --cases 3 || failed=1
    else
      skip "$tool" 'compute-sanitizer is not there'
    fi
  done
  for one in $("$programs/kvasir_gpu_bench" --list); do
    bench "${one%:*}" "${one#*:}" || failed=1
  done
fi

engine=$here/engine.mjs
if [ -f "$engine" ] && command -v node >/dev/null && [ -d "$here/../../node_modules" ] && [ -z "$tiny" ]; then
  step engine 60 node "$engine" "$library"
  case $? in 0 | 3) ;; *) failed=1 ;; esac
else
  skip engine 'node, the addon and the packages are not all there'
fi

echo
echo '== table'
grep -E '^(ceiling|fact) ' "$log"
grep -E '  gate .* goal ' "$log"
grep -E ' WRONG: ' "$log"
sed -nE 's/^\{"step":"([^"]*)","kind":"step","code":([0-9]+),"seconds":([0-9.]+),"last":"(.*)"\}$/step         \1: \2 after \3 s, \4/p' "$rows"
if command -v node >/dev/null && [ -f "$here/report.mjs" ]; then node "$here/report.mjs" "$rows" "$report"; else
  echo "no node here: node tools/gpu/report.mjs rows.jsonl DIR writes the report from $rows"
fi
[ "$failed" = 0 ] && echo 'gpu-check: all that ran is right' || echo 'gpu-check: something is wrong'
exit "$failed"
