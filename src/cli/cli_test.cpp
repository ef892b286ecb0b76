#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/progress_bar.h"
#include "cli/run_task.h"

namespace zt::cli {
namespace {

std::string error_of(const Arguments& arguments) {
  try {
    dispatch(arguments);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string output_of(const Arguments& arguments) {
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(dispatch(arguments), 0);
  return ::testing::internal::GetCapturedStdout();
}

TEST(CliTest, UnknownCommandNamesTheNearestOne) {
  EXPECT_NE(error_of({"hlep"}).find("Did you mean 'help'"), std::string::npos);
  EXPECT_NE(error_of({"vresion"}).find("Did you mean 'version'"), std::string::npos);
}

TEST(CliTest, HelpListsEveryCommand) {
  const auto text = output_of({"help"});
  std::set<std::string> names;
  for (const auto& command : commands()) {
    EXPECT_NE(text.find(command.name), std::string::npos) << command.name;
    EXPECT_TRUE(names.insert(command.name).second) << command.name << " twice";
  }
  EXPECT_EQ(output_of({}), text);
  EXPECT_EQ(output_of({"--help"}), text);
}

TEST(CliTest, UnknownCommandListsTheKnownOnesAndGuessesOnlyNearOnes) {
  const auto text = error_of({"serve_the_model"});
  EXPECT_NE(text.find("expected one of train, run, launch"), std::string::npos) << text;
  EXPECT_EQ(text.find("Did you mean"), std::string::npos) << text;
  EXPECT_NE(error_of({"help", "trian"}).find("Did you mean 'train'"), std::string::npos);
}

TEST(CliTest, EveryCommandTellsItsUsageInEveryWayThatUsersAsk) {
  for (const auto& command : commands()) {
    const std::string name = command.name;
    const auto text = output_of({"help", name});
    EXPECT_NE(text.find("usage: zt "), std::string::npos) << name;
    EXPECT_EQ(output_of({name, "--help"}), text) << name;
    EXPECT_EQ(output_of({name, "-h"}), text) << name;
  }
  EXPECT_NE(output_of({"help", "train"}).find("--model_name_or_path"), std::string::npos);
  EXPECT_NE(output_of({"help", "run"}).find("--task train|test|predict"), std::string::npos);
  EXPECT_NE(output_of({"data", "tokenize", "--help"}).find("--tokenizer DIR"), std::string::npos);
  EXPECT_NE(output_of({"config", "check", "-h"}).find("--world_size N"), std::string::npos);
  EXPECT_NE(output_of({"train", "--bf16", "-h"}).find("--bf16"), std::string::npos);
}

TEST(CliTest, LaunchSaysWhatIsMissing) {
  EXPECT_NE(error_of({"launch", "--nproc", "2"}).find("there is no program"), std::string::npos);
  EXPECT_EQ(output_of({"launch", "--help"}), output_of({"help", "launch"}));
}

TEST(CliTest, RunTakesOneKnownTask) {
  const auto task_of = [](Arguments flags) {
    const auto task = take_task(flags);
    EXPECT_EQ(flags, (Arguments{"--config", "x.yaml", "--bf16"}));
    return task;
  };
  EXPECT_EQ(task_of({"--config", "x.yaml", "--task", "predict", "--bf16"}), config::Task::predict);
  EXPECT_EQ(task_of({"--task=test", "--config", "x.yaml", "--bf16"}), config::Task::test);
  EXPECT_EQ(task_of({"--config", "x.yaml", "--bf16"}), config::Task::train);
  EXPECT_NE(error_of({"run", "--task", "tset"}).find("Did you mean 'test'"), std::string::npos);
  EXPECT_NE(error_of({"run", "--task"}).find("got no value"), std::string::npos);
  EXPECT_NE(error_of({"run", "--task=test", "--task", "test"}).find("twice"), std::string::npos);
  EXPECT_EQ(output_of({"run", "--help"}), output_of({"help", "run"}));
}

TEST(CliTest, CkptSaysWhatIsMissing) {
  EXPECT_EQ(output_of({"ckpt", "--help"}), output_of({"help", "ckpt"}));
  EXPECT_NE(output_of({"ckpt", "convert", "--help"}).find("--world_size"), std::string::npos);
  EXPECT_NE(error_of({"ckpt", "inspekt", "d"}).find("expected inspect"), std::string::npos);
  EXPECT_NE(error_of({"ckpt", "diff", "a"}).find("got 1 folders, expected 2"), std::string::npos);
  EXPECT_NE(error_of({"ckpt", "inspect", "a", "--tensor"}).find("did you mean --tensors"),
            std::string::npos);
  EXPECT_NE(error_of({"ckpt", "convert", "a", "b"}).find("--to is missing"), std::string::npos);
  EXPECT_NE(error_of({"ckpt", "convert", "a", "b", "--to=gguf"}).find("got 'gguf'"),
            std::string::npos);
  EXPECT_NE(error_of({"ckpt", "inspect", "a", "--tensors=yes"}).find("takes no value"),
            std::string::npos);
  EXPECT_NE(error_of({"ckpt", "merge", "a", "b", "--dtype"}).find("--dtype needs"),
            std::string::npos);
}

TEST(CliTest, ConfigSaysWhatIsWrong) {
  EXPECT_EQ(output_of({"config", "--help"}), output_of({"help", "config"}));
  EXPECT_NE(error_of({"config", "chek", "x"}).find("Did you mean 'check'"), std::string::npos);
  EXPECT_NE(error_of({"config", "check"}).find("got 0 arguments"), std::string::npos);
  EXPECT_NE(error_of({"config", "check", "x", "--worldsize", "2"}).find("--world_size"),
            std::string::npos);
  EXPECT_NE(error_of({"config", "check", "x", "--world_size", "0"}).find("expected a whole number"),
            std::string::npos);
  EXPECT_NE(error_of({"config", "check", "/no/file.json"}).find("no such file"), std::string::npos);
  EXPECT_NE(output_of({"config", "explain", "--learning_rate"}).find("Peak learning rate"),
            std::string::npos);
}

TEST(CliTest, ProgressNamesShareAndRate) {
  EXPECT_EQ(ProgressBar::line("copy", {512}, {1024}, 2),
            "copy [###############               ]  50 %, 512 B of 1.0 KiB, 256 B/s");
  EXPECT_NE(ProgressBar::line("copy", {0}, {0}, 0).find("100 %"), std::string::npos);
}

TEST(CliTest, VersionTakesNoArgument) {
  EXPECT_NE(output_of({"version"}).find("zerotrain 0."), std::string::npos);
  EXPECT_NE(error_of({"version", "now"}).find("now"), std::string::npos);
}

TEST(CliTest, TokenizeSaysWhatIsMissing) {
  EXPECT_NE(error_of({"data", "tokenize", "f.txt"}).find("--tokenizer"), std::string::npos);
  EXPECT_NE(error_of({"data", "tokenize", "--tokenizer", "d"}).find("file"), std::string::npos);
  EXPECT_NE(error_of({"data", "tokenise"}).find("tokenize"), std::string::npos);
}

TEST(ExitCodeTest, EachErrorTypeHasItsOwnCode) {
  EXPECT_EQ(exit_code(ConfigError("")), 2);
  EXPECT_EQ(exit_code(FileError("")), 3);
  EXPECT_EQ(exit_code(CheckpointError("")), 3);
  EXPECT_EQ(exit_code(CommError("")), 4);
  EXPECT_EQ(exit_code(DeviceError("")), 5);
  EXPECT_EQ(exit_code(InternalError("")), 70);
  EXPECT_EQ(exit_code(Error("")), 1);
  EXPECT_EQ(exit_code(std::bad_alloc()), 1);
}

}  // namespace
}  // namespace zt::cli
