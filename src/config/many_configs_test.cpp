#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "config/config_test_files.h"
#include "config/ds_schema.h"
#include "config/fields.h"
#include "config/layer.h"

// Many configurations of every form: valid ones resolve as stated; each single mistake is refused
// by name, with the right neighbour.

namespace zt::config {
namespace {

/// What a valid configuration asks for.
struct Wanted {
  int stage = 0;
  bool optimizer_on_host = false, params_on_host = false;
  std::string precision = "fp32";
  std::int64_t accumulation = 1;
};

std::string boolean(bool value) { return value ? "true" : "false"; }

std::string as_deepspeed(const Wanted& wanted) {
  std::string zero = "\"stage\": " + std::to_string(wanted.stage);
  if (wanted.optimizer_on_host) zero += ", \"offload_optimizer\": {\"device\": \"cpu\"}";
  if (wanted.params_on_host) zero += ", \"offload_param\": {\"device\": \"cpu\"}";
  return "{\"zero_optimization\": {" + zero + "},\n \"train_micro_batch_size_per_gpu\": 2,\n" +
         " \"gradient_accumulation_steps\": " + std::to_string(wanted.accumulation) +
         ",\n \"bf16\": {\"enabled\": " + boolean(wanted.precision == "bf16") +
         "}, \"fp16\": {\"enabled\": " + boolean(wanted.precision == "fp16") + "}}";
}

std::string as_accelerate(const Wanted& wanted) {
  return "compute_environment: LOCAL_MACHINE\ndistributed_type: DEEPSPEED\ndeepspeed_config:\n"
         "  zero_stage: " +
         std::to_string(wanted.stage) +
         "\n  offload_optimizer_device: " + (wanted.optimizer_on_host ? "cpu" : "none") +
         "\n  offload_param_device: " + (wanted.params_on_host ? "cpu" : "none") +
         "\n  gradient_accumulation_steps: " + std::to_string(wanted.accumulation) +
         "\nmixed_precision: " + (wanted.precision == "fp32" ? "'no'" : wanted.precision) + "\n";
}

std::string as_task(const Wanted& wanted) {
  return "model: {}\ntraining:\n  batch_size: 2\n  gradient_accumulation_steps: " +
         std::to_string(wanted.accumulation) +
         "\ndeepspeed:\n  enabled: true\n  zero_stage: " + std::to_string(wanted.stage) +
         "\n  cpu_offload: " + boolean(wanted.optimizer_on_host) +
         (wanted.params_on_host ? "\n  offload_param_device: cpu" : "") +
         "\n  bf16: " + boolean(wanted.precision == "bf16") +
         "\n  fp16: " + boolean(wanted.precision == "fp16") + "\n";
}

class ManyConfigsTest : public testing::Test {
 protected:
  Config read(const std::string& name, const std::string& text,
              const std::vector<std::string>& more = {}) const {
    std::vector<std::string> args = {"--config", files_.write(name, text)};
    args.insert(args.end(), more.begin(), more.end());
    return resolve(args, facts());
  }
  static Facts facts() {
    Facts facts;
    facts.world_size = 2;
    facts.reads_data = false;
    facts.reads_model = false;
    return facts;
  }
  void expect(const Config& config, const Wanted& wanted, const std::string& text) {
    ++num_valid_;
    EXPECT_EQ(config.zero.stage, wanted.stage) << text;
    EXPECT_EQ(config.zero.optimizer_place == Place::host, wanted.optimizer_on_host) << text;
    EXPECT_EQ(config.zero.param_place == Place::host, wanted.params_on_host) << text;
    EXPECT_EQ(field_at("precision.compute").get(config), wanted.precision) << text;
    EXPECT_EQ(config.run.gradient_accumulation_steps, wanted.accumulation) << text;
  }
  /// `text` as file `name` is refused, and the message has every one of `parts`.
  void expect_refused(const std::string& name, const std::string& text,
                      const std::vector<std::string>& parts) {
    ++num_broken_;
    const std::clock_t begun = std::clock();
    const std::string error = config_error([&] { (void)read(name, text); });
    EXPECT_LT(static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC, 2) << text;
    for (const std::string& part : parts) {
      EXPECT_TRUE(contains(error, part))
          << "expected: " << part << "\nin: " << error << "\nfor: " << text;
    }
  }
  TestFiles files_;
  int num_valid_ = 0;
  int num_broken_ = 0;
};

TEST_F(ManyConfigsTest, EveryTierResolvesInEveryForm) {
  for (int stage = 0; stage <= 3; ++stage) {
    for (const char* precision : {"fp32", "bf16", "fp16"}) {
      for (int offload = 0; offload <= (stage == 3 ? 2 : stage > 0 ? 1 : 0); ++offload) {
        for (const std::int64_t accumulation : {1, 4}) {
          const Wanted wanted{stage, offload > 0, offload > 1, precision, accumulation};
          const std::string json = as_deepspeed(wanted);
          expect(read("d.json", json), wanted, json);
          expect(resolve({"--deepspeed", json}, facts()), wanted, json);
          const std::string accelerate = as_accelerate(wanted);
          expect(read("a.yaml", accelerate), wanted, accelerate);
          const std::string task = as_task(wanted);
          expect(read("t.yaml", task), wanted, task);
        }
      }
    }
  }
  EXPECT_GE(num_valid_, 100);
}

TEST_F(ManyConfigsTest, EveryFsdpStrategyResolvesToItsStage) {
  struct Row {
    const char* strategy;
    int stage;
  };
  for (const Row& row : {Row{"FULL_SHARD", 3}, Row{"SHARD_GRAD_OP", 2}, Row{"NO_SHARD", 0},
                         Row{"HYBRID_SHARD", 3}, Row{"HYBRID_SHARD_ZERO2", 2}}) {
    for (const bool offload : {false, true}) {
      if (offload && row.stage == 0) continue;
      for (const char* precision : {"fp32", "bf16"}) {
        const std::string text = std::string("distributed_type: FSDP\nmixed_precision: ") +
                                 (std::string(precision) == "fp32" ? "'no'" : precision) +
                                 "\nfsdp_config:\n  fsdp_sharding_strategy: " + row.strategy +
                                 "\n  fsdp_offload_params: " + boolean(offload) + "\n";
        expect(read("f.yaml", text), {row.stage, offload, offload && row.stage == 3, precision, 1},
               text);
      }
    }
  }
  EXPECT_GE(num_valid_, 18);
}

/// The word with one letter in its middle replaced: no other key is as near.
std::string typo(const std::string& name) {
  std::string word = name;
  const std::size_t at = word.size() / 2;
  word[at] = word[at] == 'x' ? 'z' : 'x';
  return word;
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('.') + 1); }

/// `path` as nested JSON objects around `inside`.
std::string nested(const std::string& path, const std::string& last, const std::string& inside) {
  std::string text = "\"" + last + "\": " + inside;
  std::string rest = path;
  for (std::size_t dot = rest.rfind('.'); dot != std::string::npos; dot = rest.rfind('.')) {
    rest.resize(dot);
    text = "\"" + last_part(rest) + "\": {" + text + "}";
  }
  return "{" + text +
         (path.rfind("zero_optimization", 0) == 0 ? "}" : ",\n \"zero_optimization\": {}}");
}

std::string parent_of(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

/// True for keys of sections that are looked into.
bool is_open(const std::string& path) {
  for (std::string at = parent_of(path); !at.empty(); at = parent_of(at)) {
    const DsSection* section = find_ds_section(at);
    if (section == nullptr || section->open) return true;
  }
  return false;
}

TEST_F(ManyConfigsTest, ATypoInAnyDeepSpeedKeyIsRefusedWithItsNeighbour) {
  for (const DsKey& key : ds_keys()) {
    const std::string name = last_part(key.path);
    const std::string wrong = typo(name);
    if (is_open(key.path) || name.size() < 4) continue;  // a name of two letters has no neighbour
    expect_refused("d.json", nested(key.path, wrong, "1"),
                   {wrong, "unknown key", name, "d.json:1"});
  }
  EXPECT_GE(num_broken_, 100);
}

TEST_F(ManyConfigsTest, AWrongTypeOfAnyDeepSpeedKeyIsRefused) {
  for (const DsKey& key : ds_keys()) {
    if (is_open(key.path) || key.type == KeyType::any) continue;
    const bool is_list = key.type == KeyType::list;
    const std::string name = last_part(key.path);
    expect_refused("d.json", nested(key.path, name, is_list ? "3" : "[[]]"),
                   {name + ": got ", "expected", "d.json:1"});
  }
  EXPECT_GE(num_broken_, 100);
}

TEST_F(ManyConfigsTest, ATypoInAnyFlagIsRefusedWithItsNeighbour) {
  int count = 0;
  for (const Flag& flag : flag_table()) {
    if (flag.name.size() < 4) continue;
    const std::string wrong = typo(flag.name);
    const std::string error = config_error([&] { (void)resolve({"--" + wrong, "1"}, facts()); });
    EXPECT_TRUE(contains(error, "unknown flag --" + wrong)) << error;
    EXPECT_TRUE(contains(error, "--" + flag.name)) << error;
    ++count;
  }
  EXPECT_GE(count, 100);
}

TEST_F(ManyConfigsTest, ATypoInAnyTaskKeyIsRefusedWithItsNeighbour) {
  for (const TaskKey& row : task_keys()) {
    const std::string name = row.key;
    if (name.size() < 4) continue;
    const std::string wrong = typo(name);
    const std::string section = row.section;
    const std::string text =
        section.empty() ? "training: {}\n" + wrong + ": 1\n" : section + ":\n  " + wrong + ": 1\n";
    expect_refused("t.yaml", text, {wrong + ": unknown key", "nearest valid key is", "t.yaml:"});
  }
  for (const Flag& flag : flag_table()) {
    if (flag.name.size() < 6 || flag.name == "config") continue;
    const std::string wrong = typo(flag.name);
    expect_refused("t.yaml", "training:\n  " + wrong + ": 1\n",
                   {"training." + wrong + ": unknown key", "training." + flag.name, "t.yaml:2"});
  }
  EXPECT_GE(num_broken_, 200);
}

TEST_F(ManyConfigsTest, ATypoInAnyAccelerateKeyIsRefusedWithItsNeighbour) {
  for (const char* key :
       {"mixed_precision", "num_processes", "num_machines", "machine_rank", "main_process_ip",
        "main_process_port", "rdzv_backend", "same_network", "use_cpu", "downcast_bf16",
        "enable_cpu_affinity", "deepspeed_config", "fsdp_config", "gpu_ids"}) {
    expect_refused("a.yaml", std::string("distributed_type: DEEPSPEED\n") + typo(key) + ": 1\n",
                   {typo(key), std::string("nearest valid key is ") + key, "a.yaml:2"});
  }
  for (const char* key :
       {"zero_stage", "offload_optimizer_device", "offload_param_device", "zero3_init_flag",
        "gradient_clipping", "gradient_accumulation_steps", "zero3_save_16bit_model"}) {
    expect_refused(
        "a.yaml",
        std::string("distributed_type: DEEPSPEED\ndeepspeed_config:\n  ") + typo(key) + ": 1\n",
        {"deepspeed_config." + typo(key), std::string("deepspeed_config.") + key, "a.yaml:3"});
  }
  for (const Flag& flag : flag_table()) {
    if (flag.name.rfind("fsdp_", 0) != 0 || flag.name == "fsdp_config") continue;
    expect_refused("a.yaml", "distributed_type: FSDP\nfsdp_config:\n  " + typo(flag.name) + ": 1\n",
                   {typo(flag.name), "fsdp_config." + flag.name, "a.yaml:3"});
  }
}

TEST_F(ManyConfigsTest, ContradictionsNameBothSides) {
  const std::pair<const char*, std::vector<std::string>> broken[] = {
      {"{\"fp16\": {\"enabled\": true}, \"bf16\": {\"enabled\": true}}",
       {"fp16", "bf16", "both on"}},
      {"{\"zero_optimization\": {\"stage\": 2, \"offload_param\": {\"device\": \"cpu\"}}}",
       {"offload_param.device", "zero_optimization.stage >= 3"}},
      {"{\"zero_optimization\": {\"stage\": 0, \"offload_optimizer\": {\"device\": \"cpu\"}}}",
       {"offload_optimizer.device", "zero_optimization.stage >= 1"}},
      {"{\"train_batch_size\": 7, \"train_micro_batch_size_per_gpu\": 2, "
       "\"gradient_accumulation_steps\": 1, \"zero_optimization\": {}}",
       {"train_batch_size: got 7", "= 4"}},
      {"{\"zero_optimization\": {\"stage\": 2, \"allgather_bucket_size\": 5}}",
       {"allgather_bucket_size", "even"}},
      {"{\"zero_optimization\": {\"stage\": 2}, \"prescale_gradients\": true}",
       {"prescale_gradients", "expected false"}},
      {"{\"zero_optimization\": {\"stage\": 4}}", {"zero_optimization.stage: got 4", "<= 3"}},
      {"{\"zero_optimization\": {\"stage\": 1, \"cpu_offload\": true, "
       "\"offload_optimizer\": {\"device\": \"cpu\"}}}",
       {"cpu_offload", "offload_optimizer"}},
      {"{\"optimizer\": {\"type\": \"Adagrad\"}}", {"optimizer.type", "Adam or AdamW"}},
      {"{\"scheduler\": {\"type\": \"OneCycle\"}}", {"scheduler.type", "WarmupLR"}},
      {"{\"zero_optimization\": {\"stage\": 3, \"stage3_max_live_parameters\": 5, "
       "\"max_live_parameters\": 6}}",
       {"stage3_max_live_parameters", "two names of one key"}},
  };
  for (const auto& [text, parts] : broken) expect_refused("d.json", text, parts);
  const std::pair<const char*, std::vector<std::string>> tasks[] = {
      {"training:\n  fp16: true\n  bf16: true\n", {"fp16", "bf16", "both on", "t.yaml:2"}},
      {"training:\n  fp16: true\ndeepspeed:\n  fp16: false\n",
       {"contradicts", "t.yaml:2", "t.yaml:4"}},
      {"training:\n  lr: 1\n  learning_rate: 2\n", {"contradicts", "t.yaml:2", "t.yaml:3"}},
      {"training:\n  recompute: none\n  gradient_checkpointing: true\n", {"contradicts"}},
      {"deepspeed:\n  zero_stage: 1\n  offload_param_device: cpu\n", {"t.yaml:3", "stage"}},
      {"deepspeed:\n  zero_stage: 2\n  zero_optimization:\n    stage: 3\n",
       {"contradicts", "t.yaml:2"}},
      {"predict:\n  top_p: 2\n", {"predict.top_p: got '2'", "<= 1"}},
      {"predict:\n  temperature: 0\n", {"predict.temperature", "> 0"}},
      {"training: 3\n", {"training: got 3", "expected a map"}},
      {"deepspeed: [1]\n", {"deepspeed: got a list"}},
  };
  for (const auto& [text, parts] : tasks) expect_refused("t.yaml", text, parts);
  EXPECT_EQ(num_broken_, 21);
}

TEST_F(ManyConfigsTest, AllMistakesOfAFileAreNamedAtOnceAndQuickly) {
  std::string text = "training:\n";
  for (const Flag& flag : flag_table()) {
    if (flag.name.size() >= 6) text += "  " + typo(flag.name) + ": 1\n";
  }
  const std::clock_t begun = std::clock();
  const std::string error = config_error([&] { (void)read("t.yaml", text); });
  EXPECT_LT(static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC, 2);
  EXPECT_GE(std::count(error.begin(), error.end(), '\n'), 200);
}

}  // namespace
}  // namespace zt::config
