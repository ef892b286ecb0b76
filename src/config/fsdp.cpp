#include <algorithm>
#include <fstream>
#include <sstream>

#include "config/accelerate.h"
#include "config/text_values.h"
#include "config/yaml_reader.h"

namespace zt::config {
namespace {

/// An FSDP strategy in ZeRO's words.
struct Strategy {
  const char* name;
  const char* number;  ///< its number in torch
  const char* stage;
  bool hybrid;  ///< shards inside a machine only
  const char* meaning;
};

constexpr Strategy kStrategies[] = {
    {"FULL_SHARD", "1", "3", false, "parameters, gradients and optimizer states are sharded"},
    {"SHARD_GRAD_OP", "2", "2", false, "gradients and optimizer states are sharded"},
    {"NO_SHARD", "3", "0", false, "nothing is sharded"},
    {"HYBRID_SHARD", "4", "3", true, "parameters, gradients and optimizer states are sharded"},
    {"HYBRID_SHARD_ZERO2", "5", "2", true, "gradients and optimizer states are sharded"}};

const Strategy* find_strategy(const std::string& text) {
  for (const Strategy& strategy : kStrategies) {
    if (lower_case(text) == lower_case(strategy.name) || text == strategy.number) return &strategy;
  }
  return nullptr;
}

class Lowering {
 public:
  Lowering(Layer& all, const Facts& facts, Problems& problems, std::vector<std::string>& notices)
      : flags_(all.flags), all_(all), facts_(facts), problems_(problems), notices_(notices) {}

  void lower() {
    lower_precision();
    lower_ranks();
    lower_legacy_fsdp();
    if (is_on("use_fsdp")) {
      lower_fsdp();
    } else {
      drop_fsdp();
      lower_deepspeed();
    }
  }

 private:
  [[nodiscard]] bool is_on(const char* flag) const { return flags_.boolean(flag, false); }
  [[nodiscard]] bool is_given(const char* flag) const { return flags_.find(flag) != nullptr; }

  void lower_precision() {
    const FlagValue* said = flags_.find_value("mixed_precision");
    if (said == nullptr) return;
    const std::string text = lower_case(said->text);
    if (text == "fp8") {
      problems_.add(said->place, said->written + " fp8 is not built", "Use bf16");
      flags_.erase("mixed_precision");
      return;
    }
    if (text != "bf16" && text != "fp16") return;  // no, or reported with the other flags
    const char* other = text == "bf16" ? "fp16" : "bf16";
    if (is_given(text.c_str()) || is_on(other)) {
      if (!is_on(text.c_str())) {
        notices_.push_back(said->written + " " + text +
                           ": no effect, the flags --bf16 and --fp16 "
                           "decide (" +
                           said->place + ")");
      }
      return;
    }
    flags_.set(text, {"true", said->written, said->place});
  }

  /// `--num_processes` counts the ranks of all machines.
  void lower_ranks() {
    for (const char* name : {"num_processes", "num_machines"}) {
      const FlagValue* count = flags_.find_value(name);
      const auto number = count == nullptr ? std::nullopt : parse_integer(count->text);
      if (!number || *number >= 1) continue;  // what is no number is reported with the other flags
      problems_.add(count->place, count->written + ": got " + shown(count->text) +
                                      ", expected a whole number >= 1");
    }
    const FlagValue* said = flags_.find_value("num_processes");
    const std::int64_t machines = num_machines();
    if (machines > 1 && facts_.environment.count("WORLD_SIZE") == 0 && facts_.task == Task::train &&
        is_given("num_machines") && !facts_.world_size) {
      const FlagValue& many = *flags_.find_value("num_machines");
      notices_.push_back(many.written + " " + many.text +
                         ": start the machines with zt launch --num_nodes " + many.text + " (" +
                         many.place + ")");
    }
    if (said == nullptr || is_given("nproc")) return;
    const auto total = parse_integer(said->text);
    if (!total || *total < 1) return;
    if (*total % machines != 0) {
      problems_.add(said->place, said->written + ": got " + shown(said->text) +
                                     ", expected a multiple of the " + std::to_string(machines) +
                                     " machines");
      return;
    }
    flags_.set("nproc", {std::to_string(*total / machines), said->written, said->place});
  }

