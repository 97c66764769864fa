#include "copy_pieces.h"

namespace kvasir::gpu::launch {

int copyPieces(KvasirStream* stream, const KvasirCopyPiecesArgs* args) { return launchCopyPieces(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
