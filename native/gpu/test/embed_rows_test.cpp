// embedRows against the CPU's reading of the same file, to the bit: what packs and unpacks weights of every type.
#include <cmath>

#include "weight_case.h"

namespace kvasir::gpu::test {
namespace {

void run(Case& c, WeightType type, int tableRows, int cols, int rows, int gap) {
  const WeightCase table = drawWeight(c, type, tableRows, cols);
  const std::size_t width = static_cast<std::size_t>(cols), stride = width + static_cast<std::size_t>(gap);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < rows; ++i) ids.push_back(i == 0 ? tableRows - 1 : drawInt(c.random, 0, tableRows - 1));
  const Buffer<std::int32_t> list = c.upload(ids);
  const Buffer<float> out = c.poisoned<float>(static_cast<std::size_t>(rows) * stride, true);
  const KvasirEmbedRowsArgs args{table.weight(), list.get(), rows, out.get(), stride};
  c.ok(c.gpu.embedRows(c.stream, &args), "embedRows");
  const std::vector<float> got = c.download(out);
  std::vector<float> want(got.size());
  for (float& value : want) std::memset(&value, 0xFF, sizeof(float));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::memcpy(want.data() + i * stride, table.values.data() + static_cast<std::size_t>(ids[i]) * width, width * sizeof(float));
  }
  c.same(got, want, "out");
}

void refuse(Case& c) {
  const WeightCase table = drawWeight(c, WeightType::q8_0, 4, 32);
  KvasirEmbedRowsArgs args{table.weight(), nullptr, -1, nullptr, 32};
  c.check(c.gpu.embedRows(c.stream, &args) == KVASIR_GPU_INVALID, "negative rows are taken");
  args.rows = 1;
  args.table.type = 5;
  c.check(c.gpu.embedRows(c.stream, &args) == KVASIR_GPU_INVALID, "an unknown type is taken");
}

}  // namespace

void tests::embedRows(Suite& suite) {
  const int cols[] = {64, 1, 576, 33, 320}, rows[] = {1, 45, 0, 3}, tableRows[] = {50, 1, 16, 129};
  int i = 0;
  for (const NamedType& type : weightTypes) {
    for (int round = 0; round < 4; ++round, ++i) {
      const int width = fitCols(type.type, cols[(i + i / 5) % 5]), count = rows[i % 4], held = tableRows[(i / 2) % 4], gap = round % 3;
      const std::string name = std::string(type.name) + " " + std::to_string(held) + " x " + std::to_string(width) + ", " +
                               std::to_string(count) + " rows, gap " + std::to_string(gap);
      suite.run("embedRows", name, [&](Case& c) { run(c, type.type, held, width, count, gap); });
    }
  }
  suite.run("embedRows", "misuse", refuse);
}

}  // namespace kvasir::gpu::test
