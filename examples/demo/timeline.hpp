#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "history.hpp"

namespace demo {

/// How the terminal is written to.
struct look {
    bool color = false;   ///< ANSI colors
    bool blocks = false;  ///< Unicode block characters; otherwise ASCII
    int columns = 80;

    [[nodiscard]] std::string paint(const char* code, const std::string& text) const {
        return color ? "\033[" + std::string{code} + "m" + text + "\033[0m" : text;
    }
    /// In the color of that worker.
    [[nodiscard]] std::string of_worker(int worker, const std::string& text) const;
};

/// From `start` to `end`, one line for each of `workers`, then the axis and the legend. A line shows what its worker
/// did in the middle of each column (of each half column with `blocks`), so turns that do not overlap do not seem to.
/// Where two did hold the lock at once, a further line says so.
[[nodiscard]] std::vector<std::string> draw(std::span<const turn> history, int workers, nanoseconds start,
                                            nanoseconds end, const look& l);

/// The turns in the order of entering, as a table; the first `limit` of them, and always the killed one and the next.
[[nodiscard]] std::vector<std::string> tabulate(std::vector<turn> history, std::size_t limit, const look& l);

}  // namespace demo
