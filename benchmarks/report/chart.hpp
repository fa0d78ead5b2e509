#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// What charts look like, for the style of a page that they are in.
extern const char* const chart_style;
/// The chart as a file of its own.
[[nodiscard]] std::string standalone(std::string svg);

enum class scale_kind : bool { linear, logarithmic };

/// One value on a row of a dot chart. Dots of one `mark` (0 to 3) look alike, and stand in the legend once.
struct dot {
    std::optional<double> value{};  ///< empty: only the range is drawn, with ends
    std::size_t mark = 0;
    std::optional<std::pair<double, double>> range{};  ///< a thin line through the dot
};

struct dot_row {
    std::string label{};
    bool strong = true;  ///< false: a baseline or something to compare with
    std::vector<dot> dots{};
};

/// Rows with dots on a common axis, as SVG.
struct dot_chart {
    std::string title{}, axis{};
    scale_kind scale = scale_kind::linear;
    std::vector<std::string> marks{};    ///< for the legend
    bool joined = true;                  ///< a line through the dots of a row
    std::vector<double> lines{};         ///< values that a thin line marks, such as 1 for a ratio
    std::optional<double> from{}, to{};  ///< of the axis; otherwise what the dots need
    std::vector<dot_row> rows{};
};
[[nodiscard]] std::string to_svg(const dot_chart& c);

struct curve {
    std::string label{};
    std::size_t color = 0;
    enum { solid, dashed, dotted } line = solid;
    std::vector<std::pair<double, double>> points{};  ///< value, share
};

/// Cumulative distributions over a logarithmic axis, as SVG. What is right of `to` is not drawn.
struct curve_chart {
    std::string title{}, axis{};
    std::vector<curve> curves{};
};
[[nodiscard]] std::string to_svg(const curve_chart& c);

}  // namespace bench
