#include "timeline.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>

namespace demo {
namespace {

constexpr int label_width = 10;
constexpr auto dim = "2";
constexpr auto alarm = "1;31";

enum class doing { nothing, waiting, holding };

doing at(std::span<const turn> history, int worker, nanoseconds when) {
    auto found = doing::nothing;
    for (const auto& t : history) {
        if (t.worker != worker) continue;
        if (t.entered <= when && when < t.left) return doing::holding;
        if (t.waiting_since <= when && when < t.entered) found = doing::waiting;
    }
    return found;
}

// The columns of the picture as points in time.
struct scale {
    nanoseconds start;
    nanoseconds width;  ///< of all
    int columns;

    [[nodiscard]] nanoseconds point(int column, int eighths) const {
        return start + width * (8 * column + eighths) / (8 * columns);
    }
    [[nodiscard]] int column(nanoseconds t) const {
        return static_cast<int>(std::clamp<nanoseconds::rep>((t - start) * columns / width, 0, columns - 1));
    }
};

std::string cell(std::span<const turn> history, int worker, int column, const scale& s, const look& l) {
    const auto early = at(history, worker, s.point(column, l.blocks ? 2 : 4));
    const auto late = l.blocks ? at(history, worker, s.point(column, 6)) : early;
    if (early == doing::holding || late == doing::holding) {
        if (!l.blocks) return "#";
        return l.of_worker(worker, early == late ? "█" : early == doing::holding ? "▌" : "▐");
    }
    if (early == doing::waiting) return l.blocks ? l.paint(dim, "·") : ".";
    return " ";
}

std::string row(std::span<const turn> history, int worker, const scale& s, const look& l) {
    std::array<char, 24> label{};
    std::snprintf(label.data(), label.size(), "worker %-2d ", worker);
    std::string line = l.of_worker(worker, label.data());
    const auto killed =
        std::find_if(history.begin(), history.end(), [&](const turn& t) { return t.killed && t.worker == worker; });
    for (int c = 0; c < s.columns; ++c)
        line += killed != history.end() && s.column(killed->left) == c ? l.paint(alarm, l.blocks ? "✗" : "X")
                                                                       : cell(history, worker, c, s, l);
    return line;
}

std::string overlaps(std::span<const turn> history, int workers, const scale& s, const look& l) {
    std::string marks;
    for (int c = 0; c < s.columns; ++c) {
        int most = 0;
        for (const int eighths : {1, 3, 5, 7}) {
            int inside = 0;
            for (int w = 1; w <= workers; ++w) inside += at(history, w, s.point(c, eighths)) == doing::holding;
            most = std::max(most, inside);
        }
        marks += most > 1 ? static_cast<char>('0' + std::min(most, 9)) : ' ';
    }
    if (marks.find_first_not_of(' ') == std::string::npos) return {};
    return l.paint(alarm, "at once   " + marks);
}

std::string axis(const scale& s) {
    std::string line(static_cast<std::size_t>(s.columns), ' ');
    const auto seconds = std::chrono::duration<double>{s.width}.count();
    const double step = seconds > 8 ? 2 : seconds > 4 ? 1 : seconds > 1.2 ? 0.5 : 0.1;
    for (int i = 0; i * step <= seconds; ++i) {
        std::array<char, 24> mark{};
        std::snprintf(mark.data(), mark.size(), step < 1 ? "|%.1f s" : "|%.0f s", i * step);
        const std::string text{mark.data()};
        const auto place = static_cast<std::size_t>(i * step / seconds * s.columns);
        if (place + text.size() <= line.size()) line.replace(place, text.size(), text);
    }
    return std::string(label_width, ' ') + line;
}

std::string legend(const look& l) {
    return std::string(label_width, ' ') + (l.blocks ? "█" : "#") + " holds the lock   " +
           (l.blocks ? l.paint(dim, "·") : ".") + " waits   " + l.paint(alarm, l.blocks ? "✗" : "X") +
           " killed with SIGKILL";
}

std::string line_of(std::size_t number, const turn& t, const look& l) {
    std::array<char, 120> text{};
    std::snprintf(text.data(), text.size(), "%6zu   worker %d %9d  %15s  %11s  %11s  ", number, t.worker, t.pid,
                  t.token ? std::to_string(*t.token).c_str() : "none",
                  in_milliseconds(t.entered - t.waiting_since).c_str(), in_milliseconds(t.left - t.entered).c_str());
    return l.of_worker(t.worker, text.data()) + (t.killed ? l.paint(alarm, "killed") : "");
}

}  // namespace

std::string look::of_worker(int worker, const std::string& text) const {
    static constexpr std::array codes{"36", "33", "32", "35", "34", "96", "93", "92", "95"};
    return paint(codes[static_cast<std::size_t>(worker - 1) % codes.size()], text);
}

std::vector<std::string> draw(std::span<const turn> history, int workers, nanoseconds start, nanoseconds end,
                              const look& l) {
    const scale s{start, std::max<nanoseconds>(end - start, std::chrono::milliseconds{1}),
                  std::max(l.columns - label_width - 1, 10)};
    std::vector<std::string> lines;
    for (int w = 1; w <= workers; ++w) lines.push_back(row(history, w, s, l));
    if (auto marks = overlaps(history, workers, s, l); !marks.empty()) lines.push_back(std::move(marks));
    lines.push_back(l.paint(dim, axis(s)));
    lines.push_back(legend(l));
    return lines;
}

std::vector<std::string> tabulate(std::vector<turn> history, std::size_t limit, const look& l) {
    std::stable_sort(history.begin(), history.end(),
                     [](const turn& a, const turn& b) { return a.entered < b.entered; });
    std::vector<std::string> lines{
        l.paint("1", "  turn   process        pid            token       waited         held")};
    std::size_t left_out = 0;
    for (std::size_t i = 0; i < history.size(); ++i) {
        const bool matters = history[i].killed || (i > 0 && history[i - 1].killed);
        if (i < limit || matters)
            lines.push_back(line_of(i + 1, history[i], l));
        else
            ++left_out;
    }
    if (left_out > 0) lines.push_back(l.paint(dim, "        " + std::to_string(left_out) + " further turns not shown"));
    return lines;
}

}  // namespace demo
