// BM25 over a segment's inverted index: exactly, and upper bounds for all documents.
//
// The exact score is that of ranking/engine/segment/postings.py, to the bit. Upper bounds come
// from impacts, tf / (tf + norm), which are quantised upwards (Anh, de Kretser and Moffat,
// "Vector-space ranking with effective early termination", SIGIR 2001): 16 bits for each posting,
// and for frequent terms 8 bits for each document, which whole registers add at a time.
#pragma once

#include "arrays.h"

#include <cstdint>
#include <vector>

namespace kernels {

// An inverted index: postings by term, then by ascending document.
//
// impacts: tf / (tf + norm) in steps of 1 / 65535, rounded up. Frequent terms have a row: dense
// uint8 [rows, stride], the impact of every document in steps of 1 / 255, rounded up; ranks uint64
// [rows, stride / 64, 2], a bit for each of 64 documents and how many bits are set before.
struct Postings {
    View<uint32_t> documents;
    View<uint16_t> frequencies;
    View<uint16_t> impacts;
    View<uint32_t> lengths;
    View<uint8_t> dense;
    View<uint64_t> ranks;
    size_t stride = 0;

    size_t size() const { return lengths.size; }
};

// One term of a query: where its postings stand, idf * (k1 + 1), its row or -1.
struct Term {
    int64_t start, end;
    double weight;
    int64_t row;
};

// The terms of a query. average: mean length of a document. stretch: what impacts are multiplied
// with to be bounds for this mean length, which they may not have been made for.
struct Terms {
    std::vector<Term> terms;
    double average = 1.0;
    double stretch = 1.0;
};

// Raises DamagedError unless every term lies within the postings and has a weight of at least 0.
void check_terms(const Postings &postings, const Terms &terms);

// Exact BM25 of the documents numbered `which` (ascending); 0 where `allowed` does not allow it.
void bm25_of(const Postings &postings, const Terms &terms, Mask allowed, const int64_t *which,
             size_t count, double *out);

// Documents with one of the terms that are allowed, ascending.
std::vector<int64_t> all_matches(const Postings &postings, const Terms &terms, Mask allowed);

// By what share a bound, a sum in float32 of so many terms, may be too low: 2^-24 for the step and
// the product of a term, and for each addition.
inline double sum_rounding(size_t terms) { return static_cast<double>(terms + 2) * 0x1p-24; }

// Upper bounds of all documents, a block at a time.
class UpperBounds {
  public:
    static constexpr size_t BLOCK = 4096;
    UpperBounds(const Postings &postings, const Terms &terms, Mask allowed);

    // Set bounds[0..BLOCK) for the documents from `begin` on (a multiple of BLOCK), 0 for those
    // without a term or not allowed; return how many are above 0. Blocks come in order.
    size_t next(size_t begin, float *bounds);

    // Raises DamagedError where postings were left over: they do not ascend.
    void check_all_read() const;

  private:
    const Postings &postings_;
    Mask allowed_;
    std::vector<int64_t> cursors_, ends_;
    std::vector<float> sparse_steps_;
    std::vector<const uint8_t *> rows_;
    std::vector<float> dense_steps_;
};

}  // namespace kernels
