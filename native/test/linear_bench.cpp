// Linear layers against OpenBLAS sgemm (prefill) and against a read roof (decode), all in the same time slice:
// only ratios are printed as results, because shared machines make absolute numbers swing.
// Usage: linear_bench [prefill|decode] [threads] [isa]. Old OpenBLAS releases take their AVX2 kernels on new chips:
// OPENBLAS_CORETYPE=SkylakeX makes them use AVX-512. Link with -lopenblas.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "linear_random.h"
#include "test_context.h"

extern "C" {
void cblas_sgemm(int order, int transA, int transB, int m, int n, int k, float alpha, const float* a, int lda,
                 const float* b, int ldb, float beta, float* c, int ldc);
void openblas_set_num_threads(int threads);
}

namespace kvasir::test {
namespace {

bool cpuTime = false;

// One thread is timed by its processor time, which other programs on the machine disturb less.
double nowSeconds() {
  timespec now;
  clock_gettime(cpuTime ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <class Body>
double timed(Body body) {
  const double start = nowSeconds();
  body();
  return nowSeconds() - start;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Shape {
  const char* name;
  WeightType type;
  std::vector<int> outs;  // one per part
  int cols;
};

const Shape shapes[] = {
    {"qkv 960x576 Q4_1", WeightType::q4_1, {576, 192, 192}, 576},
    {"o 576x576 Q4_1", WeightType::q4_1, {576}, 576},
    {"gate+up 3072x576 Q4_1", WeightType::q4_1, {1536, 1536}, 576},
    {"down 576x1536 Q4_1", WeightType::q4_1, {576}, 1536},
    {"gate+up 3072x576 Q8_0", WeightType::q8_0, {1536, 1536}, 576},
    {"gate+up 3072x576 F32", WeightType::f32, {1536, 1536}, 576},
    {"4096x4096 Q4_K", WeightType::q4_k, {4096}, 4096},
    {"4096x4096 Q4_0", WeightType::q4_0, {4096}, 4096},
    {"4096x4096 Q6_K", WeightType::q6_k, {4096}, 4096},
};

struct Layer {
  std::vector<OwnedWeight*> weights;
  std::vector<LinearPart> parts;
  std::vector<std::vector<float>> outs;
  std::size_t bytes = 0;

  Layer(const Shape& shape, int rows, Isa isa) {
    Random random(5);
    for (int out : shape.outs) {
      const std::vector<std::uint8_t> file = randomFileRows(random, shape.type, out, shape.cols);
      weights.push_back(new OwnedWeight(shape.type, out, shape.cols, isa, file));
      outs.emplace_back(static_cast<std::size_t>(rows) * static_cast<std::size_t>(out));
      bytes += packedBytes(shape.type, out, shape.cols, isa);
    }
    for (std::size_t i = 0; i < weights.size(); ++i)
      parts.push_back({&weights[i]->weight, nullptr, outs[i].data(), static_cast<std::size_t>(shape.outs[i]), false});
  }
  ~Layer() {
    for (OwnedWeight* weight : weights) delete weight;
  }
  void run(Context& context, const float* x, int rows, int cols, LinearPath path, LinearMode mode) {
    linear(context, x, static_cast<std::size_t>(cols), rows, parts.data(), static_cast<int>(parts.size()), path, mode);
  }
};

int outsOf(const Shape& shape) {
  int sum = 0;
  for (int out : shape.outs) sum += out;
  return sum;
}

void benchPrefill(TestContext& context, int threads, bool all) {
  std::printf("prefill, %d threads: sgemm GFLOP/s | exact / sgemm, fast / sgemm (median of interleaved slices)\n", threads);
  openblas_set_num_threads(threads);
  Random random(6);
  for (const Shape& shape : shapes) {
    const int cols = shape.cols, outs = outsOf(shape);
    for (int rows : {16, 64, 256, 512, 4096}) {
      if (!all && rows == 4096 && cols == 4096) continue;
      Layer layer(shape, rows, context.isa());
      const std::vector<float> x = randomFloats(random, static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
      const std::vector<float> w = randomFloats(random, static_cast<std::size_t>(outs) * static_cast<std::size_t>(cols));
      std::vector<float> y(static_cast<std::size_t>(rows) * static_cast<std::size_t>(outs));
      const double flops = 2.0 * rows * outs * cols;
      const int inner = std::max(1, static_cast<int>(1e9 * threads / flops));
      std::vector<double> blas, exact, fast;
      for (int slice = 0; slice < 9; ++slice) {
        const double b = timed([&] { for (int i = 0; i < inner; ++i) cblas_sgemm(101, 111, 112, rows, outs, cols, 1, x.data(), cols, w.data(), cols, 0, y.data(), outs); });
        const double e = timed([&] { for (int i = 0; i < inner; ++i) layer.run(context, x.data(), rows, cols, LinearPath::prefill, LinearMode::exact); });
        const double f = timed([&] { for (int i = 0; i < inner; ++i) layer.run(context, x.data(), rows, cols, LinearPath::prefill, LinearMode::fast); });
        if (slice == 0) continue;
        blas.push_back(flops * inner / b / 1e9);
        exact.push_back(b / e);
        fast.push_back(b / f);
      }
      std::printf("  %-24s M=%-5d %6.0f | %5.2f %5.2f\n", shape.name, rows, median(blas), median(exact), median(fast));
      std::fflush(stdout);
    }
  }
}

// Reads bytes with every worker, as fast as plain loads go.
double readRoof(TestContext& context, const std::vector<std::uint8_t>& memory) {
  constexpr std::size_t piece = 64 * 1024;
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(context.workers()) * 8);
  return timed([&] {
    context.forEach(static_cast<int>(memory.size() / piece), [&](int task, int worker) {
      const std::uint8_t* p = memory.data() + static_cast<std::size_t>(task) * piece;
#if defined(__x86_64__)
      __m128i a = _mm_setzero_si128(), b = a, c = a, d = a;
      for (std::size_t i = 0; i < piece; i += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(p + i + 2048), _MM_HINT_T0);
        a = _mm_add_epi64(a, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i)));
        b = _mm_add_epi64(b, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i + 16)));
        c = _mm_add_epi64(c, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i + 32)));
        d = _mm_add_epi64(d, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i + 48)));
      }
      sums[static_cast<std::size_t>(worker) * 8] += static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_add_epi64(_mm_add_epi64(a, b), _mm_add_epi64(c, d))));
