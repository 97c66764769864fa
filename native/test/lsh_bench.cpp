// Hashing and search among codes as ratios to yardsticks in the same time slices: faiss IndexBinaryFlat where a Python has it
// (KVASIR_PYTHON names one; held to the same instruction set), a popcount roof, sgemm of OpenBLAS where it is installed.
// Usage: lsh_bench [all|match|hamming|project] [threads] [isa]
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <string>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "../runtime/machine.h"
#include "kvasir/lsh.h"
#include "test_context.h"

namespace kvasir::test {
namespace {

constexpr int kRows = 5120, kDim = 576, kBits = 256, kCandidates = 16, kSlices = 11;

bool cpuTime = false;

// One thread is timed by its processor time, which other programs on the machine disturb less.
double nowMs() {
  timespec now;
  clock_gettime(cpuTime ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

// One run on one thread. On several, the best of some, after a rest: threads of others that spin for their next work, and helpers
// that are slow to start or share a processor at first, are not what is measured.
template <class Run>
double bestMs(Run runMs) {
  if (cpuTime) return runMs();
  usleep(50000);
  double best = runMs();
  for (int run = 1; run < 8; ++run) best = std::min(best, runMs());
  return best;
}

template <class Body>
double timed(Body body) {
  return bestMs([&] {
    const double start = nowMs();
    body();
    return nowMs() - start;
  });
}

struct Spread {
  std::vector<double> values;
  void add(double value) { values.push_back(value); }
  double at(double share) {
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  }
  void print(const char* what, const char* unit) {
    std::printf("  %-44s %8.2f %s (quartiles %.2f, %.2f)\n", what, at(0.5), unit, at(0.25), at(0.75));
  }
};

std::vector<float> drawFloats(std::mt19937_64& random, std::size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// IndexBinaryFlat in a Python of its own: each line in is one search, each line out its ms.
class Faiss {
 public:
  Faiss(Isa isa, int threads, int rows, int queries, int bits, int count) {
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0) return;
    child = fork();
    if (child == 0) {
      dup2(in[0], 0), dup2(out[1], 1);
      for (int end : {in[0], in[1], out[0], out[1]}) close(end);
      // A virtual environment is found by the name that its Python was called by.
      const char* named = std::getenv("KVASIR_PYTHON");
      const char* python = named ? named : "python3";
      if (isa == Isa::avx2) setenv("FAISS_SIMD_LEVEL", "AVX2", 1);
      if (isa == Isa::avx512) setenv("FAISS_SIMD_LEVEL", "AVX512", 1);
      const std::string numbers[] = {std::to_string(threads), std::to_string(rows), std::to_string(queries), std::to_string(bits), std::to_string(count)};
      execlp(python, python, "-c", script, numbers[0].c_str(), numbers[1].c_str(), numbers[2].c_str(), numbers[3].c_str(), numbers[4].c_str(), nullptr);
      _exit(1);
    }
    close(in[0]), close(out[1]);
    ask = fdopen(in[1], "w"), answer = fdopen(out[0], "r");
    there = child > 0 && std::fgets(version, sizeof version, answer) != nullptr;
  }
  ~Faiss() {
    if (ask) std::fclose(ask);
    if (answer) std::fclose(answer);
    if (child > 0) waitpid(child, nullptr, 0);
  }
  double searchMs() {
    return bestMs([&] {
      double ms = 0;
      std::fputs("go\n", ask);
      std::fflush(ask);
      if (std::fscanf(answer, "%lf", &ms) != 1) there = false;
      return ms;
    });
  }
  bool there = false;
  char version[64] = "";

 private:
  static constexpr const char* script =
      "import sys, time\n"
      "try: import faiss, numpy\n"
      "except ImportError: sys.exit(0)\n"
      "threads, rows, queries, bits, count = map(int, sys.argv[1:])\n"
      "faiss.omp_set_num_threads(threads)\n"
      "draw = numpy.random.default_rng(1)\n"
      "index = faiss.IndexBinaryFlat(bits)\n"
      "index.add(draw.integers(0, 256, (rows, bits // 8), dtype=numpy.uint8))\n"
      "asked = draw.integers(0, 256, (queries, bits // 8), dtype=numpy.uint8)\n"
      "clock = time.thread_time if threads == 1 else time.perf_counter\n"
      "print(faiss.__version__, flush=True)\n"
      "for line in sys.stdin:\n"
      "  start = clock()\n"
      "  index.search(asked, count)\n"
      "  print(1e3 * (clock() - start), flush=True)\n";
  pid_t child = -1;
  FILE *ask = nullptr, *answer = nullptr;
};

#if defined(__x86_64__)
// xor, popcount and add of words that lie in the first-level cache: no scan on these instructions is faster.
__attribute__((target("avx512f,avx512vpopcntdq"))) double popcountRoofMs(double words) {
  alignas(64) std::uint64_t memory[512];
  for (int i = 0; i < 512; ++i) memory[i] = static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15u;
  __m512i sums[8];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  const __m512i query = _mm512_set1_epi64(0x123456789abcdef);
  const double start = nowMs();
  for (double done = 0; done < words; done += 512) {
    asm volatile("" ::: "memory");  // each round counts anew
    for (int i = 0; i < 512; i += 64) {
      for (int s = 0; s < 8; ++s)
        sums[s] = _mm512_add_epi64(sums[s], _mm512_popcnt_epi64(_mm512_xor_si512(query, _mm512_load_si512(memory + i + 8 * s))));
    }
  }
  const double ms = nowMs() - start;
  __m512i all = sums[0];
  for (int s = 1; s < 8; ++s) all = _mm512_add_epi64(all, sums[s]);
  volatile std::uint64_t kept = static_cast<std::uint64_t>(_mm512_reduce_add_epi64(all));
  (void)kept;
  return ms;
}
#endif

struct Codes {
  std::vector<std::uint8_t> queries;
  std::vector<std::uint64_t> blocks;
  CodeTable table;

  Codes(std::mt19937_64& random, int rows, int numQueries, int bits) {
    const auto draw = [&](int count) {
      std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count) * bits / 8);
      for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
      return bytes;
    };
    queries = draw(numQueries);
    blocks.resize(blockWordsOf(rows, bits / 64));
    packCodes(draw(rows).data(), rows, bits / 64, blocks.data());
    table = {CodeDistance::hamming, rows, bits / 64, blocks.data()};
  }
};

void benchHamming(TestContext& context, int rows, int numQueries, int bits, int count) {
  std::mt19937_64 random(1);
  const Codes codes(random, rows, numQueries, bits);
  const std::size_t size = static_cast<std::size_t>(numQueries) * count;
  std::vector<std::int32_t> indices(size), distances(size);
  Faiss faiss(context.isa(), context.workers(), rows, numQueries, bits, count);
  Spread ms, ratio, roof;
  for (int slice = 0; slice <= kSlices; ++slice) {
    const double own = timed([&] {
      nearestCodes(context, codes.table, codes.queries.data(), numQueries, count, bits, indices.data(), distances.data());
    });
    const double other = faiss.there ? faiss.searchMs() : 0.0;
    double bound = 0.0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vpopcntdq"))
      bound = popcountRoofMs(static_cast<double>(rows) * numQueries * bits / 64) / context.workers();
#endif
    if (slice == 0) continue;
    ms.add(own), ratio.add(other / own), roof.add(bound / own);
  }
  std::printf("%s, %d threads: %d queries x %d rows x %d bits, nearest %d: %.2f Gpair/s\n", nameOf(context.isa()), context.workers(),
              numQueries, rows, bits, count, 1e-6 * numQueries * rows / ms.at(0.5));
  ms.print("search", "ms");
  faiss.version[std::strcspn(faiss.version, "\n")] = 0;
  if (faiss.there) ratio.print((std::string("times as fast as faiss ") + faiss.version).c_str(), "x");
  else std::printf("  skipped: no Python with faiss\n");
  if (roof.at(0.5) > 0) roof.print("share of the AVX-512 popcount roof", " ");
}

using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);

Sgemm openBlas(int threads) {
  void* library = dlopen("libopenblas.so.0", RTLD_NOW);
  if (library == nullptr) return nullptr;
  const auto setThreads = reinterpret_cast<void (*)(int)>(dlsym(library, "openblas_set_num_threads"));
  if (setThreads != nullptr) setThreads(threads);
  return reinterpret_cast<Sgemm>(dlsym(library, "cblas_sgemm"));
}

struct Vectors {
  std::vector<float> x, y, planes, panels;
  HashPlanes view;

