#include "rows.h"

#include <cmath>
#include <stdexcept>

namespace kvasir::gpu::bench {

namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

std::string number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[40];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

class Line {
 public:
  Line(const std::string& step, const std::string& kind) { add("step", quoted(step)).add("kind", quoted(kind)); }
  Line& add(const std::string& name, const std::string& json) {
    text_ += (text_.empty() ? "" : ",") + quoted(name) + ":" + json;
    return *this;
  }
  std::string str() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

double scaleOf(const std::string& unit) {
  if (unit == "GB/s") return 1e9;
  if (unit == "TFLOP/s") return 1e12;
  if (unit == "Gpair/s") return 1e9;
  if (unit == "Mtoken/s") return 1e6;
  throw std::invalid_argument("rows: no such unit of a rate: " + unit);
}

const char* verdictOf(const Target& target, double value) {
  const bool gate = target.latency ? value <= target.gate : value >= target.gate;
  const bool goal = target.latency ? value <= target.goal : value >= target.goal;
  return goal ? "goal" : gate ? "gate" : "missed";
}

void addTarget(Line& line, std::string& text, const Target* target, double value) {
  if (target == nullptr) return;
  const char* verdict = verdictOf(*target, value);
  line.add("gate", number(target->gate)).add("goal", number(target->goal)).add("latency", target->latency ? "true" : "false");
  line.add("verdict", quoted(verdict));
  char tail[80];
  std::snprintf(tail, sizeof(tail), "  gate %.3g goal %.3g: %s", target->gate, target->goal, verdict);
  text += tail;
}

std::string headOf(const std::string& family, const std::string& shape) {
  char text[160];
  std::snprintf(text, sizeof(text), "%-12s %-52s", family.c_str(), shape.c_str());
  return text;
}

}  // namespace

Rows::Rows(std::string step, const std::string& path, bool judged)
    : step_(std::move(step)), file_(std::fopen(path.c_str(), "a")), judged_(judged) {
  if (file_ == nullptr) throw std::runtime_error("cannot append to " + path);
}

Rows::~Rows() { std::fclose(file_); }

void Rows::fact(const std::string& name, const std::string& value) {
  write(Line(step_, "fact").add("name", quoted(name)).add("value", quoted(value)).str(), headOf("fact", name) + " " + value);
}

void Rows::fact(const std::string& name, double value) {
  write(Line(step_, "fact").add("name", quoted(name)).add("value", number(value)).str(), headOf("fact", name) + " " + number(value));
}

void Rows::ceiling(const std::string& name, double value, const std::string& unit) {
  Line line(step_, "ceiling");
  line.add("name", quoted(name)).add("value", number(value)).add("unit", quoted(unit));
  write(line.str(), headOf("ceiling", name) + " " + number(value) + " " + unit);
}

void Rows::timing(const std::string& family, const std::string& shape, const Timing& timing, const std::string& unit,
                  const std::string& roof, const Target* target) {
  const double scale = scaleOf(unit);
  const bool latency = target != nullptr && target->latency;
  Line line(step_, "timing");
  line.add("family", quoted(family)).add("shape", quoted(shape)).add("unit", quoted(unit));
  line.add("micros", number(timing.micros.median)).add("microsLow", number(timing.micros.low));
  line.add("microsHigh", number(timing.micros.high)).add("rate", number(timing.rate / scale));
  line.add("slices", number(timing.slices)).add("callsASlice", number(timing.callsASlice));
  char text[160];
  std::snprintf(text, sizeof(text), " %10.2f us %9.4g %s", timing.micros.median, timing.rate / scale, unit.c_str());
  std::string shown = headOf(family, shape) + text;
  if (!roof.empty()) {
    line.add("roof", quoted(roof)).add("roofRate", number(timing.roofRate / scale)).add("ratio", number(timing.ratio.median));
    line.add("ratioLow", number(timing.ratio.low)).add("ratioHigh", number(timing.ratio.high));
    std::snprintf(text, sizeof(text), "  %.3f of %s (%.3f-%.3f)", timing.ratio.median, roof.c_str(), timing.ratio.low, timing.ratio.high);
    shown += text;
  }
  if (judged_) addTarget(line, shown, target, latency ? timing.micros.median : timing.ratio.median);
  write(line.str(), shown);
}

void Rows::value(const std::string& family, const std::string& shape, double value, const std::string& unit, const Target* target) {
  Line line(step_, "value");
  line.add("family", quoted(family)).add("shape", quoted(shape)).add("value", number(value)).add("unit", quoted(unit));
  std::string shown = headOf(family, shape) + " " + number(value) + " " + unit;
  if (judged_) addTarget(line, shown, target, value);
  write(line.str(), shown);
}

void Rows::notRun(const std::string& family, const std::string& shape, const std::string& why) {
  Line line(step_, "notRun");
  line.add("family", quoted(family)).add("shape", quoted(shape)).add("why", quoted(why));
  write(line.str(), headOf(family, shape) + " not run (" + why + ")");
}

void Rows::wrong(const std::string& family, const std::string& shape, const std::string& why) {
  wrong_ = true;
  Line line(step_, "wrong");
  line.add("family", quoted(family)).add("shape", quoted(shape)).add("why", quoted(why));
  write(line.str(), headOf(family, shape) + " WRONG: " + why);
}

void Rows::write(const std::string& json, const std::string& text) {
  std::fprintf(file_, "%s\n", json.c_str());
  std::fflush(file_);
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

}  // namespace kvasir::gpu::bench
