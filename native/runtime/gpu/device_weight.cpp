#include "device_weight.h"

#include <algorithm>
#include <cstring>

#include "../../gpu/weights/pack.h"

namespace kvasir::gpu {
namespace {

constexpr int kRowsOfTask = 64;

}  // namespace

DeviceWeight::DeviceWeight(SessionPtr session, WeightType type, int rows, int cols) : session_(std::move(session)) {
  memory_ = DeviceMemory(session_->device, deviceWeightBytes(static_cast<int>(type), rows, cols));
  weight = {type, rows, cols, Isa::scalar, memory_.data()};
}

void DeviceWeight::pack(Context& context, int first, int count, const std::uint8_t* source, std::size_t rowBytes) {
  const int type = static_cast<int>(weight.type), cols = weight.cols;
  const std::size_t bytes = deviceWeightBytes(type, count, cols);
  Lanes& lanes = session_->lanes;
  lanes.reserve(bytes);
  std::uint8_t* packed = lanes.at(0).host.data();
  context.forEach((count + kRowsOfTask - 1) / kRowsOfTask, [&](int task, int) {
    const int skipped = task * kRowsOfTask, rows = std::min(kRowsOfTask, count - skipped);
    packDeviceRows(type, cols, rows, source + static_cast<std::size_t>(skipped) * rowBytes,
                   packed + deviceWeightBytes(type, skipped, cols));
  });
  session_->stream.copy(memory_.data() + deviceWeightBytes(type, first, cols), packed, bytes);
  session_->stream.synchronize();
}

// The kernel reads the row's number and writes its values in pinned memory.
void DeviceWeight::readRow(int row, float* out) const {
  constexpr std::size_t kIdBytes = 256;
  const std::size_t bytes = static_cast<std::size_t>(weight.cols) * sizeof(float);
  std::lock_guard<std::mutex> lock(session_->asideMutex);
  PinnedMemory& memory = session_->aside;
  if (memory.bytes() < kIdBytes + bytes) memory = PinnedMemory(session_->device, kIdBytes + bytes);
  *reinterpret_cast<std::int32_t*>(memory.data()) = row;
  KvasirEmbedRowsArgs args{};
  args.table = {weight.data, static_cast<std::int32_t>(weight.type), weight.rows, weight.cols};
  args.ids = reinterpret_cast<const std::int32_t*>(memory.mapped());
  args.rows = 1;
  args.out = reinterpret_cast<float*>(memory.mapped() + kIdBytes);
  args.outStride = static_cast<std::size_t>(weight.cols);
  session_->asideStream.launch(&KvasirGpuV1::embedRows, "embedRows", args);
  session_->asideStream.synchronize();
  std::memcpy(out, memory.data() + kIdBytes, bytes);
}

}  // namespace kvasir::gpu
