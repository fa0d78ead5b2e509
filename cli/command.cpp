#include "command.hpp"

namespace rowlock::cli {

options common_options::library_options() const {
    options opt;
    opt.key_prefix = prefix;
    if (!owner.empty()) opt.owner = owner;
    if (!schema.empty()) opt.schema = schema;
    opt.allow_network_file_system = allow_network_fs;
    return opt;
}

}  // namespace rowlock::cli
