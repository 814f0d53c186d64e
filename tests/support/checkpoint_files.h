// Small archives that carry the facts a front end would store, for tests of the directory.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "engine/directory/checkpoint_directory.h"
#include "io/archive/crc32.h"
#include "io/archive/zip_layout.h"
#include "io/disk/file_system.h"

namespace tintype::testing_support {

inline ByteVector archive_with(const std::string& payload) {
  const Result<ZipLayout> layout =
      lay_out_zip({{"data.pkl", payload.size()}, {".data/serialization_id", 40}}, 64);
  const uint32_t crc = crc32(0, as_bytes(payload));
  std::string id(40, '0');
  for (size_t i = 0; i < 8; ++i) id[i] = static_cast<char>('a' + ((crc >> (4 * i)) & 15u));
  const uint32_t crcs[] = {crc, crc32(0, as_bytes(id))};
  const std::string payloads[] = {payload, id};
  ByteVector bytes;
  for (size_t i = 0; i < 2; ++i) {
    append_local_header(layout->records[i], bytes);
    append_text(bytes, payloads[i]);
    append_descriptor(layout->records[i], crcs[i], bytes);
  }
  append_directory(*layout, crcs, bytes);
  return bytes;
}

// What a light file of an epoch holds, and how it can be seen from the full one.
inline std::string light_payload(const std::string& full_payload) {
  return "light of " + full_payload;
}

inline std::string full_payload(const std::string& run_id, const std::string& stage, uint64_t epoch,
                                double loss) {
  std::ostringstream text;
  text.precision(17);
  text << "FACTS " << run_id << ' ' << stage << ' ' << epoch << ' ' << loss << " END";
  return text.str();
}

inline std::string read_text(File& file) {
  const Result<ByteVector> bytes = read_whole(file, 1 << 20);
  return bytes.is_ok() ? std::string(as_text(*bytes)) : std::string();
}

// The payload between "FACTS" and "END", or empty.
inline std::string payload_in(const std::string& content) {
  const size_t begin = content.find("FACTS ");
  const size_t end = content.find(" END");
  if (begin == std::string::npos || end == std::string::npos) return {};
  return content.substr(begin, end + 4 - begin);
}

inline Result<std::string> content_at(FileSystem& file_system, const std::string& path) {
  const size_t slash = path.rfind('/');
  TINTYPE_ASSIGN_OR_RETURN(const auto directory, file_system.open_directory(path.substr(0, slash)));
  TINTYPE_ASSIGN_OR_RETURN(const auto file, directory->open(path.substr(slash + 1), false));
  return read_text(*file);
}

inline Result<FullFileFacts> facts_in(FileSystem& file_system, const std::string& path) {
  TINTYPE_ASSIGN_OR_RETURN(const std::string content, content_at(file_system, path));
  std::istringstream text(payload_in(content));
  std::string mark;
  std::string loss;
  FullFileFacts facts;
  text >> mark >> facts.run_id >> facts.stage >> facts.epoch >> loss;
  if (mark != "FACTS") return Status::corruption("'" + path + "' holds no facts");
  facts.metrics = {{"loss", std::strtod(loss.c_str(), nullptr)}};
  return facts;
}

}  // namespace tintype::testing_support
