// K rows of a device arena brought back, where host code finds them as it finds those of its own pages.
#pragma once

#include <vector>

#include "device_arena.h"

namespace kvasir::gpu {

class HostKeys {
 public:
  // Rows [first, end) of a layer of the sequence with these pages; view() has those alone, whatever layer it is asked for.
  HostKeys(DeviceArena& arena, int layer, const std::int32_t* pages, int first, int end);

  KvView view() const { return view_; }
  const std::int32_t* pages() const { return pages_.data(); }

 private:
  std::vector<std::uint8_t> rows_;    // [kvHead][token], from the page of the first row on
  std::vector<std::int32_t> pages_;
  KvView view_{};
};

}  // namespace kvasir::gpu
