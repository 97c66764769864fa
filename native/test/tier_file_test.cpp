// What a tiered arena does when its file is damaged, full or slow, and when it goes while reads are under way.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "tier_pair.h"

using namespace kvasir;
using namespace kvasir::test;

namespace {

Checks check;
std::string folder;

std::string failureOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const Failure& failure) {
    return failure.kind == Failure::Kind::tier ? failure.parameter + ": " + failure.got : "of another kind";
  }
  return "none";
}

bool says(const std::string& failure, const std::string& what) { return failure.find(what) != std::string::npos; }

// Every way a file may be damaged behind our back ends in a failure that names it.
void damageIsNoticed() {
  TestContext context(Isa::scalar, 1);
  Random random(11);
  const ArenaShape shape{2, 2, 64, kPages, KvType::f16};
  for (bool direct : {false, true}) {
    const auto damaged = [&](const std::function<void(const std::string& path)>& damage) {
      const TierOptions options = fileOptions(folder, shape, LowerType::f16, direct, 4);
      Pair pair(check, context, random, shape, options, 1);
      pair.sequences.push_back({});
      pair.prefill(pair.sequences[0], 100);
      damage(options.file->path);
      std::vector<float> out(100 * 64);
      return failureOf([&] { pair.tiered.readRows(1, 1, true, pair.sequences[0].pages.data(), 0, 90, out.data()); });
    };
    check(damaged([](const std::string&) {}) == "none", "a whole file is read", "file", direct);
    const std::string deleted = damaged([](const std::string& path) { ::unlink(path.c_str()); });
    check(says(deleted, "deleted") && says(deleted, folder), "a deleted file is noticed", deleted.c_str(), direct);
    const std::string cut =
        damaged([](const std::string& path) { check(::truncate(path.c_str(), 5000) == 0, "cut", "file", 0); });
    check(says(cut, "cut off") && says(cut, "layer 1"), "a file cut short is noticed", cut.c_str(), direct);
    const std::string changed = damaged([](const std::string& path) {
      const int file = ::open(path.c_str(), O_RDWR);
      struct stat status;
      check(::fstat(file, &status) == 0, "the file is there", "file", 0);
      std::vector<char> bytes(static_cast<std::size_t>(status.st_size));
      check(::pread(file, bytes.data(), bytes.size(), 0) == status.st_size, "all of it is read", "file", 0);
      for (std::size_t at = 0; at < bytes.size(); at += 64) bytes[at] = static_cast<char>(bytes[at] ^ 1);
      check(::pwrite(file, bytes.data(), bytes.size(), 0) == status.st_size, "all of it is changed", "file", 0);
      ::close(file);
    });
    check(says(changed, "checksum") && says(changed, "KV head 1, V"), "changed bytes are noticed", changed.c_str(),
          direct);
  }
}

// The descriptor of a path of this process.
int descriptorOf(const std::string& path) {
  for (int file = 3; file < 64; ++file) {
    char target[4096];
    const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(file)).c_str(), target, sizeof target);
    if (length > 0 && std::string(target, static_cast<std::size_t>(length)) == path) return file;
  }
  return -1;
}

// Rows that cannot be stored stay in memory: later reads are right, and storing is tried again.
void aFileThatCannotBeWrittenLosesNothing() {
  TestContext context(Isa::scalar, 1);
  Random random(12);
  const ArenaShape shape{2, 2, 64, kPages, KvType::f16};
  for (const bool full : {false, true}) {
    const TierOptions options = fileOptions(folder, shape, LowerType::f16, false, 4);
    Pair pair(check, context, random, shape, options, 1);
    const int file = descriptorOf(options.file->path);
    if (file < 0) return;  // no /proc here
    pair.sequences.push_back({});
    pair.prefill(pair.sequences[0], 40);
    const int kept = ::dup(file);
    const int bad = full ? ::open("/dev/full", O_RDWR) : ::open(options.file->path.c_str(), O_RDONLY);
    ::dup2(bad, file);
    std::vector<float> rows(32 * 2 * 64, 1.5f), out(32 * 64);
    std::vector<std::int32_t> slots, pages{20, 21};
    for (int i = 0; i < 32; ++i) slots.push_back(20 * kPageTokens + i);
    const std::string failed =
        failureOf([&] { pair.tiered.write(context, 0, rows.data(), rows.data(), slots.data(), 32); });
    check(says(failed, full ? "No space" : "Bad file") && says(failed, folder), "a failed write is told",
          failed.c_str(), full);
    ::dup2(kept, file);
    pair.tiered.readRows(0, 1, true, pages.data(), 0, 32, out.data());
    check(std::count(out.begin(), out.end(), 1.5f) == 32 * 64, "rows that could not be stored are not lost", "file",
          full);
    pair.tiered.write(context, 0, rows.data(), rows.data(), slots.data(), 1);
    pair.tiered.readRows(0, 1, true, pages.data(), 0, 32, out.data());
    check(std::count(out.begin(), out.end(), 1.5f) == 32 * 64, "and are stored by the next write", "file", full);
    for (int other : {kept, bad}) ::close(other);
  }
}

