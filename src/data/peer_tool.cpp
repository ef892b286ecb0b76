// Lets the Python peer tests drive the data module. One line of JSON in, one line of JSON out.
#include <chrono>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/tokenize_command.h"
#include "data/tokenizer.h"

namespace zt::data {
namespace {

using Json = nlohmann::json;

/// Each line is a JSON string; answers [ids, decoded, decoded without special tokens].
int encode_lines(const std::string& directory) {
  const Tokenizer tokenizer = Tokenizer::load(directory);
  EncodeScratch scratch;
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<std::int32_t> ids;
    tokenizer.encode(Json::parse(line).get<std::string>(), true, scratch, ids);
    std::cout << Json({ids, tokenizer.decode(ids), tokenizer.decode(ids, true)}).dump() << '\n';
  }
  return 0;
}

/// Encodes every line `rounds` times with a fresh scratch; answers seconds of each round.
int time_lines(const std::string& directory, int rounds) {
  const Tokenizer tokenizer = Tokenizer::load(directory);
  std::vector<std::string> texts;
  for (std::string line; std::getline(std::cin, line);) {
    texts.push_back(Json::parse(line).get<std::string>());
  }
  std::vector<double> seconds;
  std::size_t count = 0;
  for (int round = 0; round < rounds; ++round) {
    EncodeScratch scratch;
    std::vector<std::int32_t> ids;
    const auto start = std::chrono::steady_clock::now();
    for (const std::string& text : texts) {
      ids.clear();
      tokenizer.encode(text, true, scratch, ids);
      count += ids.size();
    }
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::cout
      << Json({{"seconds", seconds}, {"ids", count / static_cast<std::size_t>(rounds)}}).dump()
      << '\n';
  return 0;
}

int run(const std::vector<std::string>& args) {
  if (args.size() == 2 && args[0] == "encode") return encode_lines(args[1]);
  if (args.size() == 3 && args[0] == "time") return time_lines(args[1], std::stoi(args[2]));
  if (args.size() == 3 && args[0] == "tokenize") return run_tokenize(args[1], args[2], std::cout);
  std::cerr << "usage: data_peer_tool encode DIR | time DIR ROUNDS | tokenize DIR FILE\n";
  return 2;
}

}  // namespace
}  // namespace zt::data

int main(int argc, char** argv) {
  try {
    std::ios::sync_with_stdio(false);
    return zt::data::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 3;
  }
}
