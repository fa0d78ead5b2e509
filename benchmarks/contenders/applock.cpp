#include <stdexcept>
#include <string>

#include "back_ends.hpp"
#include "raw_odbc.hpp"

namespace bench {
namespace {

// What the library binds (backends/odbc/wide_text.hpp); NVARCHAR of another size is another statement to the server.
constexpr SQLULEN longest = 255;

// A lock as a program without Rowlock would write it.
class applock final : public client {
public:
    applock(const std::string& connection_string, const client_spec& s, const std::string& mode)
        : resource_{s.lock},
          mode_{mode},
          wait_ms_{s.contended ? -1 : 0},
          busy_{s.what == work::busy},
          connection_{connection_string} {
        get_.result(code_);
        get_.parameter(resource_, longest);
        get_.parameter(mode_, longest);
        get_.parameter(owner_, longest);
        get_.parameter(wait_ms_);
        release_.result(code_);
        release_.parameter(resource_, longest);
        release_.parameter(owner_, longest);
    }
    void take() override {
        code_ = none;
        (void)get_();
        if (code_ == none || (code_ < 0) != busy_)
            throw std::logic_error{"sp_getapplock did not answer as it should: " + std::to_string(code_)};
    }
    void give_back() override {
        if (busy_) return;
        code_ = none;
        (void)release_();
        if (code_ < 0)
            throw std::logic_error{"sp_releaseapplock did not answer as it should: " + std::to_string(code_)};
    }

private:
    static constexpr SQLINTEGER none = -1000;  // none of the server's own: the driver brought no return value

    raw_text resource_, mode_, owner_{"Session"};
    SQLINTEGER wait_ms_, code_ = none;
    const bool busy_;
    const raw_odbc connection_;
    raw_odbc_statement get_{connection_, "{?=call sp_getapplock(?,?,?,?)}"};
    raw_odbc_statement release_{connection_, "{?=call sp_releaseapplock(?,?)}"};
};

}  // namespace

// It blocks in the server, and so has nobody to poll.
std::unique_ptr<client> applock_baseline(const std::string& rest, const client_spec& s) {
    if (s.who != side::baseline) return nullptr;
    switch (s.what) {
        case work::mutex:
        case work::timed:
        case work::busy:
            return std::make_unique<applock>(rest, s, "Exclusive");
        case work::shared:
            return std::make_unique<applock>(rest, s, "Shared");
        case work::upgrade:
            return std::make_unique<applock>(rest, s, "Update");
        default:
            return nullptr;
    }
}

}  // namespace bench
