// Cuts decode attention into splits of kSplitTokens rows of a list, and merges their results in order.
#include <cmath>
#include <limits>

#include "kernels.h"

namespace kvasir {
namespace {

using attention::kBlockTokens;
using attention::kSplitTokens;

// Below this many bytes of K and V one worker is done before a second one has woken up.
constexpr double kForkBytes = 96 * 1024;

struct Split {
  std::int32_t row;    // sequence * rows of a sequence + row of it
  std::int32_t run;    // first run, or first address
  std::int32_t skip;   // tokens of the run that belong to the split before
  std::int32_t count;  // tokens
};

// Where in shared memory everything lies: splits, the first split of each row, then results by split.
struct Plan {
  Split* splits;
  std::int32_t* rowSplits;  // [rows + 1]
  float* outs;              // [splits][group][headDim]
  float* maxima;            // [splits][group]
  float* sums;              // [splits][group]
  int numSplits;
  double numTokens;
};

int countTokens(const RunRows& rows, int row) {
  const int first = rows.rowStarts[row], end = rows.rowStarts[row + 1];
  if (rows.keys != nullptr) return end - first;
  int tokens = 0;
  for (int run = first; run < end; ++run) tokens += rows.runs[run].len;
  return tokens;
}

int countSplits(const RunRows& rows, int numRows) {
  int splits = 0;
  for (int row = 0; row < numRows; ++row) splits += (countTokens(rows, row) + kSplitTokens - 1) / kSplitTokens;
  return splits;
}

void fillSplitsOfKeys(const RunRows& rows, int numRows, Plan& plan) {
  Split* split = plan.splits;
  for (int row = 0; row < numRows; ++row) {
    plan.rowSplits[row] = static_cast<std::int32_t>(split - plan.splits);
    const int end = rows.rowStarts[row + 1];
    for (int at = rows.rowStarts[row]; at < end; at += kSplitTokens) {
      *split++ = {row, at, 0, end - at < kSplitTokens ? end - at : kSplitTokens};
    }
  }
  plan.rowSplits[numRows] = plan.numSplits;
  plan.numTokens = rows.rowStarts[numRows] - rows.rowStarts[0];
}

void fillSplits(const RunRows& rows, int numRows, Plan& plan) {
  Split* split = plan.splits - 1;
  plan.numTokens = 0;
  for (int row = 0; row < numRows; ++row) {
    plan.rowSplits[row] = static_cast<std::int32_t>(split + 1 - plan.splits);
    int room = 0;
    for (int run = rows.rowStarts[row]; run < rows.rowStarts[row + 1]; ++run) {
      const int len = rows.runs[run].len;
      plan.numTokens += len;
      for (int skip = 0; skip < len;) {
        if (room == 0) {
          *++split = {row, run, skip, 0};
          room = kSplitTokens;
        }
        const int taken = len - skip < room ? len - skip : room;
        split->count += taken;
        room -= taken;
        skip += taken;
      }
    }
  }
  plan.rowSplits[numRows] = plan.numSplits;
}

Plan makePlan(Context& context, const RunRows& rows, int numRows, int group, int headDim) {
  Plan plan;
  plan.numSplits = countSplits(rows, numRows);
  const std::size_t splits = static_cast<std::size_t>(plan.numSplits), heads = splits * static_cast<std::size_t>(group);
  const std::size_t outBytes = heads * static_cast<std::size_t>(headDim) * sizeof(float);
  std::byte* memory = context.shared(outBytes + 2 * heads * sizeof(float) + splits * sizeof(Split) +
                                     (static_cast<std::size_t>(numRows) + 1) * sizeof(std::int32_t));
  plan.outs = reinterpret_cast<float*>(memory);
  plan.maxima = plan.outs + heads * static_cast<std::size_t>(headDim);
  plan.sums = plan.maxima + heads;
  plan.splits = reinterpret_cast<Split*>(plan.sums + heads);
  plan.rowSplits = reinterpret_cast<std::int32_t*>(plan.splits + splits);
  if (rows.keys != nullptr) fillSplitsOfKeys(rows, numRows, plan);
  else fillSplits(rows, numRows, plan);
  return plan;
}

// keys [count rounded up to kBlockTokens]: addresses of the K rows of a split; the tail repeats the last one.
void listKeys(const attention::HeadRows& kv, const RunRows& rows, const Split& split, const std::uint8_t** keys) {
  int listed = 0;
  if (rows.keys != nullptr) {
    for (; listed < split.count; ++listed) keys[listed] = rows.keys[split.run + listed];
  }
  const std::size_t rowBytes = kv.rowBytes();
  const KvRun* run = rows.runs + split.run;
  for (int skip = split.skip; listed < split.count; ++run, skip = 0) {
    const std::uint8_t* key = kv.row(run->page, run->first + skip);
    for (int i = skip; i < run->len && listed < split.count; ++i, key += rowBytes) keys[listed++] = key;
  }
  const int padded = (split.count + kBlockTokens - 1) / kBlockTokens * kBlockTokens;
  for (; listed < padded; ++listed) keys[listed] = keys[split.count - 1];
}

// Merges the splits [first, end) of one row for head h of its group. out [headDim], lse natural log.
void mergeSplits(const Plan& plan, int first, int end, int group, int h, int headDim, float* out, float* lse) {
  float max = -std::numeric_limits<float>::infinity();
  for (int split = first; split < end; ++split) max = std::fmax(max, plan.maxima[split * group + h]);
  for (int i = 0; i < headDim; ++i) out[i] = 0.0f;
  double sum = 0.0;
  for (int split = first; split < end; ++split) {
    const std::size_t at = static_cast<std::size_t>(split) * group + h;
    const float weight = std::exp2(plan.maxima[at] - max);
    const float* part = plan.outs + at * static_cast<std::size_t>(headDim);
    for (int i = 0; i < headDim; ++i) out[i] += weight * part[i];
    sum += static_cast<double>(weight) * plan.sums[at];
  }
  const float inverse = first < end ? static_cast<float>(1.0 / sum) : 0.0f;
  for (int i = 0; i < headDim; ++i) out[i] *= inverse;
  constexpr double kLn2 = 0.693147180559945309417;
  if (lse) *lse = first < end ? static_cast<float>(max * kLn2 + std::log(sum)) : max;
}

}  // namespace

void attendRuns(Context& context, const KvView& kv, int layer, const float* q, int numHeads, float scale,
                const Batch& batch, const RunRows& rows, float* out, float* lse) {
  const attention::Kernels& kernels = attention::kernelsFor(context.isa());
  const int rowsOfSequence = rows.perQueryHead ? numHeads : kv.numKvHeads;
  const int numRows = batch.numSequences * rowsOfSequence;
  const int group = numHeads / rowsOfSequence;
  const std::size_t headDim = static_cast<std::size_t>(kv.headDim);
  const Plan plan = makePlan(context, rows, numRows, group, kv.headDim);

  // Row r's query heads start at head r * group of the whole batch.
  const auto finishRow = [&](int row) {
    for (int h = 0; h < group; ++h) {
      const std::size_t head = static_cast<std::size_t>(row) * group + h;
      mergeSplits(plan, plan.rowSplits[row], plan.rowSplits[row + 1], group, h, kv.headDim, out + head * headDim,
                  lse ? lse + head : nullptr);
    }
  };
  constexpr std::size_t kKeysBytes = kSplitTokens * sizeof(const std::uint8_t*);
  const std::size_t scratchBytes = kKeysBytes + kernels.runsScratchBytes(kv.headDim, group);
  auto attendSplit = [&](int number, int worker) {
    if (context.cancelled()) return;
    const Split& split = plan.splits[number];
    const int kvHead = split.row % rowsOfSequence / (rowsOfSequence / kv.numKvHeads);
    const attention::HeadRows head = {
        kv.base + static_cast<std::size_t>(layer) * kv.layerStride + static_cast<std::size_t>(kvHead) * kv.headStride,
        kv.pageStride,
        kv.valueStride,
        batch.pages + batch.pageStarts[split.row / rowsOfSequence],
        kv.type,
        kv.headDim};
    std::byte* memory = context.scratch(worker, scratchBytes);
    const std::uint8_t** keys = reinterpret_cast<const std::uint8_t**>(memory);
    listKeys(head, rows, split, keys);
    const std::size_t at = static_cast<std::size_t>(number) * group;
    kernels.runs({keys, split.count, kv.valueStride, kv.type, kv.headDim, group,
                  q + static_cast<std::size_t>(split.row) * group * headDim, scale, plan.outs + at * headDim,
                  plan.maxima + at, plan.sums + at, memory + kKeysBytes});
  };

  const double bytes = plan.numTokens * static_cast<double>(headDim) * (kv.type == KvType::f16 ? 4 : 8);
  if (bytes < kForkBytes) {
    auto attendAll = [&](int, int worker) {
      for (int number = 0; number < plan.numSplits; ++number) attendSplit(number, worker);
    };
    context.forEach(1, attendAll);
  } else {
    context.forEach(plan.numSplits, attendSplit);
  }
  for (int row = 0; row < numRows; ++row) finishRow(row);
}

}  // namespace kvasir