  [[nodiscard]] std::int64_t num_machines() const {
    const std::string* said = flags_.find("num_machines");
    if (said != nullptr) return std::max<std::int64_t>(1, parse_integer(*said).value_or(1));
    const auto number = [&](const char* name) {
      const auto found = facts_.environment.find(name);
      return found == facts_.environment.end() ? std::int64_t{1}
                                               : parse_integer(found->second).value_or(1);
    };
    const std::int64_t local = std::max<std::int64_t>(1, number("LOCAL_WORLD_SIZE"));
    return std::max<std::int64_t>(1, number("WORLD_SIZE") / local);
  }

  /// `--fsdp "full_shard offload"` and `--fsdp_config` of the Trainer.
  void lower_legacy_fsdp() {
    const FlagValue* said = flags_.find_value("fsdp");
    if (said == nullptr || is_listed(said->text, "false|none|")) {
      flags_.erase("fsdp");
      if (said == nullptr && is_given("fsdp_config") &&
          !is_listed(*flags_.find("fsdp_config"), "none|{}|")) {
        const FlagValue& config = *flags_.find_value("fsdp_config");
        notices_.push_back(config.written + ": no effect without --fsdp (" + config.place + ")");
      }
      return;
    }
    const FlagValue fsdp = *said;
    flags_.set("use_fsdp", {"true", fsdp.written, fsdp.place});
    std::istringstream words(fsdp.text);
    for (std::string word; words >> word;) {
      if (!word.empty() && word.back() == ',') word.pop_back();
      if (find_strategy(word) != nullptr) {
        flags_.set("fsdp_sharding_strategy", {word, fsdp.written, fsdp.place});
      } else if (word == "offload") {
        flags_.set("fsdp_offload_params", {"true", fsdp.written + " offload", fsdp.place});
      } else if (word != "auto_wrap" && lower_case(word) != "true") {
        problems_.add(fsdp.place, fsdp.written + ": got '" + shown(word) +
                                      "', expected full_shard, shard_grad_op, no_shard, "
                                      "hybrid_shard, hybrid_shard_zero2, offload or auto_wrap");
      }
    }
    read_fsdp_config();
  }

  void read_fsdp_config() {
    const FlagValue* said = flags_.find_value("fsdp_config");
    if (said == nullptr || is_listed(said->text, "none|{}|")) return;
    const FlagValue config = *said;
    std::string text = trimmed(config.text);
    std::string name = config.written;
    if (text.front() != '{') {
      std::ifstream file(text, std::ios::binary);
      std::ostringstream content;
      content << file.rdbuf();
      if (!file) {
        problems_.add(config.place, config.written + ": no such file: '" + shown(text) + "'");
        return;
      }
      name = text;
      text = content.str();
    }
    Value map;
    try {
      map = read_json(text, name);
    } catch (const JsonError& error) {
      problems_.add(error.problems());
      return;
    }
    Value root;
    root.kind = Value::Kind::object;
    Member member;
    member.key = "fsdp_config";
    member.value = renamed(std::move(map));
    root.members.push_back(std::move(member));
    const Layer layer = read_accelerate_layer(root, name, problems_);
    for (const auto& [flag, value] : layer.flags.all()) flags_.set(flag, value);
  }

  /// The Trainer's names for accelerate's.
  static Value renamed(Value map) {
    std::vector<Member> kept;
    for (Member& member : map.members) {
      if (member.key == "cpu_offload") member.key = "offload_params";
      const bool is_xla =
          member.key.rfind("xla", 0) == 0 && !parse_bool(member.value.text).value_or(true);
      const bool is_limit = member.key == "limit_all_gathers";
      if (!is_xla && !is_limit) kept.push_back(std::move(member));
    }
    map.members = std::move(kept);
    return map;
  }

  /// FSDP's names without FSDP: accelerate ignores them too.
  void drop_fsdp() {
    for (const Flag& flag : flag_table()) {
      const FlagValue* said = flags_.find_value(flag.name);
      if (said == nullptr || flag.name.rfind("fsdp_", 0) != 0) continue;
      if (flag.use != FlagUse::applies || flag.name == "fsdp_config") continue;
      notices_.push_back(said->written + ": no effect without --use_fsdp (" + said->place + ")");
      flags_.erase(flag.name);
    }
  }

  void lower_deepspeed() {
    const FlagValue* said = flags_.find_value("use_deepspeed");
    if (!is_on("use_deepspeed") || is_given("zero_stage") || is_given("deepspeed") ||
        all_.deepspeed) {
      return;
    }
    const FlagValue on = *said;
    flags_.set("zero_stage", {"2", on.written, on.place});
    notices_.push_back(on.written + ": ZeRO stage 2, accelerate's default, as no stage is given (" +
                       on.place + ")");
  }

