#include "config/flags.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "config/config_test_files.h"
#include "config/fields.h"

namespace zt::config {
namespace {

TEST_F(FlagsTest, AcceptsUnderscoresHyphensEqualsSignsAndPrefixes) {
  EXPECT_EQ(resolved({"--block_size", "64"}).data.block_size, 64);
  EXPECT_EQ(resolved({"--block-size", "65"}).data.block_size, 65);
  EXPECT_EQ(resolved({"--block-size=66"}).data.block_size, 66);
  const Config config = resolved({"--block", "67"});
  EXPECT_EQ(config.data.block_size, 67);
  EXPECT_TRUE(has_notice(config, "--block is read as --block_size"));
  expect_error({"--adam", "1"}, "unknown flag --adam, it is short for --adam_beta1 --adam_beta2");
}

TEST_F(FlagsTest, BooleansTakeTheWordsOfArgparse) {
  EXPECT_TRUE(resolved({"--do_eval"}).run.do_eval);
  EXPECT_TRUE(resolved({"--do_eval", "True"}).run.do_eval);
  EXPECT_TRUE(resolved({"--do_eval", "y"}).run.do_eval);
  EXPECT_FALSE(resolved({"--do_eval", "f"}).run.do_eval);
  EXPECT_FALSE(resolved({"--packing=no"}).data.packing);
  EXPECT_FALSE(resolved({"--no_packing"}).data.packing);
  EXPECT_FALSE(resolved({"--no-packing"}).data.packing);
  expect_error({"--packing", "maybe"},
               "--packing: got 'maybe', expected true or false (command line)");
  expect_error({"--no_packing", "True"}, "--no_packing takes no value");
  expect_error({"--no_do_eval"}, "unknown flag --no_do_eval");
}

TEST_F(FlagsTest, ProblemsAndOriginsNameTheSpellingThatWasWritten) {
  expect_error({"--num_gpus", "abc"}, "--num_gpus: got 'abc', expected a whole number");
  expect_error({"--gradient-clipping=x"}, "--gradient_clipping: got 'x', expected");
  expect_error({"--evaluation_strategy", "often"}, "--evaluation_strategy: got 'often'");
  expect_error({"--deepspeed_config", "/nope.json"}, "--deepspeed_config: no such file");
  expect_error({"--load_checkpoint", "a", "--init_from", "b"},
               "--load_checkpoint contradicts --init_from");
  EXPECT_TRUE(has_notice(resolved({"--dtype", "float16"}), "--dtype: no effect"));
  EXPECT_EQ(resolved({"--gpus", "3"}).origins.at("launch.nproc").key, "--gpus");
  EXPECT_EQ(resolved({"--no_packing"}).origins.at("data.packing").key, "--no_packing");
  for (const FlagAlias& alias : flag_aliases()) {
    if (find_flag(alias.name)->type == FlagType::json) continue;
    Problems problems("config.test");
    std::vector<std::string> notices;
    const auto flags = parse_flags({"--" + alias.alias, "x"}, problems, notices);
    EXPECT_EQ(flags.written(alias.name), "--" + alias.alias);
  }
}

TEST_F(FlagsTest, TheLastOfRepeatedFlagsWins) {
  EXPECT_EQ(resolved({"--seed", "1", "--seed", "7"}).run.seed, 7U);
  EXPECT_EQ(resolved({"--nproc", "1", "--gpus", "3"}).launch.nproc, 3);
}

TEST_F(FlagsTest, NegativeNumbersAndListsAreValues) {
  EXPECT_EQ(resolved({"--max_steps", "-1"}).run.max_steps, -1);
  EXPECT_TRUE(has_notice(resolved({"--label_names", "a", "b", "--do_eval"}), "--label_names"));
  expect_error({"--learning_rate", "-1e-4"},
               "--learning_rate: got '-1e-4', expected a finite number >= 0");
}

TEST_F(FlagsTest, WrongValuesNameFlagValueAndWhatIsValid) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"--learning_rate", "nan", "expected a finite number >= 0"},
      {"--learning_rate", "inf", "expected a finite number >= 0"},
      {"--adam_beta1", "1", "expected a finite number >= 0 and < 1"},
      {"--adam_epsilon", "0", "expected a finite number > 0"},
      {"--weight_decay", "-0.1", "expected a finite number >= 0"},
      {"--block_size", "1", "expected a whole number >= 2"},
      {"--block_size", "512.5", "expected a whole number"},
      {"--validation_split_percentage", "100", "and <= 99"},
      {"--per_device_train_batch_size", "0", "expected a whole number >= 1"},
      {"--gradient_accumulation_steps", "99999999999999999999", "expected a whole number"},
      {"--num_train_epochs", "0", "expected a finite number > 0"},
      {"--nproc", "-2", "expected a whole number >= 0"},
      {"--gpu_memory", "0GB", "expected a size as 24GB or 24GiB"},
      {"--gpu_memory", "24", "expected a size as 24GB or 24GiB"},
      {"--reduce_at", "never", "expected one of auto|boundary|micro_step"},
      {"--recompute", "some", "expected one of auto|none|selective|full"},
      {"--reduce", "Ordered", "expected one of ordered|native"},
      {"--packing_rule", "x", "expected one of stream|hf"},
      {"--retain", "on", "expected one of auto|off"},
      {"--cuda_graphs", "on", "expected one of auto|off"},
      {"--transfers", "ib", "expected one of nccl|copy"},
      {"--coalesce", "0", "expected auto, off or a whole number >= 1"},
      {"--coalesce", "x", "expected auto, off or a whole number >= 1"},
      {"--max_nonfinite_steps", "0", "expected a whole number >= 1"},
      {"--lr_scheduler_type", "polynomial", "expected one of linear|cosine|constant"},
      {"--optim", "lion_8bit", "expected one of adamw_torch"},
      {"--eval_strategy", "sometimes", "expected one of no|steps|epoch"},
      {"--logging_strategy", "never", "expected one of no|steps|epoch"},
      {"--log_level_replica", "loud", "expected one of debug|info|warning"},
      {"--eval_steps", "-5", "expected a number > 0"},
      {"--eval_steps", "x", "expected a finite number"},
      {"--logging_steps", "2.5", "expected a whole number or a share below 1"},
      {"--warmup_steps", "2.5", "expected a whole number or a share below 1"},
      {"--warmup_ratio", "1.5", "expected a number >= 0 and < 1"},
      {"--log_level", "loud", "expected one of debug|info"},
      {"--seed", "-1", "expected a whole number >= 0 and <= 9"},
      {"--data_seed", "99999999999999999999", "expected a whole number >= 0 and <= 9"},
      {"--dataloader_num_workers", "many", "expected a whole number"}};
  for (const auto& [flag, value, expected] : cases) {
    const std::string error = error_of({"--eval_strategy=steps", flag, value});
    EXPECT_TRUE(contains(error, expected)) << flag << " " << value << " -> " << error;
    EXPECT_TRUE(contains(error, flag)) << error;
  }
}

