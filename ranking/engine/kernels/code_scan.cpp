#include "code_scan.h"

#include "dispatch.h"
#include "top_k.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#if KERNELS_X86
#include <immintrin.h>
#endif

namespace kernels {
namespace {

constexpr size_t GROUP = 64;       // documents side by side
constexpr int LIFT = 64;           // what is added to a document's cell to make it unsigned
constexpr double LARGEST_CELL = 63.0;
constexpr size_t GROUPS_AT_ONCE = 8;  // so few that their products stay in the first cache
constexpr int32_t LOWEST = INT32_MIN;

// --- dot products of codes -----------------------------------------------------------------

// Products of a query's code with each document's, of whole blocks of 64 documents; `lift` is
// what adding 64 to their cells has made of it. Three times: for any processor, AVX2, and AVX-512
// VNNI.
void scan_plain(const uint8_t *codes, size_t blocks, size_t width, const int8_t *query,
                int32_t lift, int32_t *out) {
    for (size_t block = 0; block < blocks; ++block, codes += width * GROUP, out += GROUP) {
        std::fill(out, out + GROUP, -lift);
        for (size_t step = 0; step < width; step += 4) {
            const uint8_t *cells = codes + step * GROUP;
            for (size_t document = 0; document < GROUP; ++document)
                for (size_t each = 0; each < 4; ++each)
                    out[document] += cells[4 * document + each] * query[step + each];
        }
    }
}

#if KERNELS_X86
inline int32_t four_cells(const int8_t *query) {
    int32_t word;
    std::memcpy(&word, query, sizeof word);
    return word;
}

// The sum of four products fits 16 bits: 4 * 127 * 63 < 2^15.
__attribute__((target("avx2"))) void scan_avx2(const uint8_t *codes, size_t blocks, size_t width,
                                               const int8_t *query, int32_t lift, int32_t *out) {
    const __m256i ones = _mm256_set1_epi16(1);
    for (size_t block = 0; block < blocks; ++block, codes += width * GROUP, out += GROUP) {
        __m256i sums[8];
        for (auto &sum : sums) sum = _mm256_set1_epi32(-lift);
        for (size_t step = 0; step < width; step += 8) {
            const auto *cells = reinterpret_cast<const __m256i *>(codes + step * GROUP);
            const __m256i first = _mm256_set1_epi32(four_cells(query + step));
            const __m256i second = _mm256_set1_epi32(four_cells(query + step + 4));
            for (size_t n = 0; n < 8; ++n) {
                __m256i pairs = _mm256_add_epi16(
                    _mm256_maddubs_epi16(_mm256_loadu_si256(cells + n), first),
                    _mm256_maddubs_epi16(_mm256_loadu_si256(cells + 8 + n), second));
                sums[n] = _mm256_add_epi32(sums[n], _mm256_madd_epi16(pairs, ones));
            }
        }
        for (size_t n = 0; n < 8; ++n)
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(out) + n, sums[n]);
    }
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))) void scan_vnni(
    const uint8_t *codes, size_t blocks, size_t width, const int8_t *query, int32_t lift,
    int32_t *out) {
    for (size_t block = 0; block < blocks; ++block, codes += width * GROUP, out += GROUP) {
        __m512i sums[8];  // two for each 16 documents, so that no step waits for the one before
        for (size_t n = 0; n < 8; ++n) sums[n] = _mm512_set1_epi32(n < 4 ? -lift : 0);
        for (size_t step = 0; step < width; step += 8) {
            const uint8_t *cells = codes + step * GROUP;
            const __m512i first = _mm512_set1_epi32(four_cells(query + step));
            const __m512i second = _mm512_set1_epi32(four_cells(query + step + 4));
            for (size_t n = 0; n < 4; ++n) {
                sums[n] = _mm512_dpbusd_epi32(sums[n], _mm512_loadu_si512(cells + 64 * n), first);
                sums[n + 4] = _mm512_dpbusd_epi32(
                    sums[n + 4], _mm512_loadu_si512(cells + 256 + 64 * n), second);
            }
        }
        for (size_t n = 0; n < 4; ++n)
            _mm512_storeu_si512(out + 16 * n, _mm512_add_epi32(sums[n], sums[n + 4]));
    }
}
#endif

