// What a copy from the host beside products costs the products: products alone and beside it, in turn.
#include <string>

#include "bench.h"
#include "pages.h"
#include "weights.h"

namespace kvasir::gpu::bench {

namespace {

class OtherStream {
 public:
  explicit OtherStream(const Gpu& gpu) : gpu_(gpu) { gpu.check(gpu.table().createStream(gpu.device(), 0, &stream_), "createStream"); }
  ~OtherStream() { gpu_.table().destroyStream(stream_); }
  OtherStream(const OtherStream&) = delete;

  KvasirStream* get() const { return stream_; }
  void synchronize() const { gpu_.check(gpu_.table().synchronizeStream(stream_), "synchronizeStream"); }
  bool busy() const { return gpu_.table().queryStream(stream_) == KVASIR_GPU_NOT_READY; }

 private:
  const Gpu& gpu_;
  KvasirStream* stream_ = nullptr;
};

// `copies` gives the stream what outlasts the products by far.
void runCase(Bench& bench, const std::string& shape, const Job& products, const Work& copies) {
  if (bench.late("beside", shape)) return;
  const Gpu& gpu = bench.gpu;
  const OtherStream other(gpu);
  Pace pace = bench.pace;
  pace.slices = 1;
  std::vector<double> slowdowns;
  bool outlasted = true;
  for (int slice = 0; slice < bench.pace.slices; ++slice) {
    const double alone = measure(gpu, products, nullptr, pace).micros.median;
    copies(other.get(), 0);
    const double beside = measure(gpu, products, nullptr, pace).micros.median;
    outlasted = outlasted && other.busy();
    other.synchronize();
    slowdowns.push_back(100.0 * (beside / alone - 1.0));
  }
  if (!outlasted && !gpu.emulated()) return bench.rows.notRun("beside", shape, "the copy ended before the products did");
  const Target target{8, 3, true};
  bench.rows.value("beside", shape, spreadOf(slowdowns).median, "% slower products", &target);
}

}  // namespace

void steps::beside(Bench& bench) {
  const Gpu& gpu = bench.gpu;
  constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;
  const std::size_t slab = bench.tiny ? 64 * kKiB : 256 * kMiB, small = 4 * kKiB, page = bench.tiny ? 16 * kKiB : 2 * kMiB;
  const Memory target = Memory::onDevice(gpu, slab), host = Memory::onHost(gpu, slab);
  fillRandom(gpu, host);
  std::vector<KvasirPiece> pieces;
  for (std::size_t at = 0; at < slab; at += small) pieces.push_back({host.device(at), target.device(slab - small - at), small});
  const Memory list = upload(gpu, pieces);
  std::vector<KvasirCopy> pages;
  for (std::size_t at = 0; at < slab; at += page) pages.push_back({target.device(slab - page - at), static_cast<std::uint8_t*>(host.host()) + at, page});

  // A chunk of a prompt through the largest matrix of a model of 8 B parameters.
  const int rows = bench.tiny ? 16 : 4096, cols = bench.tiny ? 64 : 4096, outs = bench.tiny ? 32 : 14336;
  const Weights weights(gpu, KVASIR_WEIGHT_F16, outs, cols);
  const Memory x = upload(gpu, randomFloats(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols)));
  const Memory out = Memory::onDevice(gpu, static_cast<std::size_t>(rows) * static_cast<std::size_t>(outs) * sizeof(float));
  const Prepared prepared(gpu, rows, cols);
  const Job product{[&](KvasirStream* stream, int) {
                      KvasirLinearArgs args{};
                      args.x = x.device<float>();
                      args.xStride = static_cast<std::size_t>(cols);
                      args.rows = rows;
                      args.numParts = 1;
                      args.parts[0] = {weights.weight, nullptr, out.device<float>(), static_cast<std::size_t>(outs), 0};
                      args.path = KVASIR_LINEAR_PREFILL;
                      args.mode = KVASIR_LINEAR_FAST;
                      args.prepared = prepared.rows;
                      gpu.check(gpu.table().linear(stream, &args), "linear");
                    },
                    2.0 * rows * outs * cols, 1};
  const int repeats = bench.tiny ? 1 : 16;  // 4 GiB: some 80 ms
  for (const bool registers : {false, true}) {
    const Job& products = registers ? bench.roofs.multiply() : product;
    const std::string what = registers ? "products from registers, " : "linear of 4096 rows, ";
    for (const int maxBlocks : {4, 16}) {
      const KvasirCopyPiecesArgs args{list.device<KvasirPiece>(), static_cast<int32_t>(pieces.size()), small, maxBlocks};
      runCase(bench, what + "4 KiB by a kernel of " + std::to_string(maxBlocks), products, [&](KvasirStream* stream, int) {
        for (int i = 0; i < repeats; ++i) gpu.check(gpu.table().copyPieces(stream, &args), "copyPieces");
      });
    }
    runCase(bench, what + "2 MiB by the engines", products, [&](KvasirStream* stream, int) {
      for (int i = 0; i < repeats; ++i) gpu.check(gpu.table().copyBatch(stream, pages.data(), pages.size()), "copyBatch");
    });
  }
}

}  // namespace kvasir::gpu::bench
