#include "tier_file.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "../runtime/failure.h"

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace kvasir::tier {
namespace {

Failure failed(const std::string& path, const std::string& what, const std::string& expected, const std::string& got) {
  return {"tier file " + path + (what.empty() ? "" : ", " + what), expected, got, Failure::Kind::tier};
}

}  // namespace

std::string Place::text() const {
  const std::string first = "layer " + std::to_string(layer) + ", page " + std::to_string(page);
  return pages == 1 ? first : first + " to " + std::to_string(page + pages - 1);
}

#if defined(__unix__) || defined(__APPLE__)

TierFile::TierFile(std::string path, bool direct) : path_(std::move(path)) {
#if defined(O_DIRECT)
  if (direct) {
    open(O_DIRECT);
    direct_ = file_ >= 0 && takesDirect();
    if (direct_) return;
    close();
    note_ = "the file system refuses direct access";
  }
#else
  if (direct) note_ = "this system has no direct access";
#endif
  open(0);
  if (file_ < 0) throw failed(path_, "", "a path where a new file can be made", std::strerror(errno));
}

TierFile::~TierFile() { close(); }

// Leaves file_ at -1 where a direct file cannot be opened; the next, plain attempt tells why.
void TierFile::open(int flags) {
  file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
  struct stat status;
  if (file_ < 0 || fstat(file_, &status) != 0) return;
  device_ = static_cast<std::uint64_t>(status.st_dev);
  inode_ = static_cast<std::uint64_t>(status.st_ino);
}

// Some file systems open a file so and refuse only the first write.
bool TierFile::takesDirect() {
  alignas(kAlignment) static const char zeros[kAlignment] = {};
  return ::pwrite(file_, zeros, kAlignment, 0) == static_cast<ssize_t>(kAlignment);
}

void TierFile::close() {
  if (file_ < 0) return;
  struct stat status;
  const bool ours = ::lstat(path_.c_str(), &status) == 0 && static_cast<std::uint64_t>(status.st_dev) == device_ &&
                    static_cast<std::uint64_t>(status.st_ino) == inode_;
  if (ours) ::unlink(path_.c_str());
  ::close(file_);
  file_ = -1;
}

void TierFile::write(std::uint64_t offset, const std::uint8_t* data, std::size_t bytes, const Place& place) {
  while (bytes > 0) {
    const ssize_t done = ::pwrite(file_, data, bytes, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0)
      throw failed(path_, place.text(), "room and the right to write",
                   done < 0 ? std::strerror(errno) : "nothing written");
    data += done;
    offset += static_cast<std::uint64_t>(done);
    bytes -= static_cast<std::size_t>(done);
  }
}

void TierFile::check(const Place& place) const {
  struct stat status;
  if (fstat(file_, &status) != 0) throw failed(path_, place.text(), "an open file", std::strerror(errno));
  if (status.st_nlink == 0) throw failed(path_, place.text(), "a file that is still there", "deleted");
}

void TierFile::read(std::uint64_t offset, std::uint8_t* data, std::size_t bytes, const Place& place) const {
  check(place);
  while (bytes > 0) {
    const ssize_t done = ::pread(file_, data, bytes, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw failed(path_, place.text(), "a readable file", std::strerror(errno));
    // After a part of a direct read there is no going on from where it stopped.
    const bool cut = done == 0 || (direct_ && static_cast<std::size_t>(done) % kAlignment != 0);
    if (cut)
      throw failed(path_, place.text(), "a file as long as it was written",
                   "cut off after byte " + std::to_string(offset));
    data += done;
    offset += static_cast<std::uint64_t>(done);
    bytes -= static_cast<std::size_t>(done);
  }
}

#else

TierFile::TierFile(std::string path, bool) : path_(std::move(path)) {
  throw failed(path_, "", "a system with positional file access", "this one");
}
TierFile::~TierFile() = default;
void TierFile::open(int) {}
bool TierFile::takesDirect() { return false; }
void TierFile::close() {}
void TierFile::check(const Place&) const {}
void TierFile::write(std::uint64_t, const std::uint8_t*, std::size_t, const Place&) {}
void TierFile::read(std::uint64_t, std::uint8_t*, std::size_t, const Place&) const {}

#endif

}  // namespace kvasir::tier
