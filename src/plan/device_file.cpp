#include "plan/device_file.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace zt::plan {

void to_json(nlohmann::ordered_json& json, const GemmTime& time) {
  json = {time.rows, time.in, time.out, time.forward, time.grad_input, time.grad_weight};
}
void from_json(const nlohmann::ordered_json& json, GemmTime& time) {
  time = {json.at(0), json.at(1), json.at(2), json.at(3), json.at(4), json.at(5)};
}
void to_json(nlohmann::ordered_json& json, const AttentionTime& time) {
  json = {time.batch,    time.sequence, time.q_heads, time.kv_heads,
          time.head_dim, time.forward,  time.backward};
}
void from_json(const nlohmann::ordered_json& json, AttentionTime& time) {
  time = {json.at(0), json.at(1), json.at(2), json.at(3), json.at(4), json.at(5), json.at(6)};
}

DeviceFile read_device_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    throw FileError("[plan.device_file] cannot read " + path +
                    ". zt bench --calibrate FILE writes such a file.");
  }
  try {
    const auto json = nlohmann::ordered_json::parse(file);
    DeviceFile device;
    device.device = json.at("device");
    device.world = json.at("world");
    device.gemms = json.at("gemms").get<std::vector<GemmTime>>();
    device.attention = json.at("attention").get<std::vector<AttentionTime>>();
    device.row_rate = json.at("row_bytes_per_second");
    device.flat_rate = json.at("flat_bytes_per_second");
    device.kernel_gap = json.at("kernel_seconds");
    device.link_rate = json.at("link_bytes_per_second");
    device.link_latency = json.at("link_seconds");
    const bool usable = device.row_rate > 0 && device.flat_rate > 0 && !device.gemms.empty() &&
                        !device.attention.empty();
    if (!usable) throw FileError("[plan.device_file] " + path + " has no rates.");
    return device;
  } catch (const nlohmann::json::exception& error) {
    throw FileError("[plan.device_file] " + path + " is not what zt bench --calibrate writes: " +
                    error.what() + ". Measure again.");
  }
}

void write_device_file(const std::string& path, const DeviceFile& device) {
  const nlohmann::ordered_json json{
      {"device", device.device},
      {"world", device.world},
      {"row_bytes_per_second", device.row_rate},
      {"flat_bytes_per_second", device.flat_rate},
      {"kernel_seconds", device.kernel_gap},
      {"link_bytes_per_second", device.link_rate},
      {"link_seconds", device.link_latency},
      {"gemm_columns", {"rows", "in", "out", "forward", "grad_input", "grad_weight"}},
      {"gemms", device.gemms},
      {"attention_columns",
       {"batch", "sequence", "q_heads", "kv_heads", "head_dim", "forward", "backward"}},
      {"attention", device.attention}};
  std::ofstream file(path);
  file << json.dump(1) << '\n';
  if (!file.flush()) throw FileError("[plan.device_file] cannot write " + path + ".");
}

}  // namespace zt::plan
