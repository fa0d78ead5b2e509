#pragma once

#include <string>
#include <string_view>

#include "report.hpp"

namespace bench {

/// One page with tables and charts that needs nothing else: no other file, no script, no network.
[[nodiscard]] std::string to_html(const report& r);

/// `text` as it can stand in HTML, in text or in a quoted attribute.
[[nodiscard]] std::string escaped(std::string_view text);

}  // namespace bench