TEST_F(FlagsTest, UnknownFlagsAndStrayArgumentsAreErrors) {
  expect_error({"--learing_rate", "1"}, "the nearest valid flag is --learning_rate");
  expect_error({"stray"}, "unexpected argument 'stray'");
  expect_error({"--seed"}, "--seed has no value");
  expect_error({"--report_to"}, "--report_to has no value");
}

TEST_F(FlagsTest, FlagsReachTheirFields) {
  const Config config = resolved({"--reduce_at",
                                  "boundary",
                                  "--cuda_graphs",
                                  "off",
                                  "--transfers",
                                  "copy",
                                  "--retain",
                                  "off",
                                  "--coalesce",
                                  "4",
                                  "--recompute",
                                  "selective",
                                  "--reduce",
                                  "native",
                                  "--deterministic",
                                  "--packing_rule",
                                  "hf",
                                  "--document_mask",
                                  "--from_scratch",
                                  "--max_nonfinite_steps",
                                  "5",
                                  "--gpu_memory",
                                  "24GiB",
                                  "--host_memory",
                                  "200GiB",
                                  "--seed",
                                  "5",
                                  "--train_sampling_strategy",
                                  "sequential",
                                  "--log_level",
                                  "debug",
                                  "--bf16"});
  EXPECT_EQ(config.zero.reduce_at, ReduceAt::boundary);
  EXPECT_FALSE(config.zero.retain_auto);
  EXPECT_FALSE(config.zero.cuda_graphs);
  EXPECT_TRUE(config.zero.copy_engines);
  EXPECT_EQ(config.zero.coalesce, 4);
  EXPECT_EQ(config.zero.recompute, Recompute::selective);
  EXPECT_EQ(config.zero.reduce, Reduce::native);
  EXPECT_TRUE(config.zero.deterministic);
  EXPECT_EQ(config.data.packing_rule, PackingRule::hf);
  EXPECT_TRUE(config.data.document_mask);
  EXPECT_TRUE(config.model.from_scratch);
  EXPECT_EQ(config.precision.max_nonfinite_steps, 5);
  EXPECT_EQ(config.launch.gpu_memory->value, std::int64_t{24} << 30);
  EXPECT_EQ(config.launch.host_memory->value, std::int64_t{200} << 30);
  EXPECT_EQ(config.data.train_sampling_strategy, Sampling::sequential);
  EXPECT_EQ(config.data.data_seed, 5U);
  EXPECT_EQ(config.run.log_level, "debug");
  EXPECT_EQ(config.precision.compute, DType::bf16);
  EXPECT_EQ(resolved({"--coalesce", "off"}).zero.coalesce, 1);
  EXPECT_EQ(resolved({"--coalesce", "auto"}).zero.coalesce, 0);
  EXPECT_EQ(resolved({"--max_train_samples", "0"}).data.max_train_samples, -1);
  EXPECT_EQ(resolved({"--max_train_samples", "None"}).data.max_train_samples, -1);
  EXPECT_EQ(resolved({"--data_seed", "9"}).data.data_seed, 9U);
  EXPECT_TRUE(resolved({"--full_determinism"}).zero.deterministic);
  EXPECT_EQ(resolved({"--group_by_length"}).data.train_sampling_strategy,
            Sampling::group_by_length);
}

