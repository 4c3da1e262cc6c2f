// Instruction sets chosen at run time.
//
// A hot loop is written once, as a function that is always inlined. DISPATCH makes two functions
// of it, one compiled for AVX2 and one for what the compiler targets anyway, and calls the one
// that the processor can run. Without x86 intrinsics (KERNELS_PLAIN) only the second is made.
// Floating point is never contracted into fused multiply-adds (see CMakeLists.txt), so both
// give the same bits.
#pragma once

#if !defined(KERNELS_PLAIN) && defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define KERNELS_X86 1
#else
#define KERNELS_X86 0
#endif

#define KERNELS_INLINE inline __attribute__((always_inline))

#if KERNELS_X86
namespace kernels {
inline const bool has_avx2 = __builtin_cpu_supports("avx2");
inline const bool has_vnni = __builtin_cpu_supports("avx512vnni") &&
                             __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512vl");
}  // namespace kernels

#define DISPATCH(result, name, parameters, arguments)                                     \
    __attribute__((target("avx2"))) static result name##_avx2 parameters {                \
        return name##_loop arguments;                                                     \
    }                                                                                     \
    static result name##_plain parameters { return name##_loop arguments; }               \
    static inline result name parameters {                                                \
        return has_avx2 ? name##_avx2 arguments : name##_plain arguments;                 \
    }
#else
#define DISPATCH(result, name, parameters, arguments) \
    static inline result name parameters { return name##_loop arguments; }
#endif
