// Cuts copies of rows into tasks of (KV head, K or V): rows of one slot then meet in one task, in their order.
#include "kvasir/kv_transfer.h"

#include <cmath>
#include <cstring>

#include "kernels.h"

namespace kvasir {
namespace {

constexpr int kRowsPerPoll = 64;

std::size_t rowBytesOf(const KvView& kv) { return static_cast<std::size_t>(kv.headDim) * (kv.type == KvType::f16 ? 2 : 4); }

// K or V rows of one head.
struct PartRows {
  std::uint8_t* base;
  std::size_t pageStride, rowBytes;
  const std::int32_t* slots;

  PartRows(const SlotRows& rows, int kvHead, bool values)
      : base(rows.kv.base + static_cast<std::size_t>(rows.layer) * rows.kv.layerStride +
             static_cast<std::size_t>(kvHead) * rows.kv.headStride + (values ? rows.kv.valueStride : 0)),
        pageStride(rows.kv.pageStride),
        rowBytes(rowBytesOf(rows.kv)),
        slots(rows.slots) {}

  std::uint8_t* row(int r) const {
    const unsigned slot = static_cast<unsigned>(slots[r]);
    return base + slot / kPageTokens * pageStride + slot % kPageTokens * rowBytes;
  }
};

class Copy {
 public:
  Copy(const rows::Kernels& kernels, const KvView& kv, const KeyTurns* turns)
      : kernels_(kernels), type_(kv.type), headDim_(kv.headDim), turns_(turns) {}

  // Rows [first, end), each run of neighbours that turn alike at once.
  void operator()(const PartRows& from, const PartRows& to, int first, int end, bool turned) const {
    const std::size_t rowBytes = from.rowBytes;
    for (int r = first; r < end;) {
      const std::uint8_t* source = from.row(r);
      std::uint8_t* target = to.row(r);
      const int turn = turned ? turns_->rowTurns[r] : -1, start = r;
      for (++r; r < end && (!turned || turns_->rowTurns[r] == turn); ++r) {
        const std::size_t behind = static_cast<std::size_t>(r - start) * rowBytes;
        if (from.row(r) != source + behind || to.row(r) != target + behind) break;
      }
      if (turn < 0) std::memcpy(target, source, static_cast<std::size_t>(r - start) * rowBytes);
      else turnRows(source, r - start, turn, target);
    }
  }

 private:
  void turnRows(const std::uint8_t* source, int count, int turn, std::uint8_t* target) const {
    const int pairs = turns_->rotaryDim / 2;
    const std::size_t at = static_cast<std::size_t>(turn) * static_cast<std::size_t>(pairs);
    const float *cos = turns_->cos + at, *sin = turns_->sin + at;
    const bool half = turns_->pairing == RopePairing::half;
    if (type_ == KvType::f16) {
      (half ? kernels_.turnHalf : kernels_.turnInterleaved)(reinterpret_cast<const std::uint16_t*>(source), count,
                                                            headDim_, cos, sin, pairs,
                                                            reinterpret_cast<std::uint16_t*>(target));
      return;
    }
    std::memcpy(target, source, static_cast<std::size_t>(count) * static_cast<std::size_t>(headDim_) * sizeof(float));
    float* row = reinterpret_cast<float*>(target);
    for (int r = 0; r < count; ++r, row += headDim_) {
      (half ? kernels_.rotateHalf : kernels_.rotateInterleaved)(row, cos, sin, pairs);
    }
  }

  const rows::Kernels& kernels_;
  KvType type_;
  int headDim_;
  const KeyTurns* turns_;
};

}  // namespace

KvView denseView(std::uint8_t* rows, int tokens, KvType type, int numKvHeads, int headDim) {
  KvView view{};
  view.base = rows;
  view.type = type;
  view.numKvHeads = numKvHeads;
  view.headDim = headDim;
  view.pageStride = kPageTokens * rowBytesOf(view);
  view.valueStride = static_cast<std::size_t>(tokens) * rowBytesOf(view);
  view.headStride = 2 * view.valueStride;
  return view;
}

void copyKv(Context& context, const SlotRows& from, const SlotRows& to, int rows, const KeyTurns* turns) {
  const Copy copy(rows::kernelsFor(context.isa()), to.kv, turns);
  auto copyPart = [&](int number, int) {
    const int kvHead = number / 2;
    const bool values = number % 2 == 1;
    const PartRows source(from, kvHead, values), target(to, kvHead, values);
    for (int first = 0; first < rows && !context.cancelled(); first += kRowsPerPoll) {
      const int end = rows - first < kRowsPerPoll ? rows : first + kRowsPerPoll;
      copy(source, target, first, end, turns != nullptr && !values);
    }
  };
  if (rows > 0) context.forEach(2 * to.kv.numKvHeads, copyPart);
}

void compareKv(Context& context, const KvView& kv, int layer, const float* keys, const float* values,
               const std::int32_t* slots, int rows, float* out) {
  const rows::Kernels& kernels = rows::kernelsFor(context.isa());
  const std::size_t headDim = static_cast<std::size_t>(kv.headDim), rowBytes = rowBytesOf(kv);
  const auto add = [&](const float* x, const std::uint8_t* stored, double* sums) {
    if (kv.type == KvType::f16) kernels.addSquaresF16(x, reinterpret_cast<const std::uint16_t*>(stored), kv.headDim, sums);
    else kernels.addSquaresF32(x, reinterpret_cast<const float*>(stored), kv.headDim, sums);
  };
  const auto compareRow = [&](int r) {
    const unsigned slot = static_cast<unsigned>(slots[r]);
    const std::uint8_t* stored = kv.base + slot / kPageTokens * kv.pageStride +
                                 static_cast<std::size_t>(layer) * kv.layerStride + slot % kPageTokens * rowBytes;
    double ofKeys[2] = {0.0, 0.0}, ofValues[2] = {0.0, 0.0};
    std::size_t at = static_cast<std::size_t>(r) * static_cast<std::size_t>(kv.numKvHeads) * headDim;
    for (int head = 0; head < kv.numKvHeads; ++head, at += headDim, stored += kv.headStride) {
      add(keys + at, stored, ofKeys);
      add(values + at, stored + kv.valueStride, ofValues);
    }
    for (int i = 0; i < 2; ++i) out[2 * r + i] = static_cast<float>(std::sqrt(ofKeys[i]) + std::sqrt(ofValues[i]));
  };
  const int tasks = (rows + kRowsPerPoll - 1) / kRowsPerPoll;
  auto compareRows = [&](int task, int) {
    const int end = (task + 1) * kRowsPerPoll < rows ? (task + 1) * kRowsPerPoll : rows;
    for (int r = task * kRowsPerPoll; r < end && !context.cancelled(); ++r) compareRow(r);
  };
  if (tasks == 1) compareRows(0, 0);
  if (tasks > 1) context.forEach(tasks, compareRows);
}

}  // namespace kvasir
