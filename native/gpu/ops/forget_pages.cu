#include "forget_pages.h"

namespace kvasir::gpu::launch {

int forgetPages(KvasirStream* stream, const KvasirForgetPagesArgs* args) { return launchForgetPages(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