#else
      std::uint64_t sum = 0, word;
      for (std::size_t i = 0; i < piece; i += 8) std::memcpy(&word, p + i, 8), sum += word;
      sums[static_cast<std::size_t>(worker) * 8] += sum;
#endif
    });
  });
}

// Decode cycles through copies of the layer that together exceed the caches, as a model's layers do.
void benchDecode(TestContext& context, int threads) {
  std::printf("decode, %d threads: read roof GB/s | exact M=1, fast M=1, fast M=8, exact M=8 as share of the roof\n", threads);
  Random random(7);
  std::vector<std::uint8_t> memory(160u << 20, 1);
  const Shape decodeShapes[] = {
      {"qkv 960x576 Q4_1", WeightType::q4_1, {576, 192, 192}, 576},
      {"gate+up 3072x576 Q4_1", WeightType::q4_1, {1536, 1536}, 576},
      {"down 576x1536 Q4_1", WeightType::q4_1, {576}, 1536},
      {"head 49152x576 Q8_0", WeightType::q8_0, {49152}, 576},
      {"4096x4096 Q4_1", WeightType::q4_1, {4096}, 4096},
      {"4096x4096 Q4_0", WeightType::q4_0, {4096}, 4096},
      {"4096x4096 Q5_1", WeightType::q5_1, {4096}, 4096},
      {"4096x4096 Q4_K", WeightType::q4_k, {4096}, 4096},
      {"4096x4096 Q6_K", WeightType::q6_k, {4096}, 4096},
      {"4096x4096 F16", WeightType::f16, {4096}, 4096},
  };
  for (const Shape& shape : decodeShapes) {
    std::vector<Layer*> layers = {new Layer(shape, 8, context.isa())};
    while (layers[0]->bytes * layers.size() < (80u << 20)) layers.push_back(new Layer(shape, 8, context.isa()));
    const std::vector<float> x = randomFloats(random, 8 * static_cast<std::size_t>(shape.cols));
    const double bytes = static_cast<double>(layers[0]->bytes * layers.size());
    const int rowsOf[] = {1, 1, 8, 8};
    const LinearMode modes[] = {LinearMode::exact, LinearMode::fast, LinearMode::fast, LinearMode::exact};
    std::vector<double> roofs, shares[4];
    for (int slice = 0; slice < 9; ++slice) {
      const double before = static_cast<double>(memory.size()) / readRoof(context, memory);
      double rates[4];
      for (int i = 0; i < 4; ++i)
        rates[i] = bytes / timed([&] { for (Layer* layer : layers) layer->run(context, x.data(), rowsOf[i], shape.cols, LinearPath::decode, modes[i]); });
      const double after = static_cast<double>(memory.size()) / readRoof(context, memory);
      if (slice == 0) continue;
      const double roof = (before + after) / 2;
      roofs.push_back(roof / 1e9);
      for (int i = 0; i < 4; ++i) shares[i].push_back(rates[i] / roof);
    }
    std::printf("  %-24s %6.1f | %5.2f %5.2f %5.2f %5.2f\n", shape.name, median(roofs), median(shares[0]), median(shares[1]), median(shares[2]), median(shares[3]));
    std::fflush(stdout);
    for (Layer* layer : layers) delete layer;
  }
}

}  // namespace
}  // namespace kvasir::test

int main(int argc, char** argv) {
  using namespace kvasir;
  const std::string what = argc > 1 ? argv[1] : "all";
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1;
  const std::string level = argc > 3 ? argv[3] : "vnni";
  const Isa isa = level == "avx2" ? Isa::avx2 : level == "avx512" ? Isa::avx512 : level == "neon" ? Isa::neon : level == "scalar" ? Isa::scalar : Isa::vnni;
  test::cpuTime = threads == 1;
  test::TestContext context(isa, threads);
  if (what != "decode") test::benchPrefill(context, threads, argc > 4);
  if (what != "prefill") test::benchDecode(context, threads);
  return 0;
}
