#include "suite.h"

#include <cmath>
#include <numeric>

#include "../../cpu/simd/half.h"

namespace kvasir::gpu::test {

std::vector<float> drawNormal(Random& random, std::size_t count, float scale) {
  // Box and Muller, since the library's own distribution differs between libraries.
  std::vector<float> values(count);
  for (float& value : values) {
    const double u = (static_cast<double>(random()) + 1.0) / 4294967297.0, v = static_cast<double>(random()) / 4294967296.0;
    value = scale * static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v));
  }
  return values;
}

std::vector<std::uint16_t> drawHalves(Random& random, std::size_t count, float scale) {
  std::vector<std::uint16_t> halves;
  for (const float value : drawNormal(random, count, scale)) halves.push_back(floatToHalf(value));
  return halves;
}

std::vector<std::uint16_t> drawAnyHalves(Random& random, std::size_t count) {
  std::vector<std::uint16_t> halves(count);
  for (std::uint16_t& half : halves) {
    half = static_cast<std::uint16_t>(random());
    if ((half & 0x7c00u) == 0x7c00u) half &= 0xbfffu;
  }
  return halves;
}

std::vector<std::int32_t> drawDistinct(Random& random, int count, int below) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(below));
  std::iota(all.begin(), all.end(), 0);
  for (int i = 0; i < count; ++i) {
    std::swap(all[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(drawInt(random, i, below - 1))]);
  }
  all.resize(static_cast<std::size_t>(count));
  return all;
}

void Suite::run(const std::string& op, const std::string& shape, const std::function<void(Case&)>& body) {
  if (casesAnOp_ > 0 && cases_++ >= casesAnOp_) return;
  ++shapes;
  for (unsigned round = 0; round < (quick ? 1u : 3u) && !lost_; ++round) {
    unsigned hash = 2166136261u ^ (seed_ + round);
    for (const char c : op + shape) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    try {
      Case one(*this, hash);
      body(one);
      ++passed;
    } catch (const Failure& failure) {
      ++failed;
      std::printf("FAILED %s, %s, seed %u: %s\n", op.c_str(), shape.c_str(), seed_ + round, failure.text.c_str());
      // Once for what the case left under way; a fault stays.
      gpu.synchronizeStream(stream);
      if (gpu.synchronizeStream(stream) == KVASIR_GPU_OK) continue;
      lost_ = true;
      std::printf("the device is lost, cases from here on are left out: %s\n", gpu.lastError());
    }
  }
}

void Case::ok(int status, const char* what) {
  if (status != KVASIR_GPU_OK) throw Failure{std::string(what) + ": status " + std::to_string(status) + ", " + gpu.lastError()};
}

void Case::failAt(const char* what, std::size_t index, double got, double want) {
  char text[200];
  std::snprintf(text, sizeof(text), "%s: value %zu is %.9g, expected %.9g", what, index, got, want);
  throw Failure{text};
}

void Case::close(const std::vector<float>& got, const std::vector<double>& want, const Tolerance& tolerance, const char* what) {
  if (got.size() != want.size()) throw Failure{std::string(what) + ": sizes differ"};
  double apart = 0.0, whole = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double value = static_cast<double>(got[i]);
    if (value == want[i]) continue;  // infinities of one sign too
    const double error = std::fabs(value - want[i]);
    if (!(error <= tolerance.absolute + tolerance.relative * std::fabs(want[i]))) failAt(what, i, value, want[i]);
    apart += error * error;
  }
  for (const double value : want) whole += std::isfinite(value) ? value * value : 0.0;
  if (!(std::sqrt(apart) <= tolerance.norm * std::sqrt(whole) + tolerance.absolute)) {
    char text[200];
    std::snprintf(text, sizeof(text), "%s: off by %.3g of its length, allowed %.3g", what, std::sqrt(apart / whole), tolerance.norm);
    throw Failure{text};
  }
}

}  // namespace kvasir::gpu::test
