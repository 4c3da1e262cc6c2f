#include "program.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

namespace kernels {
namespace {

// As numpy's minimum and maximum have it, NaN wins.
double least(double a, double b) { return a < b || a != a ? a : b; }
double most(double a, double b) { return a > b || a != a ? a : b; }

// One instruction for `count` documents; a, b, c: its registers.
void compute(const Instruction &step, size_t count, const double *features, const double *a,
             const double *b, const double *c, double *out) {
    auto unary = [=](auto function) {
        for (size_t n = 0; n < count; ++n) out[n] = function(a[n]);
    };
    auto binary = [=](auto function) {
        for (size_t n = 0; n < count; ++n) out[n] = function(a[n], b[n]);
    };
    switch (step.operation) {
        case CONSTANT: std::fill(out, out + count, step.number); return;
        case FEATURE: std::copy_n(features + size_t(step.number) * count, count, out); return;
        case CHOICE:
            for (size_t n = 0; n < count; ++n) out[n] = a[n] != 0.0 ? b[n] : c[n];
            return;
        case NEGATE: return unary([](double x) { return -x; });
        case ADD: return binary(std::plus<>());
        case SUBTRACT: return binary(std::minus<>());
        case MULTIPLY: return binary(std::multiplies<>());
        case DIVIDE: return binary(std::divides<>());
        case MINIMUM: return binary(least);
        case MAXIMUM: return binary(most);
        case AT_LEAST: return binary(std::greater_equal<>());
        case ABOVE: return binary(std::greater<>());
        case AT_MOST: return binary(std::less_equal<>());
        case BELOW: return binary(std::less<>());
        case UNEQUAL: return binary(std::not_equal_to<>());
        case EQUAL: return binary(std::equal_to<>());
        case AND: return binary(std::logical_and<>());
        case OR: return binary(std::logical_or<>());
        case EXP: return unary([](double x) { return std::exp(x); });
        case LOG: return unary([](double x) { return std::log(x); });
        case LOG10: return unary([](double x) { return std::log10(x); });
        case SQRT: return unary([](double x) { return std::sqrt(x); });
        case TANH: return unary([](double x) { return std::tanh(x); });
        case SIGMOID: return unary([](double x) { return 1.0 / (1.0 + std::exp(-x)); });
        case ATAN: return unary([](double x) { return std::atan(x); });
        case COS: return unary([](double x) { return std::cos(x); });
        case ACOS: return unary([](double x) { return std::acos(x); });
        case SQUARE: return unary([](double x) { return x * x; });
        case RELU: return unary([](double x) { return most(x, 0.0); });
        case ABS: return unary([](double x) { return std::abs(x); });
        case OPERATIONS: return;
    }
}

}  // namespace

Program::Program(std::vector<Instruction> instructions) : instructions_(std::move(instructions)) {
    require(!instructions_.empty(), "a program has no instruction");
    for (size_t at = 0; at < instructions_.size(); ++at) {
        const Instruction &step = instructions_[at];
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
