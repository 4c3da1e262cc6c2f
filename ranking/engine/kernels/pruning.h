// The best documents by a first phase that never falls as BM25 or closeness grow.
//
// Documents are seen once, in order. An upper bound on BM25 and one on similarity bound each
// document's score; the most promising are scored exactly, which raises the threshold, the score
// of the k-th best so far, and documents whose bound stays below are left out: MaxScore (Turtle
// and Flood, "Query evaluation: strategies and optimizations", IP&M 1995) over blocks, with both
// bounds joined by the expression as in the threshold algorithm (Fagin, Lotem and Naor, PODS 2001).
#pragma once

#include "arrays.h"
#include "bm25.h"
#include "code_scan.h"
#include "program.h"
#include "similarity.h"

#include <cstdint>
#include <limits>
#include <vector>

namespace kernels {

// What one segment's part of a search needs.
//
// vectors: null where the profile compares none. query: no cells where the query has no vector;
// closeness is then 0. near, similarity: the nearest documents of this segment, ascending.
// farthest: the least order key among the nearest of all segments, which no other document
// exceeds; NaN where no other document has a vector. scan: null without codes. has_caption: one
// byte for each document. program: the first phase. by_words: whether documents are found by
// words too, and not as the nearest alone. depth: how many of the best are wanted. others: scores
// of other segments' documents.
struct Search {
    const Postings *postings = nullptr;
    const Terms *terms = nullptr;
    Mask allowed;
    const Vectors *vectors = nullptr;
    QueryVector query;
    View<int64_t> near;
    View<double> similarity;
    double farthest = std::numeric_limits<double>::quiet_NaN();
    const Scan *scan = nullptr;
    View<uint8_t> has_caption;
    const Program *program = nullptr;
    bool by_words = true;
    size_t depth = 0;
    View<double> others;
};

// Documents that hold the best `depth`, ascending, with exact features and the program's score.
// matched: how many documents were found at all, by words or as the nearest.
struct Candidates {
    std::vector<int64_t> documents;
    std::vector<double> bm25;
    std::vector<double> closeness;
    std::vector<double> scores;
    size_t matched = 0;
};

Candidates best_candidates(const Search &search);

}  // namespace kernels
