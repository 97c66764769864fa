// Cuts a linear layer into tasks. Who runs which task never shows in the result: a task owns its outputs, and
// the order of every sum is the kernels'.
#include "kvasir/linear.h"

#include "kernels.h"

namespace kvasir {

using namespace lin;

namespace {

std::size_t size(int n) { return static_cast<std::size_t>(n); }
int ceilDiv(int a, int b) { return (a + b - 1) / b; }
int atMost(int a, int b) { return a < b ? a : b; }
std::size_t aligned(std::size_t bytes) { return (bytes + 63) & ~std::size_t{63}; }

// Columns unpacked at a time: keeps a panel in the second-level cache. A multiple of the K-quants' 256.
constexpr int panelCols = 2048;
// Bytes of input rows that one prefill task runs a panel over: the panel's unpacking is paid once per task.
constexpr int inputBytesPerTask = 768 * 1024;
constexpr int tilesPerTask = 16;  // at least, however long the rows
constexpr int decodeTasksPerWorker = 4;
constexpr std::size_t minDecodeTaskBytes = 64 << 10;
constexpr std::size_t maxDecodeTaskBytes = 256 << 10;
constexpr int rowsPerPrepareTask = 16;

struct Call {
  Context& context;
  LinearKernels kernels;
  const float* x;
  std::size_t xStride;
  int rows;
  int cols;
  const LinearPart* parts;
  int numParts;
  const ActBlock* quantised;  // [rows][cols / 32], null where no part needs it
  const DigitBlock* digits;   // the same
};

bool usesBytes(const LinearPart& part, LinearMode mode) {
  return mode == LinearMode::fast && !layoutOf(part.weight->type).isFloat();
}

// y [rows][yStride], groups side by side, -> out of input rows `row` and on, bias and sum included.
void store(const Call& call, const LinearPart& part, int row, int rows, int group, int groups, const float* y, int yStride) {
  const int first = group * groupRows;
  const int outs = atMost(groups * groupRows, part.weight->rows - first);
  const int whole = outs / groupRows;
  float* out = part.out + size(row) * part.outStride + first;
  const float* bias = part.bias ? part.bias + first : nullptr;
  call.kernels.floats.store(rows, whole, y, yStride, bias, part.accumulate, out, part.outStride);
  for (int r = 0; r < rows; ++r, y += yStride, out += part.outStride) {  // the rest of a cut group
    for (int i = whole * groupRows; i < outs; ++i) {
      const float value = bias ? y[i] + bias[i] : y[i];
      out[i] = part.accumulate ? out[i] + value : value;
    }
  }
}

// Calls body(first, end) over the input rows, forked when there are many.
template <class Body>
void overRows(Context& context, int rows, Body body) {
  if (rows <= rowsPerPrepareTask) return body(0, rows);
  context.forEach(ceilDiv(rows, rowsPerPrepareTask), [&](int task, int) {
    if (!context.cancelled()) body(task * rowsPerPrepareTask, atMost(rows, (task + 1) * rowsPerPrepareTask));
  });
}

// Finds the part that piece `index` belongs to, where part p has count(p) pieces; index becomes the piece in it.
template <class Count>
const LinearPart& partOf(const Call& call, int& index, Count count) {
  const LinearPart* part = call.parts;
  while (index >= count(*part)) index -= count(*part++);
  return *part;
}

int groupsOf(const LinearPart& part) { return ceilDiv(part.weight->rows, groupRows); }

const std::uint8_t* groupAt(const Weight& weight, int group) {
  return weight.data + size(group) * layoutOf(weight.type).groupBytes(weight.cols);
}

int panelGroupsOf(const Call& call, bool bytes) {
  return bytes ? call.kernels.bytes.panelGroups : call.kernels.floats.panelGroups;
}

// One task: a panel of output rows times a run of input rows.
class PanelTask {
 public:
  PanelTask(const Call& call, const LinearPart& part, int panel, bool bytes)
      : call(call), part(part), bytes(bytes), layout(layoutOf(part.weight->type)),
        groups(panelGroupsOf(call, bytes)), firstGroup(panel * groups), width(groups * groupRows) {}

