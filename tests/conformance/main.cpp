// Builds the tree provider/primitive/case at run time, so that what is there follows from what each provider supports,
// and then checks that nothing is missing from it.
#include <boost/test/tree/traverse.hpp>
#include <boost/test/tree/visitor.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <sstream>
#include <stdexcept>

#include <rowlock/error.hpp>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

namespace ut = boost::unit_test;

constexpr primitive primitives[] = {primitive::mutex, primitive::shared_mutex, primitive::upgrade_mutex,
                                    primitive::semaphore};

template <class... Add>
case_list gathered(Add... add) {
    case_list cases;
    (add(cases), ...);
    return cases;
}

const case_list& mutex_cases() {
    static const auto cases =
        gathered(add_exclusion_cases, add_waiting_cases, add_cancelling_cases, add_token_cases, add_handle_cases);
    return cases;
}
const case_list& provider_cases() {
    static const auto cases =
        gathered(add_name_cases, add_several_cases, add_operating_cases, add_observing_cases, add_model_cases);
    return cases;
}
const case_list& cases_of(primitive p) {
    static const auto shared = gathered(add_shared_cases), upgrade = gathered(add_upgrade_cases),
                      semaphore = gathered(add_semaphore_cases);
    switch (p) {
        case primitive::mutex:
            break;
        case primitive::shared_mutex:
            return shared;
        case primitive::upgrade_mutex:
            return upgrade;
        case primitive::semaphore:
            return semaphore;
    }
    return mutex_cases();
}

// What there is to know of a kind before its tests run.
struct ability {
    explicit ability(const provider_kind& kind) {
        const auto place = kind.make_store({});
        const auto locks = place->open();
        traits = locks.traits();
        between_processes = !place->url().empty();
        for (const auto p : primitives)
            if (locks.supports(p)) supported.push_back(p);
    }
    [[nodiscard]] bool has(primitive p) const {
        return std::find(supported.begin(), supported.end(), p) != supported.end();
    }

    backend_traits traits;
    bool between_processes = false;
    std::vector<primitive> supported;
};

std::string missing(const provider_kind& kind, const ability& can, need needs) {
    const auto& traits = can.traits;
    if (has(needs, need::tokens) && !traits.tokens) return "has no fencing tokens";
    if (has(needs, need::fair) && !traits.fair) return "serves waiters in no order";
    if (has(needs, need::operation) && !kind.operates) return "cannot break a lock";
    if (has(needs, need::purging) && !kind.purges) return "cannot forget idle names";
    if (has(needs, need::inspection) && !kind.inspects) return "cannot tell who holds what";
    if (has(needs, need::processes) && !can.between_processes) return "is for one process only";
    if (has(needs, need::renewal) && traits.renewed_by_verify) return "renews nothing by itself";
    if (has(needs, need::expiry) && !traits.leases) return "locks do not expire";
    return {};
}

ut::test_case* make(const std::string& name, const std::function<void()>& run) {
    return ut::make_test_case(run, name, __FILE__, __LINE__);
}

void skip(ut::test_case& t, const std::string& why) {
    t.add_precondition([why](ut::test_unit_id) {
        boost::test_tools::assertion_result no{false};
        no.message() << why;
        return no;
    });
}

// The back end that the case is meant for has really run: by its own word, and by what its database had in it.
void check_it_is_this_back_end(context& c) {
    auto locks = c.open();
    BOOST_TEST(locks.traits().name == c.kind().backend);
    auto held = c.mutex(locks, "proof").try_acquire();
    BOOST_REQUIRE(held.has_value());
    const int with = c.place().holders_in_database("proof");
    held->release();
    BOOST_TEST(c.place().holders_in_database("proof") == with - 1);
    BOOST_TEST(with >= 1);
}

ut::test_suite* suite_of(const std::string& name, const provider_kind& kind, const ability& can, const mutex_kind& how,
                         const case_list& cases) {
    auto* suite = BOOST_TEST_SUITE(name);
    auto all = cases;
    all.insert(all.begin(), {"it_is_this_back_end", check_it_is_this_back_end});
    for (const auto& t : all) {
        auto* made = make(t.name, [&kind, &how, run = t.run] {
            context c{kind, how};
            run(c);
        });
        if (const auto why = missing(kind, can, t.needs); !why.empty()) skip(*made, "this provider " + why);
        suite->add(made);
    }
    return suite;
}

// What a provider does not support it refuses, with the right exception.
ut::test_suite* refusal_of(primitive p, const provider_kind& kind) {
    auto* suite = BOOST_TEST_SUITE(std::string{to_string(p)});
    suite->add(make("is_refused", [&kind, p] {
        const auto place = kind.make_store({});
        const auto locks = place->open();
        const auto construct = [&] {
            switch (p) {
                case primitive::mutex:
                    (void)mutex{locks, "n"};
                    break;
                case primitive::shared_mutex:
                    (void)shared_mutex{locks, "n"};
                    break;
                case primitive::upgrade_mutex:
                    (void)upgrade_mutex{locks, "n"};
                    break;
                case primitive::semaphore:
                    (void)semaphore{locks, "n", 2};
                    break;
            }
        };
        BOOST_CHECK_THROW(construct(), unsupported);
    }));
    return suite;
}

