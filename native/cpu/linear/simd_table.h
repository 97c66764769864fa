// The kernel table of one vector type.
#pragma once

#include "simd_decode.h"
#include "simd_prefill.h"
#include "simd_quantise.h"

namespace kvasir::lin {
namespace {

template <class S>
constexpr LinearKernels tableOf() {
  return {S::panelGroups,          S::tileRowsExact,        S::tileRowsFast,         S::decodeRowsExact,
          S::decodeRowsFast,       Quantise<S>::quantise,   Quantise<S>::splitDigits, Prefill<S>::unpackExact,
          Prefill<S>::tileExact,   Prefill<S>::unpackFast,  Prefill<S>::tileFast,    Prefill<S>::storeTile,
          Decode<S>::decodeFloats, Decode<S>::decodeExact,  Decode<S>::decodeFast};
}

}  // namespace
}  // namespace kvasir::lin