void badPathsAreRefused() {
  const ArenaShape shape{1, 1, 8, 4, KvType::f16};
  const auto open = [&](const std::string& path) {
    return failureOf([&] {
      TieredArena(shape, {LowerType::f16, true, false, true, 1e6, FileOptions{path, false}, 1, true});
    });
  };
  check(says(open(folder), "File exists"), "a folder is refused", "path", 0);
  check(says(open(folder + "/none/x"), "No such file"), "a missing folder is refused", "path", 0);
  check(says(failureOf([&] {
               TieredArena(shape, {LowerType::f16, true, false, true, 100, {}, 0, false});
             }),
             "hotBytes"),
        "too few bytes for a slot are refused", "hotBytes", 0);
}

// Reads are under way when the arena goes, or the caller gives up.
void arenasGoWithReadsInFlight() {
  Random random(13);
  const ArenaShape shape{3, 2, 64, kPages, KvType::f16};
  for (int round = 0; round < 60; ++round) {
    TestContext context(Isa::scalar, 1);
    Pair pair(check, context, random, shape, fileOptions(folder, shape, LowerType::f16, round % 2 == 1, 6), 1);
    pair.name = "in flight";
    pair.sequences.push_back({});
    pair.prefill(pair.sequences[0], 150);
    pair.decode({0}, 0.2);
    ChosenRuns likely;
    likely.likelyStarts = {0, 8, 16};
    for (int i = 0; i < 16; ++i) likely.likely.push_back(i % 8 * kPageTokens);
    for (int layer = 0; layer < 3; ++layer) pair.tiered.prefetch(layer, pair.sequences[0].pages.data(), likely);
    if (round % 3 == 0) {
      context.abort(true);
      const std::int32_t rowStarts[] = {0, 0}, tokens[] = {151}, pageStarts[] = {0, 10};
      const Batch batch{1, rowStarts, tokens, pageStarts, pair.sequences[0].pages.data()};
      pair.tiered.layerRows(context, 1, batch, 0);
      context.abort(false);
      pair.decode({0}, 0.5);
    }
  }
}

// With dropsLate a list is attended to without what is not there, once half of it is.
void lateRowsAreLeftOut() {
  TestContext context(Isa::scalar, 1);
  Random random(14);
  const ArenaShape shape{1, 1, 64, kPages, KvType::f16};
  TierOptions options = fileOptions(folder, shape, LowerType::f16, false, 5);
  options.dropsLate = true;
  options.prefetch = false;
  Pair pair(check, context, random, shape, options, 1);
  pair.sequences.push_back({});
  pair.prefill(pair.sequences[0], 160);
  const std::int32_t tokens[] = {160}, pageStarts[] = {0, 10};
  const Batch batch{1, nullptr, tokens, pageStarts, pair.sequences[0].pages.data()};
  const std::int32_t starts[] = {0, 3};
  const KvRun first[] = {{0, 0, 4}, {1, 0, 4}, {2, 0, 4}};
  const ListedRows cold = pair.tiered.listedRows(context, 0, batch, {starts, first}, 1);
  check(cold.rows.rowStarts[1] == 12, "a list of which nothing is there is waited for", "drop", cold.rows.rowStarts[1]);
  const KvRun second[] = {{0, 0, 4}, {1, 0, 4}, {5, 0, 4}};
  const ListedRows late = pair.tiered.listedRows(context, 0, batch, {starts, second}, 1);
  check(late.rows.rowStarts[1] == 8 && pair.tiered.counts().dropped == 4, "late rows are left out and counted", "drop",
        late.rows.rowStarts[1]);
  for (int wait = 0; wait < 2000; ++wait) {
    const ListedRows after = pair.tiered.listedRows(context, 0, batch, {starts, second}, 1);
    if (after.rows.rowStarts[1] == 12) return;
    ::usleep(1000);
  }
  check(false, "rows left out once are there later", "drop", 0);
}

