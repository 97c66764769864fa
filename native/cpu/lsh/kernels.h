// What an instruction set supplies for hashing.
#pragma once

#include <limits>

#include "kvasir/lsh.h"

namespace kvasir::lsh {

constexpr int kPanelHashes = 32;
constexpr int kBlockRows = 8;
// Queries that share one pass over a block of codes.
constexpr int kScanQueries = 4;

// Distance above, index below: the order of nearest rows is the order of these numbers, as signed ones too.
using Ranked = std::uint64_t;
constexpr Ranked kNone = ~Ranked{0} >> 1;
constexpr std::int32_t kFarthest = std::numeric_limits<std::int32_t>::max();
// Lists of ranks are handled by this many.
constexpr int kRanks = 8;

inline int paddedRanks(int count) { return (count + kRanks - 1) / kRanks * kRanks; }

// The best rows so far of one query.
struct Nearest {
  Ranked* best;  // [paddedRanks(count)], ascending, 64-byte aligned; kNone where there is none yet
  int count;
  std::int32_t limit;  // only lower distances change anything
};

struct ScanTask {
  CodeTable table;
  int firstBlock;
  int endBlock;
  const std::uint64_t* queries[kScanQueries];
  Nearest* nearest[kScanQueries];  // all different
  int numQueries;
};

// Dot product of a and b and squared length of b; or their squared distance.
struct Products {
  double dot;
  double square;
};

struct Kernels {
  // All hashes of `rows` rows.
  void (*hash)(const HashPlanes& planes, HashKind kind, const float* x, int rows, void* out);
  void (*scan)(const ScanTask& task);
  Products (*products)(const float* a, const float* b, int dim);
  double (*squaredDistance)(const float* a, const float* b, int dim);
};

extern const Kernels kernelsScalar;
extern const Kernels kernelsAvx2;
extern const Kernels kernelsAvx512;
extern const Kernels kernelsPopcnt;
extern const Kernels kernelsNeon;

const Kernels& kernelsFor(Isa isa);

}  // namespace kvasir::lsh
