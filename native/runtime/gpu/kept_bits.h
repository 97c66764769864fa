// Kept rows of a sequence in device memory, sent again where they have changed.
#pragma once

#include <vector>

#include "../kept_rows.h"
#include "session.h"

namespace kvasir::gpu {

// The bits of a layer's KeptView, on the session's stream; null where every row is kept.
const std::uint64_t* keptBitsOnDevice(Session& session, const KeptRows& kept, int layer);

}  // namespace kvasir::gpu
