#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "checkpoint/native_layout.h"
#include "checkpoint/run_state.h"
#include "checkpoint/tensor_set.h"
#include "checkpoint/tools.h"

namespace zt::checkpoint {
namespace {

using layout::ParamSpec;
using layout::StateKind;
using nlohmann::json;

constexpr std::array<StateKind, 4> kKinds{StateKind::weight, StateKind::master, StateKind::exp_avg,
                                          StateKind::exp_avg_sq};
constexpr std::int64_t kChunk = 1 << 20;  ///< elements compared at a time

/// How the values of one tensor differ.
struct ValueDifference {
  std::int64_t count = 0;
  double max_abs = 0, max_rel = 0;

  void add(float a, float b) {
    if (std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b)) return;
    ++count;
    const double distance = std::abs(static_cast<double>(a) - static_cast<double>(b));
    // Not a number on one side only: as far apart as can be.
    max_abs = std::isnan(distance) ? HUGE_VAL : std::max(max_abs, distance);
    const double scale =
        std::max(std::abs(static_cast<double>(a)), std::abs(static_cast<double>(b)));
    if (scale > 0) max_rel = std::isnan(distance) ? HUGE_VAL : std::max(max_rel, distance / scale);
  }
};

class Comparison {
 public:
  Comparison(const OpenedCheckpoint& a, const OpenedCheckpoint& b, const ToolProgress& progress)
      : a_(a), b_(b), progress_(progress), left_(kChunk), right_(kChunk) {}

  Difference run() {
    compare_names();
    std::vector<StateKind> kinds;
    for (const auto kind : kKinds) {
      const bool in_a = a_.source->has(kind), in_b = b_.source->has(kind);
      if (in_a && in_b) kinds.push_back(kind);
      if (in_a != in_b) say(fmt::format("{}: only in the {}", to_string(kind), side(in_a)));
    }
    total_ = widened_bytes(common_) * static_cast<std::int64_t>(kinds.size());
    for (const auto kind : kinds) {
      for (const auto& param : common_) compare_values(kind, param);
    }
    compare_runs();
    return std::move(result_);
  }

 private:
  static const char* side(bool first) { return first ? "first" : "second"; }
  void say(std::string line) { result_.lines.push_back(std::move(line)); }

  void compare_names() {
    std::map<std::string, const ParamSpec*> others;
    for (const auto& param : b_.params) others[param.name] = &param;
    for (const auto& param : a_.params) {
      const auto found = others.find(param.name);
      if (found == others.end()) {
        say(fmt::format("{}: only in the first", param.name));
        continue;
      }
      if (found->second->shape == param.shape) {
        common_.push_back(param);
      } else {
        say(fmt::format("{}: shape {} and {}", param.name, shape_text(param.shape),
                        shape_text(found->second->shape)));
      }
      others.erase(found);
    }
    for (const auto& [name, param] : others) say(fmt::format("{}: only in the second", name));
    if (a_.dtype != b_.dtype) {
      say(fmt::format("dtype of the weights: {} and {}", zt::to_string(a_.dtype),
                      zt::to_string(b_.dtype)));
    }
  }

  void compare_values(StateKind kind, const ParamSpec& param) {
    ValueDifference difference;
    const auto numel = param.numel().value;
    for (std::int64_t begin = 0; begin < numel; begin += kChunk) {
      const auto count = static_cast<std::size_t>(std::min(kChunk, numel - begin));
      a_.source->read(kind, param, begin, std::span(left_).first(count));
      b_.source->read(kind, param, begin, std::span(right_).first(count));
      if (std::memcmp(left_.data(), right_.data(), count * sizeof(float)) != 0) {
        for (std::size_t i = 0; i < count; ++i) difference.add(left_[i], right_[i]);
      }
      done_ += {static_cast<std::int64_t>(count * sizeof(float))};
      if (progress_) progress_(done_, total_);
    }
    ++result_.tensors;
    if (difference.count == 0) return;
    say(fmt::format("{} of {}: {} of {} elements differ, by at most {:.3g} (relative {:.3g})",
                    to_string(kind), param.name, difference.count, numel, difference.max_abs,
                    difference.max_rel));
  }

  void compare_runs() {
    if (a_.format == "huggingface" || b_.format == "huggingface") return;  // weights alone
    const auto left = json::parse(run_state_text(a_.source->run_state(), "")).flatten();
    const auto right = json::parse(run_state_text(b_.source->run_state(), "")).flatten();
    for (const auto& [name, value] : left.items()) {
      const auto other = right.value(name, json());
      if (other != value) say(fmt::format("run{}: {} and {}", name, value.dump(), other.dump()));
    }
    for (const auto& [name, value] : right.items()) {
      if (!left.contains(name)) say(fmt::format("run{}: null and {}", name, value.dump()));
    }
  }

  const OpenedCheckpoint &a_, &b_;
  const ToolProgress& progress_;
  std::vector<float> left_, right_;
  std::vector<ParamSpec> common_;
  Difference result_;
  Bytes done_, total_;
};

}  // namespace

Difference diff(const OpenedCheckpoint& a, const OpenedCheckpoint& b,
                const ToolProgress& progress) {
  return Comparison(a, b, progress).run();
}

}  // namespace zt::checkpoint
