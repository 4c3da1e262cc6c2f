#include "pruning.h"

#include "dispatch.h"
#include "top_k.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace kernels {
namespace {

constexpr double INFINITE = std::numeric_limits<double>::infinity();
constexpr double FARTHEST_DISTANCE = std::numeric_limits<double>::max();
constexpr size_t GROUP = 64;
constexpr size_t COLUMNS = 256;      // a block is 16 rows of these; the largest of each is kept
constexpr size_t SCORED_AT_ONCE = 16;  // documents scored exactly together, at least
constexpr size_t PENDING = 1024;     // documents kept before their scores are bounded
constexpr size_t FIRST_UPDATE = 4 * UpperBounds::BLOCK;  // documents until a new threshold,
constexpr size_t GROWTH = 3;                             // and by what factor it is put off
constexpr size_t STEPS = 24;         // points of the curve that Threshold lies below
constexpr int BISECTIONS = 8;
// The error budget; README.md adds it up.
constexpr double SCORE_ROUNDING = 1e-12;  // an increasing expression may fall by a rounding error
constexpr double FLOAT_ROUNDING = 1e-5;   // what is compared in float32

// A threshold so much lower that no rounding error drops a document.
double lowered_for_rounding(double score) {
    if (std::isinf(score)) return score;
    return score - SCORE_ROUNDING * (1.0 + std::abs(score));
}

// What a document must have to reach the threshold: BM25 above `floor`; and BM25 above `sure`, or
// weight * BM25 + unit * product of codes above `cut`: a line below the curve on which the score
// is the threshold.
struct Threshold {
    float floor = 0.0f, sure = 0.0f, weight = 0.0f, unit = 0.0f, cut = 0.0f;
};

// Mark the documents of a group that pass, all bits of an int32 each; return whether any does.
KERNELS_INLINE bool mark_passing_loop(const float *bm25, const int32_t *products,
                                      const Threshold &line, int32_t *marks) {
    int32_t found = 0;
    if (products == nullptr || !(line.sure > line.floor)) {
        for (size_t n = 0; n < GROUP; ++n) found |= marks[n] = -(bm25[n] > line.floor);
        return found != 0;
    }
    for (size_t n = 0; n < GROUP; ++n) {
        float along = line.weight * bm25[n] + line.unit * static_cast<float>(products[n]);
        marks[n] = -((bm25[n] > line.floor) & ((bm25[n] > line.sure) | (along > line.cut)));
        found |= marks[n];
    }
    return found != 0;
}
DISPATCH(bool, mark_passing,
         (const float *bm25, const int32_t *products, const Threshold &line, int32_t *marks),
         (bm25, products, line, marks))

// The largest bound of each column of a block.
KERNELS_INLINE void column_maxima_loop(const float *bounds, float *columns) {
    for (size_t column = 0; column < COLUMNS; ++column) columns[column] = bounds[column];
    for (size_t first = COLUMNS; first < UpperBounds::BLOCK; first += COLUMNS)
        for (size_t column = 0; column < COLUMNS; ++column)
            columns[column] = std::max(columns[column], bounds[first + column]);
}
DISPATCH(void, column_maxima, (const float *bounds, float *columns), (bounds, columns))

class Pruning {
  public:
    explicit Pruning(const Search &search)
        : s_(search), sum_rounding_(sum_rounding(search.terms->terms.size())), best_(search.depth) {
        for (size_t n = 0; n < s_.others.size; ++n) best_.add(s_.others[n]);
    }

    Candidates run() {
        score(s_.near.data, s_.near.size, s_.similarity.data);
        found_.matched = s_.near.size;
        if (s_.by_words) {
            for (double bm25 : found_.bm25) found_.matched -= bm25 > 0.0;
            search_words();
        }
        return sorted();
    }

  private:
    // A document, and the upper bound on its BM25 or, in `bounded_`, on its score.
    struct Bound {
        int64_t document;
        double value;
    };

    // --- all documents, block by block -----------------------------------------------------

    // Bound the documents with a word block by block, and score exactly those that may be among
    // the best.
    void search_words() {
        UpperBounds upper(*s_.postings, *s_.terms, s_.allowed);
        std::vector<float> bounds(UpperBounds::BLOCK), columns(COLUMNS);
        size_t documents = s_.postings->size(), update = 0;
        float largest = 0.0f;
        Threshold line;
        for (size_t begin = 0; begin < documents; begin += UpperBounds::BLOCK) {
            size_t matched = upper.next(begin, bounds.data());
            if (matched == 0) continue;
            found_.matched += matched;
            const int32_t *products = has_codes() ? s_.scan->products.data() + begin : nullptr;
            if (begin >= update || pending_.size() > PENDING) {
                column_maxima(bounds.data(), columns.data());
                largest = std::max(largest, *std::max_element(columns.begin(), columns.end()));
                update = GROWTH * begin + FIRST_UPDATE;
                bound_pending();
                if (!best_.full()) take_largest(begin, bounds, columns, products);
                score_most_promising(SCORED_AT_ONCE);
                line = threshold(largest);
            }
            take_passing(begin, bounds, products, line);
        }
        upper.check_all_read();
        bound_pending();
        // Ever more at once: where all bounds are equal, none is dropped before its turn.
        for (size_t most = SCORED_AT_ONCE; !bounded_.empty(); most *= 2) score_most_promising(most);
    }