  void run(int worker, int firstRow, int endRow) {
    const int chunk = atMost(call.cols, panelCols);
    const std::size_t panelBytes = aligned(bytes ? size(chunk / blockCols) * fastPanelBlockBytes(layout, groups)
                                                 : size(chunk) * size(width) * 4);
    std::byte* scratch = call.context.scratch(worker, panelBytes + size(endRow - firstRow) * size(width) * 4);
    float* sums = reinterpret_cast<float*>(scratch + panelBytes);  // [endRow - firstRow][width]
    const int tileRows = bytes ? call.kernels.bytes.tileRows : call.kernels.floats.tileRows;
    const int tiles = ceilDiv(endRow - firstRow, tileRows);
    for (int k = 0; k < call.cols; k += panelCols) {
      const int cols = atMost(panelCols, call.cols - k);
      unpack(k, cols, scratch);
      for (int t = 0; t < tiles; ++t) {  // of nearly equal height
        const int from = firstRow + tileFrom(t, tiles, endRow - firstRow);
        const int to = firstRow + tileFrom(t + 1, tiles, endRow - firstRow);
        float* tile = call.cols > panelCols ? sums + size(from - firstRow) * size(width) : sums;
        multiply(k, cols, scratch, from, to - from, tile);
        if (k + cols == call.cols) store(call, part, from, to - from, firstGroup, groups, tile, width);
      }
    }
  }

 private:
  static int tileFrom(int t, int tiles, int rows) { return t * (rows / tiles) + atMost(t, rows % tiles); }

  void unpack(int k, int cols, std::byte* panel) const {
    for (int place = 0; place < groups; ++place) {
      const int group = atMost(firstGroup + place, groupsOf(part) - 1);  // past the end: repeated, never stored
      const std::uint8_t* source = groupAt(*part.weight, group) + layout.groupBytes(k);
      if (bytes) call.kernels.bytes.unpack(part.weight->type, source, cols, place, reinterpret_cast<std::uint8_t*>(panel));
      else call.kernels.floats.unpack(part.weight->type, source, cols, place, reinterpret_cast<float*>(panel));
    }
  }

  void multiply(int k, int cols, const std::byte* panel, int row, int rows, float* tile) const {
    if (bytes) {
      const std::size_t blocks = size(call.cols / blockCols);
      call.kernels.bytes.multiply(part.weight->type, rows, call.quantised + size(row) * blocks + k / blockCols, blocks,
                            reinterpret_cast<const std::uint8_t*>(panel), cols, k == 0, tile);
    } else {
      call.kernels.floats.multiply(rows, call.x + size(row) * call.xStride + k, call.xStride,
                             reinterpret_cast<const float*>(panel), cols, k == 0, tile);
    }
  }

  const Call& call;
  const LinearPart& part;
  bool bytes;
  Layout layout;
  int groups;
  int firstGroup;
  int width;
};

void prefill(const Call& call, LinearMode mode) {
  const auto panelsOf = [&](const LinearPart& part) { return ceilDiv(groupsOf(part), panelGroupsOf(call, usesBytes(part, mode))); };
  int panels = 0;
  for (int p = 0; p < call.numParts; ++p) panels += panelsOf(call.parts[p]);
  const int tileRows = call.kernels.floats.tileRows;
  const int wantedRows = inputBytesPerTask / (4 * call.cols);
  const int runs = ceilDiv(call.rows, wantedRows > tilesPerTask * tileRows ? wantedRows : tilesPerTask * tileRows);
  const int runRows = ceilDiv(call.rows, runs * tileRows) * tileRows;
  call.context.forEach(panels * ceilDiv(call.rows, runRows), [&](int task, int worker) {
    if (call.context.cancelled()) return;
    int panel = task % panels;
    const int row = task / panels * runRows;
    const LinearPart& part = partOf(call, panel, panelsOf);
    PanelTask(call, part, panel, usesBytes(part, mode)).run(worker, row, atMost(call.rows, row + runRows));
  });
}

void decodeGroup(const Call& call, const LinearPart& part, int group, bool bytes) {
  alignas(64) float y[16 * groupRows];
  const Weight& weight = *part.weight;
  const std::uint8_t* data = groupAt(weight, group);
  const std::size_t blocks = size(call.cols / blockCols);
  const int most = bytes ? call.kernels.bytes.decodeRowsFast : call.kernels.bytes.decodeRowsExact;
  for (int row = 0; row < call.rows; row += most) {
    const int rows = atMost(most, call.rows - row);
    if (layoutOf(weight.type).isFloat()) {
      call.kernels.floats.decode(weight.type, data, call.cols, rows, call.x + size(row) * call.xStride, call.xStride, y);
    } else if (bytes) {
      call.kernels.bytes.decodeFast(weight.type, data, call.cols, rows, call.quantised + size(row) * blocks, y);
    } else {
      call.kernels.bytes.decodeExact(weight.type, data, call.cols, rows, call.digits + size(row) * blocks, y);
    }
    store(call, part, row, rows, group, 1, y, groupRows);
  }
}

// From this many rows on, unpacking a panel for all of them beats expanding each group for a few at a time; the
// sums are the same to the bit.
constexpr int panelRows = 17;

bool allBytes(const Call& call, LinearMode mode) {
  for (int p = 0; p < call.numParts; ++p)
    if (!usesBytes(call.parts[p], mode)) return false;
  return true;
}

// Weights of one decode task: long stretches stream best, a few a worker keep the workers even.
std::size_t decodeTaskBytes(const Call& call) {
  std::size_t total = 0;
  for (int p = 0; p < call.numParts; ++p)
    total += size(groupsOf(call.parts[p])) * layoutOf(call.parts[p].weight->type).groupBytes(call.cols);
  const std::size_t share = total / size(decodeTasksPerWorker * call.context.workers());
  return share < minDecodeTaskBytes ? minDecodeTaskBytes : share > maxDecodeTaskBytes ? maxDecodeTaskBytes : share;
}

void decode(const Call& call, LinearMode mode) {
  if (call.rows >= panelRows && allBytes(call, mode)) return prefill(call, mode);
  const std::size_t taskBytes = decodeTaskBytes(call);
  const auto groupsPerTask = [&](const LinearPart& part) {
    const int fit = static_cast<int>(taskBytes / layoutOf(part.weight->type).groupBytes(call.cols));
    return fit > 1 ? fit : 1;
  };
  const auto tasksOf = [&](const LinearPart& part) { return ceilDiv(groupsOf(part), groupsPerTask(part)); };
  int tasks = 0;
  for (int p = 0; p < call.numParts; ++p) tasks += tasksOf(call.parts[p]);
  call.context.forEach(tasks, [&](int task, int) {
    const LinearPart& part = partOf(call, task, tasksOf);
    const int end = atMost(groupsOf(part), (task + 1) * groupsPerTask(part));
    for (int group = task * groupsPerTask(part); group < end; ++group) {
      if (call.context.cancelled()) return;
      decodeGroup(call, part, group, usesBytes(part, mode));
    }
  });
}

// An empty product: a linear layer without input columns.
void storeZeros(const Call& call) {
  const float zeros[groupRows] = {};
  for (int p = 0; p < call.numParts; ++p)
    for (int group = 0; group < groupsOf(call.parts[p]); ++group) store(call, call.parts[p], 0, call.rows, group, 1, zeros, 0);
}

}  // namespace

void linear(Context& context, const float* x, std::size_t xStride, int rows, const LinearPart* parts, int numParts,
            LinearPath path, LinearMode mode) {
  if (rows == 0 || numParts == 0) return;
  Call call{context, kernelsOf(context.isa()), x, xStride, rows, parts[0].weight->cols, parts, numParts, nullptr, nullptr};
  if (call.cols == 0) return storeZeros(call);

  bool needsBytes = false, needsDigits = false;
  for (int p = 0; p < numParts; ++p) {
    const bool bytes = usesBytes(parts[p], mode);
    needsBytes |= bytes;
    needsDigits |= !bytes && path == LinearPath::decode && !layoutOf(parts[p].weight->type).isFloat();
  }
  const std::size_t blocks = size(call.cols / blockCols);
  const std::size_t quantisedBytes = needsBytes ? aligned(size(rows) * blocks * sizeof(ActBlock)) : 0;
  const std::size_t digitBytes = needsDigits ? size(rows) * blocks * sizeof(DigitBlock) : 0;
  if (needsBytes || needsDigits) {
    std::byte* shared = context.shared(quantisedBytes + digitBytes);
    ActBlock* quantised = reinterpret_cast<ActBlock*>(shared);
    DigitBlock* digits = reinterpret_cast<DigitBlock*>(shared + quantisedBytes);
    overRows(context, rows, [&](int first, int end) {
      for (int row = first; row < end; ++row) {
        const float* in = x + size(row) * xStride;
        if (needsBytes) call.kernels.bytes.quantise(in, static_cast<int>(blocks), quantised + size(row) * blocks);
        if (needsDigits) call.kernels.bytes.splitDigits(in, static_cast<int>(blocks), digits + size(row) * blocks);
      }
    });
    call.quantised = quantised;
    call.digits = digits;
  }
  if (path == LinearPath::prefill) prefill(call, mode);
  else decode(call, mode);
}

}  // namespace kvasir