// Likely rows come up behind the step that named them; what a selector has read is there already.
void likelyRowsAreFetchedAhead() {
  TestContext context(Isa::scalar, 1);
  Random random(15);
  const ArenaShape shape{1, 1, 64, kPages, KvType::f16};
  Pair pair(check, context, random, shape, fileOptions(folder, shape, LowerType::f16, false, 5), 1);
  pair.sequences.push_back({});
  pair.prefill(pair.sequences[0], 160);
  const std::int32_t tokens[] = {160}, pageStarts[] = {0, 10}, starts[] = {0, 3}, read[] = {3 * kPageTokens};
  const std::int32_t* pages = pair.sequences[0].pages.data();
  const Batch batch{1, nullptr, tokens, pageStarts, pages};
  pair.tiered.keyRows(0, pages)->rows(context, 0, read, 1);
  ChosenRuns likely;
  likely.likelyStarts = {0, 4};
  likely.likely = {0, 17, 18, 3 * kPageTokens + 5};
  pair.tiered.prefetch(0, pages, likely);
  const KvRun runs[] = {{0, 0, 4}, {1, 3, 4}, {3, 0, 9}};
  const ListedRows listed = pair.tiered.listedRows(context, 0, batch, {starts, runs}, 1);
  const TierCounts counts = pair.tiered.counts();
  check(counts.prefetched == 2 && counts.prefetchHits == 2, "blocks fetched ahead are used", "ahead", counts.prefetched);
  check(counts.hits + counts.misses == 3 && counts.movedRows == 48, "and come up once", "ahead", counts.movedRows);
  const int indices[] = {0, 1, 2, 3, 19, 20, 21, 22, 48, 49, 50, 51, 52, 53, 54, 55, 56};
  std::vector<std::uint8_t> want(17 * shape.rowBytes());
  pair.plain.gatherKeys(0, 0, pages, indices, 17, want.data());
  for (std::size_t i = 0; i < 17; ++i) {
    const std::uint8_t* row = want.data() + i * shape.rowBytes();
    check(std::memcmp(listed.rows.keys[i], row, shape.rowBytes()) == 0, "with the rows as written", "ahead", i);
  }
}

// The caller gives up while rows that were fetched ahead are on their way: what was asked for is right afterwards, and so
// is what the reads left behind.
void abortsWhileFetchingAhead() {
  Random random(16);
  const ArenaShape shape{2, 2, 64, kPages, KvType::f16};
  for (int round = 0; round < 40; ++round) {
    TestContext context(Isa::scalar, 1);
    Pair pair(check, context, random, shape, fileOptions(folder, shape, LowerType::f16, round % 4 < 2, 8), 1);
    pair.name = "aborted";
    pair.sequences.push_back({});
    pair.prefill(pair.sequences[0], 200);
    const std::int32_t* pages = pair.sequences[0].pages.data();
    ChosenRuns likely;
    likely.likelyStarts = {0, 3, 6};
    likely.likely = {1, 20, 40, 2, 22, 44};
    const std::int32_t read[] = {1, 20, 50};
    const std::int32_t tokens[] = {200}, pageStarts[] = {0, 13}, starts[] = {0, 2, 4};
    const KvRun runs[] = {{0, 1, 1}, {4, 0, 3}, {1, 6, 1}, {5, 0, 2}};
    const Batch batch{1, nullptr, tokens, pageStarts, pages};
    pair.tiered.prefetch(0, pages, likely);
    context.abort(true);
    check(pair.tiered.keyRows(0, pages)->rows(context, 1, read, 3) == nullptr, "an aborted selection gets no rows",
          "aborted", round);
    pair.tiered.listedRows(context, 0, batch, {starts, runs}, 2);
    context.abort(false);
    for (int step = 0; step < 3; ++step) pair.decode({0}, 0.3);
    pair.readBack(pair.sequences[0]);
  }
}

// Two sequences of one prompt read its blocks from the same slots, each its own rows beyond it.
void sharedPrefixesShareSlots() {
  Random random(17);
  const ArenaShape shape{1, 2, 64, kPages, KvType::f16};
  for (const bool direct : {false, true}) {
    TestContext context(Isa::scalar, 1);
    Pair pair(check, context, random, shape, fileOptions(folder, shape, LowerType::f16, direct, 40), 1);
    pair.name = "shared";
    pair.sequences.push_back({});
    pair.prefill(pair.sequences[0], 10 * kPageTokens);
    pair.fork(0);
    for (int step = 0; step < 4; ++step) pair.decode({0, 1}, 1.0);
    const TierCounts counts = pair.tiered.counts();
    check(counts.misses == 0 && counts.overflows == 0 && counts.hits > 0, "a shared prompt that fits is found hot",
          "shared", counts.misses);
    check(pair.sequences[0].pages[0] == pair.sequences[1].pages[0], "the prefix is shared", "shared", direct);
  }
}

}  // namespace

int main() {
  char pattern[] = "/tmp/kvasir-tier-XXXXXX";
  folder = ::mkdtemp(pattern);
  damageIsNoticed();
  aFileThatCannotBeWrittenLosesNothing();
  badPathsAreRefused();
  arenasGoWithReadsInFlight();
  lateRowsAreLeftOut();
  likelyRowsAreFetchedAhead();
  abortsWhileFetchingAhead();
  sharedPrefixesShareSlots();
  check(::rmdir(folder.c_str()) == 0, "every file is gone with its arena", "folder", 0);
  return check.report("tier file");
}
