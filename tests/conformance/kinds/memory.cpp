#include "kinds.hpp"

#include <support/open_any.hpp>

namespace rowlock::conformance {
namespace {

class memory_store final : public store {
public:
    explicit memory_store(options opt) : locks_{open_any_memory(std::move(opt))} {}
    provider open() override { return locks_; }
    // The map of names is the database here, and status() shows it as it is.
    int holders_in_database(std::string_view name) override {
        for (const auto& s : locks_.status(name))
            if (s.name == name) return static_cast<int>(s.holders.size());
        return 0;
    }

private:
    static provider open_any_memory(options opt) { return test::open_any("memory:", std::move(opt)); }
    provider locks_;
};

}  // namespace

void add_memory(kinds& all) {
    all.push_back({.name = "memory", .backend = "memory", .make_store = make<memory_store>()});
}

}  // namespace rowlock::conformance
