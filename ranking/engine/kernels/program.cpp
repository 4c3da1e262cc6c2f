#include "program.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace kernels {
namespace {

template <typename Function>
void unary(size_t count, double *out, const double *a, Function apply) {
    for (size_t n = 0; n < count; ++n) out[n] = apply(a[n]);
}

template <typename Function>
void binary(size_t count, double *out, const double *a, const double *b, Function apply) {
    for (size_t n = 0; n < count; ++n) out[n] = apply(a[n], b[n]);
}

// As numpy's minimum and maximum have it, NaN wins.
double least(double a, double b) { return a < b || a != a ? a : b; }
double most(double a, double b) { return a > b || a != a ? a : b; }

void compute(const Instruction &step, size_t count, const double *features, const double *a,
             const double *b, const double *c, double *out) {
    switch (step.operation) {
        case CONSTANT: std::fill(out, out + count, step.number); break;
        case FEATURE: std::copy_n(features + static_cast<size_t>(step.number) * count, count, out);
            break;
        case CHOICE:
            for (size_t n = 0; n < count; ++n) out[n] = a[n] != 0.0 ? b[n] : c[n];
            break;
        case NEGATE: unary(count, out, a, [](double x) { return -x; }); break;
        case ADD: binary(count, out, a, b, [](double x, double y) { return x + y; }); break;
        case SUBTRACT: binary(count, out, a, b, [](double x, double y) { return x - y; }); break;
        case MULTIPLY: binary(count, out, a, b, [](double x, double y) { return x * y; }); break;
        case DIVIDE: binary(count, out, a, b, [](double x, double y) { return x / y; }); break;
        case MINIMUM: binary(count, out, a, b, least); break;
        case MAXIMUM: binary(count, out, a, b, most); break;
        case AT_LEAST: binary(count, out, a, b, [](double x, double y) { return double(x >= y); });
            break;
        case ABOVE: binary(count, out, a, b, [](double x, double y) { return double(x > y); });
            break;
        case AT_MOST: binary(count, out, a, b, [](double x, double y) { return double(x <= y); });
            break;
        case BELOW: binary(count, out, a, b, [](double x, double y) { return double(x < y); });
            break;
        case UNEQUAL: binary(count, out, a, b, [](double x, double y) { return double(x != y); });
            break;
        case EQUAL: binary(count, out, a, b, [](double x, double y) { return double(x == y); });
            break;
        case AND:
            binary(count, out, a, b, [](double x, double y) { return double(x != 0 && y != 0); });
            break;
        case OR:
            binary(count, out, a, b, [](double x, double y) { return double(x != 0 || y != 0); });
            break;
        case EXP: unary(count, out, a, [](double x) { return std::exp(x); }); break;
        case LOG: unary(count, out, a, [](double x) { return std::log(x); }); break;
        case LOG10: unary(count, out, a, [](double x) { return std::log10(x); }); break;
        case SQRT: unary(count, out, a, [](double x) { return std::sqrt(x); }); break;
        case TANH: unary(count, out, a, [](double x) { return std::tanh(x); }); break;
        case SIGMOID: unary(count, out, a, [](double x) { return 1.0 / (1.0 + std::exp(-x)); });
            break;
        case ATAN: unary(count, out, a, [](double x) { return std::atan(x); }); break;
        case COS: unary(count, out, a, [](double x) { return std::cos(x); }); break;
        case ACOS: unary(count, out, a, [](double x) { return std::acos(x); }); break;
        case SQUARE: unary(count, out, a, [](double x) { return x * x; }); break;
        case RELU: unary(count, out, a, [](double x) { return most(x, 0.0); }); break;
        case ABS: unary(count, out, a, [](double x) { return std::abs(x); }); break;
        case OPERATIONS: break;
    }
}

}  // namespace

Program::Program(std::vector<Instruction> instructions) : instructions_(std::move(instructions)) {
    require(!instructions_.empty(), "a program has no instruction");
    for (size_t at = 0; at < instructions_.size(); ++at) {
        const Instruction &step = instructions_[at];
        require(step.operation < OPERATIONS, "a program has an unknown operation");
        auto known = [at](int32_t place) {
            return place >= 0 && (place == 0 || static_cast<size_t>(place) < at);
        };
        require(known(step.first) && known(step.second) && known(step.third),
                "a program reads a register that is not computed yet");
        require(step.operation != FEATURE || (step.number >= 0 && step.number < FEATURES),
                "a program reads an unknown feature");
        require(at > 0 || step.operation <= FEATURE, "a program starts from nothing");
    }
}

void Program::run(const double *features, size_t count, double *out,
                  std::vector<double> &registers) const {
    if (registers.size() < instructions_.size() * count)
        registers.resize(instructions_.size() * count);
    auto row = [&](int32_t place) { return registers.data() + static_cast<size_t>(place) * count; };
    for (size_t at = 0; at < instructions_.size(); ++at) {
        const Instruction &step = instructions_[at];
        compute(step, count, features, row(step.first), row(step.second), row(step.third),
                row(static_cast<int32_t>(at)));
    }
    const double *values = row(static_cast<int32_t>(instructions_.size() - 1));
    for (size_t n = 0; n < count; ++n)
        out[n] = values[n] != values[n] ? -std::numeric_limits<double>::infinity() : values[n];
}

}  // namespace kernels
