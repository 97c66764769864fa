// A weight in device memory, packed on the host as it comes from a file.
#pragma once

#include "../packed_weight.h"
#include "session.h"

namespace kvasir::gpu {

class DeviceWeight final : public StoredWeight {
 public:
  DeviceWeight(SessionPtr session, WeightType type, int rows, int cols);

  void pack(Context& context, int first, int count, const std::uint8_t* source, std::size_t rowBytes) override;
  void readRow(int row, float* out) const override;
  std::size_t bytes() const override { return memory_.bytes(); }

 private:
  SessionPtr session_;
  DeviceMemory memory_;
};

}  // namespace kvasir::gpu
