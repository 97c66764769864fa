// Ops that the GPU libraries do not have.
#include "../failure.h"
#include "device_steps.h"
#include "device_weight.h"

namespace kvasir::gpu {
namespace {

[[noreturn]] void missing(const char* op) {
  throw Failure{"kind", "an op that the GPU backend has", op, Failure::Kind::backend};
}

}  // namespace

std::unique_ptr<Step> onDevice(DeviceProgram&, const EmbedRowsStep&) { missing("embedRows"); }
std::unique_ptr<Step> onDevice(DeviceProgram&, const RmsNormStep&) { missing("rmsNorm"); }
std::unique_ptr<Step> onDevice(DeviceProgram&, const LinearStep&) { missing("linear"); }
std::unique_ptr<Step> onDevice(DeviceProgram&, const SiluGateStep&) { missing("siluGate"); }

DeviceWeight::DeviceWeight(SessionPtr, WeightType, int, int) { missing("linear"); }
void DeviceWeight::pack(Context&, int, int, const std::uint8_t*, std::size_t) {}
void DeviceWeight::readRow(int, float*) const {}

}  // namespace kvasir::gpu
