#include "html.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "chart.hpp"
#include "table.hpp"

namespace bench {
namespace {

constexpr auto style = R"(
body { font: 16px/1.45 "DejaVu Sans", Verdana, Arial, sans-serif; color: #111; background: #fff; max-width: 1140px;
  margin: 2em auto; padding: 0 16px }
h1 { font-size: 28px; margin-bottom: 4px }
h2 { font-size: 22px; margin-top: 2em; border-bottom: 2px solid #111 }
table { border-collapse: collapse; font-size: 13px; margin: 1em 0; font-variant-numeric: tabular-nums }
th { text-align: right; border-bottom: 1.5px solid #111; vertical-align: bottom }
td { text-align: right; border-bottom: 1px solid #ddd }
th, td { padding: 3px 7px }
td { white-space: nowrap }
th.text, td.text { text-align: left }
td.met { color: #00603a }
td.missed { color: #a00000; font-weight: bold }
tr.base td { color: #444 }
p.note { font-size: 14px; color: #333; margin: 4px 0 }
svg { display: block; margin: 1.5em 0; max-width: 100%; height: auto;
  font: 14px "DejaVu Sans", Verdana, Arial, sans-serif }
svg text { fill: #111 }
svg .title { font-size: 17px; font-weight: bold }
svg .tick { text-anchor: middle; font-size: 13px }
svg .axis { text-anchor: end; font-size: 14px }
svg .row { text-anchor: end }
svg .weak { fill: #555 }
svg .grid { stroke: #d8d8d8 }
svg .mark { stroke: #111; stroke-width: 1.5; stroke-dasharray: 4 3 }
svg .range { stroke: #999; stroke-width: 2 }
@media print {
  @page { size: A4 landscape; margin: 12mm }
  body { margin: 0; max-width: none; font-size: 11pt }
  h2 { break-after: avoid }
  svg, tr, tbody { break-inside: avoid }
  svg.curves { max-height: 84mm; margin: 2mm 0 }
  table { font-size: 7.5pt }
}
)";

// The head stands on each page that the table is printed on, and what belongs together on one.
std::string to_table(const grid& g, std::size_t left) {
    std::string out = "<table>\n";
    for (std::size_t i = 0; i < g.size(); ++i) {
        const auto* cell = i == 0 ? "th" : "td";
        if (i == 0)
            out += "<thead>";
        else if (i == 1 || !g[i].front().empty())
            out += i == 1 ? "</thead>\n<tbody>" : "</tbody>\n<tbody>";
        out += g[i].front().empty() ? "<tr class=\"base\">" : "<tr>";
        for (std::size_t k = 0; k < g[i].size(); ++k) {
            const auto& text = g[i][k];
            const std::string kind = text == "met" || text == "missed" ? text : "";
            out += fmt::format("<{0} class=\"{1}{2}\">{3}</{0}>", cell, k < left ? "text " : "", kind, escaped(text));
        }
        out += "</tr>\n";
    }
    return out + (g.size() > 1 ? "</tbody>\n</table>\n" : "</thead>\n</table>\n");
}

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

// One chart for each number and kind of clients and their place; the color is the back end's.
std::string curves(const measurements& all, const std::string& work, const std::string& title) {
    const auto kind_of = [](const measurement& m) { return m.clients + ", " + m.cpus; };
    std::vector<std::string> kinds, back_ends;
    for (const auto* m : all)
        if (m->work == work) (void)index_in(kinds, kind_of(*m));
    std::string out;
    for (const auto& kind : kinds) {
        curve_chart c{.title = fmt::format("{}; {}", title, kind), .axis = "microseconds, logarithmic"};
        for (const auto* m : all) {
            if (m->work != work || kind_of(*m) != kind) continue;
            const auto color = index_in(back_ends, m->back_end);
            for (std::size_t i = 0; i < m->distributions.size(); ++i)
                c.curves.push_back(
                    {.label = i == 0 ? m->back_end : fmt::format("{}: {}", m->back_end, m->distributions[i].who),
                     .color = color,
                     .line = i > 0     ? curve::dashed
                             : m->ours ? curve::solid
                                       : curve::dotted,
                     .points = m->distributions[i].points});
        }
        out += to_svg(c);
    }
    return out;
}

// A row for each measurement, and one for its baseline, with a dot for each of these figures.
std::string dots(const measurements& all, const std::vector<std::string>& figures, dot_chart c) {
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
    return to_svg(c);
}

// A row for each kind of work, with a dot for each placement.
std::string ratio_chart(const report& r) {
    dot_chart c{
        .title = "Ratio to the bare driver (medians, and where they are with 95 % confidence; 1: takes as long)",
        .axis = "times the baseline, logarithmic",
        .scale = scale_kind::logarithmic,
        .joined = false,
        .lines = {1}};
    for (const auto& m : r.measurements)
        for (const auto& f : m.figures) {
            if (!f.ratio || *f.ratio <= 0) continue;
            const bool hand_over = m.suite == "contention" && f.name == "hand-over p50";
            if (m.suite != "latency" && !hand_over) continue;
            const auto label = short_title(m) + (hand_over ? ": hand-over" : "");
            auto row = std::find_if(c.rows.begin(), c.rows.end(), [&](const dot_row& x) { return x.label == label; });
            if (row == c.rows.end()) row = c.rows.insert(c.rows.end(), {.label = label});
            row->dots.push_back({*f.ratio, index_in(c.marks, m.cpus), f.range});
        }
    return to_svg(c);
}

std::string charts_of(const std::string& suite, const measurements& all) {
    if (suite == "latency")
        return curves(all, "mutex", "Acquire + release, uncontended: share of cycles that took no longer");
    if (suite == "contention")
        return dots(all, {"hand-over p50", "hand-over p99"},
                    {.title = "Hand-over: from the beginning of a release to the next grant",
                     .axis = "microseconds, logarithmic",
                     .scale = scale_kind::logarithmic}) +
               dots(all, {"fairness"},
                    {.title = "Fairness: the smallest share of a client by the largest (1: all had the same)",
                     .axis = "smallest / largest share",
                     .lines = {0.95},
                     .from = 0,
                     .to = 1}) +
               curves(all, "one lock", "Hand-over: share that took no longer");
    if (suite == "recovery")
        return dots(all, {"p50", "max"},
                    {.title = "From the death of a holder to the next grant",
                     .axis = "milliseconds, logarithmic",
                     .scale = scale_kind::logarithmic});
    return "";
}

std::string notes_of(const measurements& all) {
    std::string out;
    for (const auto* m : all)
        if (!m->note.empty())
            out += fmt::format("<p class=\"note\">{}: {}</p>\n", escaped(title_of(*m)), escaped(m->note));
    return out;
}

std::string heading(std::string text) {
    if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
    return "<h2>" + escaped(text) + "</h2>\n";
}

std::string escaped(char c) {
    switch (c) {
        case '&':
            return "&amp;";
        case '<':
            return "&lt;";
        case '>':
            return "&gt;";
        case '"':
            return "&quot;";
        case '\'':
            return "&#39;";
        default:
            // Control characters have no place in HTML.
            return {static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c};
    }
}

}  // namespace

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) out += escaped(c);
    return out;
}

std::string to_html(const report& r) {
    std::string out =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>rowlock-bench</title>\n<style>";
    out += style;
    out += "</style>\n</head>\n<body>\n<h1>rowlock-bench</h1>\n<table>\n";
    for (const auto& [what, value] : r.about)
        out += fmt::format("<tr><td class=\"text\">{}</td><td class=\"text\">{}</td></tr>\n", escaped(what),
                           escaped(value));
    out +=
        "</table>\n<p>Times depend on the machine, and on what it does meanwhile. What can be compared is the ratio of "
        "Rowlock to the bare driver, both measured in turns in one run, on the same CPUs: the median over short "
        "blocks. Filled marks and solid lines are Rowlock's; open marks and dashed lines are the baseline's; what is "
        "there for comparison has open marks and dotted lines.</p>\n";
    if (!r.targets.empty()) out += heading("targets") + to_table(grid_of(r.targets), 99);
    if (const auto chart = ratio_chart(r); !chart.empty()) out += heading("ratios to the bare driver") + chart;
    for (const auto& [suite, all] : by_suite(r)) {
        if (suite == "targets") continue;
        out += heading(suite) + charts_of(suite, all) + to_table(grid_of(all), 4) + notes_of(all);
    }
    return out + "</body>\n</html>\n";
}

}  // namespace bench
