"""python3 rivals.py --rows FILE [--seconds S] [--tiny]: times what others do with the shapes that kvasir_gpu_bench times.

Appends one JSON object a case to FILE, named by the family and the shape of the row that it is held against; report.mjs
makes the ratios. Timed as there: calls kept in a graph, inputs in turn so that the cache does not hold them, CUDA events, the
median of slices. Ends with 3 and "not run (why)" where there is no torch or no device. FlashInfer only where it is installed.
"""

import argparse
import json
import sys
import time

GROUPS, HEAD_DIM, KV_HEADS = 4, 128, 8
HEADS = GROUPS * KV_HEADS
MODEL = f"{HEADS}/{KV_HEADS}/{HEAD_DIM}"
PAGE_TOKENS = 16
SEGMENT_TOKENS = 25
CACHE_BYTES = 512e6  # inputs in turn are more than this, where they are not too large to be kept twice
SLICE_MICROS = 1500
SLICES = 11


def not_run(why):
    print(f"not run ({why})")
    sys.exit(3)


def quartiles(values):
    ordered = sorted(values)

    def at(share):
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (place - below) * (ordered[above] - ordered[below])

    return at(0.25), at(0.5), at(0.75)


def turns_for(num_bytes, most=16):
    return max(1, min(most, int(CACHE_BYTES / num_bytes)))


