#include "copy_pages.h"

namespace kvasir::gpu::launch {

int copyPages(KvasirStream* stream, const KvasirCopyPagesArgs* args) { return launchCopyPages(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
