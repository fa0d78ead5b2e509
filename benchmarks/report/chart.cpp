#include "chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "html.hpp"

namespace bench {
namespace {

constexpr double width = 1120, left = 470, right = 30, top = 70, row_height = 24;

// Colors that differ also for those who do not see red and green apart, and in gray (Okabe and Ito).
constexpr std::array colors{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56707d", "#a67c00", "#000000", "#8a2be2"};
const char* color(std::size_t i) { return colors.at(i % colors.size()); }

// Values to places between `left_edge` and the right margin.
class axis {
public:
    axis(scale_kind kind, double from, double to, double left_edge)
        : kind_{kind}, from_{from}, to_{to}, left_edge_{left_edge} {
        if (kind == scale_kind::logarithmic) {
            from_ = std::pow(10, std::floor(std::log10(from) * 3 + 0.001) / 3);
            to_ = std::pow(10, std::ceil(std::log10(to) * 3 - 0.001) / 3);
        }
        if (!(to_ > from_)) to_ = from_ + 1;
    }
    [[nodiscard]] double at(double value) const {
        const double share = kind_ == scale_kind::linear
                                 ? (value - from_) / (to_ - from_)
                                 : std::log(std::max(value, from_) / from_) / std::log(to_ / from_);
        return left_edge_ + std::clamp(share, 0.0, 1.0) * (width - right - left_edge_);
    }
    [[nodiscard]] std::vector<double> ticks() const {
        std::vector<double> all;
        if (kind_ == scale_kind::logarithmic) {
            // 1, 2, 5, 10, ... as long as there is room for them.
            const bool fine = std::log10(to_ / from_) < 4;
            for (double decade = std::pow(10, std::floor(std::log10(from_))); decade <= to_; decade *= 10)
                for (const double step : {1.0, 2.0, 5.0})
                    if ((fine || step == 1.0) && decade * step >= from_ * 0.999 && decade * step <= to_ * 1.001)
                        all.push_back(decade * step);
            return all;
        }
        double step = std::pow(10, std::floor(std::log10((to_ - from_) / 4)));
        while ((to_ - from_) / step > 10) step *= (to_ - from_) / step > 20 ? 5 : 2;
        for (double v = std::ceil(from_ / step) * step; v <= to_ + step / 1000; v += step)
            all.push_back(std::abs(v) < step / 1000 ? 0 : v);
        return all;
    }

private:
    scale_kind kind_;
    double from_, to_, left_edge_;
};

std::string line(double x1, double y1, double x2, double y2, const char* style) {
    return fmt::format("<line x1='{:.1f}' y1='{:.1f}' x2='{:.1f}' y2='{:.1f}' class='{}'/>\n", x1, y1, x2, y2, style);
}

std::string text(double x, double y, const char* style, std::string_view what) {
    return fmt::format("<text x='{:.1f}' y='{:.1f}' class='{}'>{}</text>\n", x, y, style, escaped(what));
}

std::string begin(const char* kind, std::string_view title, double height) {
    return fmt::format(
               "<svg class='{3}' preserveAspectRatio='xMinYMin' viewBox='0 0 {0:.0f} {1:.0f}' width='{0:.0f}' "
               "height='{1:.0f}' role='img' "
               "aria-label='{2}'>\n",
               width, height, escaped(title), kind) +
           text(0, 20, "title", title);
}

std::string draw_axis(const axis& a, double upper, double lower, std::string_view label) {
    std::string out;
    for (const double tick : a.ticks())
        out += line(a.at(tick), upper, a.at(tick), lower, "grid") +
               text(a.at(tick), lower + 18, "tick", fmt::format("{:g}", tick));
    return out + text(width - right, lower + 38, "axis", label);
}

// A shape for each kind, so that no color need be told from another.
std::string shape(std::size_t mark, double x, double y, bool strong) {
    const auto paint = strong ? fmt::format("fill='{0}' stroke='{0}'", color(mark))
                              : fmt::format("fill='white' stroke='{}' stroke-width='2'", color(mark));
    switch (mark % 4) {
        case 0:
            return fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='5.5' {}/>\n", x, y, paint);
        case 1:
            return fmt::format("<rect x='{:.1f}' y='{:.1f}' width='10' height='10' {}/>\n", x - 5, y - 5, paint);
        case 2:
            return fmt::format("<path d='M{0:.1f} {1:.1f}l6.5 6.5l-6.5 6.5l-6.5 -6.5z' {2}/>\n", x, y - 6.5, paint);
        default:
            return fmt::format("<path d='M{0:.1f} {1:.1f}l6.5 11.5h-13z' {2}/>\n", x, y - 7, paint);
    }
}

// A bar for an interval; where no dot is on it, its ends are marked, and those of two marks are beside each other.
std::string draw_range(const dot& d, const axis& a, double y) {
    const double from = a.at(d.range->first), to = a.at(d.range->second);
    if (!d.value) y += d.mark % 2 == 0 ? -3.5 : 3.5;
    auto path = fmt::format("M{:.1f} {:.1f}H{:.1f}", from, y, to);
    if (!d.value) path += fmt::format("M{0:.1f} {2:.1f}v8M{1:.1f} {2:.1f}v8", from, to, y - 4);
    return fmt::format("<path d='{}' fill='none' stroke='{}' stroke-width='2'/>\n", path, color(d.mark));
}

std::string draw_row(const dot_row& row, bool joined, const axis& a, double y) {
    auto out = text(left - 14, y + 5, row.strong ? "row" : "row weak", row.label);
    if (joined && row.dots.size() > 1) {
        const auto [first, last] =
            std::minmax_element(row.dots.begin(), row.dots.end(), [](auto& x, auto& z) { return x.value < z.value; });
        if (first->value) out += line(a.at(*first->value), y, a.at(*last->value), y, "range");
    }
    for (const auto& d : row.dots)
        if (d.range) out += draw_range(d, a, y);
    for (const auto& d : row.dots)
        if (d.value) out += shape(d.mark, a.at(*d.value), y, row.strong);
    return out;
}

// What its dots need of an axis.
std::pair<double, double> extent_of(const dot_chart& c) {
    double least = 1e300, most = -1e300;
    const auto add = [&](double value) {
        if (!std::isfinite(value) || (c.scale == scale_kind::logarithmic && value <= 0)) return;
        least = std::min(least, value), most = std::max(most, value);
    };
    for (const auto& row : c.rows)
        for (const auto& d : row.dots) {
            if (d.value) add(*d.value);
            if (d.range) add(d.range->first), add(d.range->second);
        }
    return {c.from.value_or(least), c.to.value_or(most)};
}

}  // namespace

const char* const chart_style = R"(svg { font: 14px "DejaVu Sans", Verdana, Arial, sans-serif }
svg text { fill: #111 }
svg .title { font-size: 17px; font-weight: bold }
svg .tick { text-anchor: middle; font-size: 13px }
svg .axis { text-anchor: end; font-size: 14px }
svg .row { text-anchor: end }
svg .weak { fill: #555 }
svg .grid { stroke: #d8d8d8 }
svg .mark { stroke: #111; stroke-width: 1.5; stroke-dasharray: 4 3 }
svg .range { stroke: #999; stroke-width: 2 }
)";

std::string standalone(std::string svg) {
    svg.insert(svg.find(' '), " xmlns='http://www.w3.org/2000/svg' style='background:#fff'");
    svg.insert(svg.find('>') + 1, std::string{"<style>"} + chart_style + "</style>");
    return svg;
}

std::string to_svg(const dot_chart& c) {
    const auto [least, most] = extent_of(c);
    if (least > most) return "";
    const axis a{c.scale, least, most, left};
    const double lower = top + row_height * static_cast<double>(c.rows.size());
    auto out = begin("dots", c.title, lower + 50) + draw_axis(a, top - 8, lower, c.axis);
    double at = left;
    for (std::size_t i = 0; i < c.marks.size(); ++i) {
        out += shape(i, at + 6, 42, true) + text(at + 18, 47, "legend", c.marks[i]);
        at += 40 + 8.5 * static_cast<double>(c.marks[i].size());
    }
    for (const double value : c.lines) out += line(a.at(value), top - 8, a.at(value), lower, "mark");
    for (std::size_t i = 0; i < c.rows.size(); ++i)
        out += draw_row(c.rows[i], c.joined, a, top + row_height * (static_cast<double>(i) + 0.5));
    return out + "</svg>\n";
}

std::string to_svg(const curve_chart& c) {
    double least = 1e300, most = 0;
    for (const auto& k : c.curves)
        for (const auto& [value, share] : k.points)
            if (value > 0 && share <= 0.999) least = std::min(least, value), most = std::max(most, value);
    if (least > most) return "";
    constexpr std::array dashes{"", " stroke-dasharray='7 5'", " stroke-dasharray='2 3'"};
    constexpr double edge = 70, height = 340, legend_row = 22;
    constexpr std::size_t columns = 3;
    const std::size_t legend_rows = (c.curves.size() + columns - 1) / columns;
    const double upper = 40 + legend_row * static_cast<double>(legend_rows) + 12;
    const axis a{scale_kind::logarithmic, least, most, edge};
    auto out = begin("curves", c.title, upper + height + 50) + draw_axis(a, upper, upper + height, c.axis);
    for (int percent = 0; percent <= 100; percent += 25) {
        const double y = upper + height * (1 - percent / 100.0);
        out += line(edge, y, width - right, y, "grid") + text(edge - 8, y + 5, "row", fmt::format("{} %", percent));
    }
    for (std::size_t i = 0; i < c.curves.size(); ++i) {
        const auto& k = c.curves[i];
        std::string path;
        for (const auto& [value, share] : k.points)
            if (share <= 0.999)
                path +=
                    fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", a.at(value), upper + height * (1 - share));
        const auto paint =
            fmt::format("fill='none' stroke='{}' stroke-width='2.2'{}", color(k.color), dashes.at(k.line));
        const std::size_t legend_line = i / columns, legend_column = i % columns;
        const double x = edge + static_cast<double>(legend_column) * (width - edge) / columns;
        const double y = 40 + legend_row * static_cast<double>(legend_line);
        out += fmt::format("<path d='{}' {}/>\n<path d='M{:.1f} {:.1f}h34' {}/>\n", path, paint, x, y, paint) +
               text(x + 42, y + 5, "legend", k.label);
    }
    return out + "</svg>\n";
}

}  // namespace bench
