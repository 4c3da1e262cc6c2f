// What Python sees. Every entry checks types, lengths and offsets; nothing is copied in, and the
// interpreter's lock is released while a kernel runs.

#include "arrays.h"
#include "bm25.h"
#include "code_scan.h"
#include "program.h"
#include "pruning.h"
#include "similarity.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace nb = nanobind;
using namespace nb::literals;
using namespace kernels;

namespace {

template <typename T, size_t dimensions = 1>
using Array = nb::ndarray<const T, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;

using Array2 = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;  // of any type

template <typename T>
using NewArray = nb::ndarray<nb::numpy, T, nb::ndim<1>>;

template <typename T, typename... Rest>
View<std::remove_const_t<T>> view(const nb::ndarray<T, Rest...> &array) {
    return {array.data(), array.size()};
}

Mask view(const Array<bool> &array) {
    return {reinterpret_cast<const uint8_t *>(array.data()), array.size()};
}

// Which documents may be found; all where Python gives None.
Mask mask_of(const std::optional<Array<bool>> &array, size_t documents) {
    require(!array || array->size() == documents, "a mask has another length than the segment");
    return array ? view(*array) : Mask{};
}

// Hand a vector over to numpy.
template <typename T>
NewArray<T> to_numpy(std::vector<T> &&values) {
    auto owned = std::make_unique<std::vector<T>>(std::move(values));
    nb::capsule owner(owned.get(),
                      [](void *kept) noexcept { delete static_cast<std::vector<T> *>(kept); });
    std::vector<T> &kept = *owned.release();
    return NewArray<T>(kept.data(), {kept.size()}, owner);
}

// Run a kernel while other Python threads may run.
template <typename Function>
auto without_lock(Function kernel) {
    nb::gil_scoped_release unlocked;
    return kernel();
}

void check_documents(View<int64_t> documents, size_t count) {
    for (size_t n = 0; n < documents.size; ++n) {
        require(documents[n] >= 0 && static_cast<size_t>(documents[n]) < count,
                "a document number is outside the segment");
        require(n == 0 || documents[n] > documents[n - 1], "document numbers do not ascend");
    }
}

// A view, and the arrays that it points into, kept alive.
template <typename T>
struct ViewWithOwners {
    T view;
    std::vector<nb::object> arrays;
};
using HeldPostings = ViewWithOwners<Postings>;
using HeldVectors = ViewWithOwners<Vectors>;
using HeldCodes = ViewWithOwners<Codes>;
using HeldScan = ViewWithOwners<Scan>;

// Check an index's arrays against each other and keep them alive; so do the next two for theirs.
HeldPostings hold_postings(Array<uint32_t> documents, Array<uint16_t> frequencies,
                           Array<uint16_t> impacts, Array<uint32_t> lengths,
                           Array<uint8_t, 2> dense, Array<uint64_t, 3> ranks) {
    HeldPostings held;
    Postings &p = held.view;
    p = {view(documents), view(frequencies), view(impacts), view(lengths),
         view(dense),     view(ranks),       dense.shape(1)};
    require(frequencies.size() == documents.size() && impacts.size() == documents.size(),
            "the postings have lists of different lengths");
    require(dense.shape(1) % 64 == 0 &&
                (dense.shape(0) == 0 || dense.shape(1) >= lengths.size()),
            "the rows of frequent terms are too short");
    require(ranks.shape(0) == dense.shape(0) && ranks.shape(1) == dense.shape(1) / 64 &&
                ranks.shape(2) == 2,
            "the ranks of frequent terms do not fit their rows");
    held.arrays = {nb::cast(documents), nb::cast(frequencies), nb::cast(impacts),
                   nb::cast(lengths),   nb::cast(dense),       nb::cast(ranks)};
    return held;
}

HeldVectors hold_vectors(Array2 cells, Array<bool> present, std::optional<Array<double>> squares,
                         int metric) {
    HeldVectors held;
    Vectors &v = held.view;
    v.cells = cells.data();
    v.documents = cells.shape(0);
    v.dimension = cells.shape(1);
    if (cells.dtype() == nb::dtype<float>()) v.kind = Cells::float32;
    else if (cells.dtype() == nb::dtype<uint16_t>()) v.kind = Cells::bfloat16;
    else if (cells.dtype() == nb::dtype<int8_t>()) v.kind = Cells::int8;
    else throw DamagedError("the vectors have cells of an unknown type");
    require(metric >= 1 && metric <= 4, "the metric is unknown");
    v.metric = static_cast<Metric>(metric);
    require(present.size() == v.documents, "the vectors have another length than the segment");
    // A mask that is set everywhere is none.
    Mask has = view(present);
    if (std::count(has.data, has.data + has.size, 0) > 0) v.present = has;
    if (squares) v.squares = view(*squares);
    require(v.metric != Metric::angular || v.squares.size == v.documents,
            "the squared lengths of the vectors are missing");
    held.arrays = {nb::cast(cells), nb::cast(present), nb::cast(squares)};
    return held;
}

HeldCodes hold_codes(Array<float, 2> basis, Array<uint8_t, 4> blocks, Array<double> bounds,
                     Array<float> residuals, size_t documents) {
    HeldCodes held;
    Codes &c = held.view;
    bool shortened = basis.shape(0) > 0;
    c.basis = view(basis);
    c.dimension = basis.shape(1);
    c.components = shortened ? basis.shape(0) : c.dimension;
    c.blocks = view(blocks);
    c.width = 4 * blocks.shape(1);
    c.documents = documents;
    c.residuals = view(residuals);
    require(blocks.shape(2) == 64 && blocks.shape(3) == 4 && blocks.shape(1) % 2 == 0 &&
                blocks.shape(0) == (documents + 63) / 64 && c.width >= c.components,
            "the codes do not fit the vectors");
    require(residuals.size() == (shortened ? documents : 0), "the codes have lost their residuals");
    require(bounds.size() == 6, "the codes have no bounds");
    const double *b = bounds.data();
    require(b[0] > 0.0, "the codes have no scale");
    for (size_t n = 0; n < 6; ++n)
        require(std::isfinite(b[n]) && b[n] >= 0.0, "the codes have bounds that are no lengths");
    c.scale = b[0], c.largest_error = b[1], c.longest = b[2], c.longest_residual = b[3];
    c.error_share = b[4], c.shortfall = b[5];
    held.arrays = {nb::cast(basis), nb::cast(blocks), nb::cast(residuals)};
    return held;
}

Program make_program(const std::vector<std::tuple<int, int, int, int, double>> &steps) {
    std::vector<Instruction> instructions;
    for (const auto &[operation, first, second, third, number] : steps) {
        require(operation >= 0 && operation < OPERATIONS, "a program has an unknown operation");
        instructions.push_back({static_cast<Operation>(operation), first, second, third, number});
    }
    return Program(std::move(instructions));
}

// A query's vector, checked, with its squared length.
QueryVector query_of(const Array<float> &cells, const Vectors &vectors) {
    require(cells.size() == vectors.dimension, "the query vector has another length");
    for (size_t n = 0; n < cells.size(); ++n)
        require(std::isfinite(cells.data()[n]), "the query vector has cells that are not finite");
    QueryVector query{view(cells), 0.0};
    const int64_t row = 0;
    similarities(float_rows(query.cells, cells.size()), query, &row, 1, &query.square);
    return query;
}

std::tuple<NewArray<int64_t>, NewArray<double>, double, HeldScan> nearest_of(
    const HeldVectors &vectors, const HeldCodes *codes, Array<float> query,
    std::optional<Array<bool>> allowed, size_t count) {
    const Vectors &v = vectors.view;
    QueryVector wanted = query_of(query, v);
    Mask mask = allowed ? mask_of(allowed, v.documents) : v.present;
    require(codes == nullptr || (codes->view.documents == v.documents &&
                                 codes->view.dimension == v.dimension),
            "the codes are of other vectors");
    require(codes == nullptr || v.metric != Metric::euclidean, "codes do not bound distances");
    const Codes *scanned = codes == nullptr ? nullptr : &codes->view;
    Nearest found = without_lock([&] { return nearest(v, scanned, wanted, mask, count); });
    HeldScan scan{std::move(found.scan), {}};
    if (codes != nullptr) scan.arrays = codes->arrays;
    return {to_numpy(std::move(found.documents)), to_numpy(std::move(found.similarity)),
            found.farthest, std::move(scan)};
}

// Upper bounds on order keys from a scan: for tests of the bounds.
NewArray<double> scan_bounds(const HeldScan &scan, Array<int64_t> documents) {
    require(scan.view.has_bounds(), "these documents have no codes");
    check_documents(view(documents), scan.view.documents);
    std::vector<double> found;
    for (size_t n = 0; n < documents.size(); ++n)
        found.push_back(scan.view.bound(documents.data()[n]));
    return to_numpy(std::move(found));
}

using TermList = std::vector<std::tuple<int64_t, int64_t, double, int64_t>>;

// A query's terms, checked against the index.
Terms terms_of(const HeldPostings &postings, const TermList &terms, double average,
               double stretch) {
    Terms found;
    for (const auto &[start, end, weight, row] : terms)
        found.terms.push_back({start, end, weight, row});
    found.average = average;
    found.stretch = stretch;
    check_terms(postings.view, found);
    return found;
}

NewArray<double> bm25(const HeldPostings &postings, const TermList &list, double average,
                      std::optional<Array<bool>> allowed, Array<int64_t> documents) {
    Terms terms = terms_of(postings, list, average, 1.0);
    Mask mask = mask_of(allowed, postings.view.size());
    check_documents(view(documents), postings.view.size());
    std::vector<double> found(documents.size());
    without_lock([&] {
        bm25_of(postings.view, terms, mask, documents.data(), documents.size(), found.data());
    });
    return to_numpy(std::move(found));
}

NewArray<int64_t> all_matches_of(const HeldPostings &postings, const TermList &list,
                                 std::optional<Array<bool>> allowed) {
    Terms terms = terms_of(postings, list, 1.0, 1.0);
    Mask mask = mask_of(allowed, postings.view.size());
    return to_numpy(without_lock([&] { return all_matches(postings.view, terms, mask); }));
}

NewArray<double> similarity(const HeldVectors &vectors, Array<float> query,
                            Array<int64_t> documents) {
    QueryVector wanted = query_of(query, vectors.view);
    check_documents(view(documents), vectors.view.documents);
    std::vector<double> found(documents.size());
    without_lock([&] {
        similarities(vectors.view, wanted, documents.data(), documents.size(), found.data());
    });
    return to_numpy(std::move(found));
}

using Found = std::tuple<NewArray<int64_t>, NewArray<double>, NewArray<double>, NewArray<double>,
                         size_t>;

Found candidates(const HeldPostings &postings, const TermList &list, double average,
                 double stretch, std::optional<Array<bool>> allowed, Array<bool> has_caption,
                 const HeldVectors *vectors, std::optional<Array<float>> query,
                 Array<int64_t> near, Array<double> near_similarity, double farthest,
                 const HeldScan *scan, const Program &first_phase, bool by_words, size_t depth,
                 Array<double> others) {
    size_t documents = postings.view.size();
    Terms terms = terms_of(postings, list, average, stretch);
    Search search;
    search.postings = &postings.view;
    search.terms = &terms;
    search.allowed = mask_of(allowed, documents);
    if (vectors != nullptr) {
        require(vectors->view.documents == documents,
                "the vectors have another length than the segment");
        search.vectors = &vectors->view;
    }
    require(!query || vectors != nullptr, "a query vector has no field");
    if (query) search.query = query_of(*query, vectors->view);
    check_documents(view(near), documents);
    require(near.size() == near_similarity.size(), "the nearest have lists of different lengths");
    require(has_caption.size() == documents, "has_caption has another length than the segment");
    require(scan == nullptr || scan->view.products.empty() || scan->view.documents == documents,
            "the codes do not fit the segment");
    require(farthest < std::numeric_limits<double>::infinity() || std::isnan(farthest),
            "the nearest have no last one");
    search.near = view(near);
    search.similarity = view(near_similarity);
    search.farthest = farthest;
    search.scan = scan == nullptr ? nullptr : &scan->view;
    search.has_caption = view(has_caption);
    search.program = &first_phase;
    search.by_words = by_words;
    search.depth = depth;
    search.others = view(others);
    Candidates found = without_lock([&] { return best_candidates(search); });
    return {to_numpy(std::move(found.documents)), to_numpy(std::move(found.bm25)),
            to_numpy(std::move(found.closeness)), to_numpy(std::move(found.scores)), found.matched};
}

}  // namespace

