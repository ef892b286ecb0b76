#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zt::data {

/// One entry of `added_tokens`.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool single_word = false;  ///< only where no word character is beside it
  bool lstrip = false;       ///< swallows white space before it
  bool rstrip = false;       ///< swallows white space after it
  bool normalized = false;   ///< searched in normalised text
  bool special = false;      ///< left out by decode with skip_special
};

/// A cut of the text: one added token (id >= 0), or text between them (id < 0).
struct AddedSplit {
  std::int32_t id = -1;
  std::string_view text;
};

/// Finds added tokens in text: leftmost, then longest. Immutable after `add`.
class AddedTokenMatcher {
 public:
  /// `content` is what is searched for (the normalised content for `normalized` tokens).
  void add(const AddedToken& token, const std::string& content);
  bool empty() const { return patterns_.empty(); }

  /// Calls `visit(AddedSplit)` for every cut of `text`, in order; empty cuts are left out.
  template <typename Visit>
  void split(std::string_view text, Visit&& visit) const;

 private:
  struct Pattern {
    std::string content;
    AddedToken token;
  };
  struct Match {
    const Pattern* pattern = nullptr;
    std::size_t begin = 0;
  };
  Match find(std::string_view text, std::size_t from) const;

  std::vector<Pattern> patterns_;
  std::array<std::vector<std::uint32_t>, 256> by_first_byte_;  ///< longest content first
};

/// Word characters of `single_word`: letters, marks, decimal digits, connectors, joiners.
bool starts_with_word(std::string_view text);
bool ends_with_word(std::string_view text);
/// Bytes of white space at the end or start of `text`.
std::size_t trailing_space(std::string_view text);
std::size_t leading_space(std::string_view text);

template <typename Visit>
void AddedTokenMatcher::split(std::string_view text, Visit&& visit) const {
  std::size_t done = 0;
  std::size_t from = 0;
  for (Match match = find(text, from); match.pattern; match = find(text, from)) {
    const AddedToken& token = match.pattern->token;
    std::size_t begin = match.begin;
    std::size_t end = begin + match.pattern->content.size();
    from = end;
    if (token.single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (token.lstrip) {
      const std::size_t stripped = begin - trailing_space(text.substr(0, begin));
      begin = stripped > done ? stripped : done;
    }
    if (token.rstrip) end += leading_space(text.substr(end));
    if (done < begin) visit(AddedSplit{-1, text.substr(done, begin - done)});
    visit(AddedSplit{token.id, text.substr(begin, end > begin ? end - begin : 0)});
    done = end;
  }
  if (done < text.size()) visit(AddedSplit{-1, text.substr(done)});
}

}  // namespace zt::data
