#include <gtest/gtest.h>

#include "config/config_test_files.h"

namespace zt::config {
namespace {

class CheckpointFormatTest : public FlagsTest {
 protected:
  CheckpointConfig saved(const std::vector<std::string>& more) const {
    return resolved(more).checkpoint;
  }
};

TEST_F(CheckpointFormatTest, FlagsReachTheirFields) {
  EXPECT_EQ(saved({}).format, CheckpointFormat::native);
  EXPECT_TRUE(saved({}).tag.empty());
  const CheckpointConfig other =
      saved({"--checkpoint_format", "deepspeed", "--checkpoint_tag", "step_{step}"});
  EXPECT_EQ(other.format, CheckpointFormat::deepspeed);
  EXPECT_EQ(other.tag, "step_{step}");
}

TEST_F(CheckpointFormatTest, WhatCannotBeWrittenIsRefused) {
  expect_error({"--checkpoint_format", "pickle"}, "expected one of native|deepspeed");
  expect_error({"--checkpoint_format", "deepspeed", "--save_only_model"},
               "contradicts --save_only_model");
  expect_error({"--checkpoint_tag", "final"}, "needs --checkpoint_format deepspeed");
  for (const char* tag : {"../x", "/x", ".hidden", "checkpoint-5", "a/b"}) {
    expect_error({"--checkpoint_format", "deepspeed", "--checkpoint_tag", tag},
                 "expected a folder's name");
  }
}

}  // namespace
}  // namespace zt::config