class Rivals:
    def __init__(self, torch, rows_path, deadline, tiny):
        self.torch = torch
        self.rows_path = rows_path
        self.deadline = deadline
        self.tiny = tiny

    def write(self, row, text):
        with open(self.rows_path, "a", encoding="utf-8") as rows:
            rows.write(json.dumps({"step": "rivals", **row}) + "\n")
        print(text, flush=True)

    def case(self, rival, family, shape, make):
        """make() gives one function a turn, after it has held one of them against a plain answer."""
        if time.monotonic() > self.deadline:
            why = "the step's time was used up"
        else:
            try:
                low, median, high, calls = self.measure(make())
                row = {"kind": "rival", "family": family, "shape": shape, "rival": rival, "micros": median}
                row |= {"microsLow": low, "microsHigh": high, "slices": SLICES, "callsASlice": calls}
                self.write(row, f"rival        {rival}: {family}, {shape} {median:.2f} us")
                return
            except Exception as error:  # one rival that cannot do a shape leaves the others
                why = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            finally:
                self.torch.cuda.empty_cache()
        row = {"kind": "notRun", "family": family, "shape": f"{shape}, {rival}", "why": why}
        self.write(row, f"rival        {rival}: {family}, {shape} not run ({why})")

    def measure(self, turns):
        torch = self.torch
        for work in turns:
            work()
        torch.cuda.synchronize()
        micros = max(0.5, self.time(lambda: [work() for work in turns]) / len(turns))
        calls = max(1, min(256, int(SLICE_MICROS / micros / len(turns) + 1) * len(turns)))
        start = self.captured(turns, calls)
        start()
        low, median, high = quartiles([self.time(start) / calls for _ in range(SLICES)])
        return low, median, high, calls

    def captured(self, turns, calls):
        torch = self.torch

        def plain():
            for call in range(calls):
                turns[call % len(turns)]()

        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                plain()
            return graph.replay
        except RuntimeError:
            torch.cuda.synchronize()
            return plain

    def time(self, start):
        torch = self.torch
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        start()
        after.record()
        after.synchronize()
        return 1000.0 * before.elapsed_time(after)

    def random(self, *shape):
        return self.torch.randn(*shape, device="cuda", dtype=self.torch.float16)

    def near(self, got, want, allowed=2e-2):
        off = (got.float() - want.float()).norm() / want.float().norm()
        if not bool(off <= allowed):
            raise ValueError(f"its own answer is off by {float(off):.3g}")

    def plain_attention(self, q, k, v):
        """q [B, Hq, m, d], k, v [B, Hkv, n, d] in float32, no mask."""
        k, v = (x.float().repeat_interleave(GROUPS, dim=1) for x in (k, v))
        weights = (q.float() @ k.transpose(-1, -2) / HEAD_DIM**0.5).softmax(-1)
        return weights @ v

    def whole_decode(self, tokens, sequences):
        """One row a sequence over its whole context, contiguous."""
        functional = self.torch.nn.functional

        def make():
            num_bytes = sequences * KV_HEADS * tokens * HEAD_DIM * 4
            q = self.random(sequences, HEADS, 1, HEAD_DIM)
            caches = [
                (self.random(sequences, KV_HEADS, tokens, HEAD_DIM), self.random(sequences, KV_HEADS, tokens, HEAD_DIM))
                for _ in range(turns_for(num_bytes))
            ]
            works = [lambda k=k, v=v: functional.scaled_dot_product_attention(q, k, v, enable_gqa=True) for k, v in caches]
            self.near(works[0](), self.plain_attention(q, *caches[0]))
            return works

        self.case("torch SDPA", "decode", f"{MODEL}, {tokens} tokens x {sequences}, whole", make)

    def paged_decode(self, flashinfer, tokens, sequences):
        """FlashInfer over pages of 16 in random order, [page][K|V][head][token][channel]."""
        torch = self.torch

        def make():
            pages = tokens // PAGE_TOKENS
            total = pages * sequences
            turns = turns_for(sequences * KV_HEADS * tokens * HEAD_DIM * 4)
            q = self.random(sequences, HEADS, HEAD_DIM)
            starts = torch.arange(sequences + 1, dtype=torch.int32) * pages
            last = torch.full((sequences,), PAGE_TOKENS, dtype=torch.int32)
            works = []
            for turn in range(turns):
                cache = self.random(total, 2, KV_HEADS, PAGE_TOKENS, HEAD_DIM)
                table = torch.randperm(total, device="cuda").int()
                workspace = torch.empty(128 << 20, dtype=torch.uint8, device="cuda")
                wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(workspace, "HND", use_tensor_cores=True)
                wrapper.plan(starts.cuda(), table, last.cuda(), HEADS, KV_HEADS, HEAD_DIM, PAGE_TOKENS, q_data_type=torch.float16,
                             kv_data_type=torch.float16)
                works.append(lambda wrapper=wrapper, cache=cache: wrapper.run(q, cache))
                if turn > 0:
                    continue
                own = cache[table[:pages].long()]  # [page, K|V, head, token, channel]
                k, v = own.permute(1, 2, 0, 3, 4).reshape(2, 1, KV_HEADS, tokens, HEAD_DIM)
                self.near(works[0]()[:1].unsqueeze(2), self.plain_attention(q[:1].unsqueeze(2), k, v))
            return works

        self.case("FlashInfer", "decode", f"{MODEL}, {tokens} tokens x {sequences}, runs of {PAGE_TOKENS}", make)

    def chosen_decode(self, tokens, sequences, budget):
        """The choice as torch's calls make it, whole sentences by their mean keys; index_select of their rows; attention.

        Less than what kvasir's choice does, which tells the tokens of a sentence apart."""
        torch, functional = self.torch, self.torch.nn.functional

        def make():
            segments, rows = tokens // SEGMENT_TOKENS, sequences * KV_HEADS
            count = budget // SEGMENT_TOKENS
            turns = turns_for(rows * (segments + budget) * HEAD_DIM * 4)
            q = self.random(sequences, HEADS, 1, HEAD_DIM)
            mean_q = q.view(rows, GROUPS, HEAD_DIM).mean(1).unsqueeze(-1)
            row_starts = (torch.arange(rows, device="cuda") * tokens).view(rows, 1, 1)
            within = torch.arange(SEGMENT_TOKENS, device="cuda")

            def work(k, v, means):
                scores = torch.bmm(means, mean_q).squeeze(-1)
                best = scores.topk(count, dim=-1, sorted=False).indices
                ids = (row_starts + best.unsqueeze(-1) * SEGMENT_TOKENS + within).flatten()
                shape = (sequences, KV_HEADS, count * SEGMENT_TOKENS, HEAD_DIM)
                chosen = k.index_select(0, ids).view(shape), v.index_select(0, ids).view(shape)
                return functional.scaled_dot_product_attention(q, *chosen, enable_gqa=True), chosen

            works = []
            for _ in range(turns):
                k, v = self.random(rows * tokens, HEAD_DIM), self.random(rows * tokens, HEAD_DIM)
                coded = k.view(rows, tokens, HEAD_DIM)[:, : segments * SEGMENT_TOKENS]
                means = coded.reshape(rows, segments, SEGMENT_TOKENS, HEAD_DIM).mean(2)
                works.append(lambda k=k, v=v, means=means: work(k, v, means))
            out, chosen = works[0]()
            self.near(out, self.plain_attention(q, *chosen))
            return works

        shape = f"{MODEL}, {budget} of {tokens} tokens x {sequences}"
        self.case("torch index_select + SDPA", "choose and attend", shape, make)

    def dense_prefill(self, tokens, backend, name):
        torch, functional = self.torch, self.torch.nn.functional

        def make():
            from torch.nn.attention import sdpa_kernel

            q = self.random(1, HEADS, tokens, HEAD_DIM)
            k, v = self.random(1, KV_HEADS, tokens, HEAD_DIM), self.random(1, KV_HEADS, tokens, HEAD_DIM)

            def grouped():
                with sdpa_kernel(backend):
                    return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

            # A backend without groups gets each head's keys for itself, made outside of the time.
            try:
                grouped()
                work = grouped
            except RuntimeError:
                all_k, all_v = k.repeat_interleave(GROUPS, dim=1), v.repeat_interleave(GROUPS, dim=1)

                def work():
                    with sdpa_kernel(backend):
                        return functional.scaled_dot_product_attention(q, all_k, all_v, is_causal=True)

            self.near(work()[:, :, -1:], self.plain_attention(q[:, :, -1:], k, v))
            return [work]

        self.case(name, "prefill", f"{MODEL}, {tokens} tokens", make)

    def product(self, rows, cols, outs, shape):
        def make():
            turns = turns_for(cols * outs * 2)
            x, weights = self.random(rows, cols), [self.random(outs, cols) for _ in range(turns)]
            return [lambda w=w: self.torch.nn.functional.linear(x, w) for w in weights]

        self.case("torch linear", "linear", shape, make)

    def run(self):
        from torch.nn.attention import SDPBackend

        try:
            import flashinfer
        except Exception:
            flashinfer = None
        lengths = [400] if self.tiny else [8192, 32768, 131072]
        for tokens in lengths:
            for sequences in (1,) if self.tiny else (1, 8):
                self.chosen_decode(tokens, sequences, 100 if self.tiny else 1024)
        for tokens in [64] if self.tiny else [2048, 8192, 32768]:
            self.dense_prefill(tokens, SDPBackend.FLASH_ATTENTION, "torch SDPA flash")
            self.dense_prefill(tokens, SDPBackend.CUDNN_ATTENTION, "torch SDPA cuDNN")
        for tokens in [64] if self.tiny else [1024, 4096, 32768]:
            for sequences in (1, 8):
                self.whole_decode(tokens, sequences)
                if flashinfer:
                    self.paged_decode(flashinfer, tokens, sequences)
        for rows in (1, 4096):
            outs = 64 if self.tiny else 28672
            self.product(rows, 4096, outs, f"gate, up of 4096, f16, {rows} row" + ("" if rows == 1 else "s"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    try:
        import torch
    except Exception as error:
        not_run(f"no torch: {type(error).__name__}")
    if not torch.cuda.is_available():
        not_run("torch sees no device")
    with torch.inference_mode():
        rivals = Rivals(torch, options.rows, time.monotonic() + options.seconds, options.tiny)
        rivals.write({"kind": "fact", "name": "torch", "value": torch.__version__}, f"fact         torch {torch.__version__}")
        rivals.run()


if __name__ == "__main__":
    main()
