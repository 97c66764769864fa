// The kernel table of one vector type.
#pragma once

#include "simd_decode.h"
#include "simd_prefill.h"
#include "simd_quantise.h"

namespace kvasir::lin {
namespace {

template <class S>
constexpr LinearKernels tableOf() {
  return {S::panelGroups,          S::tileRowsExact,        S::tileRowsFast,         S::decodeRows,
          Quantise<S>::quantise,   Quantise<S>::blockSums,  Prefill<S>::unpackExact, Prefill<S>::tileExact,
          Prefill<S>::unpackFast,  Prefill<S>::tileFast,    Decode<S>::decodeExact,  Decode<S>::decodeFast};
}

}  // namespace
}  // namespace kvasir::lin