    bool has_codes() const { return s_.scan != nullptr && s_.scan->has_bounds(); }

    // Keep the documents of a block that pass, for `bound_pending`.
    void take_passing(size_t begin, const std::vector<float> &bounds, const int32_t *products,
                      const Threshold &line) {
        int32_t marks[GROUP];
        // Groups beyond the last document have no codes.
        size_t end = std::min(bounds.size(), s_.postings->size() - begin);
        for (size_t first = 0; first < end; first += GROUP) {
            const int32_t *codes = products == nullptr ? nullptr : products + first;
            if (!mark_passing(bounds.data() + first, codes, line, marks)) continue;
            for (size_t n = first; n < std::min(first + GROUP, end); ++n)
                if (marks[n - first])
                    pending_.push_back({static_cast<int64_t>(begin + n), bounds[n]});
        }
    }

    // Before any threshold is known: the block's largest, at least twice as many as are wanted.
    void take_largest(size_t begin, std::vector<float> &bounds, std::vector<float> &columns,
                      const int32_t *products) {
        size_t count = std::min(2 * s_.depth, bounds.size());
        std::vector<float> copy = count <= COLUMNS ? columns : bounds;
        // Passing is being above: the k-th largest itself has to pass.
        float below = std::nextafter(kth_largest(copy, std::max<size_t>(count, 1)), 0.0f);
        Threshold line;
        line.floor = line.sure = std::max(below, 0.0f);
        size_t before = pending_.size();
        take_passing(begin, bounds, products, line);
        for (size_t n = before; n < pending_.size(); ++n)  // so that none is taken twice
            bounds[static_cast<size_t>(pending_[n].document) - begin] = 0.0f;
        bound_pending();
    }

    // --- bounds on scores --------------------------------------------------------------------

    // Bound the scores of pending documents, which ascend, and keep those that may be among the
    // best. The nearest are scored already.
    void bound_pending() {
        size_t kept = 0, near = 0;
        for (const Bound &each : pending_) {
            while (near < s_.near.size && s_.near[near] < each.document) ++near;
            if (near < s_.near.size && s_.near[near] == each.document) continue;
            pending_[kept++] = each;
        }
        pending_.resize(kept);
        if (kept == 0) return;
        features_.resize(FEATURES * kept);
        for (size_t n = 0; n < kept; ++n) {
            int64_t document = pending_[n].document;
            double bm25 = pending_[n].value * (1.0 + sum_rounding_);
            double key = has_codes() ? s_.scan->bound(document) : INFINITE;
            set_feature_bounds(n, kept, bm25, std::min(key, s_.farthest), has_vector(document));
        }
        scores_.resize(kept);
        s_.program->run(features_.data(), kept, scores_.data(), registers_);
        double least = lowered_for_rounding(best_.threshold());
        for (size_t n = 0; n < kept; ++n) {
            double bound = std::isnan(scores_[n]) ? INFINITE : scores_[n];
            if (bound >= least) bounded_.push_back({pending_[n].document, bound});
        }
        pending_.clear();
    }

    bool has_vector(int64_t document) const {
        return s_.vectors != nullptr && allows(s_.vectors->present, document);
    }

    // Whether the query has a vector that the documents' are compared with.
    bool compares() const { return s_.vectors != nullptr && !s_.query.cells.empty(); }

    // Features of a captioned document whose BM25 and order key are at most these.
    void set_feature_bounds(size_t n, size_t count, double bm25, double key, bool has_vector) {
        bool compared = has_vector && compares();
        double closeness = compared ? closeness_bound(*s_.vectors, s_.query, key) : 0.0;
        set_features(n, count, bm25, true, has_vector, closeness);
    }

    // The features of document `n` of `count`.
    void set_features(size_t n, size_t count, double bm25, bool has_caption, bool has_vector,
                      double closeness) {
        double distance = closeness > 0.0 ? 1.0 / closeness - 1.0 : FARTHEST_DISTANCE;
        if (compares() && s_.vectors->metric == Metric::dot_product) distance = -closeness;
        double *column = features_.data() + n;
        column[BM25 * count] = bm25;
        column[CLOSENESS * count] = closeness;
        column[DISTANCE * count] = distance;
        column[HAS_CAPTION * count] = has_caption;
        column[HAS_VECTOR * count] = has_vector;
    }

