#include "plan/sizes.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "config/text_values.h"
#include "model/qwen3.h"

namespace zt::plan {
namespace {

struct Size {
  const char* name;
  std::int64_t hidden, layers, heads, kv_heads, ffn, vocab;
  bool advised = true;  ///< a row of the advice by size
};

constexpr std::array<Size, 5> kSizes{{{"7B", 4096, 32, 32, 32, 11008, 32000},
                                      {"13B", 5120, 40, 40, 40, 13824, 32000},
                                      {"32B", 5120, 64, 64, 8, 25600, 151936},
                                      {"65B", 8192, 80, 64, 64, 22016, 32000},
                                      {"70B", 8192, 80, 64, 8, 28672, 32000, false}}};

}  // namespace

NamedModel model_of_size(const std::string& size) {
  for (const auto& known : kSizes) {
    if (config::lower_case(size) != config::lower_case(known.name)) continue;
    model::Qwen3Config config;
    config.hidden = known.hidden;
    config.layers = known.layers;
    config.heads = known.heads;
    config.kv_heads = known.kv_heads;
    config.ffn = known.ffn;
    config.vocab = known.vocab;
    return {size, config.hidden, model::make_qwen3(config), config};
  }
  ZT_ASSERT(false, "a size of size_names");
}

bool is_size(const std::string& name) {
  return std::any_of(kSizes.begin(), kSizes.end(), [&](const Size& size) {
    return config::lower_case(name) == config::lower_case(size.name);
  });
}

std::vector<std::string> size_names() {
  std::vector<std::string> names;
  for (const auto& size : kSizes) {
    if (size.advised) names.emplace_back(size.name);
  }
  return names;
}

}  // namespace zt::plan
