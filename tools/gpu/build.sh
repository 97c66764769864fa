#!/usr/bin/env bash
# build.sh DIR [host-only]: builds the GPU library for the device that is here, the suite and the benchmark, with nvcc and
# a C++ compiler alone (KVASIR_GPU_ARCH: for another, such as 90), unless it was built there of the same sources. host-only: the two programs. Whoever has node uses
# tools/cuda-check.mjs, which checks more.
set -u -e -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
native=$here/native
[ -d "$native/gpu" ] || native=$here/../../native
mkdir -p "$1" && target=$(cd "$1" && pwd)
cxx=${CXX:-g++}
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
arch=${KVASIR_GPU_ARCH:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d . | grep -xE '[0-9]+' || true)}
arch=${arch:-90}
target_of="-arch=sm_$arch"
# A device that the compiler does not know runs what is written for the last one that it does.
known=$("${nvcc:-false}" --list-gpu-arch 2>/dev/null | sed 's/^compute_//' || true)
if [ -n "$known" ] && ! grep -qx "$arch" <<<"$known"; then
  newest=$(awk -v arch="$arch" '$1 + 0 <= arch + 0' <<<"$known" | sort -n | tail -n 1)
  [ -z "$newest" ] || target_of="-gencode=arch=compute_$newest,code=compute_$newest"
fi
cd "$native/gpu"
wanted="${2:-} $arch $(find . ../include ../cpu -type f | LC_ALL=C sort | xargs cat | sha256sum)"
if [ "$(cat "$target/built-of" 2>/dev/null)" = "$wanted" ]; then
  echo "built in $target, earlier"
  exit 0
fi
# A build that was stopped goes on where it was.
if [ "$(cat "$target/building-of" 2>/dev/null)" != "$wanted" ]; then
  rm -f "$target"/*.o "$target/built-of"
  echo "$wanted" >"$target/building-of"
fi

compile() { # FILE: by its kind
  local object=$target/${1//\//-}.o
  [ ! -e "$object" ] || return 0
  case $1 in
    test/* | bench/* | weights/* | ../cpu/*) "$CXX" -std=c++17 -O2 -ffp-contract=off -pthread -I../include -c "$1" -o "$object.part" ;;
    *) "$NVCC" -std=c++17 -O3 --fmad=false -Xcompiler -fPIC,-fvisibility=hidden "$TARGET_OF" -c "$1" -o "$object.part" ;;
  esac && mv "$object.part" "$object"
}
export -f compile
export target CXX=$cxx NVCC=$nvcc TARGET_OF=$target_of

objects() { for file in "$@"; do echo "$target/${file//\//-}.o"; done; }
suite="$(ls test/*.cpp) weights/pack.cpp ../cpu/linear/gguf_blocks.cpp ../cpu/linear/pack.cpp"
bench=$(ls bench/*.cpp)
device=''
if [ "${2:-}" != host-only ]; then
  [ -n "$nvcc" ] || { echo 'nvcc is not there'; exit 1; }
  device="$(ls ops/*.cu cuda/*.cu) api.cpp failure.cpp"
fi
# Those that take longest come first.
heavy=$([ -z "$device" ] || ls ops/linear.cu ops/attend_prefill.cu ops/attend_runs.cu ops/attention_mass.cu)
echo $heavy $device $suite $bench | tr ' ' '\n' | awk '!seen[$0]++' | xargs -P "$(nproc)" -I FILE bash -c 'compile FILE || { echo "FILE did not compile"; exit 255; }'
[ -z "$device" ] || "$nvcc" -shared -cudart static "$TARGET_OF" $(objects $device) -Xlinker --exclude-libs=ALL -o "$target/libkvasir_cuda.so"
"$cxx" -pthread $(objects $suite) -ldl -o "$target/kvasir_gpu_suite"
"$cxx" -pthread $(objects $bench) -ldl -o "$target/kvasir_gpu_bench"
echo "$wanted" >"$target/built-of"
echo "built in $target"
