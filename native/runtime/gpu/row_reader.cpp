#include "row_reader.h"

#include <algorithm>

namespace kvasir::gpu {
namespace {

// Enough to fill the link to the host.
constexpr int kBlocks = 8;

}  // namespace

const std::uint8_t* RowReader::read(const std::unique_lock<std::mutex>&, const std::vector<Piece>& pieces) {
  std::size_t total = 0, most = 0;
  for (const Piece& piece : pieces) {
    total += piece.bytes;
    most = std::max(most, piece.bytes);
  }
  if (out_.bytes() < total || out_.data() == nullptr) {
    out_ = PinnedMemory();
    out_ = PinnedMemory(stream_.device(), total + total / 4 + 4096);
  }
  std::vector<KvasirPiece> list;
  list.reserve(pieces.size());
  std::size_t at = 0;
  for (const Piece& piece : pieces) {
    list.push_back({piece.from, out_.mapped() + at, piece.bytes});
    at += piece.bytes;
  }
  uploads_.reset();
  KvasirCopyPiecesArgs args{};
  args.pieces = uploads_.push(list.data(), list.size());
  args.count = static_cast<std::int32_t>(list.size());
  args.maxBytes = most;
  args.maxBlocks = kBlocks;
  stream_.launch(&KvasirGpuV1::copyPieces, "copyPieces", args);
  stream_.synchronize();
  return out_.data();
}

void RowReader::move(const std::unique_lock<std::mutex>&, const std::vector<KvasirPiece>& pieces) {
  // Earlier lists may still be under way.
  stream_.synchronize();
  uploads_.reset();
  KvasirCopyPiecesArgs args{};
  args.pieces = uploads_.push(pieces.data(), pieces.size());
  args.count = static_cast<std::int32_t>(pieces.size());
  for (const KvasirPiece& piece : pieces) args.maxBytes = std::max(args.maxBytes, piece.bytes);
  stream_.launch(&KvasirGpuV1::copyPieces, "copyPieces", args);
}

void RowReader::copy(const std::unique_lock<std::mutex>&, void* to, const void* from, std::size_t bytes) {
  stream_.copy(to, from, bytes);
  stream_.synchronize();
}

}  // namespace kvasir::gpu
