#include "hash_rows.h"

namespace kvasir::gpu::launch {

int hashRows(KvasirStream* stream, const KvasirHashRowsArgs* args) { return launchHashRows(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
