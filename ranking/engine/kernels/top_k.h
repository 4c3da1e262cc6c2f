// The k largest of many values.
//
// Selection by partition (Hoare, "Algorithm 65: Find", CACM 1961), and a min-heap for values
// that come one by one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <vector>

namespace kernels {

// The k-th largest value, 1 <= k <= values.size(); reorders the values.
template <typename T>
T kth_largest(std::vector<T> &values, size_t k) {
    std::nth_element(values.begin(), values.begin() + (k - 1), values.end(), std::greater<T>());
    return values[k - 1];
}

// The k largest scores seen so far.
class BestScores {
  public:
    explicit BestScores(size_t k) : k_(k) {}

    void add(double score) {
        if (std::isnan(score)) score = -std::numeric_limits<double>::infinity();
        if (heap_.size() < k_) {
            heap_.push_back(score);
            std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
        } else if (k_ > 0 && score > heap_.front()) {
            std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
            heap_.back() = score;
            std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
        }
    }

    bool full() const { return heap_.size() == k_; }

    // The k-th largest; -infinity while there are fewer.
    double threshold() const {
        if (!full() || k_ == 0) return -std::numeric_limits<double>::infinity();
        return heap_.front();
    }

  private:
    size_t k_;
    std::vector<double> heap_;
};

}  // namespace kernels
