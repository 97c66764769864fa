// The one exported symbol of both libraries.
#include "abi.h"
#include "failure.h"
#include "machine.h"

namespace kvasir::gpu::launch {
#define KVASIR_GPU_OP(name, Args) int name(KvasirStream* stream, const Args* args);
#include "ops.inc"
#undef KVASIR_GPU_OP
}  // namespace kvasir::gpu::launch

namespace {

KvasirGpuV1 makeTable() {
  KvasirGpuV1 table{};
  table.size = sizeof(KvasirGpuV1);
  table.version = KVASIR_GPU_VERSION;
  table.layout = kvasirGpuLayout();
  table.lastError = kvasir::gpu::lastFailure;
  kvasir::gpu::fillMachine(table);
#define KVASIR_GPU_OP(name, Args) table.name = kvasir::gpu::launch::name;
#include "ops.inc"
#undef KVASIR_GPU_OP
  return table;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const KvasirGpuV1* kvasir_gpu_v1(uint32_t version) {
  static const KvasirGpuV1 table = makeTable();
  return version == KVASIR_GPU_VERSION ? &table : nullptr;
}
