#include "html.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "chart.hpp"
#include "charts.hpp"
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
table.targets td:first-child, table.targets td:last-child { white-space: normal }
table.targets th, table.targets td { padding: 3px 5px }
th.text, td.text { text-align: left }
td.met { color: #00603a }
td.missed { color: #a00000; font-weight: bold }
td.unsure { color: #6a4a00 }
tr.base td { color: #444 }
p.note { font-size: 14px; color: #333; margin: 4px 0 }
svg { display: block; margin: 1.5em 0; max-width: 100%; height: auto }
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
std::string to_table(const grid& g, std::size_t left, const char* kind_of_table = "") {
    std::string out = fmt::format("<table class=\"{}\">\n", kind_of_table);
    for (std::size_t i = 0; i < g.size(); ++i) {
        const auto* cell = i == 0 ? "th" : "td";
        if (i == 0)
            out += "<thead>";
        else if (i == 1 || !g[i].front().empty())
            out += i == 1 ? "</thead>\n<tbody>" : "</tbody>\n<tbody>";
        out += g[i].front().empty() ? "<tr class=\"base\">" : "<tr>";
        for (std::size_t k = 0; k < g[i].size(); ++k) {
            const auto& text = g[i][k];
            const std::string kind = text == "met" || text == "missed" ? text : text == "not sure" ? "unsure" : "";
            out += fmt::format("<{0} class=\"{1}{2}\">{3}</{0}>", cell, k < left ? "text " : "", kind, escaped(text));
        }
        out += "</tr>\n";
    }
    return out + (g.size() > 1 ? "</tbody>\n</table>\n" : "</thead>\n</table>\n");
}

std::string all_of(const std::vector<chart>& charts) {
    std::string out;
    for (const auto& c : charts) out += c.svg;
    return out;
}

std::string notes_of(const std::vector<const measurement*>& all) {
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
    out += chart_style;
    out += "</style>\n</head>\n<body>\n<h1>rowlock-bench</h1>\n<table>\n";
    for (const auto& [what, value] : r.about)
        out += fmt::format("<tr><td class=\"text\">{}</td><td class=\"text\">{}</td></tr>\n", escaped(what),
                           escaped(value));
    out +=
        "</table>\n<p>Times depend on the machine, and on what it does meanwhile. What can be compared is the ratio of "
        "Rowlock to the bare driver, both measured in turns in one run, on the same CPUs: the median over several "
        "passes, with new connections in each. A ratio that is not sure to 15 % is told as the range in which it is "
        "with "
        "95 % confidence. Filled marks and solid lines are Rowlock's; open marks and dashed lines are the baseline's; "
        "what is "
        "there for comparison has open marks and dotted lines.</p>\n";
    if (!r.targets.empty()) out += heading("targets") + to_table(grid_of(r.targets), 99, "targets");
    if (const auto charts = ratio_charts(r); !charts.empty())
        out += heading("ratios to the bare driver") + all_of(charts);
    for (const auto& [suite, all] : by_suite(r)) {
        if (suite == "targets") continue;
        out += heading(suite) + all_of(charts_of(suite, all)) + to_table(grid_of(all), 4) + notes_of(all);
    }
    return out + "</body>\n</html>\n";
}

}  // namespace bench