TEST_F(FlagsTest, EveryFlagWithAFieldReachesIt) {
  for (const Flag& flag : flag_table()) {
    if (flag.field.empty()) continue;
    const Field& field = field_at(flag.field);
    const std::string before = field.get(Config{});
    std::string value;
    for (const char* text : {"3", "8", "0.25", "24GB", "false", "true", "full", "native", "hf",
                             "boundary", "sequential", "epoch", "deepspeed"}) {
      Config config;
      if (set_field(config, field, text).empty() && field.get(config) != before && value.empty()) {
        value = text;
      }
    }
    if (field.type == FieldType::text) value = files_.path("data");
    const Config config = resolved({"--" + flag.name, value});
    Config expected;
    ASSERT_EQ(set_field(expected, field, value), "") << flag.name;
    EXPECT_EQ(field.get(config), field.get(expected)) << flag.name;
    EXPECT_EQ(config.origins.at(flag.field).key, "--" + flag.name);
  }
}

TEST_F(FlagsTest, GradientCheckpointingIsARecomputeMode) {
  EXPECT_FALSE(resolved({}).zero.recompute.has_value());
  EXPECT_EQ(resolved({"--gradient_checkpointing"}).zero.recompute, Recompute::full);
  EXPECT_EQ(resolved({"--gradient_checkpointing", "False"}).zero.recompute, Recompute::none);
  EXPECT_EQ(resolved({"--gradient_checkpointing", "True", "--recompute", "full"}).zero.recompute,
            Recompute::full);
  expect_error({"--gradient_checkpointing", "True", "--recompute", "selective"},
               "--gradient_checkpointing True contradicts --recompute selective");
}