  Vectors() {
    std::mt19937_64 random(2);
    x = drawFloats(random, static_cast<std::size_t>(kRows) * kDim);
    y = drawFloats(random, static_cast<std::size_t>(kRows) * kDim);
    planes = drawFloats(random, static_cast<std::size_t>(kBits) * kDim);
    panels.resize(planes.size());
    packPlanes(planes.data(), kBits, kDim, panels.data());
    view = {kBits, kDim, panels.data(), nullptr, 1.0f};
  }
};

void benchProject(TestContext& context, const Vectors& data) {
  const Sgemm sgemm = openBlas(context.workers());
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(kRows) * kBits / 8);
  std::vector<float> products(static_cast<std::size_t>(kRows) * kBits);
  Spread ms, ratio;
  for (int slice = 0; slice <= kSlices; ++slice) {
    const double own = timed([&] { hashRows(context, data.view, HashKind::signs, data.x.data(), kRows, codes.data()); });
    const double other = sgemm == nullptr ? 0.0 : timed([&] {
      sgemm(101, 111, 112, kRows, kBits, kDim, 1, data.x.data(), kDim, data.planes.data(), kDim, 0, products.data(), kBits);
    });
    if (slice == 0) continue;
    ms.add(own), ratio.add(other / own);
  }
  std::printf("%s, %d threads: signs of %d rows x %d by %d planes, %.0f GFLOP/s\n", nameOf(context.isa()), context.workers(), kRows, kDim,
              kBits, 2e-6 * kRows * kDim * kBits / ms.at(0.5));
  ms.print("projection with signs packed", "ms");
  if (sgemm != nullptr) ratio.print("times as fast as sgemm alone", "x");
  else std::printf("  skipped: no OpenBLAS\n");
}