NB_MODULE(_core, m) {
    // Programs that a cache holds when Python ends are no leak that a user should read of.
    nb::set_leak_warnings(false);
    nb::exception<DamagedError>(m, "DamagedError", PyExc_ValueError);

    nb::class_<HeldPostings>(m, "Postings")
        .def(nb::new_(&hold_postings), "documents"_a.noconvert(), "frequencies"_a.noconvert(),
             "impacts"_a.noconvert(), "lengths"_a.noconvert(), "dense"_a.noconvert(),
             "ranks"_a.noconvert());
    nb::class_<HeldVectors>(m, "Vectors")
        .def(nb::new_(&hold_vectors), "cells"_a.noconvert(), "present"_a.noconvert(),
             "squares"_a.noconvert().none(), "metric"_a);
    nb::class_<HeldCodes>(m, "Codes")
        .def(nb::new_(&hold_codes), "basis"_a.noconvert(), "blocks"_a.noconvert(),
             "bounds"_a.noconvert(), "residuals"_a.noconvert(), "documents"_a);
    nb::class_<HeldScan>(m, "Scan")
        .def_prop_ro("compared", [](const HeldScan &self) { return self.view.compared; })
        .def("bounds", &scan_bounds, "documents"_a.noconvert());
    nb::class_<Program>(m, "Program")
        .def(nb::new_(&make_program), "steps"_a)
        .def("run",
             [](const Program &self, Array<double, 2> features) {
                 require(features.shape(0) == FEATURES, "a program reads five features");
                 std::vector<double> registers, values(features.shape(1));
                 self.run(features.data(), values.size(), values.data(), registers);
                 return to_numpy(std::move(values));
             },
             "features"_a.noconvert());

    m.def("nearest", &nearest_of, "vectors"_a, "codes"_a.none(), "query"_a.noconvert(),
          "allowed"_a.noconvert().none(), "count"_a);
    m.def("bm25", &bm25, "postings"_a, "terms"_a, "average"_a, "allowed"_a.noconvert().none(),
          "documents"_a.noconvert());
    m.def("all_matches", &all_matches_of, "postings"_a, "terms"_a, "allowed"_a.noconvert().none());
    m.def("similarity", &similarity, "vectors"_a, "query"_a.noconvert(),
          "documents"_a.noconvert());
    m.def("candidates", &candidates, "postings"_a, "terms"_a, "average"_a, "stretch"_a,
          "allowed"_a.noconvert().none(), "has_caption"_a.noconvert(), "vectors"_a.none(),
          "query"_a.noconvert().none(), "near"_a.noconvert(),
          "near_similarity"_a.noconvert(), "farthest"_a, "scan"_a.none(), "first_phase"_a,
          "by_words"_a, "depth"_a, "others"_a.noconvert());
}
