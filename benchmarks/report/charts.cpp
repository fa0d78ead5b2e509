#include "charts.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "chart.hpp"

namespace bench {
namespace {

using measurements = std::vector<const measurement*>;

// Without the placement.
std::string short_title(const measurement& m) {
    auto work = m.work;
    for (const std::string usual : {"mutex", "one lock"})
        if (work.starts_with(usual)) work.erase(0, usual.size() + (work.starts_with(usual + ", ") ? 2 : 0));
    return m.back_end + (work.empty() ? "" : ", " + work) + (m.clients.empty() ? "" : ", " + m.clients);
}

std::size_t index_in(std::vector<std::string>& names, const std::string& name) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at != names.end()) return static_cast<std::size_t>(at - names.begin());
    names.push_back(name);
    return names.size() - 1;
}

// Without the blanks that a file's name need not have.
std::string file_name(std::string text) {
    std::erase(text, ',');
    std::replace(text.begin(), text.end(), ' ', '-');
    return text;
}

void add(std::vector<chart>& charts, std::string name, const std::string& title, std::string svg) {
    if (!svg.empty()) charts.push_back({file_name(std::move(name)), title, std::move(svg)});
}

// Both of its distributions in the same color.
void add_to(curve_chart& c, const measurement& m, std::size_t color) {
    const auto whole = m.ours ? curve::solid : curve::dotted;
    for (std::size_t i = 0; i < m.distributions.size(); ++i) {
        const auto& d = m.distributions[i];
        c.curves.push_back({.label = i == 0 ? m.back_end : fmt::format("{}: {}", m.back_end, d.who),
                            .color = color,
                            .line = i == 0 ? whole : curve::dashed,
                            .points = d.points});
    }
}

// One chart for each number and kind of clients and their place; the color is the back end's.
void add_curves(std::vector<chart>& charts, const std::string& name, const measurements& all, const std::string& work,
                const std::string& title) {
    const auto kind_of = [](const measurement& m) { return m.clients + ", " + m.cpus; };
    std::vector<std::string> kinds, back_ends;
    for (const auto* m : all)
        if (m->work == work) (void)index_in(kinds, kind_of(*m));
    for (const auto& kind : kinds) {
        curve_chart c{.title = fmt::format("{}; {}", title, kind), .axis = "microseconds, logarithmic"};
        for (const auto* m : all)
            if (m->work == work && kind_of(*m) == kind) add_to(c, *m, index_in(back_ends, m->back_end));
        add(charts, fmt::format("{} {}", name, kind), c.title, to_svg(c));
    }
}

// A row for each measurement, and one for its baseline, with a dot for each of these figures.
void add_dots(std::vector<chart>& charts, const std::string& name, const measurements& all,
              const std::vector<std::string>& figures, dot_chart c) {
    for (const auto* m : all) {
        dot_row ours{.label = short_title(*m) + (m->cpus.empty() ? "" : ", " + m->cpus), .strong = m->ours},
            theirs{.label = m->baseline, .strong = false};
        for (std::size_t i = 0; i < figures.size(); ++i)
            if (const auto* f = m->find(figures[i])) {
                ours.dots.push_back({f->value, i});
                if (f->baseline) theirs.dots.push_back({*f->baseline, i});
            }
        if (!ours.dots.empty()) c.rows.push_back(std::move(ours));
        if (!theirs.dots.empty()) c.rows.push_back(std::move(theirs));
    }
    if (figures.size() > 1) c.marks = figures;
    add(charts, name, c.title, to_svg(c));
}

}  // namespace

// A row for each kind of work, with a dot for each placement.
std::vector<chart> ratio_charts(const report& r) {
    dot_chart c{.title = "Ratio to the bare driver (1: takes as long; bars: 95 % confidence; no dot: not sure)",
                .axis = "times the baseline, logarithmic",
                .scale = scale_kind::logarithmic,
                .joined = false,
                .lines = {1}};
    for (const auto& m : r.measurements)
        for (const auto& f : m.figures) {
            if (!f.ratio && !f.range) continue;
            const bool hand_over = m.suite == "contention" && f.name == "hand-over p50";
            if (m.suite != "latency" && !hand_over) continue;
            const auto label = short_title(m) + (hand_over ? ": hand-over" : "");
            auto row = std::find_if(c.rows.begin(), c.rows.end(), [&](const dot_row& x) { return x.label == label; });
            if (row == c.rows.end()) row = c.rows.insert(c.rows.end(), {.label = label});
            row->dots.push_back({f.ratio, index_in(c.marks, m.cpus), f.range});
        }
    std::vector<chart> charts;
    add(charts, "ratios", c.title, to_svg(c));
    return charts;
}

std::vector<chart> charts_of(const std::string& suite, const measurements& all) {
    std::vector<chart> charts;
    if (suite == "latency")
        add_curves(charts, suite, all, "mutex", "Acquire + release, uncontended: share of cycles that took no longer");
    if (suite == "contention") {
        add_dots(charts, "hand-over", all, {"hand-over p50", "hand-over p99"},
                 {.title = "Hand-over: from the beginning of a release to the next grant",
                  .axis = "microseconds, logarithmic",
                  .scale = scale_kind::logarithmic});
        add_dots(charts, "fairness", all, {"fairness"},
                 {.title = "Fairness: the smallest share of a client by the largest (1: all had the same)",
                  .axis = "smallest / largest share",
                  .lines = {0.95},
                  .from = 0,
                  .to = 1});
        add_curves(charts, "hand-over", all, "one lock", "Hand-over: share that took no longer");
    }
    if (suite == "recovery")
        add_dots(charts, suite, all, {"p50", "max"},
                 {.title = "From the death of a holder to the next grant",
                  .axis = "milliseconds, logarithmic",
                  .scale = scale_kind::logarithmic});
    return charts;
}

}  // namespace bench
