#include "rank_rows.h"

namespace kvasir::gpu::launch {

int rankRows(KvasirStream* stream, const KvasirRankRowsArgs* args) { return launchRankRows(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
