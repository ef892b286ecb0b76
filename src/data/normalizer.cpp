#include "data/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "data/utf8.h"

namespace zt::data {
namespace {

using Points = std::vector<utf8proc_int32_t>;

int combining_class(utf8proc_int32_t c) {
  const bool starter = (code_point_classes()[c] & kNonStarter) == 0;
  return starter ? 0 : utf8proc_get_property(c)->combining_class;
}

/// The composite of two neighbours, or -1.
utf8proc_int32_t compose(utf8proc_int32_t a, utf8proc_int32_t b) {
  utf8proc_int32_t pair[2] = {a, b};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  const bool joined = utf8proc_normalize_utf32(pair, 2, options) == 1;
  return joined && !is_never_composed(static_cast<std::uint32_t>(pair[0])) ? pair[0] : -1;
}

void append_decomposed(std::uint32_t c, Points& out) {
  if (is_never_composed(c)) {
    out.push_back(static_cast<utf8proc_int32_t>(c));
    return;
  }
  utf8proc_int32_t parts[8];
  int boundary = 0;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE);
  const auto count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 8, options, &boundary);
  ZT_ASSERT(count >= 0 && count <= 8, "canonical decompositions have at most 4 code points");
  out.insert(out.end(), parts, parts + count);
}

void sort_marks(Points& points) {
  std::size_t begin = 0;
  while (begin < points.size()) {
    if (combining_class(points[begin]) == 0) {
      ++begin;
      continue;
    }
    std::size_t end = begin;
    while (end < points.size() && combining_class(points[end]) != 0) ++end;
    std::stable_sort(points.begin() + static_cast<std::ptrdiff_t>(begin),
                     points.begin() + static_cast<std::ptrdiff_t>(end),
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

/// Canonical composition in place; returns the new length.
std::size_t compose_all(Points& points) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t starter = kNone, length = 0;
  int last_class = -1;  // of the last code point kept since the starter; -1: none
  for (const utf8proc_int32_t c : points) {
    const int cls = combining_class(c);
    const bool blocked = last_class >= cls && last_class != -1;
    if (starter != kNone && !blocked) {
      const utf8proc_int32_t joined = compose(points[starter], c);
      if (joined >= 0) {
        points[starter] = joined;
        continue;
      }
    }
    if (cls == 0) {
      starter = length;
      last_class = -1;
    } else {
      last_class = cls;
    }
    points[length++] = c;
  }
  return length;
}

void normalize_span(std::string_view span, Points& points, std::string& out) {
  points.clear();
  for (std::size_t pos = 0; pos < span.size();) {
    const CodePoint c = decode_code_point(span, pos);
    append_decomposed(c.value, points);
    pos += c.size;
  }
  sort_marks(points);
  points.resize(compose_all(points));
  for (const utf8proc_int32_t c : points) append_utf8(static_cast<std::uint32_t>(c), out);
}

bool is_unsafe(std::uint32_t c, const std::uint8_t* classes) {
  return c >= 0x300 && (classes[c] & kNfcUnsafe) != 0;
}

}  // namespace

std::string_view normalize_nfc(std::string_view text, std::string& storage) {
  const std::uint8_t* classes = code_point_classes();
  Points points;
  bool changed = false;
  std::size_t done = 0;    // bytes of `text` already in `storage` (once changed)
  std::size_t anchor = 0;  // start of the last code point that cannot compose with what precedes it
  for (std::size_t pos = 0; pos < text.size();) {
    CodePoint c = decode_code_point(text, pos);
    if (!is_unsafe(c.value, classes)) {
      anchor = pos;
      pos += c.size;
      continue;
    }
    std::size_t end = pos;
    do {  // up to the next code point that starts afresh
      end += c.size;
      if (end < text.size()) c = decode_code_point(text, end);
    } while (end < text.size() && is_unsafe(c.value, classes));
    if (!changed) storage.clear();
    changed = true;
    storage.append(text.substr(done, anchor - done));
    normalize_span(text.substr(anchor, end - anchor), points, storage);
    done = anchor = pos = end;
  }
  if (!changed) return text;
  storage.append(text.substr(done));
  return storage;
}

}  // namespace zt::data
