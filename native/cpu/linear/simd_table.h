// The kernel tables of one vector type.
#pragma once

#include "simd_decode_bytes.h"
#include "simd_decode_floats.h"
#include "simd_prefill_bytes.h"
#include "simd_prefill_floats.h"
#include "simd_quantise.h"

namespace kvasir::lin {
namespace {

template <class S>
constexpr FloatKernels floatKernels = {S::panelGroups,         S::tileRowsFloat,         S::decodeRowsFloat,
                                       PrefillFloats<S>::unpack, PrefillFloats<S>::multiply, PrefillFloats<S>::store,
                                       DecodeFloats<S>::decode};

template <class S>
constexpr ByteKernels byteKernels = {S::panelGroups,          S::tileRowsByte,          S::decodeRowsExact,
                                     S::decodeRowsFast,       Quantise<S>::quantise,    Quantise<S>::splitDigits,
                                     PrefillBytes<S>::unpack, PrefillBytes<S>::multiply, DecodeBytes<S>::exact,
                                     DecodeBytes<S>::fast};

}  // namespace
}  // namespace kvasir::lin
