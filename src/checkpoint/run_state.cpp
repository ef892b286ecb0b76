#include "checkpoint/run_state.h"

#include <fmt/format.h>

#include <concepts>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace zt::checkpoint {
namespace {

using nlohmann::json;

/// Fields of an object by name; every one must be there and have its type.
struct Reader {
  const json& object;
  const std::string& where;

  [[noreturn]] void fail(const char* name) const {
    throw CheckpointError(
        fmt::format("[checkpoint.run_state] {}: '{}' is missing or no number. Use another "
                    "checkpoint.",
                    where, name));
  }
  template <typename T>
  void operator()(const char* name, T& value) const {
    const auto found = object.find(name);
    if (found == object.end()) fail(name);
    const bool fits = std::floating_point<T>      ? found->is_number()
                      : std::unsigned_integral<T> ? found->is_number_unsigned()
                                                  : found->is_number_integer();
    if (!fits) fail(name);
    value = found->get<T>();
  }
};

struct Writer {
  json& object;
  template <typename T>
  void operator()(const char* name, const T& value) const {
    object[name] = value;
  }
};

/// The one list of fields, read and written.
template <typename Visit, typename State>
void visit_run(const Visit& visit, State& state) {
  visit("global_step", state.global_step);
  visit("applied_steps", state.applied_steps);
  visit("samples_seen", state.samples_seen);
  visit("epoch", state.epoch);
  visit("global_batch", state.global_batch);
  visit("coalesce", state.coalesce);
  visit("seed", state.seed);
  visit("data_seed", state.data_seed);
}

template <typename Visit, typename State>
void visit_scaler(const Visit& visit, State& state) {
  visit("scale", state.scale);
  visit("iteration", state.iteration);
  visit("last_overflow_iter", state.last_overflow_iter);
  visit("hysteresis", state.hysteresis);
}

}  // namespace

std::string run_state_text(const RunState& state, const std::string& config) {
  json root = json::object();
  visit_run(Writer{root}, state);
  if (state.loss_scaler) {
    json scaler = json::object();
    visit_scaler(Writer{scaler}, *state.loss_scaler);
    root["loss_scaler"] = scaler;
  }
  if (!config.empty()) {
    root["config"] = json::parse(config, nullptr, false);
    ZT_ASSERT(!root["config"].is_discarded(), "the configuration is JSON");
  }
  return root.dump(2) + "\n";
}

ParsedRunState parse_run_state(const std::string& text, const std::string& where) {
  const auto root = json::parse(text, nullptr, false);
  if (root.is_discarded() || !root.is_object()) {
    throw CheckpointError(fmt::format(
        "[checkpoint.run_state] {}: is not a JSON object. Use another checkpoint.", where));
  }
  ParsedRunState result;
  visit_run(Reader{root, where}, result.state);
  if (const auto scaler = root.find("loss_scaler"); scaler != root.end()) {
    visit_scaler(Reader{*scaler, where}, result.state.loss_scaler.emplace());
  }
  if (const auto config = root.find("config"); config != root.end()) result.config = config->dump();
  return result;
}

}  // namespace zt::checkpoint
