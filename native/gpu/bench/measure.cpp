#include "measure.h"

#include <algorithm>
#include <memory>

namespace kvasir::gpu::bench {

namespace {

class Event {
 public:
  explicit Event(const Gpu& gpu) : gpu_(gpu) { gpu.check(gpu.table().createEvent(gpu.device(), &event_), "createEvent"); }
  ~Event() { gpu_.table().destroyEvent(event_); }
  Event(const Event&) = delete;

  void record() { gpu_.check(gpu_.table().recordEvent(gpu_.stream(), event_), "recordEvent"); }
  double microsSince(const Event& start) const {
    float ms = 0;
    gpu_.check(gpu_.table().synchronizeEvent(event_), "synchronizeEvent");
    gpu_.check(gpu_.table().elapsedMs(start.event_, event_, &ms), "elapsedMs");
    return 1000.0 * static_cast<double>(ms);
  }

 private:
  const Gpu& gpu_;
  KvasirEvent* event_ = nullptr;
};

// A number of calls of a job, ready to be given to the stream as one.
class Repeated {
 public:
  Repeated(const Gpu& gpu, const Job& job, int calls) : gpu_(gpu), job_(job), calls_(calls) {
    if (job.captured) {
      graph_ = std::make_unique<Graph>(gpu, calls, [&](KvasirStream* stream, int call) { job.work(stream, call % job.turns); });
    }
  }
  void start() const {
    if (graph_) return graph_->replay(gpu_.stream());
    for (int call = 0; call < calls_; ++call) job_.work(gpu_.stream(), call % job_.turns);
  }
  int calls() const { return calls_; }

 private:
  const Gpu& gpu_;
  const Job& job_;
  int calls_;
  std::unique_ptr<Graph> graph_;
};

double microsOf(const Gpu& gpu, const Repeated& repeated) {
  Event start(gpu), end(gpu);
  start.record();
  repeated.start();
  end.record();
  return end.microsSince(start);
}

// As many calls as fill a slice, whole turns of the inputs where they fit.
int callsFor(const Gpu& gpu, const Job& job, const Pace& pace) {
  if (pace.maxCalls == 1) return 1;
  if (job.captured) job.work(gpu.stream(), 0);  // loads kernels, which a capture need not allow
  const Repeated once(gpu, job, std::min(job.turns, pace.maxCalls));
  microsOf(gpu, once);  // raises clocks
  const double micros = std::max(0.5, microsOf(gpu, once) / once.calls());
  const double wanted = pace.sliceMicros / micros;
  const int turns = static_cast<int>(std::min(wanted, static_cast<double>(pace.maxCalls)) / job.turns + 1.0);
  return std::clamp(turns * job.turns, 1, pace.maxCalls);
}

}  // namespace

Spread spreadOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const std::size_t below = static_cast<std::size_t>(place), above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {at(0.25), at(0.5), at(0.75)};
}

Timing measure(const Gpu& gpu, const Job& job, const Job* roof, const Pace& pace) {
  const Repeated work(gpu, job, callsFor(gpu, job, pace));
  std::unique_ptr<Repeated> roofWork;
  if (roof != nullptr) roofWork = std::make_unique<Repeated>(gpu, *roof, callsFor(gpu, *roof, pace));

  std::vector<double> micros, ratios, roofRates;
  for (int slice = 0; slice < pace.slices; ++slice) {
    Event before(gpu), start(gpu), end(gpu), after(gpu);
    before.record();
    if (roofWork) roofWork->start();
    start.record();
    work.start();
    end.record();
    if (roofWork) roofWork->start();
    after.record();
    const double roofMicros = start.microsSince(before) + after.microsSince(end);
    const double own = std::max(1e-3, end.microsSince(start)) / work.calls();
    micros.push_back(own);
    if (!roofWork) continue;
    const double roofRate = 2.0 * roofWork->calls() * roof->amount / std::max(1e-3, roofMicros);
    roofRates.push_back(roofRate * 1e6);
    ratios.push_back(job.amount / own / roofRate);
  }
  gpu.synchronize();

  Timing timing;
  timing.micros = spreadOf(micros);
  timing.ratio = spreadOf(ratios);
  timing.rate = job.amount / timing.micros.median * 1e6;
  timing.roofRate = spreadOf(roofRates).median;
  timing.slices = pace.slices;
  timing.callsASlice = work.calls();
  return timing;
}

}  // namespace kvasir::gpu::bench