void scan(const uint8_t *codes, size_t blocks, size_t width, const int8_t *query, int32_t lift,
          int32_t *out) {
#if KERNELS_X86
    if (has_vnni) return scan_vnni(codes, blocks, width, query, lift, out);
    if (has_avx2) return scan_avx2(codes, blocks, width, query, lift, out);
#endif
    scan_plain(codes, blocks, width, query, lift, out);
}

// --- the query's code ----------------------------------------------------------------------

struct QueryCode {
    std::vector<int8_t> cells;
    int32_t lift = 0;     // what LIFT adds to every product
    double margin = 0.0;  // how far below the last of the best codes one of the nearest may be
};

// The query as a code; sets in `scan` what bounds the error of its products.
QueryCode encode(const Codes &codes, QueryVector query, Scan &scan) {
    std::vector<double> components(codes.components);
    if (codes.basis.empty()) {
        std::copy_n(query.cells.data, codes.components, components.begin());
    } else {
        std::vector<int64_t> rows(codes.components);
        std::iota(rows.begin(), rows.end(), 0);
        similarities(float_rows(codes.basis, codes.dimension), query, rows.data(), rows.size(),
                     components.data());
    }
    double largest = 0.0, error_square = 0.0, within_square = 0.0;
    for (double component : components) largest = std::max(largest, std::abs(component));
    double scale = largest > 0.0 ? LARGEST_CELL / largest : LARGEST_CELL;
    QueryCode code;
    code.cells.assign(codes.width, 0);
    for (size_t n = 0; n < components.size(); ++n) {
        double cell = std::nearbyint(components[n] * scale);
        code.cells[n] = static_cast<int8_t>(cell);
        code.lift += LIFT * static_cast<int32_t>(cell);
        error_square += (components[n] - cell / scale) * (components[n] - cell / scale);
        within_square += components[n] * components[n];
    }
    scan.unit = 1.0 / (scale * codes.scale);
    scan.error = std::sqrt(within_square) * codes.largest_error +
                 std::sqrt(error_square) * codes.longest;
    if (!codes.basis.empty())  // a basis in float32 is not quite orthonormal
        scan.residual =
            std::sqrt(std::max(query.square - within_square, 0.0) + 1e-6 * query.square);
    scan.residuals = codes.residuals;
    scan.longest_residual = codes.longest_residual;
    double largest_error = scan.error + scan.residual * codes.longest_residual;
    code.margin = std::max(codes.error_share * largest_error,
                           codes.shortfall * std::sqrt(query.square)) / scan.unit;
    return code;
}

// --- the best codes ------------------------------------------------------------------------

// A bit for each of a block's products, set where it is above the edge. A plain loop in place of
// the intrinsics makes `nearest` 40 % slower (60,000 vectors).
uint64_t above_plain(const int32_t *products, int32_t edge) {
    uint64_t bits = 0;
    for (size_t n = 0; n < GROUP; ++n) bits |= uint64_t{products[n] > edge} << n;
    return bits;
}

#if KERNELS_X86
__attribute__((target("avx2"))) uint64_t above_avx2(const int32_t *products, int32_t edge) {
    const __m256i least = _mm256_set1_epi32(edge);
    uint64_t bits = 0;
    for (size_t n = 0; n < 8; ++n) {
        __m256i some = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(products) + n);
        __m256 above = _mm256_castsi256_ps(_mm256_cmpgt_epi32(some, least));
        bits |= static_cast<uint64_t>(_mm256_movemask_ps(above)) << (8 * n);
    }
    return bits;
}
#endif

uint64_t above(const int32_t *products, int32_t edge) {
#if KERNELS_X86
    if (has_avx2) return above_avx2(products, edge);
#endif
    return above_plain(products, edge);
}

// Documents whose product is above an edge that rises with what was kept.
class BestCodes {
  public:
    BestCodes(size_t count, double margin)
        : count_(count), margin_(margin), most_(2 * count + GROUP) {}

    void add(const int32_t *products, size_t begin, size_t size, Mask allowed) {
        if (kept_.size() > most_) {
            prune();
            // Many may be within the margin: no prune until they have doubled.
            most_ = std::max(most_, 2 * kept_.size());
        }
        uint64_t bits = above(products, edge_);
        if (size < GROUP) bits &= (uint64_t{1} << size) - 1;
        for (; bits != 0; bits &= bits - 1) {
            size_t n = static_cast<size_t>(__builtin_ctzll(bits));
            if (allows(allowed, static_cast<int64_t>(begin + n)))
                kept_.push_back({products[n], static_cast<int64_t>(begin + n)});
        }
    }