  void lower_fsdp() {
    const FlagValue& fsdp = *flags_.find_value("use_fsdp");
    for (const char* rival : {"use_deepspeed", "zero_stage", "deepspeed"}) {
      if (!is_given(rival) || (std::string(rival) == "use_deepspeed" && !is_on(rival))) continue;
      problems_.add(fsdp.place + "; " + flags_.place(rival),
                    fsdp.written + " contradicts " + flags_.written(rival), "Keep one");
      return;
    }
    const FlagValue said = strategy_value();
    const Strategy* strategy = find_strategy(said.text);
    if (strategy == nullptr) {
      problems_.add(said.place, said.written + ": got '" + shown(said.text) +
                                    "', expected FULL_SHARD, SHARD_GRAD_OP, NO_SHARD, "
                                    "HYBRID_SHARD or HYBRID_SHARD_ZERO2");
      return;
    }
    if (strategy->hybrid && num_machines() > 1) {
      problems_.add(said.place,
                    said.written + " " + strategy->name + " is not built for " +
                        std::to_string(num_machines()) + " machines: shards lie on all ranks",
                    strategy->stage[0] == '3' ? "Use FULL_SHARD" : "Use SHARD_GRAD_OP");
      return;
    }
    notices_.push_back(said.written + " " + strategy->name + " means ZeRO stage " +
                       strategy->stage + ": " + strategy->meaning + " (" + said.place + ")");
    flags_.set("zero_stage", {strategy->stage, said.written, said.place});
    lower_fsdp_offload(*strategy);
    lower_fsdp_other();
  }

  /// The strategy, from the names of FSDP 1 or 2.
  FlagValue strategy_value() {
    const FlagValue* reshard = flags_.find_value("fsdp_reshard_after_forward");
    const FlagValue* strategy = flags_.find_value("fsdp_sharding_strategy");
    const std::string* version = flags_.find("fsdp_version");
    const bool is_two = version != nullptr && *version == "2";
    if (reshard != nullptr && (is_two || strategy == nullptr)) {
      const auto after = parse_bool(reshard->text);
      if (!after || find_strategy(reshard->text) != nullptr) return *reshard;
      return {*after ? "FULL_SHARD" : "SHARD_GRAD_OP", reshard->written, reshard->place};
    }
    if (strategy != nullptr) return *strategy;
    const FlagValue& fsdp = *flags_.find_value("use_fsdp");
    return {"FULL_SHARD", fsdp.written, fsdp.place};
  }

  void lower_fsdp_offload(const Strategy& strategy) {
    const FlagValue* said = flags_.find_value("fsdp_offload_params");
    if (said == nullptr || !is_on("fsdp_offload_params")) return;
    const FlagValue offload = *said;
    const FlagValue cpu{"cpu", offload.written, offload.place};
    if (strategy.stage[0] == '0') {
      problems_.add(offload.place,
                    offload.written + " with " + strategy.name +
                        " is not built: what is not sharded stays on the device",
                    "Use FULL_SHARD or SHARD_GRAD_OP");
      return;
    }
    flags_.set("offload_optimizer_device", cpu);
    if (strategy.stage[0] == '3') {
      flags_.set("offload_param_device", cpu);
      return;
    }
    notices_.push_back(offload.written + ": optimizer states in host memory; " + strategy.name +
                       " keeps whole parameters on the device (" + offload.place + ")");
  }

  void lower_fsdp_other() {
    if (is_on("fsdp_activation_checkpointing") && !is_given("gradient_checkpointing") &&
        !is_given("recompute")) {
      const FlagValue said = *flags_.find_value("fsdp_activation_checkpointing");
      flags_.set("gradient_checkpointing", {"true", said.written, said.place});
    }
    const FlagValue* type = flags_.find_value("fsdp_state_dict_type");
    if (type == nullptr) return;
    if (lower_case(type->text) == "full_state_dict") {
      notices_.push_back(type->written +
                         " FULL_STATE_DICT: the output folder has the whole model; checkpoints "
                         "are sharded (" +
                         type->place + ")");
    }
  }

  FlagValues& flags_;
  Layer& all_;
  const Facts& facts_;
  Problems& problems_;
  std::vector<std::string>& notices_;
};

}  // namespace

void lower_accelerate(Layer& all, const Facts& facts, Problems& problems,
                      std::vector<std::string>& notices) {
  Lowering(all, facts, problems, notices).lower();
}

}  // namespace zt::config