    // --- exact scores ------------------------------------------------------------------------

    // Score those of highest bound exactly, `most` or as many as are wanted in all; drop those that
    // cannot be among the best any more.
    void score_most_promising(size_t most) {
        double least = lowered_for_rounding(best_.threshold());
        bounded_.erase(std::remove_if(bounded_.begin(), bounded_.end(),
                                      [least](const Bound &b) { return b.value < least; }),
                       bounded_.end());
        size_t count = std::min(std::max(s_.depth, most), bounded_.size());
        if (count == 0) return;
        std::nth_element(bounded_.begin(), bounded_.begin() + (count - 1), bounded_.end(),
                         [](const Bound &a, const Bound &b) { return a.value > b.value; });
        std::vector<int64_t> chosen;
        for (size_t n = 0; n < count; ++n) chosen.push_back(bounded_[n].document);
        bounded_.erase(bounded_.begin(), bounded_.begin() + count);
        std::sort(chosen.begin(), chosen.end());
        score(chosen.data(), chosen.size(), nullptr);
    }

    // Score documents, ascending, exactly; similarity: null where it is still to be computed.
    void score(const int64_t *documents, size_t count, const double *similarity) {
        if (count == 0) return;
        size_t before = found_.documents.size(), after = before + count;
        found_.documents.insert(found_.documents.end(), documents, documents + count);
        found_.bm25.resize(after);
        found_.closeness.resize(after);
        found_.scores.resize(after);
        double *bm25 = found_.bm25.data() + before, *closeness = found_.closeness.data() + before;
        bm25_of(*s_.postings, *s_.terms, s_.allowed, documents, count, bm25);
        if (similarity != nullptr)
            std::copy(similarity, similarity + count, closeness);
        else if (compares())
            similarities(*s_.vectors, s_.query, documents, count, closeness);
        features_.resize(FEATURES * count);
        for (size_t n = 0; n < count; ++n) {
            int64_t document = documents[n];
            bool compared = has_vector(document) && compares();
            closeness[n] =
                compared ? closeness_of(*s_.vectors, s_.query, document, closeness[n]) : 0.0;
            set_features(n, count, bm25[n], s_.has_caption[document] != 0, has_vector(document),
                         closeness[n]);
        }
        double *scores = found_.scores.data() + before;
        s_.program->run(features_.data(), count, scores, registers_);
        for (size_t n = 0; n < count; ++n) best_.add(scores[n]);
    }

    // --- the threshold as a line ---------------------------------------------------------------

    // Upper bounds on the scores of captioned documents with at most this BM25 and order key.
    void score_bounds_at(const double *bm25, const double *keys, bool present, double *out) {
        features_.resize(FEATURES * STEPS);
        for (size_t n = 0; n < STEPS; ++n) set_feature_bounds(n, STEPS, bm25[n], keys[n], present);
        s_.program->run(features_.data(), STEPS, out, registers_);
    }

    // The line below the curve of (BM25, order key) on which the score is the threshold: for steps
    // of BM25, the key that is needed; through the first and the last, moved down below all others.
    // largest: documents whose bound on BM25 is above it are never left out. alone: the BM25 that a
    // document without a vector needs.
    Threshold threshold(double largest) {
        double score = best_.threshold();
        if (score == -INFINITE) return {};
        double edge = lowered_for_rounding(score);
        double alone = largest, floor = largest;
        bool compared = compares() && !std::isnan(s_.farthest);
        if (s_.vectors == nullptr || !s_.vectors->present.empty() || !compared)
            floor = alone = bm25_at_threshold(edge, largest, false);
        if (s_.vectors != nullptr && !compares())
            floor = alone = std::min(alone, bm25_at_threshold(edge, largest, true));
        if (!compared) return with_rounding_margin(floor, floor, 0.0, 0.0, largest);
        double step = largest / STEPS, low[STEPS], high[STEPS], keys[STEPS];
        for (size_t n = 0; n < STEPS; ++n) {
            low[n] = step * static_cast<double>(n);
            high[n] = low[n] + step;
        }
        keys_at_threshold(edge, high, keys);
        size_t begin = 0, end = STEPS;
        while (begin < end && keys[begin] == INFINITE) ++begin;
        while (end > begin && keys[end - 1] == -INFINITE) --end;
        floor = std::min(alone, step * static_cast<double>(begin));
        double sure = std::min(alone, step * static_cast<double>(end));
        if (!has_codes() || end - begin < 2)
            return with_rounding_margin(floor, floor, 0.0, 0.0, largest);
        double weight = std::max(0.0, (keys[begin] - keys[end - 1]) / (low[end - 1] - low[begin]));
        double cut = INFINITE;
        for (size_t n = begin; n < end; ++n) cut = std::min(cut, weight * low[n] + keys[n]);
        return with_rounding_margin(floor, sure, weight, cut, largest);
    }