ut::test_suite* tree_of(const provider_kind& kind) {
    auto* tree = BOOST_TEST_SUITE(kind.name);
    const auto& plain = mutex_kinds().front();
    const ability can{kind};
    tree->add(suite_of("provider", kind, can, plain, provider_cases()));
    for (const auto& how : mutex_kinds())
        if (can.has(how.built_on)) tree->add(suite_of(how.name, kind, can, how, mutex_cases()));
    for (const auto p : primitives) {
        if (p == primitive::mutex) continue;
        tree->add(can.has(p) ? suite_of(std::string{to_string(p)}, kind, can, plain, cases_of(p))
                             : refusal_of(p, kind));
    }
    return tree;
}

// Counts the cases below each provider/primitive.
class counter final : public ut::test_tree_visitor {
public:
    std::size_t operator()(const std::string& suite) const {
        const auto found = cases_.find(suite);
        return found == cases_.end() ? 0 : found->second;
    }

private:
    void visit(const ut::test_case& t) override {
        const auto& parent = ut::framework::get<ut::test_suite>(t.p_parent_id);
        const auto& above = ut::framework::get<ut::test_suite>(parent.p_parent_id);
        ++cases_[above.p_name.get() + "/" + parent.p_name.get()];
    }
    std::map<std::string, std::size_t> cases_;
};

void check_nothing_is_missing(const std::vector<provider_kind>& kinds) {
    counter count;
    ut::traverse_test_tree(ut::framework::master_test_suite(), count, true);
    for (const auto& kind : kinds) {
        const ability locks{kind};
        BOOST_TEST(locks.has(primitive::mutex), kind.name << " has no mutex");
        BOOST_TEST(count(kind.name + "/provider") == provider_cases().size() + 1);
        for (const auto p : primitives)
            BOOST_TEST(
                count(kind.name + "/" + std::string{to_string(p)}) == (locks.has(p) ? cases_of(p).size() + 1 : 1),
                kind.name << " is not tested as " << to_string(p));
        for (const auto& how : mutex_kinds())
            BOOST_TEST(count(kind.name + "/" + how.name) == (locks.has(how.built_on) ? mutex_cases().size() + 1 : 0),
                       kind.name << " is not tested as " << how.name);
    }
}

// Every kind of URL that the library opens is one of the providers under test.
void check_every_back_end_is_in_the_table(const std::vector<provider_kind>& kinds) {
    const auto absent = absent_kinds();
    for (const auto& usage : registered_backends()) {
        const auto scheme = usage.substr(0, usage.find(':'));
        const auto opens = [&](const auto& k) {
            return k.name == scheme || std::count(k.other_schemes.begin(), k.other_schemes.end(), scheme) > 0;
        };
        BOOST_TEST((std::any_of(kinds.begin(), kinds.end(), opens) || std::any_of(absent.begin(), absent.end(), opens)),
                   scheme << " is registered with the library, but no provider under test");
    }
}

// CI says in ROWLOCK_TEST_REQUIRE which back ends must not be missing from the build.
void check_what_is_required_is_there(const std::vector<provider_kind>& kinds) {
    const char* required = std::getenv("ROWLOCK_TEST_REQUIRE");
    std::istringstream names{required ? required : ""};
    for (std::string name; names >> name;)
        BOOST_TEST((std::any_of(kinds.begin(), kinds.end(), [&](const auto& k) { return k.name == name; })),
                   name << " is required by ROWLOCK_TEST_REQUIRE, but this build does not have it");
}

bool build_tree() {
    static const auto kinds = provider_kinds();
    auto& master = ut::framework::master_test_suite();
    for (const auto& kind : kinds) master.add(tree_of(kind));
    for (const auto& kind : absent_kinds()) {
        auto* suite = BOOST_TEST_SUITE(kind.name);
        auto* all = make("all_cases", [] {});
        skip(*all, kind.why);
        suite->add(all);
        master.add(suite);
    }
    auto* meta = BOOST_TEST_SUITE("completeness");
    meta->add(make("nothing_is_missing", [] { check_nothing_is_missing(kinds); }));
    meta->add(make("every_back_end_is_in_the_table", [] { check_every_back_end_is_in_the_table(kinds); }));
    meta->add(make("what_is_required_is_there", [] { check_what_is_required_is_there(kinds); }));
    master.add(meta);
    return true;
}

}  // namespace
}  // namespace rowlock::conformance

int main(int argc, char* argv[]) {
    return boost::unit_test::unit_test_main(&rowlock::conformance::build_tree, argc, argv);
}