    // The documents of the `count` best codes, and those within the margin below; ascending.
    std::vector<int64_t> documents() {
        prune();
        std::vector<int64_t> found;
        found.reserve(kept_.size());
        for (const auto &each : kept_) found.push_back(each.document);
        return found;
    }

  private:
    struct Kept {
        int32_t product;
        int64_t document;
    };

    // Raise the edge to the k-th best product, less the margin, and drop what is not above it.
    void prune() {
        if (kept_.size() <= count_) return;
        products_.clear();
        for (const auto &each : kept_) products_.push_back(each.product);
        double least = std::floor(kth_largest(products_, count_) - margin_) - 1.0;
        edge_ = std::max(edge_, static_cast<int32_t>(std::max(least, double{LOWEST})));
        int32_t edge = edge_;
        kept_.erase(std::remove_if(kept_.begin(), kept_.end(),
                                   [edge](const Kept &each) { return each.product <= edge; }),
                    kept_.end());
    }

    size_t count_;
    double margin_;
    size_t most_;
    int32_t edge_ = LOWEST;
    std::vector<Kept> kept_;
    std::vector<int32_t> products_;
};

// Scan all codes; the documents that may be among the `count` nearest, ascending.
std::vector<int64_t> best_codes(const Codes &codes, QueryVector query, Mask allowed, size_t count,
                                Scan &result) {
    QueryCode code = encode(codes, query, result);
    size_t blocks = (codes.documents + GROUP - 1) / GROUP;
    result.documents = codes.documents;
    result.products.resize(blocks * GROUP);
    BestCodes best(count, code.margin);
    for (size_t first = 0; first < blocks; first += GROUPS_AT_ONCE) {
        size_t last = std::min(first + GROUPS_AT_ONCE, blocks);
        int32_t *products = result.products.data() + first * GROUP;
        scan(codes.blocks.data + first * GROUP * codes.width, last - first, codes.width,
             code.cells.data(), code.lift, products);
        for (size_t block = first; block < last; ++block, products += GROUP)
            best.add(products, block * GROUP, std::min(GROUP, codes.documents - block * GROUP),
                     allowed);
    }
    return best.documents();
}

// Keep the `count` documents of largest order key, in the order they stand in.
void keep_nearest(const Vectors &vectors, size_t count, Nearest &found) {
    if (found.documents.empty()) return;
    std::vector<double> keys(found.documents.size());
    for (size_t n = 0; n < keys.size(); ++n) {
        keys[n] = order_key(vectors, found.documents[n], found.similarity[n]);
        if (std::isnan(keys[n])) keys[n] = -std::numeric_limits<double>::infinity();
    }
    std::vector<double> sorted = keys;
    double edge = found.farthest = kth_largest(sorted, std::min(count, keys.size()));
    if (keys.size() <= count) return;
    size_t ties_left = count;
    for (double key : keys) ties_left -= key > edge;
    size_t kept = 0;
    for (size_t n = 0; n < keys.size(); ++n) {
        if (keys[n] < edge || (keys[n] == edge && ties_left == 0)) continue;
        ties_left -= keys[n] == edge;
        found.documents[kept] = found.documents[n];
        found.similarity[kept++] = found.similarity[n];
    }
    found.documents.resize(kept);
    found.similarity.resize(kept);
}

}  // namespace

Nearest nearest(const Vectors &vectors, const Codes *codes, QueryVector query, Mask allowed,
                size_t count) {
    Nearest found;
    if (count == 0) return found;
    if (codes != nullptr) {
        found.documents = best_codes(*codes, query, allowed, count, found.scan);
    } else {
        for (size_t n = 0; n < vectors.documents; ++n)
            if (allows(allowed, static_cast<int64_t>(n))) found.documents.push_back(n);
    }
    found.scan.compared = found.documents.size();
    found.similarity.resize(found.documents.size());
    similarities(vectors, query, found.documents.data(), found.documents.size(),
                 found.similarity.data());
    keep_nearest(vectors, count, found);
    return found;
}

}  // namespace kernels
