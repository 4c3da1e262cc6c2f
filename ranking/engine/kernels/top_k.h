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
#include <queue>
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
        if (full() && (k_ == 0 || score <= heap_.top())) return;
        if (full()) heap_.pop();
        heap_.push(score);
    }

    bool full() const { return heap_.size() == k_; }

    // The k-th largest; -infinity while there are fewer.
    double threshold() const {
        return full() && k_ > 0 ? heap_.top() : -std::numeric_limits<double>::infinity();
    }

  private:
    size_t k_;
    std::priority_queue<double, std::vector<double>, std::greater<>> heap_;
};

}  // namespace kernels
