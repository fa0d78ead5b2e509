#include "table.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace bench {
namespace {

std::string head_of(const figure& f) { return f.unit.empty() ? f.name : f.name + " " + f.unit; }

// How many columns of a terminal it takes; all that is shown here is a column for each character.
std::size_t width_of(const std::string& text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string cell_of(const target_value& v) {
    if (v.value) return fmt::format("{:.4g}", *v.value);
    return v.range ? show_range(*v.range) : "";
}

}  // namespace

std::vector<std::pair<std::string, std::vector<const measurement*>>> by_suite(const report& r) {
    std::vector<std::pair<std::string, std::vector<const measurement*>>> all;
    for (const auto& m : r.measurements) {
        auto same = std::find_if(all.begin(), all.end(), [&](const auto& s) { return s.first == m.suite; });
        if (same == all.end()) same = all.insert(all.end(), {m.suite, {}});
        same->second.push_back(&m);
    }
    return all;
}

grid grid_of(const std::vector<const measurement*>& suite) {
    std::vector<std::string> heads;
    for (const auto* m : suite)
        for (const auto& f : m->figures)
            if (std::find(heads.begin(), heads.end(), head_of(f)) == heads.end()) heads.push_back(head_of(f));
    grid g{{"back end", "work", "clients", "CPUs"}};
    g.front().insert(g.front().end(), heads.begin(), heads.end());
    const auto add = [&](std::vector<std::string> row, const measurement& m, auto value) {
        for (const auto& head : heads) {
            const auto f = std::find_if(m.figures.begin(), m.figures.end(),
                                        [&](const figure& candidate) { return head_of(candidate) == head; });
            row.push_back(f == m.figures.end() ? "" : value(*f));
        }
        g.push_back(std::move(row));
    };
    for (const auto* m : suite) {
        const auto* mark = m->ours ? m->baseline.empty() ? " (no baseline)" : "" : " (for comparison)";
        add({m->back_end, m->work + mark, m->clients, m->cpus}, *m, [](const figure& f) { return show(f.value); });
        if (m->baseline.empty()) continue;
        add({"", "  " + m->baseline, "", ""}, *m, [](const figure& f) { return show(f.baseline); });
        const bool ratios =
            std::any_of(m->figures.begin(), m->figures.end(), [](auto& f) { return !show_ratio(f).empty(); });
        if (ratios) add({"", "  ratio", "", ""}, *m, [](const figure& f) { return show_ratio(f); });
    }
    return g;
}

grid grid_of(const std::vector<target_row>& targets) {
    // One column for each placement, and one for what is counted.
    std::vector<std::string> columns;
    for (const auto& t : targets)
        for (const auto& v : t.values)
            if (std::find(columns.begin(), columns.end(), v.cpus) == columns.end()) columns.push_back(v.cpus);
    std::sort(columns.begin(), columns.end());
    grid g{{"work", "bound"}};
    for (const auto& cpus : columns) g.front().push_back(cpus.empty() ? "counted" : cpus);
    g.front().insert(g.front().end(), {"", "note"});
    for (const auto& t : targets) {
        std::vector<std::string> row{t.work, t.bound};
        for (const auto& cpus : columns) {
            const auto v = std::find_if(t.values.begin(), t.values.end(), [&](auto& x) { return x.cpus == cpus; });
            row.push_back(v == t.values.end() ? "" : cell_of(*v));
        }
        row.insert(row.end(), {std::string{to_string(t.outcome)}, t.note});
        g.push_back(std::move(row));
    }
    return g;
}

std::string format(const grid& g, std::size_t left) {
    std::vector<std::size_t> widths;
    for (const auto& row : g)
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths.resize(std::max(widths.size(), row.size()));
            widths[i] = std::max(widths[i], width_of(row[i]));
        }
    std::string out;
    for (const auto& row : g) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string room(widths[i] - width_of(row[i]), ' ');
            line += (i < left ? row[i] + room : room + row[i]) + "  ";
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    return out;
}

std::string to_text(const report& r) {
    std::string out;
    for (const auto& [suite, measurements] : by_suite(r)) {
        out += "\n" + suite + "\n\n" + format(grid_of(measurements), 4);
        for (const auto* m : measurements)
            if (!m->note.empty()) out += "  " + title_of(*m) + ": " + m->note + "\n";
    }
    if (!r.targets.empty()) out += "\ntargets\n\n" + format(grid_of(r.targets), 99);
    return out;
}

std::string to_text(const comparison& c) {
    grid g{{"ratio to the baseline", "first", "second", "difference"}};
    for (const auto& d : c.ratios)
        g.push_back({d.what, fmt::format("{:.2f}", d.before), fmt::format("{:.2f}", d.after),
                     fmt::format("{}{:.1f} %{}", d.after < d.before ? "-" : "+", (d.factor() - 1) * 100,
                                 d.differs ? " <-- disagree" : "")});
    auto out = format(g, 1);
    for (const auto& what : c.only_one) out += "only in one of them: " + what + "\n";
    const auto unsure = c.unsure.empty() ? "" : fmt::format(", {} not sure in one of the runs", c.unsure.size());
    if (c.ratios.empty()) return out + "the two have no sure ratio in common" + unsure + "\n";
    const auto agreeing = c.ratios.size() - c.differing();
    out += fmt::format("{} ratio{} within {:g} %", agreeing, agreeing == 1 ? " agrees" : "s agree", c.allowed * 100);
    if (c.differing() > 0) out += fmt::format(", {} not", c.differing());
    return out + unsure + "\n";
}

}  // namespace bench
