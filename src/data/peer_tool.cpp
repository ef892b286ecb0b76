// Lets the Python peer tests drive the data module. One line of JSON in, one line of JSON out.
#include <ctime>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/log.h"
#include "data/loader.h"
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

/// Encodes every line `rounds` times with a fresh scratch; answers CPU seconds of each round.
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
    const std::clock_t start = std::clock();
    for (const std::string& text : texts) {
      ids.clear();
      tokenizer.encode(text, true, scratch, ids);
      count += ids.size();
    }
    seconds.push_back(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  std::cout
      << Json({{"seconds", seconds}, {"ids", count / static_cast<std::size_t>(rounds)}}).dump()
      << '\n';
  return 0;
}

/// The plan of every step and rank for sampler options given as JSON.
int print_order(const std::string& text) {
  const Json json = Json::parse(text);
  SamplerOptions options;
  options.num_samples = json.at("num_samples");
  options.per_device_batch = json.at("batch");
  options.world = json.at("world");
  options.accumulation = json.at("accumulation");
  options.seed = json.at("seed");
  options.drop_last = json.value("drop_last", false);
  options.num_epochs = json.value("num_epochs", 1.0);
  options.max_steps = json.value("max_steps", -1);
  const auto lengths = json.value("lengths", std::vector<std::int32_t>());
  if (!lengths.empty()) options.strategy = config::Sampling::group_by_length;
  const Sampler sampler(options, lengths);
  Json steps = Json::array(), epochs = Json::array();
  for (std::int64_t step = 0; step < sampler.total_steps(); ++step) {
    Json ranks = Json::array();
    for (std::int64_t rank = 0; rank < options.world; ++rank) {
      ranks.push_back(sampler.plan_step(step, rank).micro);
    }
    steps.push_back(ranks);
    epochs.push_back(sampler.epoch_at(step + 1));
  }
  std::cout << Json(
                   {{"updates", sampler.updates_per_epoch()}, {"steps", steps}, {"epochs", epochs}})
                   .dump()
            << '\n';
  return 0;
}

Json block_list(const std::optional<Dataset>& dataset) {
  Json blocks = Json::array();
  for (std::int64_t i = 0; dataset && i < dataset->size(); ++i) {
    const MicroBatch batch = read_batch(*dataset, std::vector{i}, 1);
    blocks.push_back({batch.input_ids, batch.labels, batch.document_starts});
  }
  return blocks;
}

/// Every block of a folder: [input_ids, targets, document starts].
int print_blocks(const std::string& text) {
  const Json json = Json::parse(text);
  config::DataConfig options;
  options.train_file_dir = json.at("train");
  options.validation_file_dir = json.value("validation", "");
  options.block_size = json.at("block_size");
  options.packing = json.value("packing", true);
  options.packing_rule =
      json.value("hf", false) ? config::PackingRule::hf : config::PackingRule::stream;
  options.preprocessing_num_workers = json.value("workers", 0);
  options.document_mask = json.value("document_mask", false);
  options.keep_linebreaks = json.value("keep_linebreaks", true);
  options.validation_split_percentage = json.value("percent", 1);
  const Tokenizer tokenizer = Tokenizer::load(json.at("tokenizer").get<std::string>());
  const Datasets sets = open_datasets(options, {json.at("cache").get<std::string>(), &tokenizer,
                                                true, json.value("eval", true), true});
  std::cout << Json({{"train", block_list(sets.train)}, {"eval", block_list(sets.eval)}}).dump()
            << '\n';
  return 0;
}

int run(const std::vector<std::string>& args) {
  if (args.size() == 2 && args[0] == "order") return print_order(args[1]);
  if (args.size() == 2 && args[0] == "blocks") return print_blocks(args[1]);
  if (args.size() == 3 && args[0] == "randperm") {
    std::cout << Json(torch_randperm(std::stoll(args[1]), std::stoull(args[2]))).dump() << '\n';
    return 0;
  }
  if (args.size() == 2 && args[0] == "encode") return encode_lines(args[1]);
  if (args.size() == 3 && args[0] == "time") return time_lines(args[1], std::stoi(args[2]));
  if (args.size() == 3 && args[0] == "tokenize") return run_tokenize(args[1], args[2], std::cout);
  std::cerr << "usage: data_peer_tool encode DIR | time DIR ROUNDS | tokenize DIR FILE | "
               "order JSON | blocks JSON | randperm N SEED\n";
  return 2;
}

}  // namespace
}  // namespace zt::data

int main(int argc, char** argv) {
  try {
    std::ios::sync_with_stdio(false);
    zt::log::init(0, zt::log::Level::warning);
    return zt::data::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 3;
  }
}
