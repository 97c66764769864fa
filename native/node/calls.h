// The functions of the addon, by the file that defines them. binding.ts of @kvasir/kernels documents each.
#pragma once

#include "napi_setup.h"

namespace kvasir::node {

using Call = Napi::Value (*)(const Napi::CallbackInfo& info);

Napi::Value machine(const Napi::CallbackInfo& info);
Napi::Value gpuState(const Napi::CallbackInfo& info);
Napi::Value useErrors(const Napi::CallbackInfo& info);
Napi::Value openRuntime(const Napi::CallbackInfo& info);
Napi::Value gpuCounts(const Napi::CallbackInfo& info);
Napi::Value closeRuntime(const Napi::CallbackInfo& info);
Napi::Value cancelJob(const Napi::CallbackInfo& info);
Napi::Value releaseHandle(const Napi::CallbackInfo& info);
Napi::Value allocate(const Napi::CallbackInfo& info);

Napi::Value createWeight(const Napi::CallbackInfo& info);
Napi::Value weightBytes(const Napi::CallbackInfo& info);
Napi::Value packWeightRows(const Napi::CallbackInfo& info);
Napi::Value readWeightRow(const Napi::CallbackInfo& info);

Napi::Value createArena(const Napi::CallbackInfo& info);
Napi::Value createTieredArena(const Napi::CallbackInfo& info);
Napi::Value tierState(const Napi::CallbackInfo& info);
Napi::Value copyPage(const Napi::CallbackInfo& info);
Napi::Value readArenaRows(const Napi::CallbackInfo& info);

Napi::Value adoptRows(const Napi::CallbackInfo& info);
Napi::Value exportRows(const Napi::CallbackInfo& info);

Napi::Value attentionWeights(const Napi::CallbackInfo& info);

Napi::Value createRunLists(const Napi::CallbackInfo& info);
Napi::Value setRunList(const Napi::CallbackInfo& info);
Napi::Value getRunList(const Napi::CallbackInfo& info);
Napi::Value createKeptRows(const Napi::CallbackInfo& info);
Napi::Value setKeptRows(const Napi::CallbackInfo& info);
Napi::Value heldTokens(const Napi::CallbackInfo& info);
Napi::Value truncateKeptRows(const Napi::CallbackInfo& info);
Napi::Value cloneKeptRows(const Napi::CallbackInfo& info);

Napi::Value createProgram(const Napi::CallbackInfo& info);
Napi::Value runProgram(const Napi::CallbackInfo& info);

Napi::Value createSegmentIndex(const Napi::CallbackInfo& info);
Napi::Value extendSegmentIndex(const Napi::CallbackInfo& info);
Napi::Value segmentIndexState(const Napi::CallbackInfo& info);
Napi::Value truncateSegmentIndex(const Napi::CallbackInfo& info);
Napi::Value cloneSegmentIndex(const Napi::CallbackInfo& info);
Napi::Value readSegmentIndex(const Napi::CallbackInfo& info);
Napi::Value createSegmentSelector(const Napi::CallbackInfo& info);
Napi::Value createExactSelector(const Napi::CallbackInfo& info);
Napi::Value selectorCounts(const Napi::CallbackInfo& info);

Napi::Value createHashPlanes(const Napi::CallbackInfo& info);
Napi::Value hashRows(const Napi::CallbackInfo& info);
Napi::Value createCodeTable(const Napi::CallbackInfo& info);
Napi::Value nearestCodes(const Napi::CallbackInfo& info);
Napi::Value rankRows(const Napi::CallbackInfo& info);

}  // namespace kvasir::node