    // The same line, lowered by what float32 may round off, and in units of the codes.
    Threshold with_rounding_margin(double floor, double sure, double weight, double cut,
                                   double largest) {
        double rounding = FLOAT_ROUNDING + sum_rounding_;
        Threshold line;
        line.floor = static_cast<float>(floor * (1.0 - rounding));
        line.sure = static_cast<float>(sure * (1.0 - rounding));
        if (!has_codes()) return line;
        cut -= rounding * (std::abs(cut) + weight * largest);
        cut -= s_.scan->error + s_.scan->longest_residual * s_.scan->residual;
        line.weight = static_cast<float>(weight);
        line.unit = static_cast<float>(s_.scan->unit);
        line.cut = static_cast<float>(cut - FLOAT_ROUNDING * std::abs(cut));
        return line;
    }

    // The BM25 up to which documents stay below `edge`; at most `largest`. Found in two rounds of
    // steps, the second within one step of the first.
    double bm25_at_threshold(double edge, double largest, bool present) {
        double low = 0.0, step = largest / STEPS, high[STEPS], keys[STEPS] = {}, scores[STEPS];
        for (int round = 0; round < 2; ++round, step /= STEPS) {
            for (size_t n = 0; n < STEPS; ++n) high[n] = low + step * static_cast<double>(n + 1);
            score_bounds_at(high, keys, present, scores);
            size_t passed = 0;
            while (passed < STEPS && scores[passed] < edge) ++passed;
            low += step * static_cast<double>(passed);
            if (passed == STEPS) break;
        }
        return low;
    }

    // Order keys up to which documents with this BM25 stay below `edge`: -infinity where any key
    // reaches it, infinity where none does, else by bisection.
    void keys_at_threshold(double edge, const double *bm25, double *keys) {
        double start = lowest_key(), step = s_.farthest - start;
        double trial[STEPS], at_start[STEPS], at_most[STEPS], scores[STEPS];
        std::fill_n(keys, STEPS, start);
        score_bounds_at(bm25, keys, true, at_start);
        std::fill_n(trial, STEPS, s_.farthest);
        score_bounds_at(bm25, trial, true, at_most);
        for (int n = 0; n < BISECTIONS; ++n) {
            step /= 2.0;
            for (size_t row = 0; row < STEPS; ++row) trial[row] = keys[row] + step;
            score_bounds_at(bm25, trial, true, scores);
            for (size_t row = 0; row < STEPS; ++row)
                if (scores[row] < edge) keys[row] = trial[row];
        }
        for (size_t row = 0; row < STEPS; ++row) {
            if (at_most[row] < edge) keys[row] = INFINITE;
            if (at_start[row] >= edge) keys[row] = -INFINITE;
        }
    }

    // Where the bisection starts. If that is too high, every key reaches the threshold, and nothing
    // is dropped.
    double lowest_key() const {
        double start = s_.farthest - 2.0 * std::abs(s_.farthest);
        if (s_.vectors->metric == Metric::prenormalized_angular) start = -s_.query.square;
        if (s_.vectors->metric == Metric::angular) start = -std::sqrt(s_.query.square);
        return std::min(start, s_.farthest);
    }

    // --- what is returned ------------------------------------------------------------------------

    // The documents that may be among the best, ascending.
    Candidates sorted() {
        double least = lowered_for_rounding(best_.threshold());
        std::vector<std::pair<int64_t, size_t>> order;
        for (size_t n = 0; n < found_.scores.size(); ++n)
            if (found_.scores[n] >= least) order.push_back({found_.documents[n], n});
        std::sort(order.begin(), order.end());
        Candidates kept;
        kept.matched = found_.matched;
        for (auto [document, n] : order) {
            kept.documents.push_back(document);
            kept.bm25.push_back(found_.bm25[n]);
            kept.closeness.push_back(found_.closeness[n]);
            kept.scores.push_back(found_.scores[n]);
        }
        return kept;
    }

    const Search &s_;
    double sum_rounding_;
    BestScores best_;
    Candidates found_;
    std::vector<Bound> pending_, bounded_;
    std::vector<double> features_, scores_, registers_;
};

}  // namespace

Candidates best_candidates(const Search &search) { return Pruning(search).run(); }

}  // namespace kernels