TEST_F(FlagsTest, WarmupRatioIsAShareOfTheSteps) {
  EXPECT_EQ(resolved({"--warmup_ratio", "0.1"}).lr_schedule.warmup_steps, 0.1);
  EXPECT_EQ(resolved({"--warmup_ratio", "0.1", "--warmup_steps", "7"}).lr_schedule.warmup_steps, 7);
  const Config config =
      resolved({"--lr_scheduler_type", "cosine", "--lr_scheduler_kwargs", "{\"num_cycles\": 1.5}"});
  EXPECT_EQ(config.lr_schedule.kind, ScheduleKind::cosine);
  EXPECT_EQ(config.lr_schedule.num_cycles, 1.5);
  expect_error({"--lr_scheduler_kwargs", "{\"power\": 2}"},
               "'power' is not built yet, expected num_cycles");
  expect_error({"--lr_scheduler_kwargs", "{\"num_cycles\": "}, "expected a value");
}

TEST_F(FlagsTest, EvaluationFollowsItsStrategy) {
  const Config steps = resolved({"--evaluation_strategy", "steps", "--eval_steps", "0.25"});
  EXPECT_TRUE(steps.run.do_eval);
  EXPECT_EQ(steps.run.eval_steps, 0.25);
  EXPECT_EQ(resolved({"--eval_strategy", "steps", "--logging_steps", "20"}).run.eval_steps, 20);
  const Config none = resolved({"--do_eval", "--eval_steps", "50"});
  EXPECT_EQ(none.run.eval_steps, 0);
  EXPECT_TRUE(has_notice(none, "--eval_steps: no effect without --eval_strategy steps"));
  const Config epoch = resolved({"--eval_strategy", "epoch"});
  EXPECT_EQ(epoch.run.eval_strategy, Interval::epoch);
  EXPECT_TRUE(epoch.run.do_eval);
}

TEST_F(FlagsTest, ReportsAreChosenByName) {
  const Config board = resolved({"--report_to", "tensorboard", "--logging_dir", "x/runs"});
  EXPECT_TRUE(board.run.report_tensorboard);
  EXPECT_FALSE(board.run.report_csv);
  EXPECT_EQ(board.run.logging_dir, "x/runs");
  EXPECT_TRUE(resolved({"--report_to", "tensorboard", "csv"}).run.report_csv);
  EXPECT_TRUE(resolved({"--report_to", "tensorboard,csv"}).run.report_csv);
  const Config all = resolved({"--report_to", "all"});
  EXPECT_TRUE(all.run.report_tensorboard && all.run.report_csv);
  const Config none = resolved({"--report_to", "none", "--logging_dir", "x"});
  EXPECT_FALSE(none.run.report_tensorboard || none.run.report_csv);
  EXPECT_TRUE(has_notice(none, "--logging_dir: no effect without --report_to tensorboard"));
  expect_error(
      {"--report_to", "wandb"},
      "--report_to wandb is not built: the format of its offline folder is not documented");
  expect_error({"--report_to", "wandb"}, "Use --report_to csv");
  expect_error({"--report_to", "tensorboard", "mlflow"}, "--report_to mlflow is not built");
}

TEST_F(FlagsTest, AcceptedFlagsGiveOneNoticeEach) {
  for (const Flag& flag : flag_table()) {
    if (flag.use != FlagUse::accepted) continue;
    std::string value =
        flag.type == FlagType::boolean || flag.type == FlagType::tristate ? "true" : "3";
    if (flag.type == FlagType::json) value = "{}";
    if (is_listed(value, flag.values) && !flag.values.empty()) value = "false";
    const std::string precision = flag.name == "fp16_full_eval" ? "--fp16" : "--bf16";
    const Config config = resolved({precision, "--" + flag.name, value});
    ASSERT_EQ(config.notices.size(), 1U) << flag.name;
    EXPECT_TRUE(has_notice(config, "--" + flag.name + ": no effect: " + flag.help)) << flag.name;
  }
}

TEST_F(FlagsTest, RefusedFlagsAreNamedWithWhatIsAccepted) {
  for (const Flag& flag : flag_table()) {
    if (flag.use != FlagUse::refused) continue;
    const bool wants_false = is_listed("true", flag.values);
    const std::string value =
        flag.type == FlagType::boolean ? (wants_false ? "False" : "True") : "7";
    expect_error({"--" + flag.name, value},
                 "--" + flag.name + " " + value + " is not built yet: accepted values: ");
    const std::string quiet = flag.values.substr(0, flag.values.find('|'));
    EXPECT_EQ(error_of({"--" + flag.name + "=" + quiet}), "") << flag.name;
  }
  EXPECT_EQ(error_of({"--use_peft", "False", "--fp16", "False", "--fsdp", ""}), "");
}

