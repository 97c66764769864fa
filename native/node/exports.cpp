// What JavaScript sees of the addon.
#include <exception>
#include <new>
#include <string>

#include "calls.h"
#include "runtime.h"

namespace kvasir::node {
namespace {

struct Export {
  const char* name;
  std::size_t arity;
  Call call;
};

constexpr Export exported[] = {
    {"machine", 0, machine},
    {"gpuState", 1, gpuState},
    {"useErrors", 1, useErrors},
    {"openRuntime", 4, openRuntime},
    {"gpuCounts", 1, gpuCounts},
    {"closeRuntime", 1, closeRuntime},
    {"cancelJob", 2, cancelJob},
    {"release", 1, releaseHandle},
    {"allocate", 1, allocate},
    {"createWeight", 4, createWeight},
    {"weightBytes", 1, weightBytes},
    {"packWeightRows", 6, packWeightRows},
    {"readWeightRow", 2, readWeightRow},
    {"createArena", 6, createArena},
    {"createTieredArena", 6, createTieredArena},
    {"tierState", 1, tierState},
    {"copyPage", 3, copyPage},
    {"readArenaRows", 7, readArenaRows},
    {"adoptRows", 9, adoptRows},
    {"exportRows", 7, exportRows},
    {"attentionWeights", 8, attentionWeights},
    {"createRunLists", 3, createRunLists},
    {"setRunList", 4, setRunList},
    {"getRunList", 2, getRunList},
    {"createKeptRows", 2, createKeptRows},
    {"setKeptRows", 5, setKeptRows},
    {"heldTokens", 2, heldTokens},
    {"truncateKeptRows", 2, truncateKeptRows},
    {"cloneKeptRows", 1, cloneKeptRows},
    {"createProgram", 3, createProgram},
    {"runProgram", 10, runProgram},
    {"createSegmentIndex", 6, createSegmentIndex},
    {"extendSegmentIndex", 6, extendSegmentIndex},
    {"segmentIndexState", 1, segmentIndexState},
    {"truncateSegmentIndex", 2, truncateSegmentIndex},
    {"cloneSegmentIndex", 1, cloneSegmentIndex},
    {"readSegmentIndex", 3, readSegmentIndex},
    {"createSegmentSelector", 13, createSegmentSelector},
    {"createExactSelector", 4, createExactSelector},
    {"selectorCounts", 1, selectorCounts},
    {"createHashPlanes", 5, createHashPlanes},
    {"hashRows", 6, hashRows},
    {"createCodeTable", 3, createCodeTable},
    {"nearestCodes", 8, nearestCodes},
    {"rankRows", 10, rankRows},
};

// No C++ exception crosses into JavaScript's engine.
Napi::Value guarded(const Napi::CallbackInfo& info) {
  const Export& target = *static_cast<const Export*>(info.Data());
  const Napi::Env env = info.Env();
  if (info.Length() != target.arity) {
    throw Napi::TypeError::New(env, std::string(target.name) + ": expected " + std::to_string(target.arity) + " arguments");
  }
  try {
    return target.call(info);
  } catch (const Failure& failure) {
    throw errorOf(env, failure);
  } catch (const std::bad_alloc&) {
    throw errorOf(env, {target.name, "enough memory", "none left"});
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw errorOf(env, {target.name, "a call without faults", error.what()});
  }
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  prepareEnvironment(env);
  Napi::Object arities = Napi::Object::New(env);
  for (const Export& entry : exported) {
    exports.Set(entry.name, Napi::Function::New(env, guarded, entry.name, const_cast<Export*>(&entry)));
    arities.Set(entry.name, static_cast<double>(entry.arity));
  }
  exports.Set("arities", arities);
  return exports;
}

NODE_API_MODULE(kvasir, init)

}  // namespace
}  // namespace kvasir::node
