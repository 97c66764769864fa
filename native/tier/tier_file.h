// The file of a tier: positional reads and writes, its own alone, gone when it is closed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace kvasir::tier {

// What a piece of the file holds, for failures.
struct Place {
  int layer, page, pages;
  std::string text() const;
};

// Throws Failure of kind tier, naming the path. Safe to use from several threads at once.
class TierFile {
 public:
  // Of direct access: offsets, lengths and addresses are multiples of this.
  static constexpr std::size_t kAlignment = 4096;

  // Makes a file that was not there. `direct` asks for access past the system's cache; where the file system refuses,
  // the file is opened without and note() says why.
  TierFile(std::string path, bool direct);
  ~TierFile();
  TierFile(const TierFile&) = delete;
  TierFile& operator=(const TierFile&) = delete;

  const std::string& path() const { return path_; }
  bool direct() const { return direct_; }
  const std::string& note() const { return note_; }

  // What reads of others go to; they check() before.
  int descriptor() const { return file_; }
  void check(const Place& place) const;

  void write(std::uint64_t offset, const std::uint8_t* data, std::size_t bytes, const Place& place);
  void read(std::uint64_t offset, std::uint8_t* data, std::size_t bytes, const Place& place) const;

 private:
  void open(int flags);
  bool takesDirect();
  void close();

  std::string path_;
  std::string note_;
  bool direct_ = false;
  int file_ = -1;
  std::uint64_t device_ = 0, inode_ = 0;
};

}  // namespace kvasir::tier
