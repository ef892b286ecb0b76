#include "launch/node_messages.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace zt::launch {
namespace {

using nlohmann::json;

/// JSON holds Unicode, arguments and variables hold bytes: each byte becomes the character of that
/// number.
std::string to_text(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xC0 | (byte >> 6));
      text += static_cast<char>(0x80 | (byte & 0x3F));
    }
  }
  return text;
}

std::string to_bytes(const std::string& text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0xC0 && i + 1 < text.size()) {
      bytes += static_cast<char>((byte << 6) | (static_cast<unsigned char>(text[++i]) & 0x3F));
    } else {
      bytes += text[i];
    }
  }
  return bytes;
}

json to_json(const std::vector<std::string>& words) {
  json list = json::array();
  for (const std::string& word : words) list.push_back(to_text(word));
  return list;
}

std::vector<std::string> words_of(const json& list) {
  std::vector<std::string> words;
  for (const json& word : list) words.push_back(to_bytes(word.get<std::string>()));
  return words;
}

/// Reads with `read`; every way in which JSON can be wrong is one error here.
template <typename Read>
auto decode(const std::string& line, Read read) {
  try {
    return read(json::parse(line));
  } catch (const json::exception& error) {
    throw CommError(std::string("[launch.node] a message of the other launcher is damaged: ") +
                    error.what() + ". Install the same version of zerotrain on every machine.");
  }
}

}  // namespace

std::string encode(const NodeJob& job) {
  json variables = json::array();
  for (const auto& [name, value] : job.variables) {
    variables.push_back({to_text(name), to_text(value)});
  }
  const json message = {{"token", job.token},
                        {"node_rank", job.node_rank},
                        {"num_nodes", job.num_nodes},
                        {"first_rank", job.first_rank},
                        {"world_size", job.world_size},
                        {"slots", job.slots},
                        {"second_host", job.second_host},
                        {"master_addr", job.master_addr},
                        {"master_port", job.master_port},
                        {"folder", to_text(job.folder)},
                        {"variables", variables},
                        {"words", to_json(job.words)},
                        {"flags", to_json(job.flags)},
                        {"sets_devices", job.sets_devices},
                        {"launcher_pid", job.launcher_pid}};
  return message.dump();
}

NodeJob decode_job(const std::string& line) {
  return decode(line, [](const json& message) {
    NodeJob job;
    job.token = message.at("token").get<std::string>();
    job.node_rank = message.at("node_rank").get<int>();
    job.num_nodes = message.at("num_nodes").get<int>();
    job.first_rank = message.at("first_rank").get<int>();
    job.world_size = message.at("world_size").get<int>();
    job.slots = message.at("slots").get<std::vector<int>>();
    job.second_host = message.at("second_host").get<std::string>();
    job.master_addr = message.at("master_addr").get<std::string>();
    job.master_port = message.at("master_port").get<int>();
    job.folder = to_bytes(message.at("folder").get<std::string>());
    for (const json& pair : message.at("variables")) {
      job.variables[to_bytes(pair.at(0).get<std::string>())] =
          to_bytes(pair.at(1).get<std::string>());
    }
    job.words = words_of(message.at("words"));
    job.flags = words_of(message.at("flags"));
    job.sets_devices = message.at("sets_devices").get<bool>();
    job.launcher_pid = message.at("launcher_pid").get<int>();
    return job;
  });
}

std::string encode(const NodeOrder& order) {
  const json message = {{"start", order.start},
                        {"master_addr", order.master_addr},
                        {"master_port", order.master_port},
                        {"signal", order.signal}};
  return message.dump();
}

NodeOrder decode_order(const std::string& line) {
  return decode(line, [](const json& message) {
    return NodeOrder{.start = message.at("start").get<bool>(),
                     .master_addr = message.at("master_addr").get<std::string>(),
                     .master_port = message.at("master_port").get<int>(),
                     .signal = message.at("signal").get<int>()};
  });
}

std::string encode(const std::string& token, const NodeReady& ready) {
  const json message = {
      {"ready", {{"master_addr", ready.master_addr}, {"master_port", ready.master_port}}}};
  return token + " " + message.dump();
}

std::string encode(const std::string& token, const NodeEnd& end) {
  const json message = {{"end",
                         {{"status", end.status},
                          {"rank", end.rank},
                          {"consequence", end.consequence},
                          {"failure", to_text(end.failure)}}}};
  return token + " " + message.dump();
}

std::optional<NodeAnswer> decode_answer(const std::string& token, const std::string& line) {
  if (line.rfind(token + " ", 0) != 0) return std::nullopt;
  return decode(line.substr(token.size() + 1), [](const json& message) {
    NodeAnswer answer;
    if (message.contains("ready")) {
      const json& ready = message["ready"];
      answer.ready = NodeReady{.master_addr = ready.at("master_addr").get<std::string>(),
                               .master_port = ready.at("master_port").get<int>()};
    } else {
      const json& end = message.at("end");
      answer.end = NodeEnd{.status = end.at("status").get<int>(),
                           .rank = end.at("rank").get<int>(),
                           .consequence = end.at("consequence").get<bool>(),
                           .failure = to_bytes(end.at("failure").get<std::string>())};
    }
    return answer;
  });
}

}  // namespace zt::launch
