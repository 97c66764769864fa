// The status of a call and the text behind it, one a thread.
#pragma once

#include <string>

namespace kvasir::gpu {

// Keeps the text for lastError() and gives the status back.
int fail(int status, std::string text);

const char* lastFailure();

}  // namespace kvasir::gpu
