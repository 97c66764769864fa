// Row-wise ops: serial when small, else cut into tasks of whole rows (of whole spans where rows do not matter).
#include <cstring>

#include "kernels.h"

namespace kvasir {
namespace {

// Values that one worker handles before a second one is worth waking.
constexpr std::size_t kTaskValues = 32 * 1024;

// body(first, end) over [0, items) of `itemValues` values each.
template <class Body>
void eachSpan(Context& context, std::size_t items, std::size_t itemValues, Body&& body) {
  if (items * itemValues < 2 * kTaskValues) {
    if (items > 0) body(std::size_t{0}, items);
    return;
  }
  const std::size_t span = itemValues < kTaskValues ? kTaskValues / itemValues : 1;
  auto task = [&](int number, int) {
    if (context.cancelled()) return;
    const std::size_t first = static_cast<std::size_t>(number) * span;
    body(first, first + span < items ? first + span : items);
  };
  context.forEach(static_cast<int>((items + span - 1) / span), task);
}

}  // namespace

void rmsNorm(Context& context, const float* x, const float* weight, float eps, int rows, int groups, int dim,
             float* out) {
  const auto norm = rows::kernelsFor(context.isa()).rmsNorm;
  const std::size_t size = static_cast<std::size_t>(dim);
  eachSpan(context, static_cast<std::size_t>(rows) * groups, size, [&](std::size_t first, std::size_t end) {
    for (std::size_t i = first; i < end; ++i) norm(x + i * size, weight, eps, dim, out + i * size);
  });
}

void ropeRows(Context& context, float* x, const float* cos, const float* sin, RopePairing pairing, int rows,
              int numHeads, int headDim, int rotaryDim) {
  const rows::Kernels& kernels = rows::kernelsFor(context.isa());
  const auto rotate = pairing == RopePairing::half ? kernels.rotateHalf : kernels.rotateInterleaved;
  const int pairs = rotaryDim / 2;
  const std::size_t rowValues = static_cast<std::size_t>(numHeads) * headDim;
  eachSpan(context, static_cast<std::size_t>(rows), rowValues, [&](std::size_t first, std::size_t end) {
    for (std::size_t row = first; row < end; ++row) {
      for (int head = 0; head < numHeads; ++head) {
        rotate(x + row * rowValues + static_cast<std::size_t>(head) * headDim, cos + row * pairs, sin + row * pairs,
               pairs);
      }
    }
  });
}

void siluGate(Context& context, const float* gate, const float* up, int rows, int dim, float* out) {
  const auto kernel = rows::kernelsFor(context.isa()).siluGate;
  eachSpan(
      context, static_cast<std::size_t>(rows), static_cast<std::size_t>(dim), [&](std::size_t first, std::size_t end) {
        const std::size_t from = first * static_cast<std::size_t>(dim);
        kernel(gate + from, up + from, static_cast<int>((end - first) * static_cast<std::size_t>(dim)), out + from);
      });
}

void gatherRows(Context& context, const float* x, const std::int32_t* ids, int rows, int dim, float* out) {
  const std::size_t size = static_cast<std::size_t>(dim);
  eachSpan(context, static_cast<std::size_t>(rows), size, [&](std::size_t first, std::size_t end) {
    for (std::size_t row = first; row < end; ++row) {
      std::memcpy(out + row * size, x + static_cast<std::size_t>(ids[row]) * size, size * sizeof(float));
    }
  });
}

}  // namespace kvasir
