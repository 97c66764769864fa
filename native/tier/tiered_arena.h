// An arena whose rows live in a lower tier; what decode attention reads is brought up into slots of a fixed number.
//
// Threads: every call takes the arena's lock, so that the thread that runs ops and the one that forks sequences or
// reads rows never meet in the tables. Threads that read the file see their job alone: a stretch of the file, checksums
// copied when the job was made, and memory that nobody else touches until the job is done. A slot or tile with a job is
// settled before it is written, given to another row, or read.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "file_tier.h"
#include "host_tier.h"
#include "hot_rows.h"
#include "io_ring.h"
#include "staging.h"

namespace kvasir::tier {

struct TierOptions {
  LowerType lowerType;
  bool blocks;                      // slots of 16 rows
  bool dropsLate;                   // rows that are not there in time are left out, not waited for
  bool prefetch;                    // likely rows are fetched for the next step
  double hotBytes;                  // slots and their tables, all layers
  std::optional<FileOptions> file;  // none: host memory
  int ioThreads;
  bool ring;  // where the system has one
  bool pinned = true;  // a GPU reads rows of host memory itself
};

// Units are rows or blocks. Moved: up from the lower tier, for attention or to choose what it reads.
struct TierCounts {
  double hotBytes = 0, stagingBytes = 0, peakStagingBytes = 0, lowerBytes = 0, tableBytes = 0;
  double movedRows = 0, movedBytes = 0;
  double hits = 0, misses = 0, prefetched = 0, prefetchHits = 0;
  double waits = 0, waitMs = 0, dropped = 0, overflows = 0;
};

class TieredArena final : public Arena {
 public:
  // Throws Failure: too few hotBytes, or a file that cannot be made. `followed`: slotBytes() of memory for the slots, whose
  // changes takeChanged() tells; null: memory of its own.
  TieredArena(const ArenaShape& shape, const TierOptions& options, std::uint8_t* followed = nullptr);
  // Slots of a layer, and bytes of all. Throw Failure where there is no room for a slot a layer.
  static int slotsOf(const ArenaShape& shape, const TierOptions& options);
  static std::size_t slotBytes(const ArenaShape& shape, const TierOptions& options);

  TierCounts counts();
  // The file, if there is one.
  const TierFile* file() const { return file_ != nullptr ? &file_->file() : nullptr; }
  ~TieredArena() override;

  const KvView* view() const override { return lower_->view(); }
  void write(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots,
             int rows) override;
  LayerRows layerRows(Context& context, int layer, const Batch& batch, int firstToken) override;
  ListedRows listedRows(Context& context, int layer, const Batch& batch, const RunRows& rows,
                        int rowsOfSequence) override;
  // What changed, since it was last told, in the slots of listed K rows of a layer.
  std::vector<HotRows::Changed> takeChanged(int layer, const std::vector<const std::uint8_t*>& keys);
  // Memory that follows the slots has missed some of it.
  void changeAll();
  KeyRows* keyRows(int layer, const std::int32_t* pages) override;
  bool wantsLikely() const override { return options_.prefetch; }
  void prefetch(int layer, const std::int32_t* pages, const ChosenRuns& chosen) override;
  void copyPage(int from, int to) override;
  void readRows(int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end, float* out) override;
  void gatherKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                  std::uint8_t* out) override;

 private:
  class Keys;
  // Rows of one unit that one list names, next to each other in it.
  struct Need {
    Unit unit;
    unsigned rows;  // a bit each
    int list;       // row of the run lists
    int firstKey;   // where their addresses go
    int slot;       // -1: none yet

    int count() const { return __builtin_popcount(rows); }
  };

  // Rows of one block that a selector asks for: indices [first, end), the rows a bit each; slot -1: beside the slots.
  struct KeyBlock {
    Unit unit;
    int first, end;
    unsigned rows;
    int slot;
  };

  // listed_rows.cpp
  void listSequence(HotRows& hot, const std::int32_t* pages, const RunRows& rows, int firstList, int lists);
  void listBlocks(HotRows& hot, const std::int32_t* pages, const RunRows& rows, int list, int kvHead, bool fits);
  void listRows(HotRows& hot, const std::int32_t* pages, const RunRows& rows, int list, int kvHead, bool fits);
  void listHotRows(HotRows& hot, const std::int32_t* pages, const RunRows& rows, int list, int kvHead);
  void addNeed(HotRows& hot, Need need);
  void copyNeeds(int layer, HotRows& hot);
  void takeSlots(int layer, HotRows& hot);
  void awaitRows(Context& context, HotRows& hot);
  void stageRest(Context& context, int layer, bool dense);
  void address(const HotRows& hot, const Need& need);
  void closeLists();

  // key_rows.cpp
  const std::uint8_t* const* keysOf(Context& context, int layer, const std::int32_t* pages, int kvHead,
                                    const std::int32_t* indices, int count);
  void expectKeys(int layer, const std::int32_t* pages, int kvHead, const std::int32_t* indices, int count);
  void findKeys(HotRows& hot, int layer, const std::int32_t* pages, int kvHead, const std::int32_t* indices, int count);
  std::vector<KeyBlock> askForKeys(HotRows& hot, const std::int32_t* pages, int kvHead, const std::int32_t* indices,
                                   int count);
  void bringKeys(Context& context, HotRows& hot, int layer, const std::int32_t* pages, int kvHead,
                 const std::int32_t* indices, int count);
  void copyKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                std::uint8_t* out);

  void readNow(int layer, Fill& fill);
  void forgetPage(int layer, int page);
  void notePeak();
  bool copiesRows(const HotRows& hot) const {
    return hot.isSimple() && lower_->view() != nullptr && !options_.prefetch;
  }
  Unit unitOf(int page, int kvHead, int row) const { return {page, kvHead, options_.blocks ? 0 : row}; }

  TierOptions options_;
  std::unique_ptr<LowerTier> lower_;
  const FileTier* file_ = nullptr;  // lower_, if it is a file
  std::size_t lowerRowBytes_ = 0;
  std::unique_ptr<IoThreads> threads_;
  std::unique_ptr<IoRing> ring_;
  IoQueue* queue_ = nullptr;  // of what goes to slots: the ring where there is one; null for host memory
  Memory slots_, places_;
  std::vector<std::unique_ptr<HotRows>> hot_;  // by layer
  std::unique_ptr<Staging> staging_;
  KvView hotView_{};  // strides of slots
  std::mutex mutex_;
  TierCounts counts_;
  double directParts_ = 0;  // K rows and V rows that decode steps read beside the slots

  // Of the call under way.
  std::vector<PageRows> touched_, wanted_;
  std::vector<std::int32_t> pages_;  // tiles in place of pages
  std::vector<std::int32_t> rowStarts_;
  std::vector<const std::uint8_t*> keys_;
  std::vector<Need> needs_, rest_;
  std::vector<int> listTokens_, listAbsent_;
  bool leavesOut_ = false;

  // Of the selection under way, by KV head.
  struct HeadKeys {
    std::vector<const std::uint8_t*> rows;
    std::vector<std::uint8_t> copies;
    std::vector<std::unique_ptr<std::uint8_t[]>> blocks;  // that found no slot
  };
  std::vector<HeadKeys> headKeys_;
  std::unique_ptr<Keys> keyReader_;
};

}  // namespace kvasir::tier
