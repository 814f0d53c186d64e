// Runs a fuzz target without libFuzzer: every file that is named or lies in a folder that is named,
// then mutations of them. Takes libFuzzer's own flags, so that a command line fits both:
//
//   fuzz_zip [-runs=N] [-seed=N] [-timeout=SECONDS] [-artifact_prefix=DIR/] FILE_OR_FOLDER...
//
// An input that aborts, crashes or takes too long is written to DIR and named, and the run fails.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "tests/fuzz/mutator.h"
#include "tests/fuzz/target.h"

// A finding of the sanitizer ends in SIGABRT, so that its input is kept as well.
// NOLINTNEXTLINE(bugprone-reserved-identifier): the sanitizer's own name
extern "C" const char* __asan_default_options() { return "abort_on_error=1"; }

namespace tintype::fuzzing {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr int kSignals[] = {SIGABRT, SIGALRM};  // the others it reports itself
#else
constexpr int kSignals[] = {SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGSEGV};
#endif

struct Settings {
  uint64_t run_count = 0;  // of mutations
  uint64_t seed = 1;
  unsigned timeout_s = 60;  // of one input; machines may be busy
  std::string artifact_prefix = "./";
  std::vector<std::string> paths;
};

// What the handler of signals writes out: the input under way, by calls that are allowed there.
struct UnderWay {
  ByteView input;
  std::string artifact;  // the path of its file, made before
};
UnderWay under_way;

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count <= 0) return;
    text.remove_prefix(static_cast<size_t>(count));
  }
}

void save_input(int signal) {
  const int file =
      ::open(under_way.artifact.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file >= 0) write_all(file, as_text(under_way.input));
  write_all(STDERR_FILENO,
            signal == SIGALRM ? "the input takes too long: " : "the input crashes: ");
  write_all(STDERR_FILENO, under_way.artifact);
  write_all(STDERR_FILENO, "\n");
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void run_target(const Settings& settings, ByteView input) {
  under_way.input = input;
  ::alarm(settings.timeout_s);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

ByteVector read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  TINTYPE_CHECK(!stream.fail());
  return copy_of(as_bytes(text));
}

// Sorted, so that a seed means the same everywhere.
std::vector<ByteVector> read_corpus(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<ByteVector> corpus;
  corpus.reserve(files.size());
  for (const auto& file : files) corpus.push_back(read_file(file));
  return corpus;
}

bool take_flag(std::string_view argument, std::string_view name, std::string& value) {
  if (!argument.starts_with(name)) return false;
  value = argument.substr(name.size());
  return true;
}

Settings read_arguments(std::span<char*> arguments) {
  Settings settings;
  for (const std::string_view argument : arguments) {
    std::string value;
    if (take_flag(argument, "-runs=", value)) {
      settings.run_count = std::stoull(value);
    } else if (take_flag(argument, "-seed=", value)) {
      settings.seed = std::stoull(value);
    } else if (take_flag(argument, "-timeout=", value)) {
      settings.timeout_s = static_cast<unsigned>(std::stoul(value));
    } else if (!take_flag(argument, "-artifact_prefix=", settings.artifact_prefix)) {
      settings.paths.emplace_back(argument);
    }
  }
  return settings;
}

int run(std::string_view program, const Settings& settings) {
  const std::string name = std::filesystem::path(program).filename();
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<ByteVector> corpus = read_corpus(settings.paths);
  if (corpus.empty()) {
    fmt::print(stderr, "{}: no corpus: name a file or a folder that has some\n", name);
    return 2;
  }
  under_way.artifact = fmt::format("{}{}.failed-input", settings.artifact_prefix, name);
  for (const int signal : kSignals) ::signal(signal, save_input);
  for (const ByteVector& input : corpus) run_target(settings, input);
  Mutator mutator(corpus, settings.seed);
  for (uint64_t i = 0; i < settings.run_count; ++i) run_target(settings, mutator.next());
  ::alarm(0);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  fmt::print("{}: {} executions, {} of the corpus and {} mutations (seed {}), {:.1f} s\n", name,
             corpus.size() + settings.run_count, corpus.size(), settings.run_count, settings.seed,
             elapsed.count());
  return 0;
}

}  // namespace
}  // namespace tintype::fuzzing

int main(int argument_count, char** arguments) {
  using namespace tintype::fuzzing;
  const std::span all(arguments, static_cast<size_t>(argument_count));
  return run(all[0], read_arguments(all.subspan(1)));
}
