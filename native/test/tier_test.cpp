// A tiered arena against a plain one, bit for bit, over random lives of sequences.
#include <unistd.h>

#include <cstdlib>

#include "../tier/checksum.h"
#include "tier_pair.h"

using namespace kvasir;
using namespace kvasir::test;

namespace {

Checks check;
std::string folder;

// Sequences come, grow by chunks and tokens, fork, go, and their pages are used again.
void live(const char* name, Random& random, const ArenaShape& shape, const TierOptions& options) {
  TestContext context(Isa::scalar, 2);
  Pair pair(check, context, random, shape, options, drawInt(random, 1, 3));
  pair.name = name;
  for (int step = 0; step < 40; ++step) {
    const int count = static_cast<int>(pair.sequences.size());
    const int what = drawInt(random, 0, 9);
    if (count == 0 || (what == 0 && count < 3)) {
      if (!pair.hasRoom(60)) continue;
      pair.sequences.push_back({});
      pair.prefill(pair.sequences.back(), drawInt(random, 1, 60));
    } else if (what == 1 && pair.hasRoom(40)) {
      pair.prefill(pair.sequences[static_cast<std::size_t>(drawInt(random, 0, count - 1))], drawInt(random, 1, 40));
    } else if (what == 2 && count < 4 && pair.hasRoom(4)) {
      pair.fork(drawInt(random, 0, count - 1));
    } else if (what == 3) {
      pair.readBack(pair.sequences[static_cast<std::size_t>(drawInt(random, 0, count - 1))]);
      if (count > 1) pair.release(drawInt(random, 0, count - 1));
    } else if (pair.hasRoom(16 * count)) {
      std::vector<int> chosen;
      for (int s = 0; s < count; ++s) chosen.push_back(s);
      pair.decode(chosen, what == 4 ? 1.0 : 0.3);
    }
  }
  const TierCounts counts = pair.tiered.counts();
  check(counts.hotBytes <= options.hotBytes, "slots and tables keep to their bytes", name, counts.hotBytes);
}

void livesAgree() {
  Random random(5);
  for (int round = 0; round < 9; ++round) {
    const int dims[] = {64, 8, 33, 80, 128};
    const ArenaShape shape{drawInt(random, 1, 3), drawInt(random, 1, 3), dims[drawInt(random, 0, 4)], kPages,
                           KvType::f16};
    const int slots = drawInt(random, 1, 120);
    live("host f16 rows", random, shape, hostOptions(shape, LowerType::f16, false, slots));
    live("host f16 blocks", random, shape, hostOptions(shape, LowerType::f16, true, slots));
    live("host q8 rows", random, shape, hostOptions(shape, LowerType::q8, false, slots));
    live("host q8 blocks", random, shape, hostOptions(shape, LowerType::q8, true, slots));
    live("file f16", random, shape, fileOptions(folder, shape, LowerType::f16, false, slots));
    live("file q8", random, shape, fileOptions(folder, shape, LowerType::q8, false, slots));
    live("file f16, direct", random, shape, fileOptions(folder, shape, LowerType::f16, true, slots));
    live("file q8, direct", random, shape, fileOptions(folder, shape, LowerType::q8, true, slots));
  }
}

// Slots are found, kept and given away as a plain model of second chance says.
void slotsAreAModel() {
  Random random(9);
  for (int round = 0; round < 200; ++round) {
    const int size = drawInt(random, 1, 12);
    std::vector<SlotCache::Place> places(static_cast<std::size_t>(2 * size + 1) * 3);
    SlotCache cache(size, places.data());
    constexpr SlotCache::Key kNone = ~SlotCache::Key{0};
    std::vector<SlotCache::Key> model(static_cast<std::size_t>(size), kNone);
    for (int i = 0; i < 300; ++i) {
      if (drawInt(random, 0, 3) == 0) cache.beginStep();
      const SlotCache::Key key = static_cast<SlotCache::Key>(drawInt(random, 0, 2 * size)) * 3;
      const int slot = drawInt(random, 0, 1) ? cache.find(key) : cache.peek(key);
      const auto at = std::find(model.begin(), model.end(), key);
      check(slot == (at == model.end() ? -1 : static_cast<int>(at - model.begin())), "a key has its slot", "slots",
            key);
      if (slot >= 0 && drawInt(random, 0, 5) == 0) {
        cache.drop(slot);
        model[static_cast<std::size_t>(slot)] = kNone;
      }
      if (slot >= 0) continue;
      bool left;
      const int taken = drawInt(random, 0, 3) ? cache.take(key, left) : cache.takeGently(key, left);
      if (taken < 0) continue;
      check(left == (model[static_cast<std::size_t>(taken)] != kNone), "it tells what left", "slots", key);
      model[static_cast<std::size_t>(taken)] = key;
    }
  }
}

void checksumsAgree() {
  const std::string text = "123456789";
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  check(checksumByTable(bytes, 9) == 0xe3069283u, "the check value of CRC-32C", "table", 9);
  Random random(3);
  std::vector<std::uint8_t> data(1000);
  for (std::uint8_t& byte : data) byte = static_cast<std::uint8_t>(drawInt(random, 0, 255));
  for (std::size_t count = 0; count < data.size(); count += 37) {
    check(checksum(data.data(), count) == checksumByTable(data.data(), count), "checksums agree", "bytes",
          static_cast<double>(count));
  }
}

}  // namespace

int main() {
  char pattern[] = "/tmp/kvasir-tier-XXXXXX";
  folder = ::mkdtemp(pattern);
  checksumsAgree();
  slotsAreAModel();
  livesAgree();
  check(::rmdir(folder.c_str()) == 0, "every file is gone with its arena", "folder", 0);
  return check.report("tier");
}
