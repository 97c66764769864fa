// A GPU library, loaded while the process runs: it is never linked, and where it or its driver is missing the reason is kept.
#pragma once

#include <string>
#include <vector>

#include "../../gpu/abi.h"

namespace kvasir::gpu {

// What a library file is good for on this machine.
struct LibraryState {
  const KvasirGpuV1* table = nullptr;  // null: `missing` says why
  std::string missing;
  std::vector<KvasirDeviceInfo> devices;
};

// Loaded once a process and never closed: a driver does not survive that. An absent library is looked for again.
LibraryState openLibrary(const std::string& path);

// Throws a Failure that names the call unless the status is OK.
void check(const KvasirGpuV1& table, int status, const char* call);

}  // namespace kvasir::gpu
