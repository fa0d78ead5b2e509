#include "conninfo.hpp"

#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

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

conninfo conninfo_of(PGconn* c, const options& opt) {
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> all{PQconninfo(c), &PQconninfoFree};
    if (!all) throw std::bad_alloc{};
    std::string text;
    for (const auto* o = all.get(); o->keyword; ++o) {
        std::string_view word{o->keyword}, value{o->val ? o->val : ""};
        if (value.empty() || word == "application_name" || word == "fallback_application_name") continue;
        // Of several servers in a list, the one that it is connected to.
        if (word == "host") value = PQhost(c);
        if (word == "hostaddr") value = PQhostaddr(c);
        if (word == "port") value = PQport(c);
        if (word == "password" && PQpass(c)) value = PQpass(c);
        text += std::string{word} + "='";
        for (const char character : value) {
            if (character == '\'' || character == '\\') text += '\\';
            text += character;
        }
        text += "' ";
    }
    return {std::move(text), opt};
}

std::string conninfo_in_url(std::string_view rest) {
    return rest.starts_with("//") ? "postgresql:" + std::string{rest} : std::string{rest};
}

}  // namespace rowlock::postgres
