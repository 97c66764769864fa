// Rows from slots to slots, K turned on the way: each thread gives 16 bytes of the target, and reads the partners of what
// they hold as well, which the cache has.
#pragma once

#include "../args/turn_rows.h"
#include "../context/launcher.h"
#include "elements.h"
#include "rows.h"
#include "slot_rows.h"

namespace kvasir::gpu {

// kWhole: partners and cosines come in aligned vectors; else one by one.
template <class T, int kPairing, bool kWhole>
struct TurnRows {
  struct Args {
    KvasirTurnRowsArgs op;
    int laneBits;  // log2 of the threads that a row gets
  };

  static constexpr int kThreads = kCopyThreads;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kCount = kPerVector<T>;

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirTurnRowsArgs& op = args.op;
    const int rowsPerBlock = kThreads >> args.laneBits, lanes = 1 << args.laneBits;
    const int vectors = op.to.kv.headDim / kCount, rowBytes = 16 * vectors;
    const int head = cx.blockY() / 2;
    const bool values = cx.blockY() % 2 == 1;
    cx.each([&](int thread) {
      for (int r = cx.blockX() * rowsPerBlock + (thread >> args.laneBits); r < op.rows; r += cx.gridX() * rowsPerBlock) {
        const int slot = op.to.slots[r];
        if (op.winners != nullptr && op.winners[slot] != r) continue;
        const std::uint8_t* from = rowOf(op.from, op.from.slots[r], head, values, rowBytes);
        std::uint8_t* to = rowOf(op.to, slot, head, values, rowBytes);
        const int turn = values || op.rowTurns == nullptr ? -1 : op.rowTurns[r];
        for (int v = thread & (lanes - 1); v < vectors; v += lanes) {
          Vec16 vector = cx.load16(from + 16 * v);
          if (turn >= 0 && v * kCount < op.rotaryDim) {
            const std::size_t table = static_cast<std::size_t>(turn) * static_cast<std::size_t>(op.rotaryDim / 2);
            vector = turned(cx, from, v * kCount, vector, op.cos + table, op.sin + table, op.rotaryDim);
          }
          cx.store16(to + 16 * v, vector);
        }
      }
    });
  }

 private:
  // The kCount values from `first` on of a row, turned.
  template <class Cx>
  static KVASIR_DEVICE Vec16 turned(Cx& cx, const std::uint8_t* row, int first, const Vec16& own, const float* cos,
                                    const float* sin, int rotaryDim) {
    float x[kCount], out[kCount];
    unpack<T>(cx, own, x);
    const int half = rotaryDim / 2;
    if constexpr (kPairing == KVASIR_PAIRS_INTERLEAVED) {
      float c[kCount / 2], s[kCount / 2];
      if constexpr (kWhole) {
        loadFloats<kCount / 2>(cx, cos + first / 2, c);
        loadFloats<kCount / 2>(cx, sin + first / 2, s);
      }
      KVASIR_UNROLL
      for (int i = 0; i < kCount; i += 2) {
        const bool inside = kWhole || first + i < rotaryDim;
        if (!kWhole && inside) {
          c[i / 2] = cos[(first + i) / 2];
          s[i / 2] = sin[(first + i) / 2];
        }
        out[i] = inside ? x[i] * c[i / 2] - x[i + 1] * s[i / 2] : x[i];
        out[i + 1] = inside ? x[i + 1] * c[i / 2] + x[i] * s[i / 2] : x[i + 1];
      }
    } else if constexpr (kWhole) {
      const bool second = first >= half;
      const int pair = second ? first - half : first;
      float c[kCount], s[kCount], partner[kCount];
      unpack<T>(cx, cx.load16(row + static_cast<std::size_t>(second ? pair : first + half) * sizeof(T)), partner);
      loadFloats<kCount>(cx, cos + pair, c);
      loadFloats<kCount>(cx, sin + pair, s);
      KVASIR_UNROLL
      for (int i = 0; i < kCount; ++i) {
        const float straight = x[i] * c[i], crossed = partner[i] * s[i];
        out[i] = second ? straight + crossed : straight - crossed;
      }
    } else {
      KVASIR_UNROLL
      for (int i = 0; i < kCount; ++i) {
        const int at = first + i;
        const bool second = at >= half;
        out[i] = x[i];
        if (at < rotaryDim) {
          const int pair = second ? at - half : at;
          const float straight = x[i] * cos[pair], crossed = loadElement<T>(cx, row, second ? pair : at + half) * sin[pair];
          out[i] = second ? straight + crossed : straight - crossed;
        }
      }
    }
    return pack<T>(cx, out);
  }
};

