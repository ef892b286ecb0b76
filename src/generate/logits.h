#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "generate/settings.h"

namespace zt::generate {

/// Logit of a token that cannot be chosen.
inline constexpr float kNever = -std::numeric_limits<float>::infinity();

/// A sequence as the rules see it.
struct Sequence {
  std::span<const std::int32_t> tokens;  ///< prompt and new tokens so far
  std::int64_t prompt = 0;               ///< how many of them are the prompt
};

/// Applies, in the order of Hugging Face's generate, what holds for greedy choice and for sampling:
/// repetition penalty, repeated n-grams, least length, suppressed tokens. `logits` [vocab].
/// Source: transformers 5, LogitsProcessor classes.
void apply_rules(const Settings& settings, const Sequence& sequence, std::span<float> logits);

/// Applies what narrows sampling: temperature, top-k, top-p, min-p, in this order.
void apply_warpers(const Settings& settings, std::span<float> logits);

/// First index of the largest logit. -1 when none is finite or one is not a number.
[[nodiscard]] std::int64_t largest(std::span<const float> logits);

/// Index drawn with probability softmax(logits), from `uniform` in [0, 1): the inverse of the
/// cumulative distribution in index order, in fp64. -1 as with `largest`.
[[nodiscard]] std::int64_t draw(std::span<const float> logits, double uniform);

/// A number in [0, 1) that depends on its arguments only: the same for any batch and any number of
/// ranks. `sequence`: index of the prompt in its file; `position`: new tokens before this one.
[[nodiscard]] double uniform(std::uint64_t seed, std::int64_t sequence, std::int64_t position);

}  // namespace zt::generate
