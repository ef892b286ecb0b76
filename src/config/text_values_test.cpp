#include "config/text_values.h"

#include <gtest/gtest.h>

#include "config/text_distance.h"

namespace zt::config {
namespace {

TEST(TextValuesTest, IntegersMayBeWrittenAsFloats) {
  EXPECT_EQ(parse_integer("2e8"), 200'000'000);
  EXPECT_EQ(parse_integer(" 5E8 "), 500'000'000);
  EXPECT_EQ(parse_integer("2.0"), 2);
  EXPECT_EQ(parse_integer("20000000000000000"), 20'000'000'000'000'000);
  EXPECT_EQ(parse_integer("-1"), -1);
  EXPECT_EQ(parse_integer("+7"), 7);
  for (const char* bad : {"", "0.5", "1e30", "x", "nan", "1 2", "--1", "+-1", "0x10", "1e400"}) {
    EXPECT_FALSE(parse_integer(bad).has_value()) << bad;
  }
}

TEST(TextValuesTest, RealsAreFinite) {
  EXPECT_EQ(parse_real("2e-4"), 2e-4);
  EXPECT_EQ(parse_real(".5"), 0.5);
  for (const char* bad : {"nan", "inf", "-Infinity", "1e999", "1,5", ""}) {
    EXPECT_FALSE(parse_real(bad).has_value()) << bad;
  }
}

TEST(TextValuesTest, BooleansHaveTheWordsOfArgparseAndPydantic) {
  for (const char* yes : {"True", "yes", "T", "y", "1", "on"})
    EXPECT_EQ(parse_bool(yes), true) << yes;
  for (const char* no : {"False", "NO", "f", "n", "0", "off"})
    EXPECT_EQ(parse_bool(no), false) << no;
  EXPECT_FALSE(parse_bool("2").has_value());
  EXPECT_FALSE(parse_bool("").has_value());
}

TEST(TextValuesTest, FormattedRealsReadBack) {
  for (const double value : {5e-5, 0.999, 1.0, 1e-8, 500.0}) {
    EXPECT_EQ(parse_real(format_real(value)), value);
  }
  EXPECT_EQ(format_real(500), "500");
}

TEST(TextValuesTest, DecodesUrlSafeBase64) {
  EXPECT_EQ(decode_base64("eyJhIjogMX0="), "{\"a\": 1}");
  EXPECT_EQ(decode_base64("eyJhIjogIj8_In0"), "{\"a\": \"??\"}");
  EXPECT_FALSE(decode_base64("not base64!").has_value());
  EXPECT_FALSE(decode_base64("").has_value());
}

TEST(TextDistanceTest, CountsEditsAndSwaps) {
  EXPECT_EQ(edit_distance("stage", "stage"), 0);
  EXPECT_EQ(edit_distance("stge", "stage"), 1);
  EXPECT_EQ(edit_distance("satge", "stage"), 1);
  EXPECT_EQ(edit_distance("learning-rate", "learning_rate"), 0);
  EXPECT_EQ(edit_distance("comment", "comet"), 2);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("abc", ""), 3);
}

TEST(TextDistanceTest, FindsTheNearestName) {
  EXPECT_EQ(nearest("learing_rate", {"block_size", "learning_rate"}).name, "learning_rate");
  EXPECT_EQ(nearest("x", {}).name, "");
}

}  // namespace
}  // namespace zt::config
