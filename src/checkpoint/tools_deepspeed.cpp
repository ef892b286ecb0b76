#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/tools.h"

namespace zt::checkpoint {
namespace {

using layout::StateKind;
using nlohmann::json;

/// A source that counts what is read of it.
class CountingSource : public StateSource {
 public:
  CountingSource(const StateSource& source, const ToolProgress& progress, Bytes total)
      : source_(source), progress_(progress), total_(total) {}

  [[nodiscard]] bool has(StateKind kind) const override { return source_.has(kind); }
  void read(StateKind kind, const layout::ParamSpec& param, std::int64_t begin,
            std::span<float> values) const override {
    source_.read(kind, param, begin, values);
    done_ += {static_cast<std::int64_t>(values.size_bytes())};
    if (progress_) progress_(done_, total_);
  }
  [[nodiscard]] const RunState& run_state() const override { return source_.run_state(); }

 private:
  const StateSource& source_;
  const ToolProgress& progress_;
  Bytes total_;
  mutable Bytes done_;  ///< the writer of one rank reads in one thread
};

/// Settings of the run that saved, as a native checkpoint keeps them: path of a field to its text.
class SavedSettings {
 public:
  explicit SavedSettings(const std::string& text) : fields_(json::parse(text, nullptr, false)) {}

  void number(const char* path, double& value) const {
    if (const auto* text = find(path); text != nullptr) value = std::strtod(text->c_str(), nullptr);
  }
  [[nodiscard]] bool is_true(const char* path) const {
    const auto* text = find(path);
    return text != nullptr && (*text == "true" || *text == "True");
  }

 private:
  [[nodiscard]] const std::string* find(const char* path) const {
    if (!fields_.is_object()) return nullptr;
    const auto found = fields_.find(path);
    return found == fields_.end() ? nullptr : found->get_ptr<const std::string*>();
  }
  json fields_;
};

void take_settings(const OpenedCheckpoint& from, DeepSpeedSave& save) {
  if (const auto* deepspeed = dynamic_cast<const DeepSpeedCheckpoint*>(from.source.get())) {
    save.adam = deepspeed->adam().value_or(AdamSettings{});
  }
  const auto* native = dynamic_cast<const NativeCheckpoint*>(from.source.get());
  if (native == nullptr) return;
  const SavedSettings settings(native->config());
  settings.number("optimizer.learning_rate", save.adam.learning_rate);
  settings.number("optimizer.beta1", save.adam.beta1);
  settings.number("optimizer.beta2", save.adam.beta2);
  settings.number("optimizer.epsilon", save.adam.epsilon);
  settings.number("optimizer.weight_decay", save.adam.weight_decay);
  settings.number("optimizer.max_grad_norm", save.max_grad_norm);
  save.adam.decoupled_decay = !settings.is_true("optimizer.l2_adam");
  save.adam.one_group = settings.is_true("optimizer.decay_all");
}

}  // namespace

std::string convert_to_deepspeed(const OpenedCheckpoint& from, const ConvertOptions& options,
                                 const DeepSpeedTarget& target, const ToolProgress& progress) {
  if (target.world < 1) {
    throw ConfigError(
        fmt::format("[checkpoint.convert] got {} ranks, expected at least one.", target.world));
  }
  DeepSpeedSave save;
  save.folder = options.target;
  save.tag = !target.tag.empty()
                 ? target.tag
                 : fmt::format("global_step{}", from.source->run_state().global_step);
  require_free_target(options.target + "/" + save.tag);
  save.layout = target.layout;
  save.world = target.world;
  save.dtype = options.dtype.value_or(from.dtype);
  take_settings(from, save);
  std::int64_t kinds = 2;  // weights and their masters
  for (const auto kind : {StateKind::exp_avg, StateKind::exp_avg_sq}) {
    kinds += from.source->has(kind) ? 1 : 0;
  }
  const CountingSource source(*from.source, progress, widened_bytes(from.params) * kinds);
  return write_deepspeed(source, from.params, std::move(save), exchange_alone());
}

}  // namespace zt::checkpoint
