// Rows of one layer brought up whole, all KV heads of a page together, while the next layer's are already on their way:
// what prefill reads, and decode steps that read more than the slots hold.
#pragma once

#include <unordered_map>
#include <vector>

#include "lower_tier.h"

namespace kvasir::tier {

struct PageRows {
  int page;
  unsigned rows;
};

// Memory grows with the pages of one layer, twice, and is given back by release().
class Staging {
 public:
  Staging(const ArenaShape& shape, LowerTier& lower, IoThreads* threads);
  ~Staging() { release(); }

  // Brings rows of the pages up; keys alone or both. The pages' numbers in the view come from tileOf.
  void bring(Context& context, int layer, const std::vector<PageRows>& wanted, bool values);

  // Starts to bring pages of a layer that comes next.
  void ahead(int layer, const std::vector<PageRows>& wanted);

  // A page's rows have just been written and the lower tier still has them in memory.
  void written(int layer, int page, unsigned rows, bool keep);
  void forget(int page);

  const KvView& view() const { return view_; }
  int tileOf(int page) const { return buffers_[now_].tiles.at(page); }

  void release();
  bool empty() const { return buffers_[0].valid.empty() && buffers_[1].valid.empty(); }
  double bytes() const;
  double movedParts() const { return movedParts_; }  // K rows and V rows of a KV head

 private:
  struct Valid {
    unsigned rows[2];
  };
  struct Buffer {
    int layer = -1;
    Memory memory;
    std::unordered_map<int, int> tiles;
    std::vector<Valid> valid;
    std::vector<std::shared_ptr<IoJob>> jobs;
  };

  Buffer& turnTo(int layer);
  int add(Buffer& buffer, int page);
  void reserve(Buffer& buffer);
  std::uint8_t* placeOf(const Buffer& buffer, int tile, int kvHead) const;
  void start(Buffer& buffer, const std::vector<PageRows>& wanted, bool values, bool urgent);
  void settle(Context* context, Buffer& buffer);
  void clear(Buffer& buffer);

  ArenaShape shape_;
  LowerTier& lower_;
  IoThreads* threads_;
  Buffer buffers_[2];
  int now_ = 0;
  KvView view_{};
  std::vector<Fill> fills_;
  double movedParts_ = 0;
};

}  // namespace kvasir::tier
