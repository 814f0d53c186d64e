// A target that fails as its input says, to show that replay_main.cc notices.
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input = tintype::as_text(tintype::fuzzing::input_of(data, size));
  if (input == "abort") std::abort();
  if (input == "crash") ::raise(SIGSEGV);
  while (input == "hang") ::pause();
  return 0;
}
