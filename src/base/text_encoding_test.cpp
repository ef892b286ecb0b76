#include "base/text_encoding.h"

#include <gtest/gtest.h>

#include <string>

namespace zt {
namespace {

/// ASCII text in units of `width` bytes.
std::string wide(const std::string& text, std::size_t width, bool little) {
  std::string bytes;
  for (const char c : text) {
    std::string unit(width, '\0');
    unit[little ? 0 : width - 1] = c;
    bytes += unit;
  }
  return bytes;
}

TEST(TextEncodingTest, WideTextIsNamedWithAndWithoutItsMark) {
  const std::string json = R"({"hidden_size": 64})";
  for (const std::string& mark : {std::string(), std::string("\xff\xfe")}) {
    EXPECT_EQ(foreign_encoding(mark + wide(json, 2, true)), "UTF-16LE");
  }
  EXPECT_EQ(foreign_encoding("\xfe\xff" + wide(json, 2, false)), "UTF-16BE");
  EXPECT_EQ(foreign_encoding(wide(json, 2, false)), "UTF-16BE");
  EXPECT_EQ(foreign_encoding(wide(json, 4, true)), "UTF-32LE");
  EXPECT_EQ(foreign_encoding(std::string("\xff\xfe\0\0", 4) + wide(json, 4, true)), "UTF-32LE");
  EXPECT_EQ(foreign_encoding(wide(json, 4, false)), "UTF-32BE");
}

TEST(TextEncodingTest, Utf8IsNot) {
  for (const char* text :
       {"", "{", R"({"a": 1})", "\xef\xbb\xbf{\"a\": 1}", "{\"名\": 1}", "\xff"}) {
    EXPECT_EQ(foreign_encoding(text), "") << text;
  }
}

}  // namespace
}  // namespace zt
