// Stands in for libFuzzer where the compiler has none: inputs drawn from a seed, and files given by name.
//
//   fuzz_kernel -runs=N [-seed=S] [FILE ...]; what else libFuzzer takes is passed over
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int count, char** arguments) {
  long runs = 10000, seed = 1, read = 0;
  for (int k = 1; k < count; ++k) {
    const std::string argument = arguments[k];
    if (argument.rfind("-runs=", 0) == 0) {
      runs = std::stol(argument.substr(6));
    } else if (argument.rfind("-seed=", 0) == 0) {
      seed = std::stol(argument.substr(6));
    } else if (argument[0] != '-' && !std::filesystem::is_directory(argument)) {
      std::ifstream file(argument, std::ios::binary);
      const std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(content.data()), content.size());
      ++read;
    }
  }
  std::mt19937_64 chance(static_cast<uint64_t>(seed));
  std::vector<uint8_t> input;
  for (long run = 0; run < runs; ++run) {
    if (run % 4 == 0 || input.empty()) {
      input.resize(chance() % 200);
      for (uint8_t& byte : input) byte = static_cast<uint8_t>(chance());
    } else {
      for (int k = 0; k < 3; ++k) input[chance() % input.size()] = static_cast<uint8_t>(chance());
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::fprintf(stderr, "stat::number_of_executed_units: %ld\n", runs + read);
}
