// Packed codes and scales as vectors. S is one instruction set's vector type (avx512_vectors.h and its like):
// S::lanes rows of a group side by side, V = 16 / lanes vectors to a group.
#pragma once

#include "half.h"
#include "layout.h"
#include "simd_unroll.h"

namespace kvasir::lin {
namespace {

template <class S>
constexpr int vectorsPerGroup = groupRows / S::lanes;

constexpr int prefetchBytes = 2048;

// Asks for what lies prefetchBytes after [at, at + bytes).
template <class S>
KVASIR_INLINE inline void prefetchAhead(const std::uint8_t* at, int bytes) {
  for (int i = 0; i < bytes; i += 64) S::prefetch(at + prefetchBytes + i);
}

// Codes of columns 4 * Step .. 4 * Step + 3 of vector v's rows, as unsigned bytes: lane = row, byte = column.
template <class S, WeightType T, int Step>
KVASIR_INLINE inline typename S::I codesOf(const std::uint8_t* codes, int v) {
  constexpr Layout layout = layoutOf(T);
  const std::uint8_t* at = codes + v * S::lanes * 4;
  if constexpr (layout.bits == 8) {
    return S::loadBytes(at + Step * 64);
  } else {
    const typename S::I pair = S::loadBytes(at + (Step % 4) * 64);
    const typename S::I low = Step < 4 ? S::template keep<0, 0x0f>(pair) : S::template keep<4, 0x0f>(pair);
    if constexpr (layout.bits == 5) {
      return S::orBytes(low, S::template keep<Step - 4, 0x10>(S::loadBytes(at + 256)));
    } else if constexpr (layout.bits == 6) {
      return S::orBytes(low, S::template keep<2 * (Step % 4) - 4, 0x30>(S::loadBytes(at + 256 + (Step / 4) * 64)));
    } else {
      return low;
    }
  }
}

// Scale and min of a group's rows, one pair per sub-block; walks through the blocks of a group in order.
template <class S, WeightType T>
class BlockReader {
 public:
  static constexpr Layout layout = layoutOf(T);
  static constexpr int V = vectorsPerGroup<S>;
  using F = typename S::F;

  explicit BlockReader(const std::uint8_t* group) : at(group) {}

  // Reads the scales of block b; codes() is valid afterwards.
  KVASIR_INLINE inline void enter(int b) {
    if constexpr (layout.super) {
      if (b % (superCols / blockCols) == 0) {
        KVASIR_UNROLL
        for (int v = 0; v < V; ++v) {
          superScale[v] = S::loadHalves(at + 2 * S::lanes * v);
          if constexpr (layout.hasMin) superMin[v] = S::negate(S::loadHalves(at + 2 * (groupRows + S::lanes * v)));
        }
        at += layout.superHeadBytes();
      }
    }
  }
  KVASIR_INLINE inline void leave() { at += layout.blockBytes(); }

  const std::uint8_t* start() const { return at; }
  const std::uint8_t* codes() const { return at + layout.headBytes(); }

  KVASIR_INLINE inline F scale(int sub, int v) const {
    if constexpr (layout.super && layout.hasMin) return S::mul(superScale[v], S::loadUnsigned(at + sub * groupRows + S::lanes * v));
    else if constexpr (layout.super) return S::mul(superScale[v], S::loadSigned(at + sub * groupRows + S::lanes * v));
    else return S::loadHalves(at + 2 * S::lanes * v);
  }

  KVASIR_INLINE inline F min(int sub, int v) const {
    if constexpr (layout.super) return S::mul(superMin[v], S::loadUnsigned(at + (layout.subs() + sub) * groupRows + S::lanes * v));
    else return S::loadHalves(at + 2 * (groupRows + S::lanes * v));
  }

 private:
  const std::uint8_t* at;
  F superScale[V] = {};
  F superMin[V] = {};
};

// The weight's code minus its offset, as float, of byte `Byte` (column 4 * step + Byte).
template <class S, WeightType T, int Byte>
KVASIR_INLINE inline typename S::F floatCode(typename S::I codes) {
  if constexpr (layoutOf(T).offset == 0) return S::toFloat(S::template unsignedByte<Byte>(codes));
  else return S::toFloat(S::template signedByte<Byte>(codes));
}

// Codes ready for floatCode: types with an offset become signed bytes.
template <class S, WeightType T>
KVASIR_INLINE inline typename S::I centred(typename S::I codes) {
  if constexpr (layoutOf(T).offset == 0) return codes;
  else return S::subtractBytes(codes, layoutOf(T).offset);
}

// Calls visit(Index type) for the type that `type` is stored as.
template <WeightType T>
struct TypeTag {
  static constexpr WeightType type = T;
};

template <class Visit>
KVASIR_INLINE inline void withQuantised(WeightType type, const Visit& visit) {
  switch (storedAs(type)) {
    case WeightType::q4_0: return visit(TypeTag<WeightType::q4_0>{});
    case WeightType::q4_1: return visit(TypeTag<WeightType::q4_1>{});
    case WeightType::q5_0: return visit(TypeTag<WeightType::q5_0>{});
    case WeightType::q5_1: return visit(TypeTag<WeightType::q5_1>{});
    case WeightType::q2_k: return visit(TypeTag<WeightType::q2_k>{});
    case WeightType::q4_k: return visit(TypeTag<WeightType::q4_k>{});
    case WeightType::q5_k: return visit(TypeTag<WeightType::q5_k>{});
    case WeightType::q6_k: return visit(TypeTag<WeightType::q6_k>{});
    default: return visit(TypeTag<WeightType::q8_0>{});
  }
}

// Column k of a float type's group, vector v.
template <class S, WeightType T>
KVASIR_INLINE inline typename S::F floatColumn(const std::uint8_t* group, std::size_t k, int v) {
  const std::uint8_t* at = group + (k * groupRows + static_cast<std::size_t>(S::lanes * v)) * static_cast<std::size_t>(layoutOf(T).floatBytes);
  if constexpr (T == WeightType::f32) return S::loadFloats(at);
  else if constexpr (T == WeightType::f16) return S::loadHalves(at);
  else return S::loadBfloats(at);
}

}  // namespace
}  // namespace kvasir::lin
