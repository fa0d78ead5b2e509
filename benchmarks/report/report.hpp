#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

/// A distribution, to be drawn. Values in microseconds.
struct distribution {
    std::string who{};  ///< "rowlock", or the baseline's name
    std::vector<std::pair<double, double>> points{};
};

/// One number of a measurement.
struct figure {
    std::string name{};  ///< "p50"
    std::string unit{};  ///< "us"
    double value = 0;
    std::optional<double> baseline{};                  ///< the same of the baseline
    std::optional<double> ratio{};                     ///< the median over passes; not the quotient of the two above
    std::optional<std::pair<double, double>> range{};  ///< where the ratio is with 95 % confidence

    /// There is a range, but one that is too wide to speak of a ratio.
    [[nodiscard]] bool unsure() const noexcept { return range && !ratio; }
};

/// One thing that was measured, of one back end.
struct measurement {
    std::string suite{};     ///< "latency"
    std::string back_end{};  ///< "postgresql+lease"
    std::string work{};      ///< "mutex"
    std::string clients{};   ///< "8 threads"
    std::string cpus{};      ///< "one CPU"; empty: a count, which does not depend on them
    std::string baseline{};  ///< "bare libpq"; empty: there is none, and so no claim
    bool ours = true;        ///< false: something else that users pick, to compare with
    std::vector<figure> figures{};
    std::vector<distribution> distributions{};  ///< ours first
    std::string note{};

    [[nodiscard]] const figure* find(std::string_view name) const {
        for (const auto& f : figures)
            if (f.name == name) return &f;
        return nullptr;
    }
};

enum class verdict : std::uint8_t { met, missed, not_sure, not_measured };
[[nodiscard]] std::string_view to_string(verdict v) noexcept;

/// What was found for a target under one placement.
struct target_value {
    std::string cpus{};                                ///< "one CPU"; empty: a count
    std::optional<double> value{};                     ///< empty: only the range is known
    std::optional<std::pair<double, double>> range{};  ///< of a ratio
};

/// One row of what the library must cost.
struct target_row {
    std::string work{};
    std::string bound{};  ///< "at most 1.05"
    /// For each placement on CPUs; just one for a count.
    std::vector<target_value> values{};
    verdict outcome = verdict::not_measured;  ///< met: under each placement
    std::string note{};                       ///< why it was not measured, or what the value is
};

/// All that one run found: what the renderers read, and nothing else.
struct report {
    std::vector<std::pair<std::string, std::string>> about{};  ///< machine, date, versions, settings
    std::vector<measurement> measurements{};
    std::vector<target_row> targets{};
};

/// What tells one measurement from another, in words.
[[nodiscard]] std::string title_of(const measurement& m);
/// How numbers are shown everywhere: three significant digits, more for what is large.
[[nodiscard]] std::string show(double value);
[[nodiscard]] std::string show(const std::optional<double>& value);
/// "1.04 ±2 %": a ratio, and how far its range goes; "0.86 to 1.12" where only that is known; empty if nothing is.
[[nodiscard]] std::string show_ratio(const figure& f);
/// "0.86 to 1.12"
[[nodiscard]] std::string show_range(const std::pair<double, double>& range);

}  // namespace bench
