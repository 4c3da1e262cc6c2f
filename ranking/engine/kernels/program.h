// A ranking expression as a program of a register machine, for bounds and thresholds.
//
// Each register is computed once, for all documents, from registers before it; common
// subexpressions share one. Values are those of ranking/expressions/compiler.py but for the last
// bits of exp, log and their like, so they decide what is a candidate and never what is shown.
#pragma once

#include "arrays.h"

#include <cstdint>
#include <vector>

namespace kernels {

// What a program reads of documents, one row of doubles each.
enum Feature { BM25, CLOSENESS, DISTANCE, HAS_CAPTION, HAS_VECTOR, FEATURES };

// The order is that of `OPERATIONS` in ranking/engine/program.py.
enum Operation : uint8_t {
    CONSTANT, FEATURE, CHOICE, NEGATE,
    ADD, SUBTRACT, MULTIPLY, DIVIDE, MINIMUM, MAXIMUM,
    AT_LEAST, ABOVE, AT_MOST, BELOW, UNEQUAL, EQUAL, AND, OR,
    EXP, LOG, LOG10, SQRT, TANH, SIGMOID, ATAN, COS, ACOS, SQUARE, RELU, ABS,
    OPERATIONS
};

struct Instruction {
    Operation operation;
    int32_t first, second, third;  // registers
    double number;                 // a constant's value, or the feature's place
};

class Program {
  public:
    // Raises DamagedError where an instruction reads a register that is not there yet.
    explicit Program(std::vector<Instruction> instructions);

    // Values for `count` documents into `out`, NaN as -infinity; features: [FEATURES, count].
    // registers: room that the caller keeps, so that threads can share a program.
    void run(const double *features, size_t count, double *out,
             std::vector<double> &registers) const;

  private:
    std::vector<Instruction> instructions_;
};

}  // namespace kernels
