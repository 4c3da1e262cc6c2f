// Exact similarity of stored vectors to a query's: dot product, or minus the squared distance.
//
// Sums are in float64, in one fixed order that ranking/distances.py follows as well:
// sixteen partial sums, each over every sixteenth component, then halved four times. Products of
// two float32 are exact in float64, each other operation rounds alike, and none is fused: so both
// routes give the same bits whatever the processor.
#pragma once

#include "arrays.h"

#include <cstdint>
#include <vector>

namespace kernels {

enum class Metric { prenormalized_angular = 1, dot_product = 2, angular = 3, euclidean = 4 };

enum class Cells { float32, bfloat16, int8 };

// One vector field of a segment: cells [documents, dimension] in C order.
// squares: |d|^2 of each document, for `angular` alone. present: which documents have a vector.
struct Vectors {
    const void *cells = nullptr;
    Cells kind = Cells::float32;
    size_t documents = 0;
    size_t dimension = 0;
    View<double> squares;
    Mask present;
    Metric metric = Metric::dot_product;
};

// Rows of float32 that are not a field's; cells [rows, dimension].
inline Vectors float_rows(View<float> cells, size_t dimension) {
    Vectors rows;
    rows.cells = cells.data;
    rows.dimension = dimension;
    return rows;
}

// A query's vector, rounded to the field's type of cells; square: |q|^2 summed as above.
struct QueryVector {
    View<float> cells;
    double square = 0.0;
};

// Similarity of the documents numbered `which` to the query, into `out`.
void similarities(const Vectors &vectors, QueryVector query, const int64_t *which, size_t count,
                  double *out);

// What orders documents from near to far when descending: similarity, for `angular` divided by
// the document's length.
double order_key(const Vectors &vectors, int64_t document, double similarity);

// Vespa's closeness of a document from its similarity; the same operations as distances.py.
double closeness_of(const Vectors &vectors, QueryVector query, int64_t document,
                    double similarity);

// An upper bound on closeness from an upper bound on the order key.
double closeness_bound(const Vectors &vectors, QueryVector query, double key);

}  // namespace kernels
