// The forward kernel: one block draws one tile of one image, and writes it once, finished.
//
// 1. The block's threads place one ellipse each and test it against the tile; ballots pack the numbers of those that
//    touch it, in their order, into shared memory. Where an image has one tile, or the tile a list, all are taken.
// 2. When that is full, or the Gaussians are at their end, the packed ones alone are prepared (record.h), and drawn:
// 3. each warp owns a patch of 16 x 8 pixels. Its lanes test 32 ellipses against the patch at once; ballots leave
//    those that touch it, and tell those that cover it so smoothly that one evaluation a pixel serves all samples.
// 4. Each thread adds the survivors up over its 4 pixels of a row, in registers.
// No sort, no list of unknown length, no atomics: the order of the sums is that of the Gaussians, whatever is left out.
#pragma once

#include "finish.h"
#include "record.h"
#include "sums.h"

namespace gsdd::cuda {

GSDD_DEVICE int64_t image_of(const ForwardArgs& args, unsigned block) {
  return block / static_cast<unsigned>(args.tiles);
}

// The Gaussians that a block draws: all of its image, or its tile's list.
struct Work {
  int64_t first;
  int count;
};

// A tile list's number, kept inside memory that is ours whatever it says.
GSDD_DEVICE int within(int value, int size) { return value < 0 ? 0 : smaller(value, size); }

GSDD_DEVICE Work work_of(const ForwardArgs& args, unsigned block) {
  Work work;
  work.first = image_of(args, block) * args.count;
  work.count = args.count;
  if (args.offsets != nullptr) {
    const bool last = block + 1u == args.blocks;
    const int begin = within(args.offsets[block], args.id_count);
    const int end = within(last ? args.id_count : args.offsets[block + 1u], args.id_count);
    work.first = begin;
    work.count = end - begin;
  }
  return work;
}

// A block's tile, from the image's corner.
GSDD_DEVICE Corner corner_of(const ForwardArgs& args, unsigned block) {
  const int tile = static_cast<int>(block % static_cast<unsigned>(args.tiles));
  const int rows = args.patches / args.patches_x * kPatchHeight;
  return {static_cast<float>((tile % args.tiles_x) * args.patches_x * kPatchWidth),
          static_cast<float>(tile / args.tiles_x * rows)};
}

// Where a thread works, from the tile's corner: its warp's patch and its own first pixel. Made anew where it is
// needed: kept over the preparing, it would take registers.
struct Place {
  float x, y;
  Box patch;
};

GSDD_DEVICE Place place_of(const ForwardArgs& args, const Corner& tile) {
  const int thread = static_cast<int>(simt::forgotten(simt::thread_index()));
  const int lane = thread % kWarp, warp = thread / kWarp;
  const int column = warp & (args.patches_x - 1), row = warp >> (args.patches_x - 1);
  const float left = static_cast<float>(column * kPatchWidth), top = static_cast<float>(row * kPatchHeight);
  const float rim = 0.5f / static_cast<float>(args.supersample);
  Place p;
  p.x = left + static_cast<float>(kRun * (lane % (kPatchWidth / kRun)));
  p.y = top + static_cast<float>(lane / (kPatchWidth / kRun));
  p.patch = {left + rim, smaller(left + kPatchWidth, args.source.grid.width - tile.x) - rim, top + rim,
             smaller(top + kPatchHeight, args.source.grid.height - tile.y) - rim};
  return p;
}

// How many of a tile's ellipses each warp has found in a round; two rounds at once, so that one barrier a round is
// enough. Behind the records in shared memory.
inline constexpr int kMaxWarps = kMaxForwardThreads / kWarp;
inline constexpr int kCountBytes = 2 * kMaxWarps * static_cast<int>(sizeof(int32_t));

// The threads of a block in a round of placing ellipses.
struct Round {
  int start;   // of the Gaussians that the block draws from
  int size;    // this round's
  int filled;  // records before it
  int parity;
};

// Puts the places of a round's Gaussians into the first word of the records behind those that there are; how many there
// are then. A barrier of the block is due before they are read.
GSDD_DEVICE int pack(const ForwardArgs& args, const Work& work, const Corner& tile, const Round& round,
                     simt::Float4* records) {
  const int thread = static_cast<int>(simt::thread_index()), warp = thread / kWarp;
  const int place = round.start + thread;
  bool kept = thread < round.size;
  int before = round.filled + thread, total = round.filled + round.size;
  if (args.tiles > 1 && args.offsets == nullptr) {
    kept = kept && meets_tile(args, work.first + place, tile);
    int32_t* counts = reinterpret_cast<int32_t*>(records + args.chunk * kRecordVectors) + round.parity * kMaxWarps;
    const unsigned found = simt::ballot(kept);
    if (thread % kWarp == 0) counts[warp] = simt::count_bits(found);
    simt::sync_block();
    before = total = round.filled;
#pragma unroll 1
    for (int other = 0; other < args.patches; ++other) {
      if (other < warp) before += counts[other];
      total += counts[other];
    }
    before += simt::count_bits(found & ((1u << (thread % kWarp)) - 1u));
  }
  if (kept) records[before * kRecordVectors].x = simt::as_float(place);
  return total;
}

template <int kColors>
GSDD_DEVICE void prepare_all(const ForwardArgs& args, const Work& work, const Corner& tile, int filled,
                             simt::Float4* records) {
#pragma unroll 1
  for (int i = static_cast<int>(simt::thread_index()); i < filled; i += static_cast<int>(simt::thread_count())) {
    simt::Float4* record = records + i * kRecordVectors;
    const int64_t index = work.first + simt::as_int(record[0].x);
    prepare<kColors>(args, args.ids != nullptr ? args.ids[index] : index, tile, record);
  }
}

// Adds the records up over the thread's pixels, in their order.
template <int kColors, int kSamples>
GSDD_DEVICE void draw(const ForwardArgs& args, const Corner& tile, int filled, const simt::Float4* records,
                      float (*sums)[kColors]) {
  const int lane = static_cast<int>(simt::thread_index()) % kWarp;
  const Place at = place_of(args, tile);
  // A patch that lies outside the image has nothing to add up.
  if (!(at.patch.x0 <= at.patch.x1 && at.patch.y0 <= at.patch.y1)) return;
#pragma unroll 1
  for (int base = 0; base < filled; base += kWarp) {
    Cover meets = kOutside;
    bool smooth = false, extreme = false, clips = false;
    if (base + lane < filled) {
      const simt::Float4* mine = records + (base + lane) * kRecordVectors;
      const Ellipse e = ellipse_of(mine);
      meets = cover(e, at.patch);
      smooth = meets == kSmoothly && mine[4].z >= 0.0f;
      extreme = kSamples != 2 || e.bits > kMaxRunBits;
      clips = e.bits > 0.0f;
    }
    const unsigned smoothly = simt::ballot(smooth), by_samples = simt::ballot(extreme), clipped = simt::ballot(clips);
    for (unsigned left = simt::ballot(meets != kOutside); left != 0; left &= left - 1) {
      const unsigned bit = left & (0u - left);
      const simt::Float4* record = records + (base + simt::lowest_bit(left)) * kRecordVectors;
      if (smoothly & bit) {
        add_smoothly<kColors>(record, at.x, at.y, sums);
      } else if (kSamples != 2 || (by_samples & bit)) {
        add_by_samples<kColors>(record, kSamples == 0 ? args.supersample : kSamples, at.x, at.y, sums);
      } else if (clipped & bit) {
        add_clipped_by_runs<kColors>(record, at.x, at.y, sums);
      } else {
        add_by_runs<kColors, false>(record, at.x, at.y, sums);
      }
    }
  }
}

// kColors: 1, 3, or 4 for any number up to it. kSamples: samples per pixel and axis, or 0 for any number.
template <int kColors, int kSamples>
GSDD_DEVICE void splat_tile(const ForwardArgs& args) {
  simt::Float4* records = simt::shared_memory();
  const int threads = static_cast<int>(simt::thread_count());
  const Work work = work_of(args, simt::block_index());
  const Corner tile = corner_of(args, simt::block_index());

  float sums[kRun][kColors] = {};
  int filled = 0, parity = 0;
#pragma unroll 1
  for (int start = 0; start < work.count;) {
    const int size = smaller(smaller(threads, args.chunk - filled), work.count - start);
    filled = pack(args, work, tile, {start, size, filled, parity}, records);
    start += size, parity ^= 1;
    // Nearly full will do: a round of few Gaussians costs as much as one of many.
    if (start < work.count && args.chunk - filled >= smaller(threads, args.chunk / 2)) continue;
    simt::sync_block();
    prepare_all<kColors>(args, work, tile, filled, records);
    simt::sync_block();
    draw<kColors, kSamples>(args, tile, filled, records, sums);
    if (start < work.count) simt::sync_block();
    filled = 0;
  }
  const Place at = place_of(args, tile);
  const int x = static_cast<int>(tile.x + at.x), y = static_cast<int>(tile.y + at.y);
  if (x < args.width && y < args.height) finish<kColors>(args, image_of(args, simt::block_index()), x, y, sums);
}

}  // namespace gsdd::cuda
