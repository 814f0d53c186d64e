#include "io/disk/temp_names.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <ctime>

#include <fmt/format.h>

#include "io/disk/process_registry.h"

namespace tintype {
namespace {

constexpr std::string_view kMark = ".tintype-";
constexpr size_t kNameBytesMax = 255;
constexpr size_t kHostBytesMax = 64;
constexpr size_t kNonceDigits = 16;
// "." NAME ".tintype-" HOST "-" PID "-" NONCE must fit for every host and process.
constexpr size_t kStemBytesMax =
    kNameBytesMax - 1 - kMark.size() - kHostBytesMax - 1 - 10 - 1 - kNonceDigits;
constexpr size_t kDigestDigits = 16;

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char letter : text) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3u;
  }
  return hash;
}

uint64_t random_nonce() {
  uint64_t nonce = 0;
  if (::getrandom(&nonce, sizeof nonce, GRND_NONBLOCK) == sizeof nonce) return nonce;
  // Early in boot: unlike within this process, and O_EXCL settles the rest.
  static std::atomic<uint64_t> counter = 0;
  return (static_cast<uint64_t>(::time(nullptr)) << 20) + counter++;
}

bool is_filled_with(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

// Cuts "HEAD-TAIL" at the last '-': returns TAIL and leaves HEAD. Empty where there is no '-'.
std::string_view cut_last_part(std::string_view& text) {
  const size_t dash = text.rfind('-');
  if (dash == std::string_view::npos) return {};
  const std::string_view tail = text.substr(dash + 1);
  text = text.substr(0, dash);
  return tail;
}

}  // namespace

std::string temp_host() {
  std::array<char, kHostBytesMax + 1> buffer = {};
  if (::gethostname(buffer.data(), kHostBytesMax) != 0 || buffer[0] == '\0') return "localhost";
  std::string host(buffer.data());
  std::replace(host.begin(), host.end(), '/', '_');
  return host;
}

std::string temp_stem_for(std::string_view final_name) {
  if (final_name.size() <= kStemBytesMax) return std::string(final_name);
  return fmt::format("{}~{:016x}", final_name.substr(0, kStemBytesMax - 1 - kDigestDigits),
                     fnv1a(final_name));
}

std::string temp_name_for(std::string_view final_name) {
  return fmt::format(".{}{}{}-{}-{:016x}", temp_stem_for(final_name), kMark, temp_host(),
                     ::getpid(), random_nonce());
}

std::optional<TempName> parse_temp_name(std::string_view name) {
  const size_t mark = name.rfind(kMark);
  if (name.empty() || name.front() != '.' || mark == std::string_view::npos || mark < 2) return {};
  std::string_view host = name.substr(mark + kMark.size());
  const std::string_view nonce = cut_last_part(host);
  const std::string_view process = cut_last_part(host);
  if (nonce.size() != kNonceDigits || !is_filled_with(nonce, "0123456789abcdef")) return {};
  if (!is_filled_with(process, "0123456789") || host.empty()) return {};
  return TempName{.stem = std::string(name.substr(1, mark - 1)), .host = std::string(host)};
}

bool is_temp_name(std::string_view name) { return parse_temp_name(name).has_value(); }

}  // namespace tintype
