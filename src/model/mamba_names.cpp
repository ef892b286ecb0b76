#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <string_view>

#include "base/error.h"
#include "model/mamba.h"

namespace zt::model {
namespace {

using std::string_view;

struct NamedMamba {
  const char* name;
  std::int64_t layers, hidden, vocab, max_position;
};

/// Published: config.json of state-spaces/mamba-*. Presets: the 1B, 3B and 7B configurations that
/// guides for small GPUs use, with GPT-2's vocabulary.
constexpr NamedMamba kNamed[] = {
    {"mamba-130m", 24, 768, 50280, 0},   {"mamba-370m", 48, 1024, 50280, 0},
    {"mamba-790m", 48, 1536, 50280, 0},  {"mamba-1.4b", 48, 2048, 50280, 0},
    {"mamba-2.8b", 64, 2560, 50280, 0},  {"1b_mamba", 24, 2048, 50257, 2048},
    {"3b_mamba", 32, 3584, 50257, 2048}, {"7b_mamba", 45, 4864, 50257, 4096}};

constexpr string_view kPrefix = "mamba:";
constexpr const char* kKeys[] = {"d_model", "n_layers", "vocab_size",    "d_state",
                                 "d_conv",  "expand",   "max_seq_length"};
constexpr std::size_t kRequired = 3;

[[noreturn]] void fail(string_view text, const std::string& what) {
  throw ConfigError(fmt::format(
      "[model.mamba] '{}': {}, expected mamba:d_model=N,n_layers=N,vocab_size=N and optionally "
      "d_state (at most 64), d_conv (at most 8), expand, max_seq_length.",
      text.substr(0, 200), what));
}

double read_number(string_view text, string_view value) {
  double number = 0;
  const auto* end = value.data() + value.size();
  const auto result = std::from_chars(value.data(), end, number);
  constexpr double kMost = 1 << 24;
  if (result.ec != std::errc() || result.ptr != end || !(number > 0) || number > kMost) {
    fail(text, fmt::format("got '{}'", value.substr(0, 40)));
  }
  return number;
}

std::map<string_view, double> read_pairs(string_view text) {
  std::map<string_view, double> numbers;
  auto rest = text.substr(kPrefix.size());
  while (!rest.empty()) {
    const auto pair = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const auto equals = std::min(pair.find('='), pair.size());
    const auto key = pair.substr(0, equals);
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
      fail(text, fmt::format("unknown key '{}'", key.substr(0, 40)));
    }
    numbers[key] = read_number(text, pair.substr(std::min(equals + 1, pair.size())));
  }
  for (std::size_t i = 0; i < kRequired; ++i) {
    if (numbers.count(kKeys[i]) == 0) fail(text, fmt::format("{} is missing", kKeys[i]));
  }
  return numbers;
}

/// What training from scratch starts with, as the authors' code does: a small embedding, and
/// out_proj scaled with the depth.
void fill_rest(MambaConfig& config, double expand) {
  config.inner = static_cast<std::int64_t>(expand * static_cast<double>(config.hidden));
  config.rank = default_time_step_rank(config.hidden);
  config.init_range = 0.02;
  config.rescale_out_proj = true;
}

MambaConfig read_sizes(string_view text) {
  auto numbers = read_pairs(text);
  const auto integer = [&](const char* key, double fallback) {
    const auto found = numbers.find(key);
    const double value = found == numbers.end() ? fallback : found->second;
    if (value != std::floor(value)) fail(text, fmt::format("{} is no whole number", key));
    return static_cast<std::int64_t>(value);
  };
  MambaConfig config;
  config.hidden = integer("d_model", 0);
  config.layers = integer("n_layers", 0);
  config.vocab = integer("vocab_size", 0);
  config.state = integer("d_state", 16);
  config.conv = integer("d_conv", 4);
  config.max_position = integer("max_seq_length", 0);
  const auto expand = numbers.find("expand");
  fill_rest(config, expand == numbers.end() ? 2.0 : expand->second);
  constexpr std::int64_t kMostStates = 64, kMostTaps = 8, kMostLayers = 1 << 14;
  if (config.state > kMostStates || config.conv > kMostTaps || config.layers > kMostLayers ||
      config.inner < 1) {
    fail(text, "a size is beyond what is built");
  }
  return config;
}

}  // namespace

std::optional<MambaConfig> named_mamba(const std::string& name) {
  if (name.starts_with(kPrefix)) return read_sizes(name);
  for (const auto& known : kNamed) {
    if (name != known.name) continue;
    MambaConfig config;
    config.hidden = known.hidden;
    config.layers = known.layers;
    config.vocab = known.vocab;
    config.max_position = known.max_position;
    fill_rest(config, 2.0);
    return config;
  }
  return {};
}

std::vector<std::string> mamba_names() {
  std::vector<std::string> names;
  for (const auto& known : kNamed) names.emplace_back(known.name);
  return names;
}

}  // namespace zt::model
