#include "bm25.h"

#include "dispatch.h"

#include <algorithm>
#include <cmath>

namespace kernels {
namespace {

constexpr double K1 = 1.2;
constexpr double B = 0.75;
constexpr double SPARSE_STEPS = 65535.0;
constexpr double DENSE_STEPS = 255.0;
constexpr size_t GROUP = 64;
// A list of at most so many postings for each document asked for is read through, not searched.
constexpr int64_t WALK = 64;

// What a posting adds to BM25: the same operations in the same order as postings.py.
double term_score(const Postings &postings, const Terms &terms, double weight, int64_t posting,
                  size_t document) {
    double tf = postings.frequencies[static_cast<size_t>(posting)];
    double length = postings.lengths[document];
    return weight * tf / (tf + K1 * ((1.0 - B) + B * length / terms.average));
}

// The first posting from `low` on whose document is not before `document`: galloping search.
int64_t galloping_lower_bound(const Postings &postings, int64_t low, int64_t end,
                              uint32_t document) {
    auto at = [&](int64_t place) { return postings.documents[static_cast<size_t>(place)]; };
    int64_t step = 1;
    while (low + step < end && at(low + step) < document) {
        low += step;
        step *= 2;
    }
    const uint32_t *first = postings.documents.data;
    return std::lower_bound(first + low, first + std::min(low + step, end), document) - first;
}

// Add a term to the BM25 of the documents `which`: its postings are walked through, or searched
// where only few documents are asked for.
void add_sparse(const Postings &postings, const Terms &terms, const Term &term,
                const int64_t *which, size_t count, double *out) {
    bool walk = term.end - term.start < WALK * static_cast<int64_t>(count);
    int64_t place = term.start;
    for (size_t n = 0; n < count; ++n) {
        auto document = static_cast<uint32_t>(which[n]);
        if (walk) {
            while (place < term.end && postings.documents[place] < document) ++place;
        } else {
            place = galloping_lower_bound(postings, place, term.end, document);
        }
        if (place >= term.end) return;
        if (postings.documents[place] == document)
            out[n] += term_score(postings, terms, term.weight, place, document);
    }
}

// The same for a frequent term: bits tell whether a document has it, and how many postings stand
// before.
void add_dense(const Postings &postings, const Terms &terms, const Term &term,
               const int64_t *which, size_t count, double *out) {
    const uint64_t *ranks = postings.ranks.data + 2 * (postings.stride / GROUP) * term.row;
    for (size_t n = 0; n < count; ++n) {
        auto document = static_cast<size_t>(which[n]);
        uint64_t bits = ranks[2 * (document / GROUP)];
        uint64_t bit = uint64_t{1} << (document % GROUP);
        if (!(bits & bit)) continue;
        uint64_t before =
            ranks[2 * (document / GROUP) + 1] + __builtin_popcountll(bits & (bit - 1));
        require(before < static_cast<uint64_t>(term.end - term.start),
                "the ranks of a frequent term point outside its postings");
        out[n] += term_score(postings, terms, term.weight,
                             term.start + static_cast<int64_t>(before), document);
    }
}

// Add the dense rows of up to BLOCK documents, set what is not allowed to 0, and return how many
// sums are above 0.
KERNELS_INLINE size_t add_rows_loop(const uint8_t *const *rows, const float *steps, size_t count,
                                    size_t begin, size_t size, const uint8_t *allowed,
                                    float *sums) {
    size_t found = 0;
    for (size_t first = 0; first < size; first += GROUP) {
        float total[GROUP];
        for (size_t n = 0; n < GROUP; ++n) total[n] = sums[first + n];
        for (size_t row = 0; row < count; ++row) {
            const uint8_t *impacts = rows[row] + begin + first;
            for (size_t n = 0; n < GROUP; ++n)
                total[n] += steps[row] * static_cast<float>(impacts[n]);
        }
        size_t left = std::min(GROUP, size - first);
        if (allowed != nullptr)
            for (size_t n = 0; n < left; ++n)
                if (!allowed[begin + first + n]) total[n] = 0.0f;
        for (size_t n = left; n < GROUP; ++n) total[n] = 0.0f;  // whatever the padding holds
        int32_t matched = 0;
        for (size_t n = 0; n < GROUP; ++n) matched += total[n] > 0.0f;
        for (size_t n = 0; n < GROUP; ++n) sums[first + n] = total[n];
        found += static_cast<size_t>(matched);
    }
    return found;
}
DISPATCH(size_t, add_rows,
         (const uint8_t *const *rows, const float *steps, size_t count, size_t begin, size_t size,
          const uint8_t *allowed, float *sums),
         (rows, steps, count, begin, size, allowed, sums))

}  // namespace

void check_terms(const Postings &postings, const Terms &terms) {
    require(terms.average > 0.0 && std::isfinite(terms.average), "the mean length is not above 0");
    require(terms.stretch >= 1.0 && std::isfinite(terms.stretch), "impacts cannot be stretched so");
    size_t row_size = postings.stride;
    size_t rows = row_size == 0 ? 0 : postings.dense.size / row_size;
    for (const Term &term : terms.terms) {
        require(0 <= term.start && term.start <= term.end &&
                    static_cast<size_t>(term.end) <= postings.documents.size,
                "a term's postings lie outside the index");
        require(term.weight >= 0.0 && std::isfinite(term.weight), "a term has no weight");
        require(term.row < static_cast<int64_t>(rows), "a frequent term has no row");
    }
}

void bm25_of(const Postings &postings, const Terms &terms, Mask allowed, const int64_t *which,
             size_t count, double *out) {
    std::fill(out, out + count, 0.0);
    for (const Term &term : terms.terms) {
        if (term.row >= 0)
            add_dense(postings, terms, term, which, count, out);
        else
            add_sparse(postings, terms, term, which, count, out);
    }
    for (size_t n = 0; n < count; ++n)
        if (!allows(allowed, which[n])) out[n] = 0.0;
}

std::vector<int64_t> all_matches(const Postings &postings, const Terms &terms, Mask allowed) {
    std::vector<bool> matched(postings.size());
    for (const Term &term : terms.terms) {
        for (int64_t place = term.start; place < term.end; ++place) {
            uint32_t document = postings.documents[static_cast<size_t>(place)];
            require(document < postings.size(), "a posting names a document that is not there");
            matched[document] = true;
        }
    }
    std::vector<int64_t> found;
    for (size_t n = 0; n < postings.size(); ++n)
        if (matched[n] && allows(allowed, static_cast<int64_t>(n))) found.push_back(n);
    return found;
}

UpperBounds::UpperBounds(const Postings &postings, const Terms &terms, Mask allowed)
    : postings_(postings), allowed_(allowed) {
    for (const Term &term : terms.terms) {
        if (term.row >= 0) {
            rows_.push_back(postings.dense.data + postings.stride * term.row);
            dense_steps_.push_back(
                static_cast<float>(term.weight * terms.stretch / DENSE_STEPS));
        } else {
            cursors_.push_back(term.start);
            ends_.push_back(term.end);
            sparse_steps_.push_back(
                static_cast<float>(term.weight * terms.stretch / SPARSE_STEPS));
        }
    }
}

size_t UpperBounds::next(size_t begin, float *bounds) {
    std::fill(bounds, bounds + BLOCK, 0.0f);
    size_t size = std::min(BLOCK, postings_.size() - begin);
    bool touched = !rows_.empty();
    for (size_t term = 0; term < cursors_.size(); ++term) {
        float step = sparse_steps_[term];
        size_t place = static_cast<size_t>(cursors_[term]), end = static_cast<size_t>(ends_[term]);
        for (; place < end; ++place) {
            // A document before the block is a huge number here, and ends the loop too.
            size_t row = static_cast<size_t>(postings_.documents[place]) - begin;
            if (row >= size) break;
            bounds[row] += step * static_cast<float>(postings_.impacts[place]);
            touched = true;
        }
        cursors_[term] = static_cast<int64_t>(place);
    }
    if (!touched) return 0;
    // Rows are padded to whole groups, so the last group may be read to its end.
    return add_rows(rows_.data(), dense_steps_.data(), rows_.size(), begin, size,
                    allowed_.empty() ? nullptr : allowed_.data, bounds);
}

void UpperBounds::check_all_read() const {
    require(cursors_ == ends_, "postings do not ascend, or name a document that is not there");
}

}  // namespace kernels
