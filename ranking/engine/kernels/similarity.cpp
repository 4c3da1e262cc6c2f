#include "similarity.h"

#include "dispatch.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace kernels {
namespace {

constexpr size_t LANES = 16;
constexpr size_t AHEAD = 4096;  // bytes asked of memory before they are needed; measured
constexpr size_t CACHE_LINE = 64;

// The number that a cell stands for.
KERNELS_INLINE double number(float cell) { return static_cast<double>(cell); }
KERNELS_INLINE double number(int8_t cell) { return static_cast<double>(cell); }
KERNELS_INLINE double number(uint16_t cell) {  // bfloat16: the high half of a float32
    uint32_t bits = static_cast<uint32_t>(cell) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return static_cast<double>(value);
}

// Sum of the sixteen partial sums.
KERNELS_INLINE double reduce_lanes(double *sums) {
    for (size_t width = LANES / 2; width > 0; width /= 2)
        for (size_t lane = 0; lane < width; ++lane) sums[lane] += sums[lane + width];
    return sums[0];
}

// What one component adds to the dot product, or to the squared distance.
template <bool squared>
KERNELS_INLINE double term(double cell, double query) {
    return squared ? (cell - query) * (cell - query) : cell * query;
}

// The dot product, or the squared distance.
template <bool squared, typename Cell>
KERNELS_INLINE double dot_or_squared_distance(const Cell *row, const double *query,
                                              size_t dimension) {
    double sums[LANES] = {};
    size_t place = 0;
    for (; place + LANES <= dimension; place += LANES)
        for (size_t lane = 0; lane < LANES; ++lane)
            sums[lane] += term<squared>(number(row[place + lane]), query[place + lane]);
    for (size_t lane = 0; place + lane < dimension; ++lane)
        sums[lane] += term<squared>(number(row[place + lane]), query[place + lane]);
    return reduce_lanes(sums);
}

// Similarity of the rows `which`; rows to come are fetched into the cache beforehand.
template <typename Cell>
KERNELS_INLINE void rows_loop(const Cell *cells, size_t dimension, const double *query,
                              bool squared, const int64_t *which, size_t count, double *out) {
    size_t row_size = dimension * sizeof(Cell);
    size_t ahead = std::max(AHEAD / std::max<size_t>(row_size, 1), size_t{1});
    for (size_t n = 0; n < count; ++n) {
        if (n + ahead < count) {
            auto next = reinterpret_cast<const char *>(cells + which[n + ahead] * dimension);
            for (size_t at = 0; at < row_size; at += CACHE_LINE)
                __builtin_prefetch(next + at, 0, 2);
        }
        const Cell *row = cells + which[n] * dimension;
        out[n] = squared ? -dot_or_squared_distance<true>(row, query, dimension)
                         : dot_or_squared_distance<false>(row, query, dimension);
    }
}

// The same for the field's type of cells.
KERNELS_INLINE void some_rows_loop(const Vectors &vectors, const double *query,
                                   const int64_t *which, size_t count, double *out) {
    bool squared = vectors.metric == Metric::euclidean;
    size_t dimension = vectors.dimension;
    switch (vectors.kind) {
        case Cells::float32:
            return rows_loop(static_cast<const float *>(vectors.cells), dimension, query, squared,
                             which, count, out);
        case Cells::bfloat16:
            return rows_loop(static_cast<const uint16_t *>(vectors.cells), dimension, query,
                             squared, which, count, out);
        case Cells::int8:
            return rows_loop(static_cast<const int8_t *>(vectors.cells), dimension, query, squared,
                             which, count, out);
    }
}
DISPATCH(void, some_rows,
         (const Vectors &vectors, const double *query, const int64_t *which, size_t count,
          double *out),
         (vectors, query, which, count, out))

// Closeness from a similarity; divisor: what makes a cosine of it. The cosine is raised by `slack`.
double closeness(Metric metric, double similarity, double divisor, double slack) {
    if (metric == Metric::dot_product) return similarity;
    if (metric == Metric::euclidean) return 1.0 / (1.0 + std::sqrt(std::max(-similarity, 0.0)));
    double cosine = similarity / (divisor > 0.0 ? divisor : 1.0) + slack;
    cosine = std::min(std::max(cosine, -1.0), 1.0);
    return metric == Metric::angular ? 1.0 / (1.0 + std::acos(cosine)) : 1.0 / (2.0 - cosine);
}

}  // namespace

void similarities(const Vectors &vectors, QueryVector query, const int64_t *which, size_t count,
                  double *out) {
    std::vector<double> wide(query.cells.data, query.cells.data + query.cells.size);
    some_rows(vectors, wide.data(), which, count, out);
}

double order_key(const Vectors &vectors, int64_t document, double similarity) {
    if (vectors.metric != Metric::angular) return similarity;
    double length = std::sqrt(vectors.squares[static_cast<size_t>(document)]);
    return length > 0.0 ? similarity / length : 0.0;
}

double closeness_of(const Vectors &vectors, QueryVector query, int64_t document,
                    double similarity) {
    double divisor = query.square;
    if (vectors.metric == Metric::angular)
        divisor = std::sqrt(query.square * vectors.squares[static_cast<size_t>(document)]);
    return closeness(vectors.metric, similarity, divisor, 0.0);
}

double closeness_bound(const Vectors &vectors, QueryVector query, double key) {
    if (vectors.metric != Metric::angular)
        return closeness(vectors.metric, key, query.square, 0.0);
    // The key was divided by lengths one after the other: a little is added for that.
    return closeness(vectors.metric, key, std::sqrt(query.square), 1e-15);
}

}  // namespace kernels
