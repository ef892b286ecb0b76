#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zt::generate {

/// One line of a prompts file.
struct PromptLine {
  std::string text;
  std::string fields;     ///< the JSON object of a JSONL line; empty for plain text
  std::int64_t line = 0;  ///< from 1
};

/// Reads a file of prompts. `.jsonl` and `.json`: one object per line with `prompt` or `text`;
/// other names: one prompt per line, without its line end. Blank lines are skipped.
/// Errors: FileError when it cannot be read or holds no prompt, listing (up to ten) lines that are
/// no object, have neither key, or an empty or wrong value.
[[nodiscard]] std::vector<PromptLine> read_prompts(const std::string& path);

}  // namespace zt::generate
