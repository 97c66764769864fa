#include "merge_states.h"

namespace kvasir::gpu::launch {

int mergeStates(KvasirStream* stream, const KvasirMergeStatesArgs* args) { return launchMergeStates(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
