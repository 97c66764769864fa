// Cuts copies into tasks by the page that rows go to: rows of one slot then meet in one task, in their order.
#include "kvasir/kv_transfer.h"

#include <cmath>
#include <cstring>

#include "kernels.h"

namespace kvasir {
namespace {

constexpr int kRowsPerPoll = 64;
constexpr int kTasksPerWorker = 4;
constexpr int kRowsAhead = 16;  // fetched before they are copied
constexpr std::size_t kLineBytes = 64, kCachedBytes = std::size_t{1} << 20;

std::size_t rowBytesOf(const KvView& kv) { return static_cast<std::size_t>(kv.headDim) * (kv.type == KvType::f16 ? 2 : 4); }

// The rows of one layer, all KV heads.
struct Rows {
  std::uint8_t* base;
  std::size_t pageStride, rowBytes;
  const std::int32_t* slots;

  explicit Rows(const SlotRows& rows)
      : base(rows.kv.base + static_cast<std::size_t>(rows.layer) * rows.kv.layerStride),
        pageStride(rows.kv.pageStride),
        rowBytes(rowBytesOf(rows.kv)),
        slots(rows.slots) {}

  int page(int r) const { return static_cast<int>(static_cast<unsigned>(slots[r]) / kPageTokens); }
  // The K row of head 0.
  std::uint8_t* row(int r) const {
    const unsigned slot = static_cast<unsigned>(slots[r]);
    return base + slot / kPageTokens * pageStride + slot % kPageTokens * rowBytes;
  }
};

struct RowRun {
  int first, count;
};

class Copy {
 public:
  Copy(Isa isa, const SlotRows& from, const SlotRows& to, int rows, const KeyTurns* turns)
      : kernels_(rows::kernelsFor(isa)),
        from_(from),
        to_(to),
        source_(from),
        target_(to),
        turns_(turns),
        streams_(goesPastCaches(rows)) {}

  // The end of the rows from `first` on that follow each other in both, turn alike and go to one page.
  int endOfRun(int first, int rows) const {
    int end = first + 1;
    while (end < rows && to_.slots[end] == to_.slots[end - 1] + 1 && target_.page(end) == target_.page(first) &&
           from_.slots[end] == from_.slots[end - 1] + 1 && source_.row(end) == source_.row(end - 1) + source_.rowBytes &&
           turnOf(end) == turnOf(first)) {
      ++end;
    }
    return end;
  }

  int page(int r) const { return target_.page(r); }

  // Copies a run while the source rows of another one, `next`, are fetched.
  void operator()(RowRun run, int next) const {
    const std::uint8_t *source = source_.row(run.first), *ahead = source_.row(next);
    std::uint8_t* target = target_.row(run.first);
    const int turn = turnOf(run.first);
    const std::size_t bytes = static_cast<std::size_t>(run.count) * source_.rowBytes;
    for (int head = 0; head < to_.kv.numKvHeads; ++head) {
      if (turn < 0) kernels_.copyRows({source, target, bytes, ahead, streams_});
      else turnRows(source, run.count, turn, ahead, target);
      const std::size_t values = from_.kv.valueStride;
      kernels_.copyRows({source + values, target + to_.kv.valueStride, bytes, ahead + values, streams_});
      source += from_.kv.headStride;
      ahead += from_.kv.headStride;
      target += to_.kv.headStride;
    }
  }

  void settle() const {
    if (streams_) kernels_.settle();
  }

 private:
  int turnOf(int r) const { return turns_ != nullptr ? turns_->rowTurns[r] : -1; }

  // More than the second-level caches hold, in whole lines.
  bool goesPastCaches(int rows) const {
    const KvView& kv = to_.kv;
    const std::size_t bytes = 2 * static_cast<std::size_t>(kv.numKvHeads) * static_cast<std::size_t>(rows) * target_.rowBytes;
    const std::size_t parts[] = {reinterpret_cast<std::uintptr_t>(target_.base), kv.pageStride, kv.headStride, kv.valueStride,
                                 target_.rowBytes};
    for (const std::size_t part : parts) {
      if (part % kLineBytes != 0) return false;
    }
    return bytes >= kCachedBytes && (turns_ == nullptr || turns_->rotaryDim / 2 % 16 == 0);
  }

  void turnRows(const std::uint8_t* source, int count, int turn, const std::uint8_t* next, std::uint8_t* target) const {
    const int headDim = to_.kv.headDim, pairs = turns_->rotaryDim / 2;
    const std::size_t at = static_cast<std::size_t>(turn) * static_cast<std::size_t>(pairs);
    const float *cos = turns_->cos + at, *sin = turns_->sin + at;
    const bool half = turns_->pairing == RopePairing::half;
    if (to_.kv.type == KvType::f16) {
      (half ? kernels_.turnHalf : kernels_.turnInterleaved)(
          {reinterpret_cast<const std::uint16_t*>(source), reinterpret_cast<std::uint16_t*>(target), count, headDim, cos, sin,
           pairs, next, streams_});
      return;
    }
    std::memcpy(target, source, static_cast<std::size_t>(count) * target_.rowBytes);
    float* row = reinterpret_cast<float*>(target);
    for (int r = 0; r < count; ++r, row += headDim) {
      (half ? kernels_.rotateHalf : kernels_.rotateInterleaved)(row, cos, sin, pairs);
    }
  }

  const rows::Kernels& kernels_;
  const SlotRows &from_, &to_;
  Rows source_, target_;
  const KeyTurns* turns_;
  bool streams_;
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
  const Copy copy(context.isa(), from, to, rows, turns);
  const int tasks = rows < kRowsPerPoll ? 1 : kTasksPerWorker * context.workers();
  auto* all = reinterpret_cast<RowRun*>(context.shared(static_cast<std::size_t>(rows) * sizeof(RowRun)));
  int numRuns = 0;
  for (int first = 0; first < rows; first += all[numRuns++].count) all[numRuns] = {first, copy.endOfRun(first, rows) - first};
  auto copyPages = [&](int task, int worker) {
    auto* runs = reinterpret_cast<RowRun*>(context.scratch(worker, static_cast<std::size_t>(numRuns) * sizeof(RowRun)));
    int count = 0;
    for (int run = 0; run < numRuns; ++run) {
      if (copy.page(all[run].first) % tasks == task) runs[count++] = all[run];
    }
    int next = 0, rowsAhead = 0, sincePoll = 0;  // rows from the run under way up to `next`
    for (int run = 0; run < count; ++run) {
      for (; next + 1 < count && rowsAhead < kRowsAhead; ++next) rowsAhead += runs[next].count;
      copy(runs[run], runs[next].first);
      rowsAhead -= runs[run].count;
      sincePoll += runs[run].count;
      if (sincePoll < kRowsPerPoll) continue;
      if (context.cancelled()) break;
      sincePoll = 0;
    }
    copy.settle();
  };
  if (rows > 0) context.forEach(tasks, copyPages);
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
