// What streams are asked for, a line each, in the file that KVASIR_GPU_TRACE names when a device is opened; for tests of order.
#pragma once

#include <cstdint>
#include <string>

namespace kvasir::gpu::emulated {

// A new file, or none.
void openTrace();
bool tracing();
// "stream 2 copy 4096", "stream 1 launch NAME", "stream 1 record 3", "stream 0 wait 3", "host waits for stream 0".
void trace(const std::string& line);
// Of a stream or an event.
int nextNumber();

}  // namespace kvasir::gpu::emulated
