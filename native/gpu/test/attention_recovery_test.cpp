// attentionRecovery against a sort and sums in the integers that its contract names.
#include <algorithm>
#include <cmath>

#include "suite.h"

namespace kvasir::gpu::test {
namespace {

struct Recovery {
  std::int32_t count;
  float least;
};

Recovery recover(std::vector<float> masses, double tau) {
  std::sort(masses.begin(), masses.end(), [](float a, float b) { return a > b; });
  if (masses.empty() || masses[0] == 0.0f) return {0, INFINITY};
  int exponent = 0;
  std::frexp(masses[0], &exponent);
  exponent = std::max(exponent, -125);  // subnormals have the smallest exponent
  std::vector<double> fixed;
  double total = 0.0;
  for (const float mass : masses) {
    fixed.push_back(std::floor(std::ldexp(static_cast<double>(mass), 40 - exponent) + 0.5));
    total += fixed.back();  // below 2^53: exact
  }
  const double target = std::max(1.0, std::min(total, std::ceil(tau * total)));
  double sum = 0.0;
  for (std::size_t k = 0; k < masses.size(); ++k) {
    sum += fixed[k];
    if (sum >= target) return {static_cast<std::int32_t>(k) + 1, masses[k]};
  }
  return {-2, NAN};
}

void testVectors(Suite& suite, const std::string& name, int vectors, int n, int padding, double tau,
                 const std::function<float(Random&, int)>& massAt) {
  suite.run("attentionRecovery", name + ", " + std::to_string(vectors) + " x " + std::to_string(n) + ", tau " + std::to_string(tau), [&](Case& c) {
    const std::size_t stride = static_cast<std::size_t>(n + padding);
    std::vector<float> all(stride * static_cast<std::size_t>(vectors), NAN);
    std::vector<std::int32_t> wantCount;
    std::vector<float> wantLeast;
    for (int v = 0; v < vectors; ++v) {
      std::vector<float> own;
      for (int i = 0; i < n; ++i) own.push_back(massAt(c.random, i));
      std::copy(own.begin(), own.end(), all.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(v) * stride));
      const Recovery want = recover(own, tau);
      wantCount.push_back(want.count);
      wantLeast.push_back(want.least);
    }
    const auto masses = c.upload(all);
    const auto count = c.poisoned<std::int32_t>(static_cast<std::size_t>(vectors));
    const auto least = c.poisoned<float>(static_cast<std::size_t>(vectors), true);
    const KvasirAttentionRecoveryArgs args = {masses.get(), stride, vectors, n, tau, count.get(), least.get()};
    c.ok(c.gpu.attentionRecovery(c.stream, &args), "attentionRecovery");
    c.synchronize();
    c.same(c.download(count), wantCount, "count");
    c.same(c.download(least), wantLeast, "least");
  });
}

float drawUnit(Random& random) { return static_cast<float>(random() % 16777216u) / 16777216.0f; }

}  // namespace

void tests::attentionRecovery(Suite& suite) {
  const auto even = [](Random& random, int) { return drawUnit(random); };
  const auto skewed = [](Random& random, int) { return std::exp2(-30.0f * drawUnit(random)); };
  const auto alike = [](Random&, int) { return 0.125f; };
  const auto steps = [](Random& random, int) { return static_cast<float>(random() % 4u); };
  const auto close = [](Random& random, int) { return 1.0f + static_cast<float>(random() % 8u) * 0x1p-23f; };
  const auto mostlyNone = [](Random& random, int i) { return i % 50 == 7 ? drawUnit(random) : 0.0f; };
  const auto tiny = [](Random& random, int) { return static_cast<float>(random() % 1000u) * 0x1p-149f; };
  const auto one = [](Random&, int i) { return i == 3 ? 1000.0f : 1e-9f; };
  for (const double tau : {0.55, 0.001, 0.9, 1.0}) {
    testVectors(suite, "even", 2, 700, 0, tau, even);
    testVectors(suite, "skewed", 2, 700, 3, tau, skewed);
    testVectors(suite, "alike", 1, 513, 0, tau, alike);
    testVectors(suite, "steps", 1, 100, 1, tau, steps);
    testVectors(suite, "close", 1, 600, 0, tau, close);
    testVectors(suite, "mostly none", 1, 999, 0, tau, mostlyNone);
    testVectors(suite, "subnormal", 1, 300, 0, tau, tiny);
    testVectors(suite, "one above all", 1, 65, 0, tau, one);
    testVectors(suite, "one", 3, 1, 0, tau, even);
  }
  testVectors(suite, "none", 2, 0, 4, 0.5, even);
  testVectors(suite, "zeros", 2, 33, 0, 0.5, [](Random&, int i) { return i % 2 == 0 ? 0.0f : -0.0f; });
  testVectors(suite, "no vectors", 0, 10, 0, 0.5, even);
  testVectors(suite, "many", 1, suite.quick ? 5000 : 60000, 0, 0.55, skewed);
  suite.run("attentionRecovery", "the order of masses does not matter", [](Case& c) {
    std::vector<float> own;
    for (int i = 0; i < 900; ++i) own.push_back(std::exp2(-20.0f * drawUnit(c.random)));
    std::vector<float> both = own;
    std::sort(own.begin(), own.end());
    both.insert(both.end(), own.begin(), own.end());
    const auto masses = c.upload(both);
    const auto count = c.poisoned<std::int32_t>(2);
    const KvasirAttentionRecoveryArgs args = {masses.get(), 900, 2, 900, 0.55, count.get(), nullptr};
    c.ok(c.gpu.attentionRecovery(c.stream, &args), "attentionRecovery");
    c.synchronize();
    const std::vector<std::int32_t> got = c.download(count);
    c.check(got[0] == got[1] && got[0] > 0, "counts agree");
  });
  for (const float wrong : {-1.0f, INFINITY, -INFINITY, NAN}) {
    suite.run("attentionRecovery", "no mass: " + std::to_string(wrong), [&](Case& c) {
      std::vector<float> own(40, 1.0f);
      own[17] = wrong;
      const auto masses = c.upload(own);
      const auto count = c.poisoned<std::int32_t>(1);
      const auto least = c.poisoned<float>(1);
      const KvasirAttentionRecoveryArgs args = {masses.get(), 40, 1, 40, 0.55, count.get(), least.get()};
      c.ok(c.gpu.attentionRecovery(c.stream, &args), "attentionRecovery");
      c.synchronize();
      c.check(c.download(count)[0] == -1 && std::isnan(c.download(least)[0]), "count is -1, least NaN");
    });
  }
  suite.run("attentionRecovery", "bad arguments are refused", [](Case& c) {
    const auto refuses = [&](const char* what, int vectors, int n, std::size_t stride, double tau) {
      const KvasirAttentionRecoveryArgs args = {nullptr, stride, vectors, n, tau, nullptr, nullptr};
      c.check(c.gpu.attentionRecovery(c.stream, &args) == KVASIR_GPU_INVALID, std::string("not refused: ") + what);
      c.check(std::string(c.gpu.lastError()).find("attentionRecovery") != std::string::npos, "the text names the op");
    };
    refuses("negative n", 1, -1, 1, 0.5);
    refuses("negative vectors", -1, 1, 1, 0.5);
    refuses("a long vector", 1, (1 << 22) + 1, 1 << 23, 0.5);
    refuses("a short stride", 2, 10, 9, 0.5);
    refuses("tau 0", 1, 10, 10, 0.0);
    refuses("tau above 1", 1, 10, 10, 1.01);
    refuses("tau NaN", 1, 10, 10, std::nan(""));
  });
}

}  // namespace kvasir::gpu::test
