// Memory of canonical KV pages, reserved for its capacity and taken from the system as rows are written.
#pragma once

#include <cstring>
#include <new>

#include "kvasir/attention.h"
#include "memory.h"

namespace kvasir {

struct Arena {
  Memory memory;
  KvView view;
  int numLayers;
  int capacityPages;

  Arena(int layers, int numKvHeads, int headDim, int pages, KvType type) : numLayers(layers), capacityPages(pages) {
    const std::size_t valueBytes = type == KvType::f16 ? 2 : 4;
    view.valueStride = kPageTokens * headDim * valueBytes;
    view.headStride = 2 * view.valueStride;
    view.layerStride = numKvHeads * view.headStride;
    view.pageStride = numLayers * view.layerStride;
    view.type = type;
    view.numKvHeads = numKvHeads;
    view.headDim = headDim;
    constexpr double addressable = 64e12;
    if (static_cast<double>(pages) * static_cast<double>(view.pageStride) > addressable) throw std::bad_alloc();
    memory = Memory(pages * view.pageStride);
    view.base = memory.data();
  }

  void copyPage(int from, int to) {
    std::memmove(view.base + to * view.pageStride, view.base + from * view.pageStride, view.pageStride);
  }
};

}  // namespace kvasir
