#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../provider_kind.hpp"

namespace rowlock::conformance {

// One function for each file here, which has the stores of a back end in the ways in which it is reached.
using kinds = std::vector<provider_kind>;
void add_memory(kinds& all);
void add_sqlite(kinds& all);
void add_flock(kinds& all);
void add_postgres(kinds& all);
void add_applock_stand_in(kinds& all);
void add_sqlserver(kinds& all);
void add_absent_sqlserver(std::vector<absent_kind>& all);

/// Makes stores from a scheme, if they have several, and the options of the case.
template <class Store, class... Scheme>
auto make(Scheme... scheme) {
    return [... scheme = std::string{std::move(scheme)}](options opt) -> std::unique_ptr<store> {
        return std::make_unique<Store>(scheme..., std::move(opt));
    };
}

}  // namespace rowlock::conformance
