// Where every row of a tiered arena is stored, once, as it is written.
#pragma once

#include <memory>

#include "../runtime/arena.h"
#include "io_threads.h"
#include "row_format.h"

namespace kvasir::tier {

// Rows of one (layer, page, KV head) that are wanted as float16: bit r of `rows[0]` asks for K row r, of `rows[1]` for
// V row r. K row `first` goes to `to`, row r to r - first rows behind it; V rows lie a hot part (16 rows) behind K
// rows.
struct Fill {
  int page;
  int kvHead;
  unsigned rows[2];
  std::uint8_t* to;
  int first = 0;

  bool empty() const { return (rows[0] | rows[1]) == 0; }
};

constexpr unsigned kAllRows = 0xffff;

// Calls come one at a time; what read() returns runs on any thread.
class LowerTier {
 public:
  virtual ~LowerTier() = default;

  // All rows by address; null where they are not stored as float16 in memory.
  virtual const KvView* view() const { return nullptr; }

  // Stores rows; they stay readable without a medium until flush().
  virtual void write(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots,
                     int rows) = 0;
  virtual void flush() {}

  // Rows of a page that were ever written, a bit each.
  virtual unsigned heldRows(int layer, int page) const = 0;
  // Those that only the medium has.
  virtual unsigned mediumRows(int, int) const { return 0; }

  // A row that will soon be copied.
  virtual void expect(int, int, int, int) const {}

  // Copies the wanted rows that are in memory and leaves those in `fill` that are on the medium.
  virtual void fill(int layer, Fill& fill) = 0;

  // Reads from the medium: fills of one layer, all of them of one page and ascending heads, or of consecutive pages
  // with all heads each.
  virtual std::shared_ptr<IoJob> read(int layer, const Fill* fills, int count);

  virtual void copyPage(int layer, int from, int to) = 0;

  // Pages of layers with any row; bytes of rows as stored; of what finds and checks them.
  virtual double tiles() const = 0;
  virtual double bytes() const = 0;
  virtual double tableBytes() const = 0;
};

}  // namespace kvasir::tier
