#include "embed_rows.h"

namespace kvasir::gpu::launch {

int embedRows(KvasirStream* stream, const KvasirEmbedRowsArgs* args) { return launchEmbedRows(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
