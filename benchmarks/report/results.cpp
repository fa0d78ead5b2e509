#include "results.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "chart.hpp"
#include "charts.hpp"
#include "json.hpp"
#include "table.hpp"

namespace bench {
namespace {

std::string cell(std::string text) {
    for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, 1, '\\');
    return text;
}

std::string to_markdown(const grid& g) {
    std::string out;
    for (std::size_t i = 0; i < g.size(); ++i) {
        for (const auto& text : g[i]) out += "| " + cell(text) + " ";
        out += "|\n";
        if (i > 0) continue;
        for (std::size_t k = 0; k < g[i].size(); ++k) out += "|---";
        out += "|\n";
    }
    return out;
}

grid ratios_of(const std::vector<const measurement*>& all) {
    grid g{{"back end", "work", "clients", "CPUs", "beside", "of", "ratio"}};
    for (const auto* m : all)
        for (const auto& f : m->figures)
            if (const auto ratio = show_ratio(f); !ratio.empty())
                g.push_back({m->back_end, m->work, m->clients, m->cpus, m->baseline, f.name, ratio});
    return g;
}

}  // namespace

void write_results(const std::filesystem::path& directory, const report& r) {
    std::filesystem::create_directories(directory);
    for (const auto& old : std::filesystem::directory_iterator{directory})
        if (old.path().extension() == ".svg") std::filesystem::remove(old.path());
    std::string out = "# Results\n\n`./dev bench --results` wrote this; [how it is measured](../README.md).\n\n";
    grid about{{"", ""}};
    for (const auto& [what, value] : r.about) about.push_back({what, value});
    out += to_markdown(about);
    if (!r.targets.empty()) out += "\n## What the library must cost\n\n" + to_markdown(grid_of(r.targets));
    const auto add_charts = [&](const std::vector<chart>& charts) {
        for (const auto& c : charts) {
            write_file(directory / (c.name + ".svg"), standalone(c.svg));
            out += fmt::format("\n![{}]({}.svg)\n", c.title, c.name);
        }
    };
    out += "\n## Ratios to the bare driver\n";
    add_charts(ratio_charts(r));
    for (const auto& [suite, all] : by_suite(r)) {
        const auto ratios = ratios_of(all);
        const auto charts = charts_of(suite, all);
        if (ratios.size() < 2 && charts.empty()) continue;
        out += "\n## " + suite + "\n";
        add_charts(charts);
        if (ratios.size() > 1) out += "\n" + to_markdown(ratios);
    }
    write_file(directory / "README.md", out);
}

}  // namespace bench
