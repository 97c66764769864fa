// Native objects in JavaScript's hands: type-tagged, freed by release() or by the collector.
#pragma once

#include <cstdint>
#include <memory>

#include "../runtime/arena.h"
#include "../runtime/hashing.h"
#include "../runtime/kept_rows.h"
#include "../runtime/packed_weight.h"
#include "../runtime/program.h"
#include "../runtime/run_lists.h"
#include "kvasir/selection.h"
#include "napi_setup.h"
#include "runtime.h"

namespace kvasir::node {

enum class HandleKind : int { runtime, weight, arena, runLists, keptRows, program, segmentIndex, selector, hashPlanes, codeTable };

template <class T>
struct HandleKindOf;
template <> struct HandleKindOf<Runtime> { static constexpr HandleKind value = HandleKind::runtime; };
template <> struct HandleKindOf<StoredWeight> { static constexpr HandleKind value = HandleKind::weight; };
template <> struct HandleKindOf<Arena> { static constexpr HandleKind value = HandleKind::arena; };
template <> struct HandleKindOf<RunLists> { static constexpr HandleKind value = HandleKind::runLists; };
template <> struct HandleKindOf<KeptRows> { static constexpr HandleKind value = HandleKind::keptRows; };
template <> struct HandleKindOf<Program> { static constexpr HandleKind value = HandleKind::program; };
template <> struct HandleKindOf<SegmentIndex> { static constexpr HandleKind value = HandleKind::segmentIndex; };
template <> struct HandleKindOf<Selector> { static constexpr HandleKind value = HandleKind::selector; };
template <> struct HandleKindOf<PackedPlanes> { static constexpr HandleKind value = HandleKind::hashPlanes; };
template <> struct HandleKindOf<PackedCodes> { static constexpr HandleKind value = HandleKind::codeTable; };

struct Held {
  HandleKind kind;
  std::shared_ptr<void> object;  // null once released
  std::int64_t bytes;            // told to V8, so that it knows what collecting the handle would free
};

Napi::Object wrapHeld(Napi::Env env, std::unique_ptr<Held> held);

// Throws a TypeError unless `value` is a handle that is not released.
Held& heldOf(Napi::Value value);

void throwWrongKind(Napi::Env env);

// `bytes` of memory that is really taken; reserved memory does not count.
template <class T>
Napi::Object wrap(Napi::Env env, std::shared_ptr<T> object, std::int64_t bytes = 0) {
  return wrapHeld(env, std::unique_ptr<Held>(new Held{HandleKindOf<T>::value, std::move(object), bytes}));
}

template <class T>
std::shared_ptr<T> sharedOf(Napi::Value value) {
  Held& held = heldOf(value);
  if (held.kind != HandleKindOf<T>::value) throwWrongKind(value.Env());
  return std::static_pointer_cast<T>(held.object);
}

template <class T>
T& unwrap(Napi::Value value) {
  return *sharedOf<T>(value);
}

void release(Napi::Value value);

}  // namespace kvasir::node
