// What does a whole save add to the system calls that any durable write needs?
//
// `engine` saves storages of equal size through the pipeline to a file that it replaces, and waits
// until it is durable. `bare` writes the same bytes from one buffer by pwrite, fdatasync, rename
// and an fsync of the directory. Files lie in $TINTYPE_BENCH_DIR (default: the working directory).
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "engine/engine.h"

namespace tintype {
namespace {

constexpr size_t kStorageCount = 16;

// A folder of its own, removed at the end.
class BenchFolder {
 public:
  BenchFolder() {
    const char* parent = std::getenv("TINTYPE_BENCH_DIR");  // NOLINT(concurrency-mt-unsafe)
    path_ = std::string(parent != nullptr ? parent : ".") + "/bench_save.XXXXXX";
    TINTYPE_CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~BenchFolder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

  BenchFolder(const BenchFolder&) = delete;
  BenchFolder& operator=(const BenchFolder&) = delete;

 private:
  std::string path_;
};

SaveRequest make_request(const ByteVector& memory, const std::string& path) {
  SaveRequest request;
  const uint64_t storage_bytes = memory.size() / kStorageCount;
  TargetFile file{.path = path};
  for (uint32_t i = 0; i < kStorageCount; ++i) {
    request.storages.push_back({memory.data() + i * storage_bytes, storage_bytes});
    file.object.storages.push_back(i);
  }
  request.files.push_back(std::move(file));
  return request;
}

void engine(benchmark::State& state) {
  const ByteVector memory(static_cast<size_t>(state.range(0)), std::byte{1});
  const BenchFolder folder;
  auto engine = Engine::create({});
  TINTYPE_CHECK(engine.is_ok() && (*engine)->prepare(memory.size()).is_ok());
  while (state.KeepRunning()) {
    auto snapshot = (*engine)->save_async(make_request(memory, folder.file("engine.pth")));
    TINTYPE_CHECK(snapshot.is_ok());
    TINTYPE_CHECK((*snapshot)->wait_published(std::nullopt)->is_ok());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void replace_by_system_calls(const BenchFolder& folder, ByteView content) {
  const std::string temp = folder.file("bare.temp");
  const int file = ::open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  TINTYPE_CHECK(file >= 0);
  for (size_t done = 0; done < content.size();) {
    const ssize_t count =
        ::pwrite(file, content.data() + done, content.size() - done, static_cast<off_t>(done));
    TINTYPE_CHECK(count > 0);
    done += static_cast<size_t>(count);
  }
  TINTYPE_CHECK(::fdatasync(file) == 0 && ::close(file) == 0);
  TINTYPE_CHECK(::rename(temp.c_str(), folder.file("bare.pth").c_str()) == 0);
  const int directory = ::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  TINTYPE_CHECK(directory >= 0 && ::fsync(directory) == 0 && ::close(directory) == 0);
}

void bare(benchmark::State& state) {
  const ByteVector memory(static_cast<size_t>(state.range(0)), std::byte{1});
  const BenchFolder folder;
  while (state.KeepRunning()) replace_by_system_calls(folder, memory);
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("bytes")->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Arg(64 << 10)->Arg(1 << 20)->Arg(16 << 20)->Arg(128 << 20);
}

BENCHMARK(engine)->Apply(sizes);
BENCHMARK(bare)->Apply(sizes);

}  // namespace
}  // namespace tintype
