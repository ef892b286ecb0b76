#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace zt::data {

/// The regular expressions this library cuts text with.
enum class SplitRule : std::uint8_t {
  none,     ///< the text is one piece
  gpt2,     ///< GPT-2 and GPT-NeoX (ByteLevel with `use_regex`)
  qwen2,    ///< Qwen2, Qwen2.5, Qwen3
  qwen3_5,  ///< as qwen2, with marks counted as letters
  llama3,   ///< as qwen2, with up to three digits together
};

/// The rule whose pattern is exactly `regex`. Errors: ConfigError naming the pattern when it is
/// none of them; an unknown pattern is never approximated.
SplitRule split_rule_of(const std::string& regex);

/// End of the piece that starts at `pos` of valid UTF-8; `pos < text.size()`. The pieces cover the
/// whole text. Equal to leftmost matching of the rule's pattern; linear in the text.
std::size_t next_piece(SplitRule rule, std::string_view text, std::size_t pos);

}  // namespace zt::data
