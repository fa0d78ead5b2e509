#pragma once

#include <cstdio>

#include "samples.hpp"

namespace bench {

inline void print_header() { std::printf("%-50s %7s %9s %9s %9s\n", "microseconds", "n", "p50", "p90", "p99"); }

inline void print(const char* what, const samples& s) {
    std::printf("%-50s %7zu %9.1f %9.1f %9.1f\n", what, s.size(), s.median(), s.percentile(90), s.percentile(99));
}

enum class bound : bool { at_most, at_least };

/// Whether the target was met.
inline bool judge(const char* what, double ratio, double target, bound b = bound::at_most) {
    const bool met = b == bound::at_most ? ratio <= target : ratio >= target;
    std::printf("  %-48s = %6.2f (target %s %.2f): %s\n", what, ratio, b == bound::at_most ? "<=" : ">=", target,
                met ? "met" : "missed");
    return met;
}

inline bool judge(const char* what, const samples& ours, const samples& raw, double target) {
    return judge(what, ours.median() / raw.median(), target);
}

}  // namespace bench
