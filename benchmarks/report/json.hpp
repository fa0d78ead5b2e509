#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "report.hpp"

namespace bench {

[[nodiscard]] std::string to_json(const report& r);
/// @throws std::invalid_argument it is no such report
[[nodiscard]] report report_in(std::string_view text);

/// @throws std::runtime_error the file cannot be read or written, or std::invalid_argument it is no such report
[[nodiscard]] report read_report(const std::filesystem::path& file);
void write_file(const std::filesystem::path& file, const std::string& text);

}  // namespace bench
