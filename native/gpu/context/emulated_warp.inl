  // Operations of whole warps, in the order that a device takes: part of emulated.h's Context.
  // `access` is a register (field() in vocabulary.h); all lanes of all warps in scope take part.

  // Of each Width neighbouring lanes, by butterflies, so that every lane has the same bits.
  template <int Width = kWarp, class Regs, class Access>
  void warpSum(Threads<Regs>& regs, const Access& access) {
    butterflies<Width>(regs, access, [](auto a, auto b) { return a + b; });
  }
  template <int Width = kWarp, class Regs, class Access>
  void warpMax(Threads<Regs>& regs, const Access& access) {
    butterflies<Width>(regs, access, [](auto a, auto b) { return b > a ? b : a; });
  }
  template <int Width = kWarp, class Regs, class Access>
  void warpMin(Threads<Regs>& regs, const Access& access) {
    butterflies<Width>(regs, access, [](auto a, auto b) { return b < a ? b : a; });
  }

  // to = `from` of the lane that differs in `mask`; of the lane that laneOf(thread, regs) names.
  template <class Regs, class From, class To>
  void shuffleXor(Threads<Regs>& regs, const From& from, const To& to, int mask) {
    shuffle(regs, from, to, [mask](int thread, const Regs&) { return (thread % kWarp) ^ mask; });
  }
  template <class Regs, class From, class To, class LaneOf>
  void shuffle(Threads<Regs>& regs, const From& from, const To& to, const LaneOf& laneOf) {
    outsideEach("shuffle");
    using T = std::remove_reference_t<decltype(field(regs[0], from))>;
    for (int first = begin_; first < end_; first += kWarp) {
      T values[kWarp];
      for (int lane = 0; lane < kWarp; ++lane) values[lane] = field(regs[first + lane], from);
      for (int lane = 0; lane < kWarp; ++lane) {
        Regs& own = regs[first + lane];
        field(own, to) = values[static_cast<unsigned>(laneOf(first + lane, own)) % kWarp];
      }
    }
  }

  // word = bit a lane for which holds(thread, regs).
  template <class Regs, class Holds, class Word>
  void ballot(Threads<Regs>& regs, const Holds& holds, const Word& word) {
    outsideEach("ballot");
    for (int first = begin_; first < end_; first += kWarp) {
      std::uint32_t bits = 0;
      for (int lane = 0; lane < kWarp; ++lane) bits |= (holds(first + lane, regs[first + lane]) ? 1u : 0u) << lane;
      for (int lane = 0; lane < kWarp; ++lane) field(regs[first + lane], word) = bits;
    }
  }

  // Sum over the lanes below this one and this one, of integers or, in the order of Hillis and Steele, floats.
  template <class Regs, class Access>
  void warpScan(Threads<Regs>& regs, const Access& access) {
    outsideEach("warpScan");
    using T = std::remove_reference_t<decltype(field(regs[0], access))>;
    for (int first = begin_; first < end_; first += kWarp) {
      for (int step = 1; step < kWarp; step *= 2) {
        T values[kWarp];
        for (int lane = 0; lane < kWarp; ++lane) values[lane] = field(regs[first + lane], access);
        for (int lane = step; lane < kWarp; ++lane) field(regs[first + lane], access) = values[lane] + values[lane - step];
      }
    }
  }

  // c [16][8] += a [16][16] b [16][8], a warp each; fragments as in the PTX manual, mma.m16n8k16 of f16 into f32:
  // a 4 words, b 2 words, c 4 floats a lane.
  template <class Regs, class C, class A, class B>
  void mma16816(Threads<Regs>& regs, const C& c, const A& a, const B& b) {
    outsideEach("mma16816");
    for (int first = begin_; first < end_; first += kWarp) {
      float left[16][16], right[16][8];
      for (int lane = 0; lane < kWarp; ++lane) {
        Regs& own = regs[first + lane];
        const int group = lane / 4, pair = lane % 4 * 2;
        const std::uint32_t(&words)[4] = field(own, a);
        const std::uint32_t(&columns)[2] = field(own, b);
        for (int i = 0; i < 4; ++i) {
          const int row = group + i % 2 * 8, column = pair + i / 2 * 8;
          toFloats(words[i], left[row][column], left[row][column + 1]);
        }
        for (int i = 0; i < 2; ++i) toFloats(columns[i], right[pair + i * 8][group], right[pair + i * 8 + 1][group]);
      }
      for (int lane = 0; lane < kWarp; ++lane) {
        float(&sums)[4] = field(regs[first + lane], c);
        for (int i = 0; i < 4; ++i) {
          const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
          double terms[9];
          for (int from = 0; from < 16; from += 8) {
            terms[8] = static_cast<double>(sums[i]);
            for (int k = 0; k < 8; ++k) terms[k] = static_cast<double>(left[row][from + k]) * static_cast<double>(right[from + k][column]);
            sums[i] = sumOfMma(terms);
          }
        }
      }
    }
  }

  // An 8 x 8 matrix of f16 across a warp, transposed: a lane's word is row lane / 4, columns 2 (lane % 4) and the next.
  template <class Regs, class From, class To>
  void transpose(Threads<Regs>& regs, const From& from, const To& to) {
    outsideEach("transpose");
    for (int first = begin_; first < end_; first += kWarp) {
      std::uint16_t matrix[8][8];
      for (int lane = 0; lane < kWarp; ++lane) {
        const std::uint32_t word = field(regs[first + lane], from);
        matrix[lane / 4][lane % 4 * 2] = static_cast<std::uint16_t>(word);
        matrix[lane / 4][lane % 4 * 2 + 1] = static_cast<std::uint16_t>(word >> 16);
      }
      for (int lane = 0; lane < kWarp; ++lane) {
        const int row = lane / 4, column = lane % 4 * 2;
        field(regs[first + lane], to) = matrix[column][row] | static_cast<std::uint32_t>(matrix[column + 1][row]) << 16;
      }
    }
  }

  // Four 8 x 8 matrices of f16: rowOf(thread, regs) of lane 8 m + r is row r of matrix m in shared memory (16 bytes); word m
  // of `out` is then this lane's pair: row lane / 4, columns 2 (lane % 4) and the next; transposed: of the transpose.
  template <bool Transposed = false, class Regs, class Out, class RowOf>
  void ldmatrix4(Threads<Regs>& regs, const Out& out, const RowOf& rowOf) {
    loadMatrices<4, Transposed>(regs, out, rowOf);
  }
  // Two of them: rows of lanes 0 to 15.
  template <bool Transposed = false, class Regs, class Out, class RowOf>
  void ldmatrix2(Threads<Regs>& regs, const Out& out, const RowOf& rowOf) {
    loadMatrices<2, Transposed>(regs, out, rowOf);
  }

 private:
  template <int Width, class Regs, class Access, class Join>
  void butterflies(Threads<Regs>& regs, const Access& access, const Join& join) {
    static_assert(Width >= 2 && Width <= kWarp && (Width & (Width - 1)) == 0, "a power of two of lanes");
    outsideEach("a warp operation");
    using T = std::remove_reference_t<decltype(field(regs[0], access))>;
    for (int first = begin_; first < end_; first += kWarp) {
      for (int mask = Width / 2; mask > 0; mask /= 2) {
        T values[kWarp];
        for (int lane = 0; lane < kWarp; ++lane) values[lane] = field(regs[first + lane], access);
        for (int lane = 0; lane < kWarp; ++lane) field(regs[first + lane], access) = join(values[lane], values[lane ^ mask]);
      }
    }
  }

  template <int Count, bool Transposed, class Regs, class Out, class RowOf>
  void loadMatrices(Threads<Regs>& regs, const Out& out, const RowOf& rowOf) {
    outsideEach("ldmatrix");
    for (int first = begin_; first < end_; first += kWarp) {
      std::uint16_t rows[Count * 8][8];
      for (int lane = 0; lane < Count * 8; ++lane) {
        // The instruction reads for the whole warp: what any lane wrote must be settled.
        const auto row = rowOf(first + lane, regs[first + lane]);
        if (shared_.addressOf(row.array(), row.at()) % 16 != 0) throw Fault{"ldmatrix: a row is not aligned to 16 bytes"};
        shared_.read(row.array(), row.at(), rows[lane], 16, {-1, first / kWarp});
      }
      for (int lane = 0; lane < kWarp; ++lane) {
        std::uint32_t(&words)[Count] = field(regs[first + lane], out);
        for (int m = 0; m < Count; ++m) {
          const int i = lane / 4, j = lane % 4 * 2;
          const std::uint16_t low = Transposed ? rows[m * 8 + j][i] : rows[m * 8 + i][j];
          const std::uint16_t high = Transposed ? rows[m * 8 + j + 1][i] : rows[m * 8 + i][j + 1];
          words[m] = low | static_cast<std::uint32_t>(high) << 16;
        }
      }
    }
  }

 public:
