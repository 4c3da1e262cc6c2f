// Int8 codes of vectors, scanned in place of the vectors to find the nearest.
//
// Scalar quantisation with exact reranking, over the leading principal components: see
// ranking/engine/segment/codes.py, which makes the codes and says what their bounds are.
#pragma once

#include "arrays.h"
#include "similarity.h"

#include <cstdint>
#include <limits>
#include <vector>

namespace kernels {

// Codes of one field's documents.
//
// basis: float32 [components, dimension] turns a vector into what is coded; no rows where the
// components are the vector's own. blocks: uint8 [blocks, width / 4, 64, 4], 64 documents side by
// side, each cell's value plus 64 (1..127); width is a multiple of 8. residuals: float32, the
// length of each vector beside its components; empty where nothing is beside them. scale: cells
// of a unit. largest_error: the longest rounding error of a vector's components. longest: of what
// the cells stand for. longest_residual: of the residuals. One of the nearest falls short of the
// last of the best codes by at most `error_share` of the largest error that its product can have,
// or `shortfall` of the query's length, whichever is more: for certain where all components are
// coded, else as measured (codes.py).
struct Codes {
    View<float> basis;
    size_t components = 0;
    size_t dimension = 0;
    View<uint8_t> blocks;
    size_t width = 0;
    size_t documents = 0;
    View<float> residuals;
    double scale = 1.0;
    double largest_error = 0.0;
    double longest = 0.0;
    double longest_residual = 0.0;
    double error_share = 1.0;
    double shortfall = 0.0;
};

// What a query's scan over the codes leaves behind.
//
// products: int32 for each of `documents`, padded to blocks of 64. The order key of a document is its
// product times `unit`, give or take `error` + `residual` times the document's own residual.
// compared: how many documents were compared exactly.
struct Scan {
    size_t compared = 0;
    size_t documents = 0;
    std::vector<int32_t> products;
    double unit = 0.0;  // 0: the products bound nothing
    double error = 0.0;
    double residual = 0.0;
    double longest_residual = 0.0;
    View<float> residuals;

    bool has_bounds() const { return unit > 0.0 && !products.empty(); }

    double bound(int64_t document) const {
        size_t place = static_cast<size_t>(document);
        double beside = residuals.empty() ? 0.0 : residuals[place];
        return products[place] * unit + error + beside * residual;
    }
};

// The nearest documents, numbers ascending, with their similarity. farthest: the least of their
// order keys, infinity where there is none.
struct Nearest {
    std::vector<int64_t> documents;
    std::vector<double> similarity;
    double farthest = std::numeric_limits<double>::infinity();
    Scan scan;
};

// The `count` documents nearest to the query among those allowed; ties go to the lower number.
// Without codes (null) every vector is compared.
Nearest nearest(const Vectors &vectors, const Codes *codes, QueryVector query, Mask allowed,
                size_t count);

}  // namespace kernels
