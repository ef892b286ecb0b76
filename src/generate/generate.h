#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "generate/decoder.h"
#include "generate/settings.h"

namespace zt::generate {

/// One prompt; `index` is its number in the whole input, over all ranks.
struct Prompt {
  std::int64_t index = 0;
  std::vector<std::int32_t> tokens;
};

/// Why a sequence ended.
enum class Finish : std::uint8_t { eos, length };

/// What was generated for one prompt.
struct Completion {
  std::int64_t index = 0;
  std::vector<std::int32_t> tokens;  ///< new ones; the token that ended it is the last
  Finish finish = Finish::length;
};

/// What `generate` tells while it works.
struct Listener {
  std::function<void(const Completion&)> on_completion;  ///< in the order in which they end
  std::function<void()> on_step;  ///< after each prefill and each step; may be empty
};

/// Completes every prompt. Sequences share the decoder's slots; a slot that becomes free takes the
/// next prompt. What a prompt becomes depends on the prompt, its index and the settings, not on the
/// other prompts, the number of slots or the ranks (up to the rounding of products of another
/// shape, when the number of slots differs).
/// Errors: ConfigError for a prompt without room for a new token; Error when logits are not
/// finite.
void generate(Decoder& decoder, std::span<const Prompt> prompts, const Settings& settings,
              const Listener& listener);

/// Tokens that a decoder must have room for: the longest prompt with its new tokens, less the last
/// one, which is never fed back.
[[nodiscard]] std::int64_t needed_capacity(std::span<const Prompt> prompts,
                                           const Settings& settings);

}  // namespace zt::generate
