// Views over arrays that Python owns, and the errors of this library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace kernels {

// A segment's arrays contradict each other. The message says which, in one sentence.
struct DamagedError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void require(bool right, const char *sentence) {
    if (!right) throw DamagedError(sentence);
}

// A pointer and a length; nothing is owned.
template <typename T>
struct View {
    const T *data = nullptr;
    size_t size = 0;

    const T &operator[](size_t place) const { return data[place]; }
    bool empty() const { return size == 0; }
};

// One byte for each document, 1 where it may be found; empty where all may.
using Mask = View<uint8_t>;

inline bool allows(Mask mask, int64_t document) {
    return mask.empty() || mask[static_cast<size_t>(document)] != 0;
}

}  // namespace kernels
