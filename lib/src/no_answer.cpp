#include "no_answer.hpp"

namespace rowlock::detail {

no_answer::~no_answer() = default;

}  // namespace rowlock::detail
