// The ceilings that ratios are to, each as a job that runs beside what is measured. Memory is taken at first use.
#pragma once

#include <memory>

#include "gpu.h"
#include "measure.h"

namespace kvasir::gpu::bench {

// Finite float16 values with random signs and digits, of magnitudes 1/8 to 2; `bytes` of them, repeated every 16 MiB.
void fillRandom(const Gpu& gpu, const Memory& memory);

class Roofs {
 public:
  Roofs(const Gpu& gpu, bool tiny);

  const Job& copy() const;      // device to device, bytes read and written
  const Job& read() const;      // bytes
  const Job& multiply() const;  // mma m16n8k16, floating-point operations
  const Job& toDevice() const;  // from pinned memory by the copy engine, bytes
  const Job& toHost() const;
  // Bytes that `blocks` blocks read from pinned memory through the link.
  Job zeroCopy(int blocks) const;

 private:
  struct Held {
    Memory device, host;
    Job job;
  };
  Held& need(std::unique_ptr<Held>& held, std::size_t deviceBytes, std::size_t hostBytes) const;

  const Gpu& gpu_;
  bool tiny_;
  mutable std::unique_ptr<Held> copy_, read_, multiply_, toDevice_, toHost_;
};

}  // namespace kvasir::gpu::bench
