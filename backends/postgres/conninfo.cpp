#include "conninfo.hpp"

#include <memory>
#include <stdexcept>
#include <utility>

#include <libpq-fe.h>

namespace rowlock::postgres {

conninfo::conninfo(std::string t, const options& opt) : text{std::move(t)}, owner{opt.owner}, schema{opt.schema} {
    if (text.find('\0') != std::string::npos)
        throw std::invalid_argument{"a PostgreSQL connection string must not contain a NUL byte"};
    char* message = nullptr;
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed{PQconninfoParse(text.c_str(), &message),
                                                                              &PQconninfoFree};
    const std::unique_ptr<char, decltype(&PQfreemem)> said{message, &PQfreemem};
    if (parsed) return;
    std::string why = said ? said.get() : "out of memory";
    while (why.ends_with('\n')) why.pop_back();
    throw std::invalid_argument{"libpq cannot read this connection string or URI: " + why};
}

std::string conninfo_in_url(std::string_view rest) {
    return rest.starts_with("//") ? "postgresql:" + std::string{rest} : std::string{rest};
}

}  // namespace rowlock::postgres