TEST_F(FlagsTest, TheSampleLauncherOfMedicalGptIsUnderstood) {
  const Config config = resolved({"--per_device_train_batch_size",
                                  "4",
                                  "--per_device_eval_batch_size",
                                  "4",
                                  "--do_train",
                                  "--do_eval",
                                  "--use_peft",
                                  "False",
                                  "--seed",
                                  "42",
                                  "--max_train_samples",
                                  "10000",
                                  "--max_eval_samples",
                                  "10",
                                  "--num_train_epochs",
                                  "0.5",
                                  "--learning_rate",
                                  "2e-4",
                                  "--warmup_steps",
                                  "5",
                                  "--weight_decay",
                                  "0.01",
                                  "--logging_strategy",
                                  "steps",
                                  "--logging_steps",
                                  "10",
                                  "--eval_steps",
                                  "50",
                                  "--eval_strategy",
                                  "steps",
                                  "--save_steps",
                                  "500",
                                  "--save_strategy",
                                  "steps",
                                  "--save_total_limit",
                                  "13",
                                  "--gradient_accumulation_steps",
                                  "8",
                                  "--preprocessing_num_workers",
                                  "10",
                                  "--block_size",
                                  "512",
                                  "--packing",
                                  "True",
                                  "--output_dir",
                                  files_.path("out"),
                                  "--ddp_timeout",
                                  "30000",
                                  "--logging_first_step",
                                  "True",
                                  "--target_modules",
                                  "all",
                                  "--lora_rank",
                                  "8",
                                  "--lora_alpha",
                                  "16",
                                  "--lora_dropout",
                                  "0.05",
                                  "--bf16",
                                  "--torch_dtype",
                                  "bfloat16",
                                  "--device_map",
                                  "auto",
                                  "--report_to",
                                  "none",
                                  "--ddp_find_unused_parameters",
                                  "False",
                                  "--gradient_checkpointing",
                                  "True",
                                  "--cache_dir",
                                  files_.path("cache")});
  EXPECT_EQ(config.run.num_train_epochs, 0.5);
  EXPECT_EQ(config.run.ddp_timeout_seconds, 30000);
  EXPECT_TRUE(config.run.logging_first_step);
  EXPECT_EQ(config.data.max_train_samples, 10000);
  EXPECT_EQ(config.zero.recompute, Recompute::full);
  EXPECT_EQ(config.run.eval_steps, 50);
}

TEST_F(FlagsTest, EveryFieldNameOfTheTableExistsAndNamesAreUnique) {
  std::set<std::string> names;
  for (const Flag& flag : flag_table()) {
    EXPECT_TRUE(names.insert(flag.name).second) << flag.name;
    EXPECT_FALSE(flag.help.empty()) << flag.name;
    if (flag.field.empty()) continue;
    EXPECT_STREQ(field_at(flag.field).path, flag.field.c_str());
  }
  for (const FlagAlias& alias : flag_aliases()) {
    EXPECT_TRUE(names.insert(alias.alias).second) << alias.alias;
    EXPECT_EQ(find_flag(alias.alias)->name, alias.name);
  }
}

TEST_F(FlagsTest, TheListOfFlagsIsFrozen) {
  std::string names;
  for (const Flag& flag : flag_table()) names += flag.name + "\n";
  for (const FlagAlias& alias : flag_aliases()) names += alias.alias + " = " + alias.name + "\n";
  std::ifstream file(ZT_SOURCE_DIR "/tests/config/flags.txt");
  std::ostringstream frozen;
  frozen << file.rdbuf();
  EXPECT_EQ(names, frozen.str())
      << "A flag was added, renamed or removed. If that is meant, change tests/config/flags.txt "
         "and docs/config.md too.";
}

}  // namespace
}  // namespace zt::config
