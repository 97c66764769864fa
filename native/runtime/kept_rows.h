// Which KV rows of one sequence attention may still read, at every layer.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kvasir/attention.h"

namespace kvasir {

class KeptRows {
 public:
  KeptRows(int numLayers, int numKvHeads) : numKvHeads_(numKvHeads), layers_(static_cast<std::size_t>(numLayers)) {}

  int numLayers() const { return static_cast<int>(layers_.size()); }
  int numKvHeads() const { return numKvHeads_; }

  // Of the rows below endTokens, drops those that `rows` (one a KV head) does not name; what is gone stays gone.
  void set(int layer, const RunRows& rows, int endTokens);

  // Kept rows below the end of what set() has covered, summed over the KV heads.
  std::int64_t heldTokens(int layer) const;

  // Forgets what is known of rows from numTokens on: they are gone, and others may come in their place.
  void truncate(int numTokens);

  KeptView view(int layer) const;

  // Of no other contents than these: another number whenever a layer changes, of all sequences.
  std::uint64_t version(int layer) const { return layers_[static_cast<std::size_t>(layer)].version; }
  // What somebody else makes of it, and forgets with it.
  struct Copy {
    virtual ~Copy() = default;
  };
  std::shared_ptr<Copy>& copy() const { return copy_; }

 private:
  struct Layer {
    std::uint64_t version = 0;
    int endTokens = 0;
    std::vector<std::uint64_t> bits;  // as KeptView has them
  };

  int numKvHeads_;
  std::vector<Layer> layers_;
  mutable std::shared_ptr<Copy> copy_;
};

// Writes into `out` the runs of `list` without the rows that are not kept; index `current` always stays.
// headsPerKvHead: rows of the list that read one KV head.
void keepRuns(const ChosenRuns& list, const KeptView& kept, int headsPerKvHead, int current, ChosenRuns& out);

}  // namespace kvasir