// Rows matched with rows from their vectors: codes of both, 16 candidates each, the best by cosine.
void benchMatch(TestContext& context, const Vectors& data) {
  constexpr int words = kBits / 64;
  std::vector<std::uint8_t> queries(static_cast<std::size_t>(kRows) * kBits / 8), codes(queries.size());
  std::vector<std::uint64_t> blocks(blockWordsOf(kRows, words));
  std::vector<std::int32_t> indices(static_cast<std::size_t>(kRows) * kCandidates), distances(indices), best(kRows);
  std::vector<float> values(kRows);
  Spread hash, scan, rank, all;
  for (int slice = 0; slice <= kSlices; ++slice) {
    const double hashMs = timed([&] {
      hashRows(context, data.view, HashKind::signs, data.x.data(), kRows, queries.data());
      hashRows(context, data.view, HashKind::signs, data.y.data(), kRows, codes.data());
    });
    const double scanMs = timed([&] {
      packCodes(codes.data(), kRows, words, blocks.data());
      nearestCodes(context, {CodeDistance::hamming, kRows, words, blocks.data()}, queries.data(), kRows, kCandidates, kBits, indices.data(), distances.data());
    });
    const double rankMs = timed([&] {
      rankRows(context, {RowMetric::cosine, kDim, data.x.data(), kRows, data.y.data(), indices.data(), kCandidates, -1.0f}, best.data(), values.data());
    });
    if (slice == 0) continue;
    hash.add(hashMs), scan.add(scanMs), rank.add(rankMs), all.add(hashMs + scanMs + rankMs);
  }
  std::printf("%s, %d threads: %d x %d rows of %d, %d bits, %d candidates\n", nameOf(context.isa()), context.workers(), kRows, kRows, kDim,
              kBits, kCandidates);
  hash.print("codes of both sides", "ms");
  scan.print("candidates", "ms");
  rank.print("true cosines", "ms");
  all.print("together", "ms");
}

}  // namespace
}  // namespace kvasir::test

int main(int argc, char** argv) {
  using namespace kvasir::test;
  const std::string part = argc > 1 ? argv[1] : "all";
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1;
  cpuTime = threads == 1;
  const Vectors data;
  for (const kvasir::Isa isa : kvasir::runnableIsas()) {
    if (argc > 3 ? std::strcmp(argv[3], kvasir::nameOf(isa)) != 0 : isa == kvasir::Isa::scalar) continue;
    TestContext context(isa, threads);
    if (part == "match" || part == "all") benchMatch(context, data);
    if (part == "project" || part == "all") benchProject(context, data);
    if (part != "hamming" && part != "all") continue;
    benchHamming(context, kRows, kRows, kBits, 1);
    benchHamming(context, kRows, kRows, kBits, kCandidates);
    benchHamming(context, 1 << 20, 64, kBits, 1);
  }
}