// Two passes find which of the rows with one slot is the last.
template <bool kClaims>
struct ClaimSlots {
  struct Args {
    const std::int32_t* slots;
    std::int32_t* winners;
    int rows;
  };

  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 4;
  static constexpr unsigned kSharedBytes = 0;

  static Plan plan(int rows) { return {static_cast<unsigned>(ceilDiv(rows, kThreads)), 1, 0}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    cx.each([&](int thread) {
      const int r = cx.blockX() * kThreads + thread;
      if (r >= args.rows) return;
      if (kClaims) cx.atomicMax(args.winners + args.slots[r], r);
      else args.winners[args.slots[r]] = -1;
    });
  }
};

template <class T>
int runTurnRows(Launcher launcher, const KvasirTurnRowsArgs& args) {
  const int vectors = args.to.kv.headDim / kPerVector<T>, laneBits = log2Of(lanesOf(static_cast<std::size_t>(vectors)));
  Plan plan;
  plan.gridY = static_cast<unsigned>(2 * args.to.kv.numKvHeads);
  const int perHead = args.maxBlocks > 0 ? most(1, args.maxBlocks / (2 * args.to.kv.numKvHeads)) : 0;
  plan.gridX = boundedGrid(ceilDiv(args.rows, kCopyThreads >> laneBits), perHead);
  const bool interleaved = args.pairing == KVASIR_PAIRS_INTERLEAVED;
  const bool whole = interleaved ? args.rotaryDim % 8 == 0 : args.rotaryDim / 2 % kPerVector<T> == 0;
  if (interleaved && whole) return launcher.run<TurnRows<T, KVASIR_PAIRS_INTERLEAVED, true>>(plan, {args, laneBits});
  if (interleaved) return launcher.run<TurnRows<T, KVASIR_PAIRS_INTERLEAVED, false>>(plan, {args, laneBits});
  if (whole) return launcher.run<TurnRows<T, KVASIR_PAIRS_HALF, true>>(plan, {args, laneBits});
  return launcher.run<TurnRows<T, KVASIR_PAIRS_HALF, false>>(plan, {args, laneBits});
}

inline int launchTurnRows(Launcher launcher, const KvasirTurnRowsArgs& args) {
  const KvasirKvView &from = args.from.kv, &to = args.to.kv;
  if (args.rows < 0) return launcher.refuse("turnRows: rows is negative");
  if (from.type != to.type || from.numKvHeads != to.numKvHeads || from.headDim != to.headDim) {
    return launcher.refuse("turnRows: both views must have one type, number of heads and headDim");
  }
  if (to.type != KVASIR_F16 && to.type != KVASIR_F32) return launcher.refuse("turnRows: type must be f16 or f32");
  const int rowBytes = to.headDim * (to.type == KVASIR_F16 ? 2 : 4);
  if (rowBytes <= 0 || rowBytes % 16 != 0 || rowBytes > 2048) {
    return launcher.refuse("turnRows: rows must have 16 to 2048 bytes, a multiple of 16");
  }
  if (args.rowTurns != nullptr && (args.rotaryDim <= 0 || args.rotaryDim % 2 != 0 || args.rotaryDim > to.headDim)) {
    return launcher.refuse("turnRows: rotaryDim must be even and at most headDim");
  }
  if (args.rows == 0 || to.numKvHeads == 0) return KVASIR_GPU_OK;
  if (args.winners != nullptr) {
    int status = launcher.run<ClaimSlots<false>>(ClaimSlots<false>::plan(args.rows), {args.to.slots, args.winners, args.rows});
    if (status != KVASIR_GPU_OK) return status;
    status = launcher.run<ClaimSlots<true>>(ClaimSlots<true>::plan(args.rows), {args.to.slots, args.winners, args.rows});
    if (status != KVASIR_GPU_OK) return status;
  }
  return to.type == KVASIR_F16 ? runTurnRows<Half>(launcher, args) : runTurnRows<float>(launcher, args);
}

}  // namespace kvasir::gpu
