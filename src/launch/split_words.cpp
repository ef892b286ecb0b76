#include "base/error.h"
#include "launch/launch_flags.h"

namespace zt::launch {

std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  bool has_word = false;
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool more = i + 1 < text.size();
    if (c == '\\' && quote != '\'' && more) {
      word += text[++i];
      has_word = true;
    } else if (quote != '\0' && c == quote) {
      quote = '\0';
    } else if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
      has_word = true;
    } else if (quote == '\0' && (c == ' ' || c == '\t' || c == '\n')) {
      if (has_word) words.push_back(word);
      word.clear();
      has_word = false;
    } else {
      word += c;
      has_word = true;
    }
  }
  if (quote != '\0') {
    throw ConfigError("[launch.flags] a quote does not end in '" + text + "'. Close it.");
  }
  if (has_word) words.push_back(word);
  return words;
}

}  // namespace zt::launch
