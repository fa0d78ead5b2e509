#pragma once

// Included by tests whose forked children start threads: ThreadSanitizer would end them.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
