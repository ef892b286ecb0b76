#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zt::generate {

/// How tokens are chosen and when a sequence ends; names and defaults of Hugging Face's
/// generation_config.
struct Settings {
  std::int64_t max_new_tokens = 0;  ///< 0: as max_length says
  std::int64_t max_length = 0;      ///< prompt and new tokens; 0: no such limit
  std::int64_t min_new_tokens = 0;
  std::int64_t min_length = 0;  ///< prompt and new tokens
  bool do_sample = false;       ///< false: the most probable token
  // Of sampling only.
  double temperature = 1.0;
  std::int64_t top_k = 50;  ///< 0: all
  double top_p = 1.0;
  double min_p = 0.0;
  // Of both.
  double repetition_penalty = 1.0;
  std::int64_t no_repeat_ngram_size = 0;  ///< 0: off
  std::vector<std::int32_t> suppress_tokens;
  std::vector<std::int32_t> begin_suppress_tokens;  ///< not as the first new token
  std::vector<std::int32_t> eos;                    ///< any of them ends a sequence
  std::uint64_t seed = 42;

  /// New tokens of a sequence that begins with `prompt` tokens; not positive: there is no room.
  [[nodiscard]] std::int64_t new_tokens(std::int64_t prompt) const;
  /// True when every token is the first one with the largest logit.
  [[nodiscard]] bool plain_greedy() const;
};

/// Reads `text`, a generation_config.json, over `settings`. Keys that change nothing here (beams of
/// one, caches, output switches, `pad_token_id`: prompts are not padded) are accepted.
/// Errors: ConfigError listing every wrong value and every key that asks for what is not built.
/// `place` names the file.
void read_generation_config(const std::string& text, const std::string& place, Settings& settings);

/// `eos_token_id` of a config.json: one id or a list; empty when there is none.
[[nodiscard]] std::vector<std::int32_t> read_eos(const std::string& text, const std::string& place);

/// Errors: ConfigError listing every value that cannot be, and ids outside the vocabulary.
void check_settings(const Settings& settings, std::int64_t vocab);

}  // namespace zt::generate
